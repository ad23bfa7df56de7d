//! THE WORLD OUTSIDE, for tests of any crate: real servers, a proxy that misbehaves, hostile peers, bounded waiting.
//!
//! Knows how to start PostgreSQL, RabbitMQ, Redis, Dovecot and Exim (by `deploy/dev/services`), and how to give each
//! test a corner of its own in them. Does not know anything under test.
//!
//! Only tests use this crate: when it cannot do what it was asked for, it panics and says why, which is a failed test.
#![expect(clippy::panic, reason = "a world that cannot be set up is a failed test")]

pub mod chaos;
pub mod mail;
pub mod otlp;
mod ports;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
pub mod scripted;
pub mod services;
mod teardown;
pub mod tls;
pub mod wait;

pub use ports::free_port;
pub use services::{PrivateServices, Service, Services};
pub use wait::eventually;
