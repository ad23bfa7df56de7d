//! The opening ceremony every Lockstep program shares: settings, logs and traces, signals, probes, drain, exit code.
//!
//! It knows how a process starts, tells of itself and ends. It knows no adapter (no database, broker or mail server)
//! and no role: a role is a closure that gets a [`Context`], and what a role needs comes to it as library types
//! (cancellation tokens, a metrics registry).

mod bounded;
mod common;
pub mod config;
mod exit;
mod lifecycle;
pub mod probes;
mod run;
pub mod telemetry;

pub use bounded::{BoundedListener, BoundedStream, Bounds};
pub use common::{CommonConfig, LogFilter, LogFormat, ProbesConfig, ShutdownConfig, TelemetryConfig};
pub use exit::{Exit, Failure};
pub use lifecycle::{Drained, Lifecycle};
pub use run::{Context, run};
