//! `GetFolder` (MS-OXWSFOLD 3.1.4.6).

use super::{id::FolderRef, property::Shape};
use crate::xml::{Element, Writer};

/// A folder as the server describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its id.
    pub id: String,
    /// The id of the folder it lies in; empty where not told.
    pub parent: String,
    /// Its name; empty where not told.
    pub name: String,
    /// What it is for, such as `IPF.Appointment`; empty where not told.
    pub class: String,
    /// How many items it has.
    pub total: Option<u64>,
}

impl Folder {
    /// Reads a `Folder`, `CalendarFolder` or their like.
    pub fn read(element: &Element) -> Option<Self> {
        let text = |name| element.text_of(name).unwrap_or_default().to_owned();
        let id = element.child("FolderId")?.attribute("Id")?.to_owned();
        let parent = element.child("ParentFolderId").and_then(|parent| parent.attribute("Id")).unwrap_or_default();
        Some(Self {
            id,
            parent: parent.to_owned(),
            name: text("DisplayName"),
            class: text("FolderClass"),
            total: element.number_of("TotalCount"),
        })
    }
}

/// Asks for folders.
pub fn request(folders: &[FolderRef], shape: &Shape) -> String {
    let mut w = Writer::default();
    w.element("m:GetFolder", &[], |w| {
        shape.write(w, "m:FolderShape");
        w.element("m:FolderIds", &[], |w| folders.iter().for_each(|folder| folder.write(w)));
    });
    w.finish()
}

/// The folder in a response message.
pub fn read(message: &Element) -> Option<Folder> {
    message.list("Folders").first().and_then(Folder::read)
}
