//! The program, judged by clients nobody here wrote. Each test starts a server of its own.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod davmail;
mod endpoint;
mod exchangelib;
mod program;
