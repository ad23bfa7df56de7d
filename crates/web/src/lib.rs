//! The interface for people and programs: a REST API over the records of one organisation.
//!
//! Knows the store, what protocols there are and what they can do. Does not know brokers, caches, workers or mail
//! servers: it writes rows and nudges, and reads what came of it. TLS is terminated before it.

mod again;
mod alert_texts;
#[allow(unused_qualifications, reason = "the attributes that describe routes expand to qualified names")]
mod api;
mod auth;
mod bounds;
mod config;
mod constraints;
mod described;
mod edge;
mod explain;
mod extract;
mod hidden;
mod host;
mod idempotent;
mod json;
mod merge;
mod page;
mod problem;
mod query;
mod serve;
mod sign_in;
mod state;
mod transport;
mod upsert;
mod validate;
mod wall;
mod words;

pub use api::{openapi, router};
pub use auth::{Access, RULES, Rule};
pub use config::{RequestLimits, WebConfig};
pub use serve::{ServeError, listen, serve};
pub use sign_in::{PasswordError, hash_password};
pub use state::AppState;
