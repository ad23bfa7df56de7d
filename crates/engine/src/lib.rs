//! All decisions of Lockstep: values in, values out.
//!
//! Knows the rules: when a lane is due, how many to hand out, what a fault means, which message becomes a record and
//! whose, what may be sent again. Does not know clocks (now is an argument), randomness (jitter is an argument),
//! databases, queues, sockets or serialisation. A rule that would need a stand-in to be tested is in the wrong crate.
//!
//! `jitter` is everywhere a number from 0 to 1, drawn by the caller; it only ever shortens a wait, by
//! [`cadence::MAX_JITTER`] at most, so that every documented upper bound holds.

pub mod acceptance;
pub mod auto_create;
pub mod breaker;
pub mod budget;
pub mod cadence;
pub mod capacity;
pub mod claim;
pub mod correlation;
pub mod dispatch;
pub mod duplicate_contact;
pub mod filter;
pub mod forwarding;
pub mod guard;
pub mod health;
pub mod identity;
pub mod invitation;
pub mod merge;
pub mod outage;
pub mod outgoing;
pub mod ownership;
pub mod quarantine;
pub mod queue_items;
pub mod recurrence;
pub mod reminder;
pub mod resolution;
pub mod retry;
pub mod scheduling_conflict;
pub mod send_as;
pub mod start_date;
pub mod task_progress;
pub mod token;
pub mod webhook;
