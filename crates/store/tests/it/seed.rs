//! A database with an organisation in it, and the shortest ways to put servers, mailboxes and mail there.
#![allow(dead_code, reason = "three test binaries share this file; none needs all of it")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use lockstep_model::{
    clock::{ManualClock, SharedClock},
    email::EmailStatus,
    id::{EmailId, MailboxId, OrganisationId, ProfileId, QueueId, UserId},
    mailbox::{Lane, Owner, TrackOption},
};
use lockstep_store::{PoolOptions, Store, Vault, lanes, mailbox_tests, organisations};
use lockstep_test_support::postgres::TestDatabase;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgPool, Row};
use uuid::Uuid;

/// A database of its own, migrated and set up; its time stands still until moved.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) organisation: OrganisationId,
}

/// Where every test begins.
pub(crate) fn morning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 0).unwrap()
}

pub(crate) fn vault() -> Vault {
    Vault::new([("test".to_owned(), vec![7; 32])]).unwrap()
}

pub(crate) fn options(max_connections: u32) -> PoolOptions {
    PoolOptions {
        max_connections,
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        application_name: "test".to_owned(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(morning()));
        let (database, store, organisation) = Self::with(clock.clone()).await;
        Self { database, store, clock, organisation }
    }

    /// A database whose store goes by another clock.
    pub(crate) async fn with(clock: SharedClock) -> (TestDatabase, Store, OrganisationId) {
        let database = TestDatabase::create().await;
        let store = Store::open(database.url(), &options(8), clock, vault()).unwrap();
        store.migrate().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let organisation = organisations::create(&mut tx, "Muster", "test").await.unwrap();
        tx.commit().await.unwrap();
        (database, store, organisation)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Runs statements as they are.
    pub(crate) async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(self.pool()).await.unwrap();
    }

    /// Writes a setting of a group, as an administrator does.
    pub(crate) async fn setting(&self, group: &str, key: &str, value: i64) {
        let mut tx = self.store.begin().await.unwrap();
        let before = lockstep_store::settings::lock(&mut tx, group.parse().unwrap(), None).await.unwrap();
        let mut values = before.values.clone();
        values.insert(key.to_owned(), value);
        lockstep_store::settings::save(&mut tx, &before, &values, "test").await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The one number a statement answers.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT ({query})::bigint"))).fetch_one(self.pool()).await.unwrap();
        row.get::<Option<i64>, _>(0).unwrap()
    }

    /// The one text a statement answers; empty for none.
    pub(crate) async fn text(&self, query: &str) -> String {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT ({query})::text"))).fetch_one(self.pool()).await.unwrap();
        row.get::<Option<String>, _>(0).unwrap_or_default()
    }

    /// The texts a statement answers, row by row.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let query = format!("SELECT t::text FROM ({query}) AS answer(t)");
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(self.pool()).await.unwrap();
        rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
    }

    pub(crate) async fn profile(&self, max_connections: i32) -> ProfileId {
        profile(self.pool(), max_connections).await
    }

    pub(crate) async fn user(&self, name: &str, track: TrackOption) -> UserId {
        user(self.pool(), name, track).await
    }

    pub(crate) async fn queue(&self, name: &str, track: TrackOption) -> QueueId {
        let id = QueueId::new();
        let address = format!("{name}@muster.example");
        sqlx::query(
            "INSERT INTO queues (id, name, address, address_key, track_option, created_at, updated_at)
             VALUES ($1, $2, $3, $3, $4, $5, $5)",
        )
        .bind(id.0)
        .bind(name)
        .bind(address)
        .bind(track.as_str())
        .bind(morning())
        .execute(self.pool())
        .await
        .unwrap();
        id
    }

    pub(crate) async fn contact(&self, name: &str, address: &str) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO people (id, kind, name, address, address_key, created_at, updated_at)
             VALUES ($1, 'contact', $2, $3, lower($3), $4, $4)",
        )
        .bind(id)
        .bind(name)
        .bind(address)
        .bind(morning())
        .execute(self.pool())
        .await
        .unwrap();
        id
    }

    /// A mailbox that is approved, tested and enabled in both directions; its lane is due at once.
    pub(crate) async fn mailbox(&self, profile: ProfileId, owner: Owner) -> MailboxId {
        mailbox(self.pool(), &self.store, profile, owner).await
    }

    /// A user who tracks everything, with a mailbox.
    pub(crate) async fn user_mailbox(&self, profile: ProfileId, name: &str) -> MailboxId {
        let user = self.user(name, TrackOption::All).await;
        self.mailbox(profile, Owner::User(user)).await
    }

    pub(crate) async fn realign(&self, mailboxes: &[MailboxId]) {
        let mut tx = self.store.begin().await.unwrap();
        lanes::realign(&mut tx, mailboxes).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A test of the mailbox has succeeded in both directions.
    pub(crate) async fn tested(&self, mailbox: MailboxId) {
        let mut tx = self.store.begin().await.unwrap();
        let works = mailbox_tests::Tested::Works;
        mailbox_tests::record(&mut tx, mailbox, "test", &works, &works).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Version and generation of a mailbox's incoming lane.
    pub(crate) async fn lane(&self, mailbox: MailboxId) -> (i64, i64) {
        let mut tx = self.store.begin().await.unwrap();
        let run = lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap();
        (run.version, run.generation)
    }

    /// Brings an email to a status by legal steps alone, the shortest way.
    pub(crate) async fn reach(&self, email: EmailId, status: EmailStatus) {
        let now = self.text(&format!("SELECT status FROM emails WHERE id = '{email}'")).await;
        let mut ways = VecDeque::from([vec![now.parse::<EmailStatus>().unwrap()]]);
        let way = loop {
            let way = ways.pop_front().unwrap_or_else(|| panic!("no way from {now} to {status}"));
            let last = *way.last().unwrap();
            if last == status {
                break way;
            }
            let next = EmailStatus::ALL.iter().filter(|next| last.may_become(**next) && !way.contains(next));
            ways.extend(next.map(|next| [way.as_slice(), &[*next]].concat()));
        };
        for step in &way[1..] {
            self.sql(&format!("UPDATE emails SET status = '{step}' WHERE id = '{email}'")).await;
        }
    }

    /// An outgoing email that waits for its first attempt.
    pub(crate) async fn outgoing(&self, mailbox: MailboxId, to: &[&str]) -> EmailId {
        let email = EmailId::new();
        let from = self.text(&format!("SELECT address FROM mailboxes WHERE id = '{mailbox}'")).await;
        let now = lockstep_model::clock::Clock::now(&*self.clock);
        let mut tx = self.pool().begin().await.unwrap();
        sqlx::query(
            "INSERT INTO emails (id, direction, status, subject, message_id, body_text, from_mailbox_id, created_at,
                 updated_at)
             VALUES ($1, 'outgoing', 'pending-send', 'Angebot', $2, 'Guten Tag', $3, $4, $4)",
        )
        .bind(email.0)
        .bind(format!("{email}@muster.example"))
        .bind(mailbox.0)
        .bind(now)
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO deliveries (email_id, mailbox_id, state, due_at, message_id, dated_at, created_at, updated_at)
             VALUES ($1, $2, 'pending', $3, $4, $3, $3, $3)",
        )
        .bind(email.0)
        .bind(mailbox.0)
        .bind(now)
        .bind(format!("{email}@muster.example"))
        .execute(&mut *tx)
        .await
        .unwrap();
        let parties = std::iter::once(("from", from.as_str())).chain(to.iter().map(|address| ("to", *address)));
        for (position, (role, address)) in parties.enumerate() {
            sqlx::query("INSERT INTO email_parties (email_id, position, role, address) VALUES ($1, $2, $3, $4)")
                .bind(email.0)
                .bind(i32::try_from(position).unwrap())
                .bind(role)
                .bind(address)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        for address in to {
            sqlx::query("INSERT INTO delivery_recipients (email_id, address) VALUES ($1, $2)")
                .bind(email.0)
                .bind(address)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        email
    }

    /// From now on the planner joins by nested loops only, as it may choose to with other statistics.
    pub(crate) async fn nested_loops_only(&self) {
        for setting in ["enable_hashjoin", "enable_mergejoin", "enable_hashagg", "enable_material", "enable_memoize"] {
            self.sql(&format!("ALTER DATABASE \"{}\" SET {setting} = off", self.database.name())).await;
        }
        self.database.cut_connections().await;
    }

    /// State, attempt and public status of an email's delivery.
    pub(crate) async fn delivery(&self, email: EmailId) -> (String, i64, String) {
        (
            self.text(&format!("SELECT state FROM deliveries WHERE email_id = '{email}'")).await,
            self.number(&format!("SELECT attempt FROM deliveries WHERE email_id = '{email}'")).await,
            self.text(&format!("SELECT status FROM emails WHERE id = '{email}'")).await,
        )
    }

    /// The open alerts as `code severity ×occurrences`, sorted.
    pub(crate) async fn open_alerts(&self) -> Vec<String> {
        self.texts(
            "SELECT code || ' ' || severity || ' ×' || occurrences FROM alerts WHERE resolved_at IS NULL ORDER BY 1",
        )
        .await
    }

    /// An alert of this code is open, or one that names it as its cause (M8).
    pub(crate) async fn assert_raised(&self, code: &str) {
        let open = self.alerts_about(code, "resolved_at IS NULL").await;
        assert!(open > 0, "no alert is open about {code}: {:?}", self.open_alerts().await);
    }

    /// There was an alert of this code, or one that named it as its cause, and it has ended (M8).
    pub(crate) async fn assert_cleared(&self, code: &str) {
        let (open, ended) =
            (self.alerts_about(code, "resolved_at IS NULL").await, self.alerts_about(code, "true").await);
        assert!(open == 0 && ended > 0, "{open} alerts about {code} are open, of {ended}");
    }

    async fn alerts_about(&self, code: &str, which: &str) -> i64 {
        let about = format!("'{code}' IN (code, parameters->>'cause', parameters->>'reason')");
        self.number(&format!("SELECT count(*) FROM alerts WHERE {which} AND {about}")).await
    }

    /// Every row of every table with its physical place and its writer: any write at all changes it.
    pub(crate) async fn imprint(&self) -> Vec<String> {
        let tables = self.texts("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").await;
        let mut imprint = Vec::new();
        for table in tables {
            let rows = format!(
                "SELECT concat_ws(' ', '{table}', t.ctid, t.xmin, md5(t::text)) FROM {table} t ORDER BY t.ctid"
            );
            imprint.extend(self.texts(&rows).await);
        }
        imprint
    }
}

pub(crate) async fn profile(pool: &PgPool, max_connections: i32) -> ProfileId {
    let id = ProfileId::new();
    sqlx::query(
        "INSERT INTO email_server_profiles (id, name, incoming_protocol, incoming_host, incoming_port, incoming_tls,
             incoming_auth, outgoing_protocol, outgoing_host, outgoing_port, outgoing_tls, outgoing_auth, credentials,
             max_connections, request_timeout_ms, created_at, updated_at)
         VALUES ($1, $2, 'scripted', 'mail.example', 995, 'implicit', 'auto', 'scripted', 'mail.example', 465,
             'implicit', 'auto', 'mailbox', $3, 5000, $4, $4)",
    )
    .bind(id.0)
    .bind(id.to_string())
    .bind(max_connections)
    .bind(morning())
    .execute(pool)
    .await
    .unwrap();
    id
}

pub(crate) async fn user(pool: &PgPool, name: &str, track: TrackOption) -> UserId {
    let id = UserId::new();
    sqlx::query(
        "INSERT INTO users (id, name, address, address_key, track_option, created_at, updated_at)
         VALUES ($1, $2, $3, $3, $4, $5, $5)",
    )
    .bind(id.0)
    .bind(name)
    .bind(format!("{name}@muster.example"))
    .bind(track.as_str())
    .bind(morning())
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO user_security_roles SELECT $1, default_security_role_id FROM organisations
         WHERE default_security_role_id IS NOT NULL",
    )
    .bind(id.0)
    .execute(pool)
    .await
    .unwrap();
    id
}

pub(crate) async fn mailbox(pool: &PgPool, store: &Store, profile: ProfileId, owner: Owner) -> MailboxId {
    let id = MailboxId::new();
    let (user, queue) = match owner {
        Owner::User(user) => (Some(user.0), None),
        Owner::Queue(queue) => (None, Some(queue.0)),
    };
    let sealed = store.vault().seal(&lanes::mailbox_identity(id), &SecretString::from("geheim")).unwrap();
    sqlx::query(
        "INSERT INTO mailboxes (id, name, profile_id, owner_user_id, owner_queue_id, address, address_key,
             address_status, incoming_method, outgoing_method, allow_credentials, login, sealed_secret, incoming_test,
             outgoing_test, incoming_enabled, outgoing_enabled, created_at, updated_at)
         SELECT $1, a.address_key, $2, $3, $4, a.address_key, a.address_key, 'approved', 'server-side', 'server-side', true,
             a.address_key, $5, 'success', 'success', true, true, $6, $6
         FROM addressees a WHERE a.record_id = COALESCE($3, $4)",
    )
    .bind(id.0)
    .bind(profile.0)
    .bind(user)
    .bind(queue)
    .bind(sealed)
    .bind(morning())
    .execute(pool)
    .await
    .unwrap();
    let mut tx = store.begin().await.unwrap();
    lanes::realign(&mut tx, &[id]).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// A forward mailbox that is approved, tested and enabled.
#[allow(dead_code, reason = "the store's own tests have no use for it")]
pub(crate) async fn forward_mailbox(pool: &PgPool, store: &Store, profile: ProfileId, address: &str) -> MailboxId {
    let id = MailboxId::new();
    let sealed = store.vault().seal(&lanes::mailbox_identity(id), &SecretString::from("geheim")).unwrap();
    sqlx::query(
        "INSERT INTO mailboxes (id, name, is_forward_mailbox, profile_id, address, address_key, address_status,
             incoming_method, outgoing_method, allow_credentials, login, sealed_secret, incoming_test,
             incoming_enabled, created_at, updated_at)
         VALUES ($1, $3, true, $2, $3, $3, 'approved', 'server-side', 'none', true, $3, $4, 'success', true, $5, $5)",
    )
    .bind(id.0)
    .bind(profile.0)
    .bind(address)
    .bind(sealed)
    .bind(morning())
    .execute(pool)
    .await
    .unwrap();
    let mut tx = store.begin().await.unwrap();
    lanes::realign(&mut tx, &[id]).await.unwrap();
    tx.commit().await.unwrap();
    id
}
