//! House-keeping: contents nobody refers to go after a day.

use std::time::Duration;

use lockstep_store::contents;
use tokio_util::sync::CancellationToken;

use crate::Context;

/// How long an unreferenced content is kept. Longer than any run, so that a page never refers to what is gone.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause between two sweeps.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// Rows of each kind removed in one transaction.
const BATCH: i64 = 500;

/// Sweeps until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match sweep(&context).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "unreferenced contents removed"),
            Err(error) => tracing::warn!(%error, "nothing was swept"),
        }
    }
}

async fn sweep(context: &Context) -> lockstep_store::Result<u64> {
    let mut removed = 0;
    loop {
        let mut tx = context.store.begin().await?;
        let before = tx.now() - KEPT_FOR;
        let now = contents::sweep(&mut tx, before, BATCH).await?;
        tx.commit().await?;
        removed += now;
        if now < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}
