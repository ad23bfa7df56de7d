//! How other programs are told of changes: what is said, how it is signed, and over which connections it goes.

mod client;
mod event;
mod signature;

pub use client::{Limits, Webhooks};

pub(crate) use client::Sent;
pub(crate) use event::{Event, of_entry, ping};
