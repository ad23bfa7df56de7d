//! Consuming in batches: many small messages, one transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lockstep_wire::{Envelope, Message};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, field};

use crate::{
    consume::{Failure, Stop, decode, give_back, guarded, settled, subscribe},
    metrics::Metrics,
    pause::Pause,
    port::{DeliveryInfo, Outcome, RawDelivery, Settle, Source, Subscription},
    trace,
};

/// Handles deliveries, many in one go.
#[async_trait]
pub trait BatchHandler<M: Message>: Send + Sync + 'static {
    /// Handles a batch, at least one delivery; the outcome is that of all. When it panics over several, it is called
    /// again with each alone, so that only the culprit goes to the dead-letter queue.
    async fn handle(&self, batch: Vec<(Envelope<M>, DeliveryInfo)>) -> Outcome;
}

/// Bounds of a consumer in batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// Most deliveries in one batch.
    pub max: u16,
    /// How long a batch waits to fill, from its first delivery.
    pub within: Duration,
    /// A handler that takes longer is dropped; its batch comes again, until the delivery limit.
    pub handler_timeout: Duration,
    /// First and longest pause after [`Outcome::Unavailable`] or a time-out; it doubles in between.
    pub pause: (Duration, Duration),
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            max: 200,
            within: Duration::from_millis(100),
            handler_timeout: Duration::from_secs(60),
            pause: (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

struct Entry<M> {
    envelope: Envelope<M>,
    info: DeliveryInfo,
    settle: Box<dyn Settle>,
}

/// Consumes the queue of a message kind in batches, one after the other, until stopped. At a soft stop the batch at
/// work, or the one being collected, is finished.
pub async fn consume_batches<M: Message>(
    source: Arc<dyn Source>,
    handler: Arc<dyn BatchHandler<M>>,
    options: BatchOptions,
    stop: Stop,
) {
    let work = Batches::<M> {
        handler,
        options,
        metrics: source.metrics().clone(),
        pause: Pause::new(options.pause, source.metrics().paused.with_label_values(&[M::QUEUE.name()])),
        stop: stop.clone(),
    };
    while let Some(mut subscription) = subscribe::<M>(&*source, options.max.max(1), &stop).await {
        while work.round(&mut *subscription).await {}
        if stop.soft.is_cancelled() || stop.hard.is_cancelled() {
            return give_back(&mut *subscription).await;
        }
    }
}

struct Batches<M: Message> {
    handler: Arc<dyn BatchHandler<M>>,
    options: BatchOptions,
    stop: Stop,
    metrics: Metrics,
    pause: Pause,
}

impl<M: Message> Batches<M> {
    /// One batch; false when the subscription has ended or has to end.
    async fn round(&self, subscription: &mut dyn Subscription) -> bool {
        let first = tokio::select! {
            biased;
            () = self.stop.soft.cancelled() => return false,
            () = self.stop.hard.cancelled() => return false,
            first = async { self.pause.over().await; subscription.next().await } => first,
        };
        let Some(first) = first else { return false };
        let Some(batch) = self.collect(first, subscription).await else { return false };
        if batch.is_empty() {
            return true;
        }
        tokio::select! {
            biased;
            () = self.stop.hard.cancelled() => false,
            () = self.run(batch) => true,
        }
    }

    /// Fills a batch; `None` when the connection was lost, since then all of it comes again.
    async fn collect(&self, first: RawDelivery, subscription: &mut dyn Subscription) -> Option<Vec<Entry<M>>> {
        let full_at = Instant::now() + self.options.within;
        let mut batch = Vec::new();
        self.take(first, &mut batch).await;
        while batch.len() < self.options.max.max(1).into() {
            tokio::select! {
                biased;
                () = self.stop.soft.cancelled() => break,
                next = timeout_at(full_at, subscription.next()) => match next {
                    Ok(Some(delivery)) => self.take(delivery, &mut batch).await,
                    Ok(None) => return None,
                    Err(_) => break,
                },
            }
        }
        Some(batch)
    }

    async fn take(&self, delivery: RawDelivery, batch: &mut Vec<Entry<M>>) {
        let RawDelivery { bytes, info, settle } = delivery;
        match decode::<M>(&bytes) {
            Ok(envelope) => batch.push(Entry { envelope, info, settle }),
            Err(reason) => {
                tracing::error!(queue = M::QUEUE.name(), %reason, "undecodable message: to the dead-letter queue");
                settled::<M>(&self.metrics, "undecodable", settle.reject().await);
            }
        }
    }

    async fn run(&self, batch: Vec<Entry<M>>) {
        let span = span::<M>(&batch);
        async {
            match self.handle(&batch).await {
                Err(Failure::Panicked) if batch.len() > 1 => {
                    tracing::error!(batch = batch.len(), "the handler panicked over a batch: each alone now");
                    for entry in batch {
                        let alone = vec![entry];
                        let result = self.handle(&alone).await;
                        self.settle(result, alone).await;
                    }
                }
                result => self.settle(result, batch).await,
            }
        }
        .instrument(span)
        .await;
    }

    async fn handle(&self, batch: &[Entry<M>]) -> Result<Outcome, Failure> {
        let input = batch.iter().map(|entry| (entry.envelope.clone(), entry.info)).collect();
        let begun = Instant::now();
        let result = guarded(self.options.handler_timeout, self.handler.handle(input)).await;
        self.metrics.handler_seconds.with_label_values(&[M::QUEUE.name()]).observe(begun.elapsed().as_secs_f64());
        result
    }

    async fn settle(&self, result: Result<Outcome, Failure>, batch: Vec<Entry<M>>) {
        match result {
            Ok(Outcome::Done) => {
                self.pause.reset();
                self.acknowledge(batch).await;
            }
            Ok(Outcome::Refused { reason }) => {
                tracing::error!(%reason, "refused: to the dead-letter queue");
                self.reject(batch, "refused").await;
            }
            Err(Failure::Panicked) => self.reject(batch, Failure::Panicked.name()).await,
            Ok(Outcome::Unavailable) => self.again(batch, "unavailable").await,
            Err(Failure::TimedOut) => self.again(batch, Failure::TimedOut.name()).await,
        }
    }

    /// One acknowledgement for all: everything undecodable between them was settled before.
    async fn acknowledge(&self, mut batch: Vec<Entry<M>>) {
        let Some(last) = batch.pop() else { return };
        settled::<M>(&self.metrics, "done", last.settle.ack(true).await);
        let counted = u64::try_from(batch.len()).unwrap_or(0);
        self.metrics.deliveries.with_label_values(&[M::QUEUE.name(), "done"]).inc_by(counted);
    }

    async fn reject(&self, batch: Vec<Entry<M>>, outcome: &str) {
        for entry in batch {
            settled::<M>(&self.metrics, outcome, entry.settle.reject().await);
        }
    }

    async fn again(&self, batch: Vec<Entry<M>>, outcome: &str) {
        self.pause.begin();
        tracing::warn!(batch = batch.len(), outcome, "the batch cannot be recorded: a pause, then it comes again");
        tokio::select! {
            () = self.pause.over() => {}
            () = self.stop.soft.cancelled() => {}
        }
        for entry in batch {
            settled::<M>(&self.metrics, outcome, entry.settle.requeue().await);
        }
    }
}

/// A batch belongs to the traces of all its messages.
fn span<M: Message>(batch: &[Entry<M>]) -> Span {
    let span = tracing::info_span!(
        "queue.consume_batch",
        kind = M::KIND,
        batch = batch.len(),
        otel.kind = "consumer",
        outcome = field::Empty
    );
    for traceparent in batch.iter().filter_map(|entry| entry.envelope.traceparent.as_deref()) {
        trace::link_trace(&span, traceparent);
    }
    span
}
