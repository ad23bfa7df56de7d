//! The mail universe: people, their mailboxes, and what happens between them. No HTTP, no XML; the time is always an
//! argument.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};

pub mod deliver;
pub mod event;
pub mod folder;
pub mod item;
pub mod mailbox;
pub mod meeting;
pub mod recurrence;
pub mod search;
pub mod series;
pub mod sync;
pub mod value;
pub mod zone;

#[cfg(test)]
mod tests;

use mailbox::Mailbox;
use value::Person;

/// Why something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it, and Display says it in words")]
pub enum Error {
    FolderNotFound,
    FolderExists,
    FolderNameMissing,
    FolderProtected,
    ItemNotFound,
    AttachmentNotFound,
    MailboxNotFound,
    Conflict,
    SyncStateInvalid,
    WatermarkLost,
    OccurrenceOutOfRange,
    OccurrenceDeleted,
    OccurrenceNotFound,
    NoRecipients,
    NotAMeeting,
    Invalid(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FolderNotFound => "The folder is not there.",
            Self::FolderExists => "A folder of this name is there already.",
            Self::FolderNameMissing => "The folder needs a name.",
            Self::FolderProtected => "This folder belongs to every mailbox; it cannot be moved or deleted.",
            Self::ItemNotFound => "The item is not there.",
            Self::AttachmentNotFound => "The attachment is not there.",
            Self::MailboxNotFound => "Nobody has a mailbox with this address.",
            Self::Conflict => "The item was changed by somebody else meanwhile.",
            Self::SyncStateInvalid => "The synchronization state is not valid.",
            Self::WatermarkLost => "The watermark is not valid any more.",
            Self::OccurrenceOutOfRange => "The series has no such occurrence.",
            Self::OccurrenceDeleted => "The occurrence was deleted.",
            Self::OccurrenceNotFound => "The series has no occurrence at this time.",
            Self::NoRecipients => "The message has no recipients.",
            Self::NotAMeeting => "The item is not a meeting one can answer.",
            Self::Invalid(why) => why,
        })
    }
}

/// Everybody and everything.
#[derive(Debug, Default)]
pub struct World {
    mailboxes: BTreeMap<u32, Mailbox>,
    addresses: BTreeMap<String, u32>,
    messages: u64,
}

impl World {
    /// Gives somebody a mailbox; whoever has one already keeps it.
    pub fn join(&mut self, person: Person, now: DateTime<Utc>) -> u32 {
        let address = person.address.to_ascii_lowercase();
        if let Some(number) = self.addresses.get(&address) {
            return *number;
        }
        let number = u32::try_from(self.mailboxes.len()).unwrap_or(u32::MAX - 1) + 1;
        self.addresses.insert(address, number);
        self.mailboxes.insert(number, Mailbox::new(person, number, now));
        number
    }

    /// The number of the mailbox with an address.
    pub fn find(&self, address: &str) -> Option<u32> {
        self.addresses.get(&address.to_ascii_lowercase()).copied()
    }

    /// A mailbox by its number.
    ///
    /// # Errors
    /// [`Error::MailboxNotFound`].
    pub fn mailbox(&self, number: u32) -> Result<&Mailbox, Error> {
        self.mailboxes.get(&number).ok_or(Error::MailboxNotFound)
    }

    /// A mailbox by its number, to change it.
    ///
    /// # Errors
    /// [`Error::MailboxNotFound`].
    pub fn mailbox_mut(&mut self, number: u32) -> Result<&mut Mailbox, Error> {
        self.mailboxes.get_mut(&number).ok_or(Error::MailboxNotFound)
    }

    /// Everybody.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.mailboxes.values().map(|mailbox| &mailbox.owner)
    }

    /// All mailboxes.
    pub fn mailboxes_mut(&mut self) -> impl Iterator<Item = &mut Mailbox> {
        self.mailboxes.values_mut()
    }
}
