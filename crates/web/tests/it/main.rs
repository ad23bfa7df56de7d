//! The API against a real database.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mailboxes;
mod profiles;
mod shape;
mod users;
mod world;
