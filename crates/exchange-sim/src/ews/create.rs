//! `CreateItem` and `SendItem`.

use super::{
    answer::{self, Fault, Part, code},
    attachments,
    call::Call,
    ids::{self, ItemRef},
    read, responses, schema,
    view::View,
    xml::{self, Element, Writer},
};
use crate::world::{
    folder::FolderId,
    item::{Class, Content, ItemId},
    meeting::{self, Notice},
    value::Value,
};

/// Where a request wants its items.
pub(super) fn target(call: &Call<'_>, wrapper: Option<&Element>, otherwise: &'static str) -> Part<(u32, FolderId)> {
    match wrapper {
        Some(wrapper) => call.folder_in(Some(wrapper)),
        None => Ok((call.me, call.mailbox(call.me)?.home(otherwise))),
    }
}

/// Writes the ids of what was made.
pub(super) fn write_made(call: &Call<'_>, w: &mut Writer, made: Option<ItemRef>) {
    w.element("m:Items", &[], |w| {
        let Some(id) = made else { return };
        if let Ok(mailbox) = call.mailbox(id.mailbox)
            && let Ok(view) = View::find(mailbox, id)
        {
            let name = format!("t:{}", schema::element(view.content.class));
            w.element(&name, &[], |w| {
                ids::write_item(w, "t:ItemId", id, view.item.version);
                if !view.content.attachments.is_empty() {
                    attachments::list(w, &view);
                }
            });
        }
    });
}

/// Lays an item into a folder.
pub(super) fn save(call: &mut Call<'_>, place: (u32, FolderId), content: Content) -> Part<ItemRef> {
    let now = call.now;
    let item = call.mailbox_mut(place.0)?.put(place.1, content, now)?;
    Ok(ItemRef { mailbox: place.0, item, original: None })
}

fn message(call: &mut Call<'_>, request: &Element, mut content: Content) -> Part<Option<ItemRef>> {
    let wrapper = request.child("SavedItemFolderId");
    let owner = call.mailbox(call.me)?.owner.clone();
    match request.attribute("MessageDisposition") {
        Some("SaveOnly") | None => {
            content.values.entry("IsDraft").or_insert(Value::Bool(true));
            if content.is("IsDraft") {
                content.values.entry("From").or_insert_with(|| Value::Person(owner.clone()));
                content.values.entry("Sender").or_insert(Value::Person(owner));
            }
            if content.text("InternetMessageId").is_empty() {
                let id = call.world.fresh_message_id(call.now);
                content.set_text("InternetMessageId", id);
            }
            let place = target(call, wrapper, "drafts")?;
            save(call, place, content).map(Some)
        }
        Some(how @ ("SendOnly" | "SendAndSaveCopy")) => {
            let sent = call.world.send(call.me, content, call.now)?;
            if how == "SendOnly" {
                return Ok(None);
            }
            let place = target(call, wrapper, "sentitems")?;
            save(call, place, sent).map(Some)
        }
        Some(_) => Err(Fault::schema("MessageDisposition")),
    }
}

/// Sends what an organiser has to say and keeps a copy where that is wished.
pub(super) fn notify(call: &mut Call<'_>, content: &Content, notice: Notice, how: &str) -> Part {
    if how == "SendToNone" || !how.starts_with("Send") || content.attendees().is_empty() {
        return Ok(());
    }
    let message = call.world.notify(call.me, content, notice, call.now)?;
    if how.ends_with("SaveCopy") {
        let place = (call.me, call.mailbox(call.me)?.home("sentitems"));
        save(call, place, message)?;
    }
    Ok(())
}

fn appointment(call: &mut Call<'_>, request: &Element, mut content: Content) -> Part<Option<ItemRef>> {
    let how = request.attribute("SendMeetingInvitations").ok_or_else(|| {
        Fault::new("ErrorSendMeetingInvitationsRequired", "SendMeetingInvitations is required for calendar items.")
    })?;
    let (Some(start), Some(end)) = (content.instant("Start"), content.instant("End")) else {
        return Err(Fault::new("ErrorCalendarDurationIsTooLong", "Start and End are required."));
    };
    if end < start {
        let text = "EndDate is earlier than StartDate";
        return Err(Fault::new("ErrorCalendarEndDateIsEarlierThanStartDate", text));
    }
    // New appointments remind, unless somebody says otherwise.
    content.values.entry("ReminderIsSet").or_insert(Value::Bool(true));
    if content.is("ReminderIsSet") {
        content.values.entry("ReminderMinutesBeforeStart").or_insert(Value::Int(15));
    }
    let place = target(call, request.child("SavedItemFolderId"), "calendar")?;
    let now = call.now;
    let mailbox = call.mailbox_mut(place.0)?;
    let number = mailbox.fresh();
    meeting::prepare(mailbox, &mut content, number, now);
    let sends = how != "SendToNone" && !content.attendees().is_empty();
    content.values.insert("MeetingRequestWasSent", Value::Bool(sends));
    notify(call, &content, Notice::Request, how)?;
    save(call, place, content).map(Some)
}

fn other(call: &mut Call<'_>, request: &Element, content: Content) -> Part<Option<ItemRef>> {
    let home = match content.class {
        Class::Contact | Class::DistributionList => "contacts",
        Class::Task => "tasks",
        _ => "inbox",
    };
    let place = target(call, request.child("SavedItemFolderId"), home)?;
    save(call, place, content).map(Some)
}

fn one(call: &mut Call<'_>, request: &Element, element: &Element) -> Part<Option<ItemRef>> {
    if schema::class(&element.name).is_none() {
        return responses::create(call, request, element);
    }
    let (me, now) = (call.me, call.now);
    let content = read::item(element, call.mailbox_mut(me)?, now)?;
    match content.class {
        Class::Message => message(call, request, content),
        Class::CalendarItem => appointment(call, request, content),
        Class::Contact | Class::DistributionList | Class::Task | Class::PostItem => other(call, request, content),
        _ => Err(Fault::new(code::INVALID_REQUEST, "Meeting messages are made by the server.")),
    }
}

/// `CreateItem`.
pub fn create(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "CreateItem", |w| {
        for element in request.list("Items") {
            let made = one(call, request, element);
            answer::message(w, "CreateItem", &made, |w, made| write_made(call, w, *made));
        }
    });
    Ok(())
}

/// Checks that a client knows the item as it is now.
pub(super) fn current(call: &Call<'_>, id: ItemRef, element: &Element) -> Part<Option<bool>> {
    let version = call.mailbox(id.mailbox)?.item(id.item)?.version;
    Ok(ids::read_change_key(element)?.map(|known| known == version))
}

fn send_one(call: &mut Call<'_>, request: &Element, element: &Element) -> Part {
    let id = call.item(element)?;
    match current(call, id, element)? {
        None => return Err(Fault::new(code::CHANGE_KEY_REQUIRED, "The change key is required for this operation.")),
        Some(false) => return Err(Fault::new(code::STALE, "The change key is not that of the item now.")),
        Some(true) => {}
    }
    let keep = xml::is_true(request.attribute("SaveItemToFolder"));
    let place = target(call, request.child("SavedItemFolderId"), "sentitems")?;
    send_draft(call, id.mailbox, id.item, keep.then_some(place)).map(|_| ())
}

/// Sends a draft; it leaves its folder, and a copy may stay.
pub(super) fn send_draft(
    call: &mut Call<'_>,
    mailbox: u32,
    item: ItemId,
    keep: Option<(u32, FolderId)>,
) -> Part<Option<ItemRef>> {
    let now = call.now;
    let content = call.mailbox(mailbox)?.item(item)?.content.clone();
    let sent = call.world.send(mailbox, content, now)?;
    call.mailbox_mut(mailbox)?.remove(item, now)?;
    keep.map(|place| save(call, place, sent)).transpose()
}

/// `SendItem`.
pub fn send(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "SendItem", |w| {
        for element in request.list("ItemIds") {
            let sent = send_one(call, request, element);
            answer::message(w, "SendItem", &sent, |_, ()| {});
        }
    });
    Ok(())
}
