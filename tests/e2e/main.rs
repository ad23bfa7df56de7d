//! Stories of a whole deployment: real programs, real servers. Each ends by counting.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod crash_points;
mod first_sync;
mod paused_worker;
mod reply;
mod worker_killed;
