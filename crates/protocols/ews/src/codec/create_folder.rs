//! `CreateFolder` (MS-OXWSFOLD 3.1.4.2).

use super::id::FolderRef;
use crate::xml::Writer;

/// Makes a folder for messages. What it is answered with is read like a folder that was asked for.
pub fn request(parent: &FolderRef, name: &str) -> String {
    let mut w = Writer::default();
    w.element("m:CreateFolder", &[], |w| {
        w.element("m:ParentFolderId", &[], |w| parent.write(w));
        w.element("m:Folders", &[], |w| w.element("t:Folder", &[], |w| w.leaf("t:DisplayName", name)));
    });
    w.finish()
}
