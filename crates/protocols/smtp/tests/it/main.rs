//! The SMTP connector: its codec by tables and properties, its conversation against a scripted
//! server and against Exim.
#![allow(clippy::unwrap_used, clippy::panic)]

mod auth;
mod body;
mod codec;
mod contract;
mod exim;
mod opening;
mod outcome;
mod peer;
mod recipients;
