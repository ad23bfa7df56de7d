//! The port of consuming: what a handler is, how a delivery ends, and where deliveries come from.

use std::fmt;

use async_trait::async_trait;
use lockstep_wire::{Envelope, Message, Queue};

use crate::{error::Error, metrics::Metrics};

/// How a delivery ended. Every other wish (later, again in a minute) is a row in the database, written before `Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What had to be recorded is recorded: the message goes.
    Done,
    /// The message can never be handled: it goes to the dead-letter queue.
    Refused {
        /// Why, for the log. No content of mail, no secret.
        reason: String,
    },
    /// The database cannot be reached, so that no outcome can be recorded: the message comes again, and the consumer pauses.
    Unavailable,
}

/// What the broker says about a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryInfo {
    /// It may have been delivered before.
    pub redelivered: bool,
    /// How often it was given back before.
    pub delivery_count: u32,
}

/// Handles deliveries, several at a time.
#[async_trait]
pub trait Handler<M: Message>: Send + Sync + 'static {
    /// Handles one delivery. Runs inside the span of the delivery. A panic is caught and counts as a refusal. Dropped when it exceeds its
    /// time-out or at a hard stop, so whatever it does has to bear that.
    async fn handle(&self, envelope: Envelope<M>, delivery: DeliveryInfo) -> Outcome;
}

/// Where deliveries come from: RabbitMQ, or its twin in memory.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// Begins to receive from a queue, at most `prefetch` unsettled deliveries at a time. Declares the queue when it is not there.
    ///
    /// # Errors
    /// When the broker is away or refuses; ask again later.
    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error>;

    /// Where handling is counted.
    fn metrics(&self) -> &Metrics;
}

/// Receiving from one queue.
#[async_trait]
pub trait Subscription: Send {
    /// The next delivery. `None` when the subscription has ended: it was cancelled, the connection was lost, or the queue was
    /// deleted. May be dropped while waiting without losing a delivery.
    async fn next(&mut self) -> Option<RawDelivery>;

    /// Ends the subscription. What was delivered can still be settled.
    async fn cancel(&mut self);
}

/// A delivery as it came.
#[derive(Debug)]
pub struct RawDelivery {
    /// The bytes, whatever they are.
    pub bytes: Vec<u8>,
    /// What the broker says about it.
    pub info: DeliveryInfo,
    /// The way to end it. Dropped unused, the delivery comes again, at the latest when the subscription's channel is gone.
    pub settle: Box<dyn Settle>,
}

/// Ends a delivery. An error means that the connection is gone; then the delivery comes again by itself.
#[async_trait]
pub trait Settle: Send + Sync + fmt::Debug {
    /// It is handled. With `and_earlier`, all unsettled deliveries before it of the same subscription are as well.
    async fn ack(self: Box<Self>, and_earlier: bool) -> Result<(), Error>;
    /// It goes to the dead-letter queue.
    async fn reject(self: Box<Self>) -> Result<(), Error>;
    /// It comes again, until the delivery limit.
    async fn requeue(self: Box<Self>) -> Result<(), Error>;
}
