//! What happens in a mailbox, and who is told.

use chrono::{DateTime, Utc};

use super::{Error, folder::FolderId, item::ItemId, mailbox::Mailbox};

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say it: what, where it lies, what it was, where it lay")]
pub enum Happening {
    /// A message came from outside.
    NewMail { item: ItemId, folder: FolderId },
    /// An item was made.
    Created { item: ItemId, folder: FolderId },
    /// An item changed.
    Modified { item: ItemId, folder: FolderId },
    /// An item was destroyed.
    Deleted { item: ItemId, folder: FolderId },
    /// An item went to another folder.
    Moved { item: ItemId, folder: FolderId, was: ItemId, from: FolderId },
    /// An item was copied.
    Copied { item: ItemId, folder: FolderId, was: ItemId, from: FolderId },
    /// A folder was made.
    FolderCreated { folder: FolderId, parent: FolderId },
    /// A folder changed.
    FolderModified { folder: FolderId },
    /// A folder was destroyed.
    FolderDeleted { folder: FolderId, parent: FolderId },
    /// A folder went elsewhere.
    FolderMoved { folder: FolderId, parent: FolderId },
}

impl Happening {
    /// The name subscribers know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewMail { .. } => "NewMailEvent",
            Self::Created { .. } | Self::FolderCreated { .. } => "CreatedEvent",
            Self::Modified { .. } | Self::FolderModified { .. } => "ModifiedEvent",
            Self::Deleted { .. } | Self::FolderDeleted { .. } => "DeletedEvent",
            Self::Moved { .. } | Self::FolderMoved { .. } => "MovedEvent",
            Self::Copied { .. } => "CopiedEvent",
        }
    }

    /// Whether it happened in, into or out of a folder.
    pub fn concerns(self, wanted: FolderId) -> bool {
        match self {
            Self::NewMail { folder, .. }
            | Self::Created { folder, .. }
            | Self::Modified { folder, .. }
            | Self::Deleted { folder, .. }
            | Self::FolderModified { folder } => folder == wanted,
            Self::Moved { folder, from, .. } | Self::Copied { folder, from, .. } => folder == wanted || from == wanted,
            Self::FolderCreated { folder, parent }
            | Self::FolderDeleted { folder, parent }
            | Self::FolderMoved { folder, parent } => folder == wanted || parent == wanted,
        }
    }
}

/// Something that happened, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The change's number; the watermark says it.
    pub sequence: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub happening: Happening,
}

/// Who wants to hear what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Folders; none means all.
    pub folders: Vec<FolderId>,
    /// Names of events.
    pub names: Vec<String>,
}

impl Mailbox {
    /// What happened after `since` that somebody is interested in, at most `limit` events.
    ///
    /// # Errors
    /// [`Error::WatermarkLost`] when events after `since` are no longer remembered.
    pub fn heard(&self, interest: &Interest, since: u64, limit: usize) -> Result<Vec<Event>, Error> {
        if since > self.sequence {
            return Err(Error::WatermarkLost);
        }
        let wanted = |event: &&Event| {
            event.sequence > since
                && interest.names.iter().any(|name| name == event.happening.name())
                && (interest.folders.is_empty() || interest.folders.iter().any(|id| event.happening.concerns(*id)))
        };
        Ok(self.events.iter().filter(wanted).take(limit).copied().collect())
    }

    /// Forgets all sync states and watermarks given out so far.
    pub fn forget_states(&mut self) {
        self.epoch += 1;
    }
}
