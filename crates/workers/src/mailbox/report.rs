//! What a run tells the scheduler.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::{
    fault::Fault,
    id::{MessageId, RunId},
};
use lockstep_queue::{PublishError, PublisherExt};
use lockstep_wire::{Counts, CycleReport, Envelope, Outcome, SyncLane};

use crate::Context;

/// A run at a lane, as it is reported.
#[derive(Clone)]
pub(crate) struct Reporter {
    context: Context,
    lane: SyncLane,
    pub(crate) run: RunId,
    started_at: DateTime<Utc>,
    traceparent: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) counts: Counts,
    pub(crate) fault: Option<Fault>,
    pub(crate) wait: Option<Duration>,
}

impl Ended {
    pub(crate) fn deferred(wait: Duration) -> Self {
        Self { outcome: Outcome::Deferred, counts: Counts::default(), fault: None, wait: Some(wait) }
    }

    pub(crate) fn failed(fault: Fault, counts: Counts) -> Self {
        Self { outcome: Outcome::Failed, counts, wait: fault.retry_after, fault: Some(fault) }
    }
}

impl Reporter {
    /// A reporter for a run that begins now, inside the current span's trace.
    pub(crate) fn begin(context: &Context, lane: SyncLane) -> Self {
        Self {
            context: context.clone(),
            lane,
            run: RunId::new(),
            started_at: context.store.clock().now(),
            traceparent: lockstep_queue::trace::current_traceparent(),
        }
    }

    /// Tells that the run is still at work. A lost one costs nothing but a doubled hint.
    pub(crate) async fn running(&self) {
        let still = Ended { outcome: Outcome::Running, counts: Counts::default(), fault: None, wait: None };
        if let Err(error) = self.publish(still).await {
            tracing::debug!(%error, "no sign of life could be given");
        }
    }

    /// Tells how the run ended.
    ///
    /// # Errors
    /// When the broker is away. The claim then ends by itself; no item is lost, only the occasion's figures.
    pub(crate) async fn ended(&self, ended: Ended) -> Result<(), PublishError> {
        self.publish(ended).await
    }

    async fn publish(&self, ended: Ended) -> Result<(), PublishError> {
        let now = self.context.store.clock().now();
        let report = CycleReport {
            mailbox: self.lane.mailbox,
            lane: self.lane.lane,
            generation: self.lane.generation,
            run: self.run,
            outcome: ended.outcome,
            counts: ended.counts,
            fault: ended.fault,
            worker: Some(self.context.host.to_string()),
            started_at: self.started_at,
            ended_at: now,
            wait: ended.wait,
        };
        let envelope = Envelope {
            id: MessageId::new(),
            organisation: self.context.organisation,
            issued_at: now,
            traceparent: self.traceparent.clone(),
            body: report,
        };
        self.context.publisher.publish(&envelope).await
    }
}
