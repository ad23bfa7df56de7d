//! Numbers the change feed: gives committed rows their position. One sequencer at a time, by an advisory lock that
//! lives as long as its transaction; the others find nothing to do.

use std::time::Duration;

use lockstep_store::feed;
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Rows numbered in one transaction.
const BATCH: i64 = 1_000;

/// Longest pause between two looks: how late a reader learns of a change.
const PAUSE: Duration = Duration::from_millis(250);

/// Numbers rows until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    loop {
        let pause = match number(&context).await {
            Ok(Some(numbered)) if numbered >= BATCH.unsigned_abs() => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "the feed was not numbered");
                PAUSE * 8
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn number(context: &Context) -> lockstep_store::Result<Option<u64>> {
    let mut tx = context.store.begin().await?;
    let numbered = feed::number(&mut tx, BATCH).await?;
    tx.commit().await?;
    context.metrics.feed_entries.add(i64::try_from(numbered.unwrap_or(0)).unwrap_or(0));
    Ok(numbered)
}
