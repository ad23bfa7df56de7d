//! House-keeping: contents nobody refers to, and answers to requests nobody will repeat, go after a day; what was said
//! of items that became no record after three; the feed, the audit and what has ended after as long as is configured.

use std::time::Duration;

use chrono::Days;
use lockstep_store::{
    Result, Tx, contents, idempotency, item_failures, lost_values,
    retention::{self, Journal},
};
use tokio_util::sync::CancellationToken;

use crate::{Context, config::Config};

/// How long an unreferenced content is kept. Longer than any run, so that a page never refers to what is gone.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the words about an item that is refused or given up are kept (M11).
const TOLD_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Days that have their partitions ahead of time: so long may every scheduler be away without rows going astray.
pub const DAYS_AHEAD: u32 = 7;

/// Longest pause between two sweeps; jitter takes off a tenth at most, so that replicas fall out of step.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// Rows of each kind removed in one transaction.
pub const BATCH: u32 = 500;

/// What one sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Contents and their chunks.
    pub contents: u64,
    /// Answers kept for repeated requests.
    pub answers: u64,
    /// What was said of items that are refused or given up; the items stay known.
    pub details: u64,
    /// Ended operations, resolved alerts, and values that gave way in synchronisation.
    pub ended: u64,
    /// Whole days of the feed and the audit.
    pub days: u64,
    /// Rows of the feed and the audit that came on a day without a partition of its own.
    pub stray: u64,
}

/// Rows that go in batches.
#[derive(Clone, Copy)]
enum Chore {
    Contents,
    Answers,
    Details,
    Operations,
    Alerts,
    LostValues,
    Stray(Journal),
}

impl Chore {
    const ALL: [Self; 8] = [
        Self::Contents,
        Self::Answers,
        Self::Details,
        Self::Operations,
        Self::Alerts,
        Self::LostValues,
        Self::Stray(Journal::Feed),
        Self::Stray(Journal::Audit),
    ];

    /// Removes one batch; returns how many rows.
    async fn remove(self, tx: &mut Tx, config: &Config) -> Result<u64> {
        let limit = BATCH.into();
        let ended = tx.now() - days(config.keep_ended_days);
        match self {
            Self::Contents => contents::sweep(tx, tx.now() - KEPT_FOR, limit).await,
            Self::Answers => idempotency::sweep(tx, limit).await,
            Self::Details => item_failures::forget_details(tx, tx.now() - TOLD_FOR, limit).await,
            Self::Operations => retention::sweep_operations(tx, ended, limit).await,
            Self::Alerts => retention::sweep_alerts(tx, ended, limit).await,
            Self::LostValues => lost_values::sweep(tx, ended, limit).await,
            Self::Stray(journal) => {
                retention::sweep_other(tx, journal, tx.now() - days(kept(journal, config)), limit).await
            }
        }
    }

    fn count(self, swept: &mut Swept) -> &mut u64 {
        match self {
            Self::Contents => &mut swept.contents,
            Self::Answers => &mut swept.answers,
            Self::Details => &mut swept.details,
            Self::Operations | Self::Alerts | Self::LostValues => &mut swept.ended,
            Self::Stray(_) => &mut swept.stray,
        }
    }
}

/// Sweeps at once and then now and then, until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            swept = sweep(&context) => match swept {
                Ok(swept) if swept == Swept::default() => {}
                Ok(swept) => tracing::info!(?swept, "swept"),
                Err(error) => tracing::warn!(%error, "not everything was swept"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE.mul_f64(1.0 - 0.1 * rand::random::<f64>())) => {}
        }
    }
}

/// One sweep: [`BATCH`] rows of a kind a transaction, until none are left; then whole days.
///
/// # Errors
/// When the database is away; what was removed before stays removed.
pub async fn sweep(context: &Context) -> Result<Swept> {
    let mut swept = Swept::default();
    for chore in Chore::ALL {
        loop {
            let mut tx = context.store.begin().await?;
            let removed = chore.remove(&mut tx, &context.config).await?;
            tx.commit().await?;
            *chore.count(&mut swept) += removed;
            if removed < BATCH.into() {
                break;
            }
        }
    }
    for journal in [Journal::Feed, Journal::Audit] {
        let mut tx = context.store.begin().await?;
        retention::prepare(&mut tx, journal, DAYS_AHEAD).await?;
        tx.commit().await?;
        let mut tx = context.store.begin().await?;
        let before = tx.now() - days(kept(journal, &context.config));
        swept.days += u64::from(retention::drop_days(&mut tx, journal, before).await?.unwrap_or(0));
        tx.commit().await?;
    }
    Ok(swept)
}

fn kept(journal: Journal, config: &Config) -> u32 {
    match journal {
        Journal::Feed => config.keep_changes_days,
        Journal::Audit => config.keep_audit_days,
    }
}

fn days(count: u32) -> Days {
    Days::new(count.into())
}
