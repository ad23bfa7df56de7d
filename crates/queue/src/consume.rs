//! Consuming: decode, continue the trace, keep the deadline, catch panics, and turn an outcome into an acknowledgement.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use lockstep_model::settings::Marks;
use lockstep_wire::{Envelope, Message};
use prometheus::IntGauge;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

use crate::{
    backoff::Backoff,
    metrics::Metrics,
    pause::Pause,
    port::{DeliveryInfo, Handler, Outcome, RawDelivery, Settle, Source, Subscription},
    trace,
};

/// Waits between attempts to subscribe.
pub(crate) const SUBSCRIBE_BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Longest wait for the broker's answer when a subscription is cancelled.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumeOptions {
    /// Handlers at work at one time; also what the broker sends ahead, so that no delivery waits behind another.
    pub concurrency: u16,
    /// A handler that takes longer is dropped, and its message goes to the dead-letter queue.
    pub handler_timeout: Duration,
    /// First and longest pause after [`Outcome::Unavailable`]; it doubles in between.
    pub pause: (Duration, Duration),
}

impl Default for ConsumeOptions {
    fn default() -> Self {
        Self {
            concurrency: 16,
            handler_timeout: Duration::from_secs(300),
            pause: (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

/// How a consumer is stopped.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Receive nothing new, let handlers finish, then return.
    pub soft: CancellationToken,
    /// Drop handlers and return; their deliveries come again.
    pub hard: CancellationToken,
}

/// Consumes the queue of a message kind until stopped. Subscribes again by itself whenever the connection was lost or the
/// queue deleted.
pub async fn consume<M: Message>(
    source: Arc<dyn Source>,
    handler: Arc<dyn Handler<M>>,
    options: ConsumeOptions,
    stop: Stop,
) {
    consume_within(source, handler, options, watch::channel(Marks::NONE).1, stop).await;
}

/// Like [`consume`], between two marks that may move meanwhile: with `high` deliveries in hand, counting those that run,
/// nothing more is taken until `low` are left (N9). A process never has more in hand than its concurrency.
pub async fn consume_within<M: Message>(
    source: Arc<dyn Source>,
    handler: Arc<dyn Handler<M>>,
    options: ConsumeOptions,
    marks: watch::Receiver<Marks>,
    stop: Stop,
) {
    let work = Arc::new(Work::<M> {
        handler,
        options,
        stop: stop.clone(),
        metrics: source.metrics().clone(),
        pause: Pause::new(options.pause, source.metrics().paused.with_label_values(&[M::QUEUE.name()])),
    });
    let slots = Arc::new(Semaphore::new(options.concurrency.max(1).into()));
    let mut valve = Valve { marks, shut: false };
    let mut handlers = JoinSet::new();
    while let Some(mut subscription) = subscribe::<M>(&*source, valve.ahead(options.concurrency), &stop).await {
        match receive(&mut *subscription, &work, &slots, &mut valve, &mut handlers).await {
            Ended::Lost => {}
            Ended::Moved => give_back(&mut *subscription).await,
            Ended::Stopped => {
                give_back(&mut *subscription).await;
                finish(&mut handlers, &stop).await;
                return;
            }
        }
    }
    finish(&mut handlers, &stop).await;
}

enum Ended {
    Stopped,
    Lost,
    /// The broker has to send another number ahead.
    Moved,
}

/// Shut at the high mark, open again at the low one.
struct Valve {
    marks: watch::Receiver<Marks>,
    shut: bool,
}

impl Valve {
    /// Whether another delivery may be taken with so many in hand.
    fn is_open(&mut self, in_hand: usize) -> bool {
        let Marks { high, low } = *self.marks.borrow_and_update();
        // Without any in hand nobody would open it again, whatever the marks say.
        self.shut = in_hand > 0 && (in_hand >= usize::from(high) || (self.shut && in_hand > usize::from(low)));
        !self.shut
    }

    /// What the broker sends ahead: never more than may be in hand, so that no delivery waits here for another.
    fn ahead(&self, concurrency: u16) -> u16 {
        concurrency.min(self.marks.borrow().high).max(1)
    }

    /// Waits until the marks move.
    async fn moved(&mut self) {
        if self.marks.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts a handler for each delivery until the subscription ends.
async fn receive<M: Message>(
    subscription: &mut dyn Subscription,
    work: &Arc<Work<M>>,
    slots: &Arc<Semaphore>,
    valve: &mut Valve,
    handlers: &mut JoinSet<()>,
) -> Ended {
    let ahead = valve.ahead(work.options.concurrency);
    loop {
        if valve.ahead(work.options.concurrency) != ahead {
            return Ended::Moved;
        }
        while handlers.try_join_next().is_some() {}
        if !valve.is_open(handlers.len()) {
            tokio::select! {
                biased;
                () = work.stop.soft.cancelled() => return Ended::Stopped,
                () = work.stop.hard.cancelled() => return Ended::Stopped,
                () = valve.moved() => {}
                _ = handlers.join_next(), if !handlers.is_empty() => {}
            }
            continue;
        }
        // A slot first: after a reconnect, handlers of the lost connection still count.
        let slot = tokio::select! {
            biased;
            () = work.stop.soft.cancelled() => return Ended::Stopped,
            () = work.stop.hard.cancelled() => return Ended::Stopped,
            slot = async { work.pause.over().await; Arc::clone(slots).acquire_owned().await } => slot,
        };
        let Ok(slot) = slot else { return Ended::Stopped };
        let delivery = tokio::select! {
            biased;
            () = work.stop.soft.cancelled() => return Ended::Stopped,
            () = work.stop.hard.cancelled() => return Ended::Stopped,
            () = work.pause.begins() => continue,
            Some(_) = handlers.join_next(), if !handlers.is_empty() => continue,
            () = valve.moved() => continue,
            delivery = subscription.next() => delivery,
        };
        let Some(delivery) = delivery else { return Ended::Lost };
        let work = Arc::clone(work);
        handlers.spawn(async move {
            work.one(delivery).await;
            drop(slot);
        });
    }
}

/// Subscribes, as often as it takes; `None` when stopped.
pub(crate) async fn subscribe<M: Message>(
    source: &dyn Source,
    prefetch: u16,
    stop: &Stop,
) -> Option<Box<dyn Subscription>> {
    let mut backoff = Backoff::new(SUBSCRIBE_BACKOFF.0, SUBSCRIBE_BACKOFF.1);
    loop {
        let wait = tokio::select! {
            biased;
            () = stop.soft.cancelled() => return None,
            () = stop.hard.cancelled() => return None,
            subscription = source.subscribe(M::QUEUE, prefetch) => match subscription {
                Ok(subscription) => return Some(subscription),
                Err(error) => {
                    tracing::warn!(queue = M::QUEUE.name(), %error, "cannot consume yet");
                    backoff.next()
                }
            },
        };
        tokio::select! {
            () = stop.soft.cancelled() => return None,
            () = stop.hard.cancelled() => return None,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Cancels the subscription and gives back what was sent ahead but not begun.
pub(crate) async fn give_back(subscription: &mut dyn Subscription) {
    let given_back = async {
        subscription.cancel().await;
        while let Some(delivery) = subscription.next().await {
            // On an error the connection is gone and the delivery comes again anyway.
            let _ = delivery.settle.requeue().await;
        }
    };
    if timeout(CANCEL_TIMEOUT, given_back).await.is_err() {
        tracing::warn!("the broker does not answer the end of a subscription");
    }
}

/// Waits for the handlers, or drops them at a hard stop.
async fn finish(handlers: &mut JoinSet<()>, stop: &Stop) {
    loop {
        tokio::select! {
            biased;
            () = stop.hard.cancelled() => return handlers.shutdown().await,
            ended = handlers.join_next() => if ended.is_none() { return },
        }
    }
}

struct Work<M: Message> {
    handler: Arc<dyn Handler<M>>,
    options: ConsumeOptions,
    stop: Stop,
    metrics: Metrics,
    pause: Pause,
}

impl<M: Message> Work<M> {
    async fn one(&self, delivery: RawDelivery) {
        let RawDelivery { bytes, info, settle } = delivery;
        let envelope = match decode::<M>(&bytes) {
            Ok(envelope) => envelope,
            Err(reason) => {
                tracing::error!(queue = M::QUEUE.name(), %reason, "undecodable message: to the dead-letter queue");
                return settled::<M>(&self.metrics, "undecodable", settle.reject().await);
            }
        };
        let span = span::<M>(&envelope, info);
        async {
            let running = Running::new(self.metrics.running.with_label_values(&[M::QUEUE.name()]));
            let begun = Instant::now();
            let deadline = self.options.handler_timeout;
            let result = guarded(deadline, self.handler.handle(envelope, info)).await;
            drop(running);
            self.metrics.handler_seconds.with_label_values(&[M::QUEUE.name()]).observe(begun.elapsed().as_secs_f64());
            self.settle(result, settle).await;
        }
        .instrument(span)
        .await;
    }

    async fn settle(&self, result: Result<Outcome, Failure>, settle: Box<dyn Settle>) {
        match result {
            Ok(Outcome::Done) => {
                self.pause.reset();
                settled::<M>(&self.metrics, "done", settle.ack(false).await);
            }
            Ok(Outcome::Refused { reason }) => {
                tracing::error!(%reason, "refused: to the dead-letter queue");
                settled::<M>(&self.metrics, "refused", settle.reject().await);
            }
            Ok(Outcome::Unavailable) => {
                self.pause.begin();
                tracing::warn!("the outcome cannot be recorded: the consumer pauses, the message comes again");
                // Held through the pause: a redelivery counts towards the delivery limit.
                tokio::select! {
                    () = self.pause.over() => {}
                    () = self.stop.soft.cancelled() => {}
                }
                settled::<M>(&self.metrics, "unavailable", settle.requeue().await);
            }
            Err(failure) => {
                tracing::error!(reason = failure.reason(), "to the dead-letter queue");
                settled::<M>(&self.metrics, failure.name(), settle.reject().await);
            }
        }
    }
}

/// Counts a handler while it lives, also when it is dropped at a hard stop.
struct Running(IntGauge);

impl Running {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A handler that did not come to an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Panicked,
    TimedOut,
}

impl Failure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Panicked => "handler panicked",
            Self::TimedOut => "handler timed out",
        }
    }
}

/// Runs a handler under its time-out and catches its panic; the panic hook has logged it already.
pub(crate) async fn guarded(deadline: Duration, handling: impl Future<Output = Outcome>) -> Result<Outcome, Failure> {
    match timeout(deadline, AssertUnwindSafe(handling).catch_unwind()).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_panic)) => Err(Failure::Panicked),
        Err(_elapsed) => Err(Failure::TimedOut),
    }
}

pub(crate) fn decode<M: Message>(bytes: &[u8]) -> Result<Envelope<M>, String> {
    Envelope::decode(bytes).map_err(|e| e.to_string())
}

fn span<M: Message>(envelope: &Envelope<M>, info: DeliveryInfo) -> Span {
    let span = tracing::info_span!(
        "queue.consume",
        kind = M::KIND,
        message.id = %envelope.id,
        redelivered = info.redelivered,
        otel.kind = "consumer",
        outcome = field::Empty
    );
    if let Some(traceparent) = &envelope.traceparent {
        trace::continue_trace(&span, traceparent);
    }
    span
}

/// Counts an outcome, and whether the broker heard of it.
pub(crate) fn settled<M: Message>(metrics: &Metrics, outcome: &str, answer: Result<(), crate::error::Error>) {
    Span::current().record("outcome", outcome);
    metrics.deliveries.with_label_values(&[M::QUEUE.name(), outcome]).inc();
    if let Err(error) = answer {
        metrics.unsettled.with_label_values(&[M::QUEUE.name()]).inc();
        tracing::info!(%error, outcome, "the connection was lost before the acknowledgement; the message comes again");
    }
}
