//! Attachments: in items, and the operations on them.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};

use super::{
    answer::{self, Fault, Part},
    call::Call,
    ids::{self, AttachmentRef, ItemRef},
    read, schema,
    shape::{self, Base, Shape},
    time,
    view::View,
    xml::{self, Element, Writer},
};
use crate::world::{
    Error,
    item::{Attached, Attachment, AttachmentId, Item, Touch},
    mailbox::Mailbox,
};

/// Reads a `FileAttachment` or an `ItemAttachment`.
///
/// # Errors
/// What does not fit the schema.
pub fn read(element: &Element, id: AttachmentId, mailbox: &mut Mailbox, now: DateTime<Utc>) -> Part<Attachment> {
    let attached = match element.name.as_str() {
        "FileAttachment" => {
            let text: String = element.text_of("Content").unwrap_or_default().split_whitespace().collect();
            Attached::File(STANDARD.decode(text).map_err(|_| Fault::schema("Content is not base64"))?)
        }
        "ItemAttachment" => {
            let inner = element.children.iter().find(|child| schema::class(&child.name).is_some());
            let inner = inner.ok_or_else(|| Fault::schema("An item attachment needs an item"))?;
            Attached::Item(Box::new(read::item(inner, mailbox, now)?))
        }
        other => return Err(Fault::schema(format!("{other} is no attachment"))),
    };
    Ok(Attachment {
        id,
        name: element.text_of("Name").unwrap_or_default().to_owned(),
        content_type: element.text_of("ContentType").unwrap_or("application/octet-stream").to_owned(),
        content_id: element.text_of("ContentId").filter(|id| !id.is_empty()).map(str::to_owned),
        inline: xml::is_true(element.text_of("IsInline")),
        modified_at: now,
        attached,
    })
}

fn write_one(w: &mut Writer, view: &View<'_>, one: &Attachment, inside: impl FnOnce(&mut Writer)) {
    let file = matches!(one.attached, Attached::File(_));
    w.element(if file { "t:FileAttachment" } else { "t:ItemAttachment" }, &[], |w| {
        let id = ids::attachment(AttachmentRef { parent: view.id(), attachment: one.id });
        w.empty("t:AttachmentId", &[("Id", &id)]);
        w.leaf("t:Name", &one.name);
        w.leaf("t:ContentType", &one.content_type);
        if let Some(id) = &one.content_id {
            w.leaf("t:ContentId", id);
        }
        w.leaf("t:Size", &one.size().to_string());
        w.leaf("t:LastModifiedTime", &time::write(one.modified_at));
        w.leaf("t:IsInline", if one.inline { "true" } else { "false" });
        if file {
            w.leaf("t:IsContactPhoto", "false");
        }
        inside(w);
    });
}

/// Writes what is attached to an item, without its content.
pub fn list(w: &mut Writer, view: &View<'_>) {
    if view.attached || view.content.attachments.is_empty() {
        return;
    }
    w.element("t:Attachments", &[], |w| {
        view.content.attachments.iter().for_each(|one| write_one(w, view, one, |_| {}));
    });
}

fn find<'a>(view: &'a View<'_>, id: AttachmentId) -> Result<&'a Attachment, Error> {
    view.content.attachments.iter().find(|one| one.id == id).ok_or(Error::AttachmentNotFound)
}

fn reference(call: &Call<'_>, element: &Element) -> Part<AttachmentRef> {
    let id = ids::read_attachment(element.attribute("Id").unwrap_or_default())?;
    if id.parent.mailbox != call.me && !call.everywhere {
        return Err(Error::AttachmentNotFound.into());
    }
    Ok(id)
}

/// `GetAttachment`.
pub fn get(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let asked = request.child("AttachmentShape");
    let mut shape = shape::read(asked)?;
    shape.base = Base::All;
    answer::response(w, "GetAttachment", |w| {
        for element in request.list("AttachmentIds") {
            let found: Part<_> = reference(call, element).and_then(|id| {
                let view = View::find(call.mailbox(id.parent.mailbox)?, id.parent)?;
                find(&view, id.attachment)?;
                Ok((view, id.attachment))
            });
            answer::message(w, "GetAttachment", &found, |w, (view, id)| {
                w.element("m:Attachments", &[], |w| {
                    let Ok(one) = find(view, *id) else { return };
                    write_one(w, view, one, |w| write_content(w, view, one, &shape));
                });
            });
        }
    });
    Ok(())
}

fn write_content(w: &mut Writer, view: &View<'_>, one: &Attachment, shape: &Shape) {
    match &one.attached {
        Attached::File(octets) => w.leaf("t:Content", &STANDARD.encode(octets)),
        Attached::Item(content) => {
            let inner =
                View { content: std::borrow::Cow::Borrowed(content), original: None, attached: true, ..view.clone() };
            shape::write_item(w, &inner, shape);
        }
    }
}

/// Changes what is attached to an item or to one occurrence.
fn change(call: &mut Call<'_>, id: ItemRef, change: impl FnOnce(&mut Vec<Attachment>) -> Result<(), Error>) -> Part {
    let now = call.now;
    let mailbox = call.mailbox_mut(id.mailbox)?;
    match id.original {
        Some(original) => {
            mailbox.change_occurrence(id.item, original, now, |content| change(&mut content.attachments))?;
        }
        None => mailbox.change(id.item, Touch::Content, now, |item: &mut Item| {
            // What travelled no longer says what the item holds.
            item.content.mime = None;
            change(&mut item.content.attachments)
        })?,
    }
    Ok(())
}

fn root(w: &mut Writer, call: &Call<'_>, name: &str, parent: ItemRef) {
    let version = call
        .mailbox(parent.mailbox)
        .ok()
        .and_then(|mailbox| mailbox.items.get(&parent.item))
        .map_or(1, |item| item.version);
    let (id, key) = (ids::item(parent), ids::change_key(version));
    w.empty(name, &[("RootItemId", &id), ("RootItemChangeKey", &key)]);
}

/// `CreateAttachment`.
pub fn create(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let parent = request.child("ParentItemId").ok_or_else(|| Fault::schema("ParentItemId is missing"))?;
    let parent = call.item(parent);
    let now = call.now;
    answer::response(w, "CreateAttachment", |w| {
        for element in request.list("Attachments") {
            let made: Part<_> = parent.clone().and_then(|parent| {
                let mailbox = call.mailbox_mut(parent.mailbox)?;
                mailbox.item(parent.item)?;
                let id = mailbox.fresh_attachment();
                let one = read(element, id, mailbox, now)?;
                change(call, parent, |list| {
                    list.push(one);
                    Ok(())
                })?;
                Ok((parent, id))
            });
            answer::message(w, "CreateAttachment", &made, |w, (parent, id)| {
                w.element("m:Attachments", &[], |w| {
                    let name = format!("t:{}", element.name);
                    w.element(&name, &[], |w| {
                        let version =
                            call.mailbox(parent.mailbox).ok().and_then(|mailbox| mailbox.items.get(&parent.item));
                        let (item, key) = (ids::item(*parent), ids::change_key(version.map_or(1, |item| item.version)));
                        let id = ids::attachment(AttachmentRef { parent: *parent, attachment: *id });
                        w.empty("t:AttachmentId", &[("Id", &id), ("RootItemId", &item), ("RootItemChangeKey", &key)]);
                    });
                });
            });
        }
    });
    Ok(())
}

/// `DeleteAttachment`.
pub fn delete(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "DeleteAttachment", |w| {
        for element in request.list("AttachmentIds") {
            let done: Part<_> = reference(call, element).and_then(|id| {
                change(call, id.parent, |list| {
                    let before = list.len();
                    list.retain(|one| one.id != id.attachment);
                    if list.len() == before { Err(Error::AttachmentNotFound) } else { Ok(()) }
                })?;
                Ok(id.parent)
            });
            answer::message(w, "DeleteAttachment", &done, |w, parent| root(w, call, "m:RootItemId", *parent));
        }
    });
    Ok(())
}
