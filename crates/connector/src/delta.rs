//! What a pull answers, and the questions it may ask about what is already known.

use async_trait::async_trait;
use lockstep_model::{
    fault::Fault,
    remote::{Cursor, Fingerprint, RemoteKey},
};

/// Bounds of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most this many heads.
    pub items: usize,
    /// Heads are added while their announced sizes stay below this sum; one head is always given.
    pub bytes: u64,
}

/// An item as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHead {
    /// Its identity on the server.
    pub key: RemoteKey,
    /// The session's own handle (POP3: the message number). Never stored.
    pub handle: u64,
    /// Announced size in bytes; 0 when unknown.
    pub size: u64,
    /// The key was derived from the header because the server's own was missing or not unique.
    pub weak: bool,
}

/// One page of what is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// New items, oldest first.
    pub heads: Vec<RemoteHead>,
    /// Known items that carry a new key now (old, new): to be re-keyed, not imported.
    pub rekeyed: Vec<(RemoteKey, RemoteKey)>,
    /// Known items that the complete listing no longer shows. Only ever filled from a complete, successful listing.
    pub absent: Vec<RemoteKey>,
    /// Known items of which the server itself says that they have left the folder: moved or deleted. On the first page.
    pub gone: Vec<RemoteKey>,
    /// The cursor to commit with this page; set on the last page only.
    pub cursor: Option<Cursor>,
    /// More pages follow.
    pub more: bool,
    /// Something an administrator should hear of, such as identities that were reset.
    pub warning: Option<Fault>,
}

impl Delta {
    /// Whether nothing at all has to be written.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
            && self.rekeyed.is_empty()
            && self.absent.is_empty()
            && self.gone.is_empty()
            && self.cursor.is_none()
    }
}

/// What the store knows of a mailbox's items; filled by the worker. Every question is bounded: callers ask for at
/// most [`MAX_QUESTION`] keys at a time.
#[async_trait]
pub trait Known: Send + Sync {
    /// How many items of this mailbox are known.
    async fn count(&self) -> Result<u64, Fault>;

    /// For each key, whether it is known, in the same order.
    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault>;

    /// For each fingerprint, the key of the known item that has it, in the same order.
    async fn by_fingerprint(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault>;

    /// Which known items are not among `listed`. `listed` is the complete listing; the implementation hands it to
    /// the database in bounded portions.
    async fn absent(&self, listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault>;
}

/// Most keys in one question.
pub const MAX_QUESTION: usize = 1_000;
