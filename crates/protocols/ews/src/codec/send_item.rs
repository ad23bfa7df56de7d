//! `SendItem` (MS-OXWSCORE 3.1.4.8).

use super::id::{FolderRef, ItemId};
use crate::xml::Writer;

/// Sends a draft. The change key must be the current one.
pub fn request(draft: &ItemId, keep_in: Option<&FolderRef>) -> String {
    let mut w = Writer::default();
    w.element("m:SendItem", &[("SaveItemToFolder", if keep_in.is_some() { "true" } else { "false" })], |w| {
        w.element("m:ItemIds", &[], |w| draft.write(w, "t:ItemId"));
        if let Some(folder) = keep_in {
            w.element("m:SavedItemFolderId", &[], |w| folder.write(w));
        }
    });
    w.finish()
}
