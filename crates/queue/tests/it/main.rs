//! The promises of the port, kept by RabbitMQ and by its twin; coming back after a loss; rights; traces.
#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;
mod contract;
mod recovery;
mod rights;
mod tracing_across;
mod world;
