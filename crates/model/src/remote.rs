//! What the mail server calls its items, and where a lane stands in its listing.

use std::fmt;

use crate::email::Direction;

/// Longest key kept as it is, in bytes. RFC 1939 allows 70 for a UIDL; hostile servers send more.
pub const MAX_KEY_BYTES: usize = 512;

/// A mail server's own identity of an item. Opaque, compared bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteKey(Vec<u8>);

impl RemoteKey {
    /// A key; `None` when empty or longer than [`MAX_KEY_BYTES`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (1..=MAX_KEY_BYTES).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes as the server sent them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteKey({self})")
    }
}

/// An opaque position in a mailbox's listing, owned by the connector that wrote it. Small: at most
/// [`Cursor::MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cursor(pub Vec<u8>);

impl Cursor {
    /// Upper bound of a cursor's size.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Whether nothing has been read yet.
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }
}

/// A folder whose messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MailFolder {
    /// Where mail arrives; its subfolders do not belong to it.
    #[default]
    Inbox,
    /// Where copies lie of what the mailbox's owner has sent.
    Sent,
}

impl MailFolder {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Sent => "sent",
        }
    }

    /// Which way the messages went that lie there.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Inbox => Direction::Incoming,
            Self::Sent => Direction::Outgoing,
        }
    }
}

/// A hash of an item's header block by which the item is recognised when its key has changed or is missing.
pub type Fingerprint = [u8; 32];
