//! Which record an address belongs to: one for a sender, all for a recipient.

use chrono::{DateTime, Utc};
use lockstep_model::{email::PartyKind, id::UserId};
use uuid::Uuid;

/// An address that belongs to more records than this says nothing about any of them.
pub const MAX_MATCHES: usize = 100;

/// A record that has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: PartyKind,
    /// Which one.
    pub id: Uuid,
    /// The user who owns it.
    pub owner: Option<UserId>,
    /// Whether it is in use.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// The one record a sender's address belongs to, or `None`: unresolved.
///
/// A single match counts whatever its state. Of several, only active ones: those of the mailbox's (or queue's) owner
/// first, then user, contact, account, lead, queue, any other, then the oldest. A disabled user never counts.
pub fn sender(candidates: &[Candidate], mailbox_owner: Option<UserId>) -> Option<&Candidate> {
    match eligible(candidates).as_slice() {
        [] => None,
        [only] => Some(only),
        several => several.iter().copied().filter(|c| c.active).min_by_key(|c| {
            let foreign = mailbox_owner.is_none() || c.owner != mailbox_owner;
            (foreign, c.kind, c.created_at, c.id)
        }),
    }
}

/// Every record a recipient's address belongs to, in the order of [`sender`]; empty when unresolved. Disabled users
/// are left out.
pub fn recipients(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut all = eligible(candidates);
    all.sort_by_key(|c| (c.kind, c.created_at, c.id));
    all
}

fn eligible(candidates: &[Candidate]) -> Vec<&Candidate> {
    if candidates.len() > MAX_MATCHES {
        return Vec::new();
    }
    candidates.iter().filter(|c| c.active || c.kind != PartyKind::User).collect()
}
