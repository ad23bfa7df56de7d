//! `FindFolder` (MS-OXWSSRCH 3.1.4.1).

use super::{
    folder::Folder,
    id::FolderRef,
    property::{Property, Shape},
};
use crate::xml::{Element, Writer};

/// Most folders in one answer.
pub const MAX_FOLDERS: u16 = 1_000;

/// Asks for the folders that lie directly in another one, at most [`MAX_FOLDERS`].
pub fn request(parent: &FolderRef) -> String {
    let mut w = Writer::default();
    w.element("m:FindFolder", &[("Traversal", "Shallow")], |w| {
        Shape::ids_and([Property::Field("folder:DisplayName")]).write(w, "m:FolderShape");
        let most = MAX_FOLDERS.to_string();
        let view = [("MaxEntriesReturned", most.as_str()), ("Offset", "0"), ("BasePoint", "Beginning")];
        w.empty("m:IndexedPageFolderView", &view);
        w.element("m:ParentFolderIds", &[], |w| parent.write(w));
    });
    w.finish()
}

/// The folders in a response message.
pub fn read(message: &Element) -> Option<Vec<Folder>> {
    let root = message.child("RootFolder")?;
    Some(root.list("Folders").iter().filter_map(Folder::read).collect())
}
