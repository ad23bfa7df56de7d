//! Consuming in batches, with RabbitMQ and with the twin.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_queue::{
    BatchHandler, BatchOptions, DeliveryInfo, Outcome, PublisherExt, RawMessage, Stop, consume_batches,
};
use lockstep_test_support::eventually;
use lockstep_wire::{CycleReport, Envelope, Queue, Role};
use tokio::task::JoinHandle;

use crate::world::{PANIC, REFUSE, SOON, UNAVAILABLE_ONCE, World, report};

const QUEUE: Queue = Queue::SchedulerReport;

#[derive(Default)]
struct Fold {
    batches: Mutex<Vec<Vec<i64>>>,
}

impl Fold {
    fn folded(&self) -> usize {
        self.batches.lock().unwrap().iter().map(Vec::len).sum()
    }
}

#[async_trait]
impl BatchHandler<CycleReport> for Fold {
    async fn handle(&self, batch: Vec<(Envelope<CycleReport>, DeliveryInfo)>) -> Outcome {
        let generations: Vec<_> = batch.iter().map(|(envelope, _)| envelope.body.generation).collect();
        assert!(!generations.contains(&PANIC), "a handler's mistake, on purpose");
        let redelivered = batch.iter().any(|(_, info)| info.redelivered);
        let outcome = match generations {
            _ if generations.contains(&REFUSE) => Outcome::Refused { reason: "a test".to_owned() },
            _ if generations.contains(&UNAVAILABLE_ONCE) && !redelivered => Outcome::Unavailable,
            _ => Outcome::Done,
        };
        if outcome == Outcome::Done {
            self.batches.lock().unwrap().push(generations);
        }
        outcome
    }
}

fn fold(world: &World, handler: &Arc<Fold>, max: u16) -> (Stop, JoinHandle<()>) {
    let options = BatchOptions {
        max,
        within: Duration::from_millis(200),
        handler_timeout: SOON,
        pause: (Duration::from_millis(50), Duration::from_millis(200)),
    };
    let stop = Stop::default();
    let (source, handler) = (world.source(Role::Scheduler), Arc::clone(handler));
    (stop.clone(), tokio::spawn(consume_batches::<CycleReport>(source, handler, options, stop)))
}

async fn story(world: World) {
    let reports: Vec<_> = (0..50).map(report).collect();
    let publisher = world.worker_publisher();
    for result in publisher.publish_all(&reports[..25]).await {
        result.unwrap();
    }
    // Poison in the middle: undecodable bytes, and a report that makes the handler panic.
    publisher.publish_raw(QUEUE, RawMessage { bytes: b"poison".to_vec(), traceparent: None }).await.unwrap();
    publisher.publish(&report(PANIC)).await.unwrap();
    for result in publisher.publish_all(&reports[25..]).await {
        result.unwrap();
    }
    let handler = Arc::new(Fold::default());
    let (stop, task) = fold(&world, &handler, 20);
    eventually(SOON, async || if handler.folded() == 50 { Ok(()) } else { Err(handler.folded()) }, "all are folded")
        .await;
    world.until_dead(QUEUE, 2).await;
    {
        let batches = handler.batches.lock().unwrap();
        assert!(batches.iter().all(|batch| batch.len() <= 20), "{batches:?}");
        assert!(batches.iter().any(|batch| batch.len() > 1), "{batches:?}");
        let mut all: Vec<_> = batches.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
    // The database goes away once: the batch comes again.
    publisher.publish(&report(UNAVAILABLE_ONCE)).await.unwrap();
    eventually(SOON, async || if handler.folded() == 51 { Ok(()) } else { Err(handler.folded()) }, "it came again")
        .await;
    world.until_empty(QUEUE).await;
    publisher.publish(&report(REFUSE)).await.unwrap();
    world.until_dead(QUEUE, 3).await;
    stop.soft.cancel();
    tokio::time::timeout(SOON, task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_acknowledged_together_and_poison_alone_rabbit() {
    story(World::real().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_acknowledged_together_and_poison_alone_memory() {
    story(World::memory()).await;
}
