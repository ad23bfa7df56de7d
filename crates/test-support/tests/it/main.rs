//! The world outside, tried against the real servers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod chaos;
mod mail;
mod otlp;
mod postgres;
mod private;
mod rabbitmq;
mod redis;
mod scripted;
mod wait;

use std::time::Duration;

/// Long enough for a busy machine; nothing waits this long when all is well.
const SOON: Duration = Duration::from_secs(30);
