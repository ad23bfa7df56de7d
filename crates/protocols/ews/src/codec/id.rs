//! Ids of items, folders and attachments.

use crate::xml::{Element, Writer};

/// An item in the state its change key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// The id. Case matters. It is another one after a move to another folder.
    pub id: String,
    /// The state; empty where it does not matter.
    pub change_key: String,
}

impl ItemId {
    /// The item in whatever state it is.
    pub fn whatever(id: impl Into<String>) -> Self {
        Self { id: id.into(), change_key: String::new() }
    }

    /// Reads an `ItemId`, `ParentFolderId` or their like.
    pub fn read(element: &Element) -> Option<Self> {
        let id = element.attribute("Id").filter(|id| !id.is_empty())?.to_owned();
        Some(Self { id, change_key: element.attribute("ChangeKey").unwrap_or_default().to_owned() })
    }

    /// The id of an item's element.
    pub fn of_item(item: &Element) -> Option<Self> {
        item.child("ItemId").and_then(Self::read)
    }

    /// Writes it as an element of that name.
    pub fn write(&self, w: &mut Writer, name: &str) {
        if self.change_key.is_empty() {
            w.empty(name, &[("Id", &self.id)]);
        } else {
            w.empty(name, &[("Id", &self.id), ("ChangeKey", &self.change_key)]);
        }
    }
}

/// Which item is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemRef {
    /// The item itself.
    Item(ItemId),
    /// An occurrence of a series by its place, counted from one with those that were deleted.
    Occurrence {
        /// The series.
        master: ItemId,
        /// The place.
        index: u32,
    },
    /// The series an occurrence belongs to.
    MasterOf(ItemId),
}

impl From<ItemId> for ItemRef {
    fn from(id: ItemId) -> Self {
        Self::Item(id)
    }
}

impl ItemRef {
    /// Writes it.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Item(id) => id.write(w, "t:ItemId"),
            Self::Occurrence { master, index } => {
                let index = index.to_string();
                let mut attributes = vec![("RecurringMasterId", master.id.as_str())];
                if !master.change_key.is_empty() {
                    attributes.push(("ChangeKey", master.change_key.as_str()));
                }
                attributes.push(("InstanceIndex", &index));
                w.empty("t:OccurrenceItemId", &attributes);
            }
            Self::MasterOf(id) => {
                let mut attributes = vec![("OccurrenceId", id.id.as_str())];
                if !id.change_key.is_empty() {
                    attributes.push(("ChangeKey", id.change_key.as_str()));
                }
                w.empty("t:RecurringMasterItemId", &attributes);
            }
        }
    }
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderRef {
    /// One that every mailbox has, by its name (`inbox`, `calendar`, `contacts`, `tasks`, `sentitems`, …).
    Distinguished(&'static str),
    /// By its id.
    Id(String),
}

impl FolderRef {
    /// Writes it.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Distinguished(name) => w.empty("t:DistinguishedFolderId", &[("Id", name)]),
            Self::Id(id) => w.empty("t:FolderId", &[("Id", id)]),
        }
    }
}
