//! The API against a real database.
#![allow(clippy::unwrap_used, clippy::panic)]

mod alerts;
mod collisions;
mod emails;
mod explanations;
mod forward_mailboxes;
mod hostile;
mod mailboxes;
mod profiles;
mod rights;
mod rules;
mod sending;
mod serving;
mod settings;
mod shape;
mod takeover;
mod tokens;
mod upserts;
mod users;
mod walls;
mod webhooks;
mod world;
