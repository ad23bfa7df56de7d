//! The handler of `SyncLane`: one read, the airlock, the run, the report.

use std::sync::Arc;

use async_trait::async_trait;
use lockstep_model::crashpoint::CrashPoint;
use lockstep_queue::{DeliveryInfo, Handler as Handles, Outcome as Settled};
use lockstep_store::lanes;
use lockstep_wire::{Envelope, SyncLane};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Context,
    airlock::{self, Entry, Request},
    mailbox::{
        at_work::AtWork,
        detail,
        report::{Ended, Reporter},
        sync,
    },
    slots::{NO_SLOT, Slots},
};

/// Synchronises mailboxes.
pub struct Handler {
    context: Context,
    slots: Slots,
    at_work: AtWork,
    memory: Arc<Semaphore>,
}

impl Handler {
    /// A handler over this context.
    pub fn new(context: Context) -> Self {
        let slots = Slots::of(context.config.concurrency);
        let memory = Arc::new(Semaphore::new(context.config.memory_budget_mib as usize));
        Self { context, slots, at_work: AtWork::default(), memory }
    }

    /// One occasion. `None`: nothing to report.
    async fn occasion(&self, lane: &SyncLane, reporter: &Reporter) -> lockstep_store::Result<Option<Ended>> {
        let context = &self.context;
        let mut tx = context.store.begin().await?;
        let run = lanes::open(&mut tx, lane.mailbox, lane.lane).await?;
        tx.commit().await?;
        let Some(mut run) = run.filter(|run| run.enabled && run.generation == lane.generation) else {
            tracing::debug!("stale hint");
            return Ok(None);
        };
        let Some(slot) = self.slots.take(run.mailbox.profile) else { return Ok(Some(Ended::deferred(NO_SLOT))) };
        let heartbeat = reporter.clone();
        let access = run.access.clone();
        let entry = airlock::enter(
            context,
            Request {
                access: &access,
                lease: Some((lane.mailbox, lane.lane)),
                run: reporter.run,
                reserve: false,
                heartbeat: Box::new(move || {
                    let reporter = heartbeat.clone();
                    Box::pin(async move { reporter.running().await })
                }),
            },
        )
        .await?;
        let airlock = match entry {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Some(Ended::deferred(wait))),
            Entry::Busy => return Ok(None),
        };
        let begun = Instant::now();
        detail::begins(&run);
        let ended = sync::sync(context, &mut run, &airlock, &self.memory, &slot).await;
        if let Ok(ended) = &ended {
            detail::ended(&run, ended.outcome.as_str(), &ended.counts, ended.fault.as_ref(), begun);
        }
        airlock.leave().await;
        CrashPoint::RELEASED.reach();
        ended.map(Some)
    }
}

#[async_trait]
impl Handles<SyncLane> for Handler {
    async fn handle(&self, envelope: Envelope<SyncLane>, _delivery: DeliveryInfo) -> Settled {
        let lane = envelope.body;
        // Until the run is reported: a hint that is delivered twice would end its occasion before.
        let Some(_place) = self.at_work.enter(lane.mailbox, lane.lane, lane.generation) else { return Settled::Done };
        let reporter = Reporter::begin(&self.context, lane.clone());
        let span = tracing::Span::current();
        span.record("mailbox.id", tracing::field::display(lane.mailbox));
        let begun = Instant::now();
        let ended = match self.occasion(&lane, &reporter).await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Settled::Done,
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "nothing can be recorded");
                return Settled::Unavailable;
            }
            Err(error) => {
                tracing::error!(%error, mailbox.id = %lane.mailbox, "a run failed on our side");
                use lockstep_model::fault::{Fault, FaultClass, FaultScope};
                let fault = Fault::new(FaultScope::Mailbox, FaultClass::Bug, "InternalError", "see the worker's log");
                Ended::failed(fault.local(), lockstep_wire::Counts::default())
            }
        };
        self.count(&ended, begun);
        if let Some(fault) = &ended.fault {
            tracing::warn!(mailbox.id = %lane.mailbox, run.id = %reporter.run, %fault, "a run failed");
        }
        if let Err(error) = reporter.ended(ended).await {
            // Items are safe; the claim ends by itself and the occasion is handed out again.
            tracing::warn!(%error, "a run could not be reported");
        }
        CrashPoint::REPORTED.reach();
        Settled::Done
    }
}

impl Handler {
    fn count(&self, ended: &Ended, begun: Instant) {
        let metrics = &self.context.metrics;
        metrics.cycles.with_label_values(&[ended.outcome.as_str()]).inc();
        metrics.cycle_seconds.observe(begun.elapsed().as_secs_f64());
        if let Some(fault) = &ended.fault {
            metrics.faults.with_label_values(&[fault.scope.as_str(), fault.class.as_str()]).inc();
        }
    }
}
