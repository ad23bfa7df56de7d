//! The workers' handlers over a real PostgreSQL, the twins of cache and broker in memory, and a mail server that does
//! what a test tells it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod act_turns;
mod airlock;
mod attachments;
mod cautious;
mod claims;
mod codes;
mod deleting;
mod erasing;
mod exchange;
mod exchange_mail;
mod faults;
mod figures;
mod forwarding;
mod incoming;
mod item_codes;
mod item_failures;
mod judged_again;
mod messages;
mod operations;
mod outgoing;
mod outgoing_crashes;
mod questions;
mod receiver;
mod rules;
#[path = "../../../store/tests/it/seed.rs"]
mod seed;
mod send_as;
mod sending;
mod server;
mod settings;
mod shared_account;
mod stage;
mod stopped;
mod test_retries;
mod tokens;
mod tracking;
mod turns;
mod webhooks;
