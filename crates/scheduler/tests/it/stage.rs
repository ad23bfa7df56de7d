//! A scheduler on a database of its own, and runs that report whatever a test wants.

use std::sync::Arc;

use lockstep_model::{
    clock::{Clock, TimeScale},
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, RunId},
};
use lockstep_queue::{MemoryBroker, Metrics as QueueMetrics};
use lockstep_scheduler::{Config, Context, Metrics, reports::Fold, tick};
use lockstep_wire::{Counts, CycleReport, Envelope, Message, Outcome, SyncLane};
use prometheus::Registry;

use crate::seed::World;

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) broker: MemoryBroker,
    pub(crate) context: Context,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::scaled(TimeScale::REAL).await
    }

    pub(crate) async fn scaled(scale: TimeScale) -> Self {
        let world = World::new().await;
        let broker = MemoryBroker::new(QueueMetrics::new().unwrap());
        let context = Context {
            store: world.store.clone(),
            publisher: Arc::new(broker.clone()),
            organisation: world.organisation,
            config: Config { claim_lifetime_ms: 60_000, ..Config::default() },
            scale,
            metrics: Metrics::register(&Registry::new()).unwrap(),
            wake: Arc::default(),
        };
        Self { world, broker, context }
    }

    /// One round; the hints for mailboxes it has published, in order of the mailboxes.
    pub(crate) async fn round(&self) -> Vec<SyncLane> {
        tick::round(&self.context).await.unwrap();
        let mut hints = self.taken::<SyncLane>();
        hints.sort_by_key(|hint| hint.mailbox);
        hints
    }

    /// Takes every hint of a kind off its queue.
    pub(crate) fn taken<M: Message>(&self) -> Vec<M> {
        let taken = self.broker.drain(M::QUEUE);
        taken.iter().map(|bytes| Envelope::<M>::decode(bytes).unwrap().body).collect()
    }

    /// The one hint a round publishes.
    pub(crate) async fn hint(&self) -> SyncLane {
        let mut hints = self.round().await;
        assert_eq!(hints.len(), 1, "{hints:?}");
        hints.remove(0)
    }

    pub(crate) fn report(&self, hint: &SyncLane, outcome: Outcome) -> CycleReport {
        let now = self.world.clock.now();
        CycleReport {
            mailbox: hint.mailbox,
            lane: hint.lane,
            generation: hint.generation,
            run: RunId::new(),
            outcome,
            counts: Counts::default(),
            fault: None,
            worker: Some("worker-1".to_owned()),
            started_at: now,
            ended_at: now,
            wait: None,
        }
    }

    pub(crate) fn failed(&self, hint: &SyncLane, fault: Fault) -> CycleReport {
        CycleReport { fault: Some(fault), ..self.report(hint, Outcome::Failed) }
    }

    pub(crate) async fn fold(&self, reports: &[CycleReport]) {
        Fold::new(self.context.clone()).fold(reports).await.unwrap();
    }

    /// Seconds from now until the lane is due.
    pub(crate) async fn due_in(&self, mailbox: MailboxId) -> f64 {
        let query = format!(
            "SELECT 1000 * extract(epoch FROM due_at - '{}'::timestamptz) FROM lane_schedules WHERE mailbox_id = '{mailbox}'",
            self.world.clock.now()
        );
        self.world.number(&query).await as f64 / 1000.0
    }

    pub(crate) async fn lane(&self, columns: &str) -> String {
        self.world.text(&format!("SELECT concat_ws('|', {columns}) FROM lane_schedules")).await
    }
}

pub(crate) fn transient() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "MailboxBusy", "-ERR [IN-USE] try later")
}

pub(crate) fn unreachable() -> Fault {
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectFailed", "connection refused")
}
