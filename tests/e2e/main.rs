//! Stories of a whole deployment: real programs, real servers. Each ends by counting.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod appointment_attachments;
mod bad_config;
mod broker_lost;
mod cadence;
mod crash_points;
mod duplicated_deliveries;
mod exchange;
mod exchange_mail;
mod feed;
mod first_sync;
mod graceful;
mod isolation;
mod large;
mod marks_and_zones;
mod on_behalf;
mod paused_worker;
mod postgres_restart;
mod promise;
mod questions;
mod reach;
mod redis_lost;
mod reply;
mod shared_account;
mod silent_server;
mod switched_off;
mod test_message;
mod tracing;
mod two_way;
mod two_way_rules;
mod webhooks;
mod whole_days;
mod whose_mailbox;
mod worker_killed;
