//! The EWS connector against a simulated Exchange and scripted servers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod act;
mod act_faults;
mod answers;
mod autodiscover;
mod connections;
mod contract;
mod faults;
mod items;
mod large;
mod login;
mod oauth;
mod pulling;
mod reach;
mod records;
mod requests;
mod scripted;
mod sending;
mod simulator;
mod tokens;
