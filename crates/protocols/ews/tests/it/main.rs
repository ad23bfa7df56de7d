//! The EWS connector against a simulated Exchange and scripted servers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod contract;
mod faults;
mod large;
mod login;
mod pulling;
mod requests;
mod scripted;
mod sending;
mod simulator;
mod tokens;
