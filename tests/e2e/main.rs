//! Stories of a whole deployment: real programs, real servers. Each ends by counting.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod first_sync;
