//! A WHOLE LOCKSTEP, brought up as it is operated: the real programs as processes, real servers behind them.
//!
//! Knows how to start, pause, kill and restart each role, how to talk to the REST API, how to put mail into mailboxes,
//! and how to count what came of it directly in PostgreSQL and in the mailboxes. Does not know the inside of any role.
//!
//! For tests and the demonstration only: when it cannot do what it was asked for, it panics and says why.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a world that cannot be set up is a failed test")]

mod api;
mod builder;
mod cluster;
mod count;
mod exchange;
mod looks;
pub mod mail;
mod mailbox;
mod process;
mod role;
mod settings;

pub use api::{Answer, Api};
pub use builder::Builder;
pub use cluster::Cluster;
pub use count::Item;
pub use exchange::Exchange;
pub use lockstep_model::mailbox::TrackOption;
pub use lockstep_test_support::{
    Service,
    chaos::{ChaosProxy, Mode},
    eventually,
};
pub use looks::Look;
pub use mailbox::{ProfileOptions, TestMailbox};
pub use process::{Exit, Process};
pub use role::Role;
