//! `SyncFolderHierarchy` (MS-OXWSSYNC 3.1.4.1).

use super::{
    folder::Folder,
    id::FolderRef,
    property::{Property, Shape},
};
use crate::xml::{Element, Writer};

/// One change of the folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New.
    Created(Folder),
    /// Renamed, moved, or with other contents.
    Updated(Folder),
    /// Gone; by id.
    Deleted(String),
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

/// Asks for what changed below `top` since `state`.
pub fn request(top: &FolderRef, state: Option<&str>) -> String {
    let wanted = ["folder:DisplayName", "folder:FolderClass", "folder:ParentFolderId"];
    let shape = Shape::ids_and(wanted.map(Property::Field));
    let mut w = Writer::default();
    w.element("m:SyncFolderHierarchy", &[], |w| {
        shape.write(w, "m:FolderShape");
        w.element("m:SyncFolderId", &[], |w| top.write(w));
        if let Some(state) = state {
            w.leaf("m:SyncState", state);
        }
    });
    w.finish()
}

/// The page in a response message; `None` where it has no sync state.
pub fn read(message: &Element) -> Option<Page> {
    let change = |change: &Element| match change.name.as_str() {
        "Create" => change.children.first().and_then(Folder::read).map(Change::Created),
        "Update" => change.children.first().and_then(Folder::read).map(Change::Updated),
        "Delete" => Some(Change::Deleted(change.child("FolderId")?.attribute("Id")?.to_owned())),
        _ => None,
    };
    Some(Page {
        state: message.text_of("SyncState")?.to_owned(),
        last: message.bool_of("IncludesLastFolderInRange").unwrap_or(true),
        changes: message.list("Changes").iter().filter_map(change).collect(),
    })
}
