//! Folders of a mailbox beside those that are read: found or made, and messages moved into and out of them.

use async_trait::async_trait;
use lockstep_model::{fault::Fault, remote::RemoteKey};

use crate::deadline::Deadline;

/// Most messages in one call of [`Folders::file`].
pub const MAX_MOVES: usize = 100;

/// Where messages are moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The inbox, where they are read like what has just arrived.
    Inbox,
    /// A folder that [`Folders::ensure`] named.
    Folder(RemoteKey),
}

/// Folders, where the protocol has them.
#[async_trait]
pub trait Folders: Send {
    /// A folder beside the inbox: the one that was `kept` from the last time, whatever people call it now, while it is
    /// still there; else the one of this name; else a new one.
    ///
    /// # Errors
    /// What kept the server from looking, or from making it.
    async fn ensure(&mut self, name: &str, kept: Option<&RemoteKey>, deadline: &Deadline) -> Result<RemoteKey, Fault>;

    /// Moves messages, at most [`MAX_MOVES`]. For each, in their order, the key it has now; `None` where it is neither
    /// where it was nor where it was to go. A move whose answer was lost may be asked for again: it has happened once.
    ///
    /// # Errors
    /// Inside, why this one stays where it is; outside, what ended the session.
    async fn file(
        &mut self,
        keys: &[RemoteKey],
        into: &Place,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Option<RemoteKey>, Fault>>, Fault>;
}
