//! Who may send an email that bears another's address.

use lockstep_model::mailbox::Owner;

/// What the decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who sends: a user, or nobody in particular (a service, an administrator).
    pub sender: Option<Owner>,
    /// Whose address stands in From.
    pub from: Owner,
    /// The sender holds the privilege to send email as another user.
    pub privileged: bool,
    /// The user in From allows others to send on their behalf; means nothing for a queue.
    pub consents: bool,
    /// The sender may read the queue in From; means nothing for a user.
    pub reads_queue: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The sender lacks the privilege to send as another user.
    NoPrivilege,
    /// The user in From has not agreed.
    NoConsent,
    /// The sender may not read the queue.
    QueueNotReadable,
}

/// Whether an email may be sent. One's own address needs nothing; another user's both privilege and consent; a queue's
/// that the queue may be read.
///
/// # Errors
/// The first thing that is missing.
pub fn decide(wish: &Wish) -> Result<(), Refusal> {
    match wish.from {
        from if wish.sender == Some(from) => Ok(()),
        Owner::User(_) if !wish.privileged => Err(Refusal::NoPrivilege),
        Owner::User(_) if !wish.consents => Err(Refusal::NoConsent),
        Owner::Queue(_) if !wish.reads_queue => Err(Refusal::QueueNotReadable),
        Owner::User(_) | Owner::Queue(_) => Ok(()),
    }
}
