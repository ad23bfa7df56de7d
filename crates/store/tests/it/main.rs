//! The statements of the store against a real PostgreSQL, each test in a database of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod alerts;
mod clock;
mod codes;
mod contents;
mod deliveries;
mod explain;
mod feed;
mod fence;
mod incoming;
mod item_failures;
mod items;
mod mailbox_tests;
mod migrations;
mod nudges;
mod operations;
mod replicas;
mod rights;
mod rotation;
mod schedules;
mod schema;
mod seed;
mod shares;
mod vault;
mod webhooks;
