//! The rules as tables and properties.
#![allow(clippy::unwrap_used, clippy::panic)]

mod acceptance;
mod brakes;
mod breaker;
mod budget;
mod cadence;
mod cadence_plot;
mod capacity;
mod correlation;
mod dispatch;
mod forwarding;
mod health;
mod identity;
mod incoming_rules;
mod merge_rules;
mod outgoing;
mod quarantine;
mod recurrence;
mod resolution;
mod retry;
mod sending_rules;
mod settings_page;
mod two_way;
mod values;
mod webhook;
