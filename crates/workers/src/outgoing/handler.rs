//! The handler of `SendEmail`: what an earlier attempt left behind, then the airlock, then the attempt.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_engine::outgoing::after_death;
use lockstep_model::{
    email::DeliveryState,
    fault::{Fault, FaultClass, FaultScope},
    id::RunId,
};
use lockstep_queue::{DeliveryInfo, Handler as Handles, Outcome as Settled};
use lockstep_store::{
    alerts::Subject,
    deliveries::{
        self, Delivery, Ended,
        figures::{self, Attempted},
    },
    lanes, settings,
};
use lockstep_wire::{Envelope, SendEmail};

use crate::{
    Context,
    airlock::{self, Entry, Request},
    outgoing::{
        send::{self, Job},
        told,
    },
    slots::{NO_SLOT, Slots},
};

/// Sends email.
pub struct Handler {
    context: Context,
    slots: Slots,
}

impl Handler {
    /// A handler over this context.
    pub fn new(context: Context) -> Self {
        let slots = Slots::of(context.config.concurrency);
        Self { context, slots }
    }

    async fn occasion(&self, hint: &SendEmail) -> lockstep_store::Result<&'static str> {
        let Some(job) = self.prepare(hint).await? else { return Ok("stale") };
        let context = &self.context;
        let Some(_slot) = self.slots.take(job.access.profile.id) else { return self.defer(hint, NO_SLOT).await };
        let (store, email, attempt, run) = (context.store.clone(), hint.email, hint.attempt, job.run);
        let lifetime = context.config.claim_lifetime();
        let request = Request {
            access: &job.access,
            lease: None,
            run,
            reserve: true,
            heartbeat: Box::new(move || {
                let store = store.clone();
                Box::pin(async move {
                    let extended = async {
                        let mut tx = store.begin().await?;
                        deliveries::extend(&mut tx, email, attempt, run, lifetime).await?;
                        tx.commit().await
                    };
                    if let Err(error) = extended.await {
                        tracing::warn!(%error, email.id = %email, "the claim of a send could not be kept");
                    }
                })
            }),
        };
        let airlock = match airlock::enter(context, request).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return self.defer(hint, wait).await,
            Entry::Busy => return self.defer(hint, NO_SLOT).await,
        };
        let result = self.attempt(&job, &airlock).await;
        airlock.leave().await;
        result
    }

    /// Not begun, so not an attempt.
    async fn defer(&self, hint: &SendEmail, wait: Duration) -> lockstep_store::Result<&'static str> {
        let mut tx = self.context.store.begin().await?;
        deliveries::defer(&mut tx, hint.email, hint.attempt, wait).await?;
        tx.commit().await?;
        Ok("deferred")
    }

    async fn attempt(&self, job: &Job, airlock: &airlock::Airlock) -> lockstep_store::Result<&'static str> {
        let context = &self.context;
        let mut tx = context.store.begin().await?;
        let lifetime = context.config.claim_lifetime();
        let (email, worker) = (job.delivery.email, &*context.host);
        let begun = deliveries::begin(&mut tx, email, job.attempt, job.run, worker, lifetime).await?;
        tx.commit().await?;
        if !begun {
            return Ok("stale");
        }
        lockstep_model::crashpoint::CrashPoint::SENDING.reach();
        send::send(context, job, airlock).await
    }

    /// Reads what is to be sent. `None`: nothing, because the hint is stale or the attempt before this one has just
    /// been given up.
    async fn prepare(&self, hint: &SendEmail) -> lockstep_store::Result<Option<Job>> {
        let mut tx = self.context.store.begin().await?;
        let Some(delivery) = deliveries::lock(&mut tx, hint.email).await? else { return Ok(None) };
        if delivery.attempt + 1 != hint.attempt {
            return Ok(None);
        }
        if after_death(delivery.state).is_some() {
            bury(&self.context, &mut tx, &delivery).await?;
            tx.commit().await?;
            return Ok(None);
        }
        if !matches!(delivery.state, DeliveryState::Pending | DeliveryState::Retry) {
            return Ok(None);
        }
        let Some(outgoing) = deliveries::outgoing(&mut tx, hint.email).await? else { return Ok(None) };
        let recipients = deliveries::recipients(&mut tx, hint.email).await?;
        let Some((_, access)) = lanes::access(&mut tx, delivery.mailbox).await? else { return Ok(None) };
        let max_attempts = settings::read(&mut tx).await?.max_delivery_attempts();
        tx.commit().await?;
        let to = recipients.iter().filter(|r| r.state == "pending").map(|r| r.address.clone()).collect();
        let accepted_before = recipients.iter().any(|r| r.state == "accepted");
        let (access, attempt, run) = (access.for_outgoing(), hint.attempt, RunId::new());
        Ok(Some(Job { delivery, attempt, outgoing, to, accepted_before, access, run, max_attempts }))
    }
}

/// Ends an attempt whose claim has run out without a word: before the point of no return it is tried again, after it
/// nobody knows, and a person is asked.
async fn bury(context: &Context, tx: &mut lockstep_store::Tx, delivery: &Delivery) -> lockstep_store::Result<()> {
    let message = "the worker ended without a word during the attempt";
    let unknown = after_death(delivery.state) == Some(DeliveryState::Unknown);
    let class = if unknown { FaultClass::Unclear } else { FaultClass::Transient };
    let fault = Fault::new(FaultScope::Item, class, "WorkerDied", message);
    let ended = if unknown {
        Ended::Unknown(Fault { code: "OutcomeUnknown".to_owned(), ..fault.clone() })
    } else {
        Ended::Retry(Duration::ZERO, fault.clone())
    };
    let Some(before) = deliveries::end(tx, delivery.email, delivery.attempt, None, &ended).await? else {
        return Ok(());
    };
    // Before the delivery is made ready for another attempt, which forgets the run.
    let told = Ended::Unknown(fault.clone());
    let ended = if unknown { &told } else { &ended };
    let attempted = Attempted { email: delivery.email, run: None, before, ended, accepted: 0, refused: 0 };
    figures::note(tx, &attempted).await?;
    if unknown {
        let subject = Subject::Email(delivery.email, delivery.mailbox);
        told::unknown(tx, context, send::number(delivery, delivery.attempt), subject, &fault).await?;
    }
    Ok(())
}

#[async_trait]
impl Handles<SendEmail> for Handler {
    async fn handle(&self, envelope: Envelope<SendEmail>, _delivery: DeliveryInfo) -> Settled {
        let hint = envelope.body;
        match self.occasion(&hint).await {
            Ok(result) => {
                self.context.metrics.sends.with_label_values(&[result]).inc();
                tracing::info!(email.id = %hint.email, attempt = hint.attempt, result, "attempt ended");
                Settled::Done
            }
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "nothing can be recorded");
                Settled::Unavailable
            }
            Err(error) => {
                tracing::error!(%error, email.id = %hint.email, "an attempt failed on our side");
                Settled::Refused { reason: "the attempt failed on our side; see the log".to_owned() }
            }
        }
    }
}
