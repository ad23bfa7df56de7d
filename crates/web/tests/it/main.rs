//! The API against a real database.
#![allow(clippy::unwrap_used, clippy::panic)]

mod activities;
mod alerts;
mod audit;
mod collisions;
mod emails;
mod explanations;
mod forward_mailboxes;
mod hostile;
mod item_failures;
mod mailboxes;
mod profiles;
mod rights;
mod rules;
mod sending;
mod serving;
mod settings;
mod shape;
mod strictness;
mod takeover;
mod tokens;
mod upserts;
mod users;
mod walls;
mod webhooks;
mod world;
