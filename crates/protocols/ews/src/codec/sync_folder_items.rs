//! `SyncFolderItems` (MS-OXWSSYNC 3.1.4.2).

use super::{
    id::{FolderRef, ItemId},
    property::Shape,
};
use crate::xml::{Element, Writer};

/// Most changes one answer may carry.
pub const MAX_CHANGES: u16 = 512;

/// One change in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An item one does not know: its element, with what the shape asked for.
    Created(Element),
    /// An item that changed.
    Updated(Element),
    /// An item that is no longer in the folder.
    Deleted(ItemId),
    /// An item of which only the read flag changed.
    ReadFlag(ItemId, bool),
}

/// One page of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How far one has come with it.
    pub state: String,
    /// Nothing follows.
    pub last: bool,
    /// In the server's order.
    pub changes: Vec<Change>,
}

/// Asks for what changed in a folder since `state`, at most `limit` changes.
pub fn request(folder: &FolderRef, shape: &Shape, state: Option<&str>, limit: u16) -> String {
    let mut w = Writer::default();
    w.element("m:SyncFolderItems", &[], |w| {
        shape.write(w, "m:ItemShape");
        w.element("m:SyncFolderId", &[], |w| folder.write(w));
        if let Some(state) = state {
            w.leaf("m:SyncState", state);
        }
        w.leaf("m:MaxChangesReturned", &limit.clamp(1, MAX_CHANGES).to_string());
        w.leaf("m:SyncScope", "NormalItems");
    });
    w.finish()
}

fn read_change(change: &Element) -> Option<Change> {
    let id = || change.child("ItemId").and_then(ItemId::read);
    Some(match change.name.as_str() {
        "Create" => Change::Created(change.children.first()?.clone()),
        "Update" => Change::Updated(change.children.first()?.clone()),
        "Delete" => Change::Deleted(id()?),
        "ReadFlagChange" => Change::ReadFlag(id()?, change.bool_of("IsRead").unwrap_or(false)),
        _ => return None,
    })
}

/// The page in a response message; `None` where it has no sync state.
pub fn read(message: &Element) -> Option<Page> {
    Some(Page {
        state: message.text_of("SyncState")?.to_owned(),
        last: message.bool_of("IncludesLastItemInRange").unwrap_or(true),
        changes: message.list("Changes").iter().filter_map(read_change).collect(),
    })
}
