//! Where the lane of appointments, contacts and tasks stands: in the feed, and in each folder's listing.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD as BASE64};
use lockstep_connector::items::Folder;
use lockstep_model::remote::Cursor;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::act::review::{Review, Reviewed};

/// Where a lane stands on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursors {
    /// The feed that `position` counts in; another one after a restored backup.
    #[serde(default)]
    pub(crate) epoch: Option<Uuid>,
    /// Changes of records up to here were looked at.
    #[serde(default)]
    pub(crate) position: i64,
    /// When every record was last held against the filters.
    #[serde(default)]
    pub(super) reviewed: Option<Reviewed>,
    /// A review that had to give way.
    #[serde(default)]
    pub(super) review: Option<Review>,
    /// The listings, by the folder's name, in Base64.
    #[serde(default)]
    folders: BTreeMap<String, String>,
}

impl Cursors {
    /// What is stored of a lane. What cannot be read begins again: links say what is known.
    pub(crate) fn read(stored: &Cursor) -> Self {
        serde_json::from_slice(&stored.0).unwrap_or_default()
    }

    /// As it is stored.
    pub(crate) fn write(&self) -> Cursor {
        // Plain data: there is nothing in it that JSON cannot say.
        Cursor(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Where a folder's listing stands.
    pub(crate) fn folder(&self, folder: Folder) -> Cursor {
        let stored = self.folders.get(folder.name()).map(|text| BASE64.decode(text));
        Cursor(stored.and_then(Result::ok).unwrap_or_default())
    }

    /// Moves on in a folder's listing.
    pub(crate) fn move_to(&mut self, folder: Folder, cursor: &Cursor) {
        self.folders.insert(folder.name().to_owned(), BASE64.encode(&cursor.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_rubbish_begins_again() {
        let mut cursors = Cursors { position: 7, ..Cursors::default() };
        cursors.move_to(Folder::Tasks, &Cursor(b"state\xff".to_vec()));
        assert_eq!(Cursors::read(&cursors.write()), cursors);
        assert_eq!(Cursors::read(&Cursor(b"\xff{".to_vec())), Cursors::default());
        assert!(cursors.folder(Folder::Calendar).is_start());
    }
}
