//! The composition root: the only crate that knows every concrete thing.
//!
//! Knows which protocols there are, which settings each role reads, how a role is put together and how it is
//! administered from the command line. Does not know what any of the parts does: no SQL, no AMQP, no mail protocol.

pub mod cli;
pub mod config;
pub mod connectors;
pub mod roles;
pub mod startup;
