//! When to look at what is due: after the polling period or at a nudge, whichever comes first.

use std::{sync::Arc, time::Duration};

use lockstep_store::{Store, nudges::Nudges};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest pause before listening again after the connection was lost.
const RELISTEN_CAP: Duration = Duration::from_secs(10);

/// Turns the database's notices into wake-ups until `stop`. A nudge is only a hint: while nothing listens, the
/// polling period bounds the delay.
pub async fn listen(store: Store, wake: Arc<Notify>, stop: CancellationToken) {
    let mut pause = Duration::from_millis(200);
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = relay(&store, &wake) => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "not listening for nudges; looking once a polling period");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RELISTEN_CAP),
        }
    }
}

async fn relay(store: &Store, wake: &Notify) -> lockstep_store::Result<()> {
    let mut nudges = Nudges::listen(store).await?;
    // What was asked for while nobody listened.
    wake.notify_one();
    loop {
        nudges.next().await?;
        wake.notify_one();
    }
}
