//! The two-way engine: what to write where, given what both sides are now and what they last agreed on.
//!
//! [`plan`] looks at one link and says which steps bring its two sides together; [`intent`] says what became of a step
//! whose answer was lost; [`Base`] is the memory between two cycles. Nothing here reads or writes anything: a plan is
//! data that the workers carry out, remote steps first and by intent, then everything else in one transaction.
//!
//! The base is kept for each side apart. A server that shortens a subject or rewrites a body thereby differs from the
//! CRM for good without anything having *changed*, and nothing is written to and fro.

pub mod attachments;
pub mod base;
pub mod brake;
pub mod conflict;
pub mod deletion;
pub mod diff;
pub mod inactive;
pub mod intent;
pub mod order;
pub mod plan;
pub mod rules;

pub use base::{Base, Written};
pub use diff::{Lost, Merge, merge};
pub use plan::{ItemPlan, Pair, Step};
pub use rules::Rules;

use chrono::{DateTime, Utc};
use lockstep_model::record::Fields;

/// A record or an item as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<V> {
    /// The state that was read; writes name it.
    pub version: V,
    /// Its values, in canonical form.
    pub fields: Fields,
    /// When it was last modified, by its own server's clock; where it can be known, by somebody else than this
    /// engine.
    pub modified: DateTime<Utc>,
}

/// The two sides of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The CRM's record.
    Crm,
    /// The mail server's item.
    Server,
}
