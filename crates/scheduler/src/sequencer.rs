//! Numbers the change feed: gives committed rows their position. One sequencer at a time, by an advisory lock that
//! lives as long as its transaction; the others find nothing to do. Then webhook endpoints that have something to tell
//! are due.

use std::time::Duration;

use lockstep_store::{feed, nudge, webhooks::runs};
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Rows numbered in one transaction.
const BATCH: i64 = 1_000;

/// Longest pause between two looks: how late a reader learns of a change.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks after which endpoints are looked at though nothing was numbered here: another scheduler may have numbered, and
/// died before it woke them.
const LOOKS_PER_WAKE: u32 = 4;

/// Numbers rows until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut looks = 0_u32;
    loop {
        let numbered = number(&context).await;
        looks = looks.wrapping_add(1);
        if matches!(numbered, Ok(Some(1..))) || looks.is_multiple_of(LOOKS_PER_WAKE) {
            wake(&context).await;
        }
        let pause = match numbered {
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

/// Makes deliveries due. What fails is asked for again at the next look: it is a condition of the rows.
async fn wake(context: &Context) {
    let woken = async {
        let mut tx = context.store.begin().await?;
        let woken = runs::wake(&mut tx).await?;
        if woken > 0 {
            nudge(&mut tx).await?;
        }
        tx.commit().await
    };
    if let Err(error) = woken.await {
        tracing::warn!(%error, "webhook endpoints were not woken");
    }
}
