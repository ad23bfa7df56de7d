//! `GetAttachment`, `CreateAttachment`, `DeleteAttachment` (MS-OXWSATT 3.1.4), and the attachments an item lists.

use super::id::ItemId;
use crate::xml::{Element, Writer};

/// An attachment as its item lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// Its file name.
    pub name: String,
    /// Its media type; empty where not told.
    pub content_type: String,
    /// Its size in bytes; 0 where not told.
    pub size: u64,
    /// It belongs into the body.
    pub inline: bool,
    /// An item rather than a file.
    pub is_item: bool,
    /// A reference to a file that lies elsewhere.
    pub is_reference: bool,
}

/// The attachments an item's element lists.
pub fn list(item: &Element) -> Vec<Attachment> {
    let read = |element: &Element| {
        let text = |name| element.text_of(name).unwrap_or_default().to_owned();
        Some(Attachment {
            id: element.child("AttachmentId")?.attribute("Id")?.to_owned(),
            name: text("Name"),
            content_type: text("ContentType"),
            size: element.number_of("Size").unwrap_or(0),
            inline: element.bool_of("IsInline").unwrap_or(false),
            is_item: element.name == "ItemAttachment",
            is_reference: element.name == "ReferenceAttachment",
        })
    };
    item.list("Attachments").iter().filter_map(read).collect()
}

/// Asks for one attachment with its content.
pub fn get(id: &str) -> String {
    let mut w = Writer::default();
    w.element("m:GetAttachment", &[], |w| {
        w.element("m:AttachmentIds", &[], |w| w.empty("t:AttachmentId", &[("Id", id)]));
    });
    w.finish()
}

/// What comes before the content of a new attachment, in base64, and what comes after it.
pub fn create_around(parent: &ItemId, name: &str, content_type: &str) -> (String, &'static str) {
    let mut w = Writer::default();
    w.open("m:CreateAttachment", &[]);
    parent.write(&mut w, "m:ParentItemId");
    w.open("m:Attachments", &[]);
    w.open("t:FileAttachment", &[]);
    w.leaf("t:Name", name);
    if !content_type.is_empty() {
        w.leaf("t:ContentType", content_type);
    }
    w.open("t:Content", &[]);
    (w.finish(), "</t:Content></t:FileAttachment></m:Attachments></m:CreateAttachment>")
}

/// The id of a new attachment and its item's new state.
pub fn created(message: &Element) -> Option<(String, ItemId)> {
    let id = message.list("Attachments").first()?.child("AttachmentId")?;
    let root = ItemId {
        id: id.attribute("RootItemId")?.to_owned(),
        change_key: id.attribute("RootItemChangeKey").unwrap_or_default().to_owned(),
    };
    Some((id.attribute("Id")?.to_owned(), root))
}

/// The state of the item that an attachment was taken off.
pub fn deleted(message: &Element) -> Option<ItemId> {
    let root = message.child("RootItemId")?;
    let key = root.attribute("RootItemChangeKey").unwrap_or_default().to_owned();
    Some(ItemId { id: root.attribute("RootItemId")?.to_owned(), change_key: key })
}

/// Takes an attachment off its item.
pub fn delete(id: &str) -> String {
    let mut w = Writer::default();
    w.element("m:DeleteAttachment", &[], |w| {
        w.element("m:AttachmentIds", &[], |w| w.empty("t:AttachmentId", &[("Id", id)]));
    });
    w.finish()
}
