//! The only crate that speaks to Redis: connection permits, lane leases and cool-downs.
//!
//! Knows who may do something now: how many connections an account may have over all replicas, which run works on a
//! lane, and until when a server wants to be left alone. Does not know why somebody wants a permit or a lease, and
//! remembers nothing that matters: losing everything here costs a minute, never an item. A lease saves work; the
//! fence that protects data is in the database.

pub mod config;
pub mod degraded;
pub mod error;
pub mod memory;
pub mod metrics;
pub mod port;
pub mod redis;
pub mod resilient;

pub use crate::{
    config::Config,
    error::Error,
    memory::MemoryCoord,
    metrics::Metrics,
    port::{Admission, Admitted, Coord, Released, Renewed},
    redis::RedisCoord,
    resilient::Resilient,
};
