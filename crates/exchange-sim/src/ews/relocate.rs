//! `DeleteItem`, `MoveItem` and `CopyItem`.

use super::{
    answer::{self, Fault, Part},
    call::Call,
    create::write_made,
    ids::ItemRef,
    responses,
    xml::{Element, Writer},
};
use crate::world::{Error, folder::FolderId, item::Class};

fn delete_one(call: &mut Call<'_>, request: &Element, element: &Element) -> Part {
    let id = call.item(element)?;
    let now = call.now;
    let class = call.mailbox(id.mailbox)?.item(id.item)?.content.class;
    if class == Class::CalendarItem {
        let how = request.attribute("SendMeetingCancellations").ok_or_else(|| {
            Fault::new(
                "ErrorSendMeetingCancellationsRequired",
                "SendMeetingCancellations is required for calendar items.",
            )
        })?;
        if how != "SendToNone" {
            return responses::cancel(call, id, None, how);
        }
    }
    if class == Class::Task && request.attribute("AffectedTaskOccurrences").is_none() {
        let text = "AffectedTaskOccurrences is required for tasks.";
        return Err(Fault::new("ErrorAffectedTaskOccurrencesRequired", text));
    }
    let mailbox = call.mailbox_mut(id.mailbox)?;
    if let Some(original) = id.original {
        return Ok(mailbox.delete_occurrence(id.item, original, now)?);
    }
    match request.attribute("DeleteType") {
        Some("HardDelete") => {
            mailbox.remove(id.item, now)?;
        }
        Some("SoftDelete") => {
            let place = mailbox.home("recoverableitemsdeletions");
            mailbox.move_item(id.item, place, now)?;
        }
        Some("MoveToDeletedItems") => {
            let place = mailbox.home("deleteditems");
            mailbox.move_item(id.item, place, now)?;
        }
        _ => return Err(Fault::schema("DeleteType")),
    }
    Ok(())
}

/// `DeleteItem`.
pub fn delete(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "DeleteItem", |w| {
        for element in request.list("ItemIds") {
            let done = delete_one(call, request, element);
            answer::message(w, "DeleteItem", &done, |_, ()| {});
        }
    });
    Ok(())
}

fn take(call: &mut Call<'_>, element: &Element, target: (u32, FolderId), copy: bool) -> Part<Option<ItemRef>> {
    let id = call.item(element)?;
    let now = call.now;
    if id.original.is_some() {
        return Err(Fault::new("ErrorCalendarCannotMoveOrCopyOccurrence", "An occurrence cannot be moved or copied."));
    }
    if id.mailbox != target.0 {
        // Into another mailbox nothing but the content goes.
        let content = call.mailbox(id.mailbox)?.item(id.item)?.content.clone();
        let item = call.mailbox_mut(target.0)?.put(target.1, content, now)?;
        if !copy {
            call.mailbox_mut(id.mailbox)?.remove(id.item, now)?;
        }
        return Ok(Some(ItemRef { mailbox: target.0, item, original: None }));
    }
    let mailbox = call.mailbox_mut(id.mailbox)?;
    mailbox.item(id.item).map_err(|_| Error::ItemNotFound)?;
    let item =
        if copy { mailbox.copy_item(id.item, target.1, now)? } else { mailbox.move_item(id.item, target.1, now)? };
    Ok(Some(ItemRef { item, ..id }))
}

fn all(call: &mut Call<'_>, request: &Element, w: &mut Writer, operation: &str) {
    let target = call.folder_in(request.child("ToFolderId"));
    answer::response(w, operation, |w| {
        for element in request.list("ItemIds") {
            let done = target.clone().and_then(|target| take(call, element, target, operation == "CopyItem"));
            answer::message(w, operation, &done, |w, made| write_made(call, w, *made));
        }
    });
}

/// `MoveItem`.
pub fn relocate(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    all(call, request, w, "MoveItem");
    Ok(())
}

/// `CopyItem`.
pub fn copy(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    all(call, request, w, "CopyItem");
    Ok(())
}
