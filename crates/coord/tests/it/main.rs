//! The promises of the port, kept by Redis and by its twin; what only Redis can lose; and how a process goes on without it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod agreement;
mod contract;
mod flush;
mod resilience;
mod twin;
mod world;
