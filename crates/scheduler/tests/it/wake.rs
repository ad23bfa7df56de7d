//! Immediate things are immediate: a nudge wakes the scheduler long before its polling period is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lockstep_model::{
    clock::SystemClock,
    mailbox::{Owner, TrackOption},
};
use lockstep_queue::{MemoryBroker, Metrics as QueueMetrics};
use lockstep_scheduler::{Config, Context, Metrics, sequencer, tick, wake};
use lockstep_store::feed;
use lockstep_test_support::eventually;
use lockstep_wire::Queue;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::seed::{self, World};

const BOUND: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_wakes_the_scheduler_at_once_also_after_a_cut_connection() {
    let (database, store, organisation) = World::with(Arc::new(SystemClock::default())).await;
    let broker = MemoryBroker::new(QueueMetrics::new().unwrap());
    let context = Context {
        store: store.clone(),
        publisher: Arc::new(broker.clone()),
        organisation,
        config: Config { poll_interval_ms: 3_600_000, ..Config::default() },
        scale: Default::default(),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        wake: Arc::default(),
    };
    let stop = CancellationToken::new();
    let listening = tokio::spawn(wake::listen(store.clone(), context.wake.clone(), stop.clone()));
    let ticking = tokio::spawn(tick::run(context.clone(), stop.clone()));
    let profile = seed::profile(database.pool(), 10).await;
    let listens = async || {
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
        sqlx::query_scalar::<_, i64>(query).fetch_one(database.pool()).await.is_ok_and(|count| count == 1)
    };
    for (expected, name) in [(1, "anna"), (2, "bert")] {
        eventually(BOUND, listens, "somebody listens").await;
        let user = seed::user(database.pool(), name, TrackOption::All).await;
        seed::mailbox(database.pool(), &store, profile, Owner::User(user)).await;
        let mut tx = store.begin().await.unwrap();
        lockstep_store::nudge(&mut tx).await.unwrap();
        let begun = Instant::now();
        tx.commit().await.unwrap();
        eventually(BOUND, async || broker.depth(Queue::MailboxSync).0 == expected, "the hint is published").await;
        assert!(begun.elapsed() < Duration::from_secs(1), "after {:?}", begun.elapsed());
        database.cut_connections().await;
        eventually(BOUND, async || store.begin().await.is_ok(), "the pool has recovered").await;
    }
    stop.cancel();
    listening.await.unwrap();
    ticking.await.unwrap();
}

#[tokio::test]
async fn the_sequencer_numbers_until_it_is_stopped() {
    let world = World::new().await;
    let context = Context {
        store: world.store.clone(),
        publisher: Arc::new(MemoryBroker::new(QueueMetrics::new().unwrap())),
        organisation: world.organisation,
        config: Config::default(),
        scale: Default::default(),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        wake: Arc::default(),
    };
    let stop = CancellationToken::new();
    let running: Vec<_> = (0..2).map(|_| tokio::spawn(sequencer::run(context.clone(), stop.clone()))).collect();
    for version in 2..5 {
        let mut tx = world.store.begin().await.unwrap();
        feed::tell(&mut tx, "organisation", world.organisation.0, feed::Change::Updated, &["name"], version)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        eventually(
            BOUND,
            async || {
                let mut tx = world.store.begin().await.unwrap();
                let last = feed::after(&mut tx, 0, 100).await.unwrap().pop();
                last.is_some_and(|entry| entry.record_version == version)
            },
            "the entry is numbered",
        )
        .await;
    }
    stop.cancel();
    for running in running {
        running.await.unwrap();
    }
}
