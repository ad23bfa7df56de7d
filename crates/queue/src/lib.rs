//! The only crate that speaks AMQP: publishing with confirms, consuming with bounds, and the topology of both.
//!
//! Knows queues, exchanges, deliveries and how to come back after a lost connection. Does not know what a message
//! means: a handler says how a delivery ended, and one file turns that into an acknowledgement.
//!
//! A message is a hint. Doubling it costs nothing and losing it a minute, so nothing here tries to be exactly once;
//! what is promised is that a confirmed message is stored, that a delivery is settled only after its handler said so, and
//! that nobody's mistake stops a queue.

mod backoff;
pub mod batch;
pub mod config;
pub mod consume;
pub mod error;
pub mod memory;
pub mod metrics;
mod pause;
pub mod port;
pub mod publish;
pub mod rabbit;
pub mod topology;
pub mod trace;

pub use crate::{
    batch::{BatchHandler, BatchOptions, consume_batches},
    config::Config,
    consume::{ConsumeOptions, Stop, consume, consume_within},
    error::{Error, PublishError},
    memory::MemoryBroker,
    metrics::Metrics,
    port::{DeliveryInfo, Handler, Outcome, Source},
    publish::{Publisher, PublisherExt, RawMessage},
    rabbit::Broker,
};
