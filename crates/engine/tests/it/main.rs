//! The rules as tables and properties.
#![allow(clippy::unwrap_used, clippy::panic)]

mod acceptance;
mod breaker;
mod budget;
mod cadence;
mod cadence_plot;
mod correlation;
mod dispatch;
mod health;
mod identity;
mod outgoing;
mod resolution;
mod retry;
mod values;
