//! Folders, and the ones every mailbox begins with.

use chrono::{DateTime, Utc};

use std::collections::BTreeMap;

use super::value::{Extended, PropertyName};

/// Names a folder in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderId(pub u64);

/// A folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its name for requests.
    pub id: FolderId,
    /// The folder it lies in; none for the root.
    pub parent: Option<FolderId>,
    /// What people see.
    pub name: String,
    /// `IPF.Note` and the like; empty for none.
    pub class: String,
    /// The name every mailbox knows it by, if it has one.
    pub distinguished: Option<&'static str>,
    /// Goes up with each change.
    pub version: u64,
    /// The change by which it came.
    pub entered: u64,
    /// The last change of its own properties.
    pub changed: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its extended properties.
    pub extended: BTreeMap<PropertyName, Extended>,
}

/// The folders of a new mailbox: distinguished name, name, class, and the distinguished name of the parent.
pub const DISTINGUISHED: &[(&str, &str, &str, &str)] = &[
    ("root", "Root", "", ""),
    ("msgfolderroot", "Top of Information Store", "IPF.Note", "root"),
    ("searchfolders", "Finder", "", "root"),
    ("inbox", "Inbox", "IPF.Note", "msgfolderroot"),
    ("drafts", "Drafts", "IPF.Note", "msgfolderroot"),
    ("outbox", "Outbox", "IPF.Note", "msgfolderroot"),
    ("sentitems", "Sent Items", "IPF.Note", "msgfolderroot"),
    ("deleteditems", "Deleted Items", "IPF.Note", "msgfolderroot"),
    ("junkemail", "Junk Email", "IPF.Note", "msgfolderroot"),
    ("calendar", "Calendar", "IPF.Appointment", "msgfolderroot"),
    ("contacts", "Contacts", "IPF.Contact", "msgfolderroot"),
    ("tasks", "Tasks", "IPF.Task", "msgfolderroot"),
    ("notes", "Notes", "IPF.StickyNote", "msgfolderroot"),
    ("journal", "Journal", "IPF.Journal", "msgfolderroot"),
    ("recoverableitemsroot", "Recoverable Items", "", "root"),
    ("recoverableitemsdeletions", "Deletions", "", "recoverableitemsroot"),
];
