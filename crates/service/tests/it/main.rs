//! The opening ceremony as programs use it: settings, probes, the run, telemetry.
#![allow(clippy::unwrap_used, clippy::panic)]

mod child;
mod config;
mod http;
mod lifecycle;
mod lines;
mod probes;
mod run;
