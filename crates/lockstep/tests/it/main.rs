//! The programs as an administrator meets them: settings, start, command line, life and loss of services.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api;
mod connections;
mod explain;
mod keys;
mod life;
mod mailbox;
mod many;
mod process;
mod questions;
mod restored;
mod samples;
mod schema;
mod settings;
mod start;
mod world;
