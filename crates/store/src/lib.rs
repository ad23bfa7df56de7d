//! The only SQL of Lockstep: PostgreSQL, the one truth.
//!
//! Knows tables. Does not know brokers, caches, protocols or what a plan is. Functions take `&mut Tx`, so that the
//! caller decides what commits together; nobody outside sees the database library.

pub mod access;
pub mod activities;
pub mod activity_attachments;
pub mod alerts;
mod approval;
pub mod attachment_links;
pub mod audit;
pub mod capacity;
pub mod contents;
pub mod deliveries;
pub mod directions;
pub mod emails;
pub mod erasure;
pub mod error;
pub mod explain;
pub mod feed;
pub mod fields;
pub mod filters;
pub mod forwarding;
pub mod idempotency;
pub mod incoming;
pub mod intents;
pub mod item_failures;
pub mod item_options;
pub mod item_retries;
pub mod items;
pub mod lanes;
pub mod links;
pub mod lost_values;
pub mod mailbox_tests;
pub mod mailboxes;
pub mod nudges;
pub mod operations;
pub mod organisations;
pub mod origins;
pub mod outages;
pub mod people;
pub mod profiles;
pub mod questions;
pub mod queue_items;
pub mod queues;
pub mod records;
pub mod replicas;
pub mod restores;
pub mod retention;
pub mod rights;
pub mod rotation;
pub mod schedules;
pub mod schema;
pub mod security_roles;
pub mod settings;
pub mod shares;
pub mod strangers;
pub mod teams;
pub mod users;
pub mod vault;
pub mod webhooks;

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound, Utc};
use lockstep_model::{
    clock::{Sample, SharedClock, SystemClock},
    id::OrganisationId,
};
use sqlx::{
    Postgres, Transaction,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};

pub use error::{Conflict, Error, Result};
pub use vault::{SealError, Vault};

/// Questions to the database when clocks are compared.
const CLOCK_SAMPLES: usize = 5;

/// A transaction. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    now: DateTime<Utc>,
}

impl Tx {
    /// The instant this transaction writes: the caller's clock when it began, in microseconds as the database keeps it.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] leaves it unknown whether the commit happened: read before repeating.
    pub async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }

    pub(crate) fn connection(&mut self) -> &mut sqlx::PgConnection {
        &mut self.inner
    }
}

/// How a role uses the database. Each role has its own pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Most connections open at once.
    pub max_connections: u32,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// Longest statement.
    pub statement_timeout: Duration,
    /// Shown in the database's own views.
    pub application_name: String,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    clock: SharedClock,
    vault: Vault,
}

impl Store {
    /// Opens a pool. Connects lazily, so that a process starts while the database is still away.
    ///
    /// # Errors
    /// When `url` is no PostgreSQL address; the message does not repeat it, because it may hold a password.
    pub fn open(url: &str, options: &PoolOptions, clock: SharedClock, vault: Vault) -> Result<Self, String> {
        let statement_timeout = options.statement_timeout.as_millis().to_string();
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| "not a PostgreSQL address; expected postgres://user:password@host:port/database".to_owned())?
            .application_name(&options.application_name)
            .options([
                ("statement_timeout", statement_timeout.as_str()),
                ("idle_in_transaction_session_timeout", statement_timeout.as_str()),
                ("lock_timeout", "10000"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(true)
            .connect_lazy_with(connect);
        Ok(Self { pool, clock, vault })
    }

    /// Begins a transaction (READ COMMITTED).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection can be had in time.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx { inner: self.pool.begin().await?, now: self.clock.now().trunc_subsecs(6) })
    }

    /// Whether the database answers, and its own opinion of the time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn database_now(&self) -> Result<DateTime<Utc>> {
        Ok(sqlx::query_scalar!("/* store::database_now */ SELECT clock_timestamp() AS \"now!\"")
            .fetch_one(&self.pool)
            .await?)
    }

    /// Asks the database for its time, several times over one connection that stands already: what it takes to get a
    /// connection is no part of the exchange. For [`SystemClock::keep_in_step`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn compare_clocks(&self, clock: &SystemClock) -> Result<Vec<Sample>> {
        let mut connection = self.pool.acquire().await?;
        let mut samples = Vec::with_capacity(CLOCK_SAMPLES);
        // The first one prepares the statement, and does not count.
        for number in 0..=CLOCK_SAMPLES {
            let (asked, began) = (clock.uncorrected(), Instant::now());
            let answer = sqlx::query_scalar!("/* store::compare_clocks */ SELECT clock_timestamp() AS \"now!\"")
                .fetch_one(&mut *connection)
                .await?;
            if number > 0 {
                samples.push(Sample { asked, took: began.elapsed(), answer });
            }
        }
        Ok(samples)
    }

    /// Brings the schema up to date. Safe to run from several processes at once.
    ///
    /// # Errors
    /// When a migration fails or the database was migrated by newer code.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        sqlx::migrate!("./migrations").run(&self.pool).await
    }

    /// The secrets' vault.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The clock this store writes by.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The organisation this database belongs to, or `None` before it was set up.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn organisation_id(tx: &mut Tx) -> Result<Option<OrganisationId>> {
    let id = sqlx::query_scalar!("/* store::organisation_id */ SELECT id FROM organisations")
        .fetch_optional(tx.connection())
        .await?;
    Ok(id.map(OrganisationId))
}

/// The channel on which API transactions wake the scheduler.
pub(crate) const WAKE_CHANNEL: &str = "lockstep_wake";

/// Wakes the scheduler when this transaction commits. A hint: losing it costs one polling period.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn nudge(tx: &mut Tx) -> Result<()> {
    sqlx::query!("/* store::nudge */ SELECT pg_notify($1, '')", WAKE_CHANNEL).execute(tx.connection()).await?;
    Ok(())
}
