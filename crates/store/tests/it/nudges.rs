//! Nudges: after the commit only, and again after the connection was cut.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use lockstep_model::clock::ManualClock;
use lockstep_store::{Store, nudge, nudges::Nudges};
use lockstep_test_support::eventually;

use crate::seed::{World, morning, options, vault};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_nudge_arrives_when_its_transaction_commits() {
    let world = World::new().await;
    let mut nudges = Nudges::listen(&world.store).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    nudge(&mut tx).await.unwrap();
    // Another committed nudge marks the place: had the first one been sent before its commit, there would be two.
    let mut rolled_back = world.store.begin().await.unwrap();
    nudge(&mut rolled_back).await.unwrap();
    drop(rolled_back);
    assert!(tokio::time::timeout(Duration::from_millis(200), nudges.next()).await.is_err(), "nothing is committed yet");
    tx.commit().await.unwrap();
    tokio::time::timeout(SOON, nudges.next()).await.unwrap().unwrap();
    assert!(nudges.next().now_or_never().is_none(), "one nudge, and none of what was rolled back");
}

#[tokio::test]
async fn a_cut_connection_counts_as_a_nudge_and_heals() {
    let world = World::new().await;
    let mut nudges = Nudges::listen(&world.store).await.unwrap();
    world.database.cut_connections().await;
    tokio::time::timeout(SOON, nudges.next()).await.unwrap().unwrap();
    eventually(
        SOON,
        async || {
            let mut tx = world.store.begin().await?;
            nudge(&mut tx).await?;
            tx.commit().await?;
            let heard = tokio::time::timeout(Duration::from_millis(500), nudges.next()).await;
            Ok::<_, lockstep_store::Error>(heard.is_ok_and(|heard| heard.is_ok()))
        },
        "a nudge is heard again",
    )
    .await;
}

/// The listener has a connection of its own: even a pool of one is not used up by it.
#[tokio::test]
async fn listening_takes_nothing_from_the_pool() {
    let world = World::new().await;
    let clock = Arc::new(ManualClock::at(morning()));
    let store = Store::open(world.database.url(), &options(1), clock, vault()).unwrap();
    let mut nudges = Nudges::listen(&store).await.unwrap();
    let mut tx = tokio::time::timeout(SOON, store.begin()).await.unwrap().unwrap();
    nudge(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    tokio::time::timeout(SOON, nudges.next()).await.unwrap().unwrap();
}
