//! `MoveItem` (MS-OXWSCORE 3.1.4.7).

use super::id::{FolderRef, ItemId, ItemRef};
use crate::xml::{Element, Writer};

/// Moves items into a folder.
pub fn request(items: &[ItemRef], to: &FolderRef) -> String {
    let mut w = Writer::default();
    w.element("m:MoveItem", &[], |w| {
        w.element("m:ToFolderId", &[], |w| to.write(w));
        w.element("m:ItemIds", &[], |w| items.iter().for_each(|item| item.write(w)));
        w.leaf("m:ReturnNewItemIds", "true");
    });
    w.finish()
}

/// The new id of a moved item; `None` where the server does not tell (into another mailbox).
pub fn read(message: &Element) -> Option<ItemId> {
    message.list("Items").first().and_then(ItemId::of_item)
}
