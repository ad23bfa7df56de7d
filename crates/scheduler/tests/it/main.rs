//! The scheduler over a real PostgreSQL and the broker's twin in memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod breaker;
mod capacity;
mod codes;
mod fold;
mod locks;
mod outage;
mod rounds;
#[path = "../../../store/tests/it/seed.rs"]
mod seed;
mod settings;
mod stage;
mod sweep;
mod switched_off;
mod wake;
