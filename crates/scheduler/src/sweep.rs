//! House-keeping: contents nobody refers to, and answers to requests nobody will repeat, go after a day; what was said
//! of items that became no record after three.

use std::time::Duration;

use lockstep_store::{contents, idempotency, item_failures};
use tokio_util::sync::CancellationToken;

use crate::Context;

/// How long an unreferenced content is kept. Longer than any run, so that a page never refers to what is gone.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the words about an item that is refused or given up are kept (M11).
const TOLD_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Longest pause between two sweeps; jitter takes off a tenth at most, so that replicas fall out of step.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// Rows of each kind removed in one transaction.
pub const BATCH: u32 = 500;

/// Rows that one sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Contents and their chunks.
    pub contents: u64,
    /// Answers kept for repeated requests.
    pub answers: u64,
    /// What was said of items that are refused or given up; the items stay known.
    pub details: u64,
}

/// Sweeps at once and then now and then, until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            swept = sweep(&context) => match swept {
                Ok(swept) if swept == Swept::default() => {}
                Ok(Swept { contents, answers, details }) => tracing::info!(contents, answers, details, "swept"),
                Err(error) => tracing::warn!(%error, "not everything was swept"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE.mul_f64(1.0 - 0.1 * rand::random::<f64>())) => {}
        }
    }
}

/// One sweep: [`BATCH`] rows of a kind a transaction, until none are left.
///
/// # Errors
/// When the database is away; what was removed before stays removed.
pub async fn sweep(context: &Context) -> lockstep_store::Result<Swept> {
    let mut swept = Swept::default();
    loop {
        let mut tx = context.store.begin().await?;
        let before = tx.now() - KEPT_FOR;
        let removed = contents::sweep(&mut tx, before, BATCH.into()).await?;
        tx.commit().await?;
        swept.contents += removed;
        if removed < BATCH.into() {
            break;
        }
    }
    loop {
        let mut tx = context.store.begin().await?;
        let removed = idempotency::sweep(&mut tx, BATCH.into()).await?;
        tx.commit().await?;
        swept.answers += removed;
        if removed < BATCH.into() {
            break;
        }
    }
    loop {
        let mut tx = context.store.begin().await?;
        let before = tx.now() - TOLD_FOR;
        let forgotten = item_failures::forget_details(&mut tx, before, BATCH.into()).await?;
        tx.commit().await?;
        swept.details += forgotten;
        if forgotten < BATCH.into() {
            return Ok(swept);
        }
    }
}
