//! The API against a real database.
#![allow(clippy::unwrap_used, clippy::panic)]

mod alerts;
mod collisions;
mod emails;
mod explanations;
mod hostile;
mod mailboxes;
mod profiles;
mod rules;
mod serving;
mod shape;
mod takeover;
mod users;
mod webhooks;
mod world;
