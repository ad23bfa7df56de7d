//! What can go wrong.

use lockstep_wire::Queue;

/// A connection, a declaration or a subscription failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work, whatever the broker does. Never quotes the address.
    #[error("broker settings: {0}")]
    Config(String),
    /// The broker cannot be reached, or the connection was lost.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// The broker does not let the user in: it does not know the user, the password is wrong, or the virtual host is not
    /// there or not open to the user.
    #[error("the broker does not let the user in: {0}")]
    LoginRefused(String),
    /// The broker refuses: a right is missing, or a queue exists with other arguments.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// A role consumes its own queue only.
    #[error("{0:?} belongs to another role")]
    NotOurQueue(Queue),
}

/// A message was not taken, or it is not known whether it was. Publishing it again is always right: doubles are
/// harmless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue wants it: its reader has never been there, or the queue was deleted.
    #[error("no queue takes the message")]
    Returned,
    /// The broker did not take it, most likely since the queue is full.
    #[error("the broker refused to store the message")]
    Nacked,
    /// This user may not publish there.
    #[error("publishing is forbidden: {0}")]
    Forbidden(String),
    /// No connection, or it was lost before the confirm.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// No confirm in time. The message may have been stored.
    #[error("no confirm in time")]
    TimedOut,
    /// The message cannot be written, or is larger than [`lockstep_wire::envelope::MAX_ENVELOPE_BYTES`].
    #[error("not a message to send: {0}")]
    Unsendable(String),
}

impl PublishError {
    /// Short name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Nacked => "nacked",
            Self::Forbidden(_) => "forbidden",
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Unsendable(_) => "unsendable",
        }
    }
}
