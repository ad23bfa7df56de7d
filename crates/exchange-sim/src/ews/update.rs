//! `UpdateItem`.

use std::collections::BTreeMap;

use super::{
    answer::{self, Fault, Part, code},
    call::Call,
    create::{current, notify, send_draft, target},
    extended,
    ids::ItemRef,
    path::{self, Path},
    read,
    schema::Kind,
    view::View,
    write::PLACE,
    xml::{Element, Writer},
};
use crate::world::{
    item::{Class, Content, Touch},
    meeting::{self, Notice},
    value::Value,
};

/// Properties whose change lets a series forget how its occurrences differed.
const RULE: &[&str] = &["Recurrence", "Start", "End", "StartTimeZone"];

fn set_entry(content: &mut Content, name: &'static str, index: String, text: String) {
    let value = content.values.entry(name).or_insert_with(|| Value::Entries(BTreeMap::new()));
    if let Value::Entries(entries) = value {
        entries.insert(index, text);
    }
}

fn set_part(content: &mut Content, name: &'static str, index: String, part: String, text: String) {
    let value = content.values.entry(name).or_insert_with(|| Value::Places(BTreeMap::new()));
    if let Value::Places(places) = value {
        places.entry(index).or_default().insert(part, text);
    }
}

fn set(content: &mut Content, path: Path, item: &Element) -> Part {
    let child = item.children.first().ok_or_else(|| Fault::schema("The new value is missing"))?;
    match path {
        Path::Field(field) if field.name == "MimeContent" => {
            return Err(Fault::new(code::INVALID_PROPERTY_SET, "MimeContent cannot be set."));
        }
        Path::Field(field) => {
            if child.name != field.name {
                let text = format!("{} does not go with {}", child.name, field.name);
                return Err(Fault::new("ErrorUpdatePropertyMismatch", text));
            }
            content.values.insert(field.name, read::value(field, child)?);
        }
        Path::Entry(field, index, part) => {
            let entry = child.children.iter().find(|entry| entry.attribute("Key") == Some(index.as_str()));
            let entry = entry.ok_or_else(|| Fault::schema("The entry is missing"))?;
            match part.filter(|part| PLACE.contains(&part.as_str())) {
                None if field.kind == Kind::Entries => set_entry(content, field.name, index, entry.text.clone()),
                Some(part) => {
                    let text = entry.text_of(&part).unwrap_or_default().to_owned();
                    set_part(content, field.name, index, part, text);
                }
                None => return Err(Fault::schema("The part of the address is missing")),
            }
        }
        Path::Extended(_) => {
            let (path, value) = extended::read(child)?;
            extended::set(content, path, value);
        }
        Path::Folder(_) => return Err(Fault::new(code::INVALID_PROPERTY_SET, "An item has no properties of folders.")),
    }
    Ok(())
}

fn delete(content: &mut Content, path: Path) {
    match path {
        Path::Field(field) => {
            content.values.remove(field.name);
        }
        Path::Entry(field, index, part) => match (content.values.get_mut(field.name), part) {
            (Some(Value::Entries(entries)), _) => {
                entries.remove(&index);
            }
            (Some(Value::Places(places)), Some(part)) => {
                if let Some(place) = places.get_mut(&index) {
                    place.remove(&part);
                }
                places.retain(|_, place| !place.is_empty());
            }
            _ => {}
        },
        Path::Extended(path) => {
            content.extended.remove(&path.name);
        }
        Path::Folder(_) => {}
    }
}

fn append(content: &mut Content, path: Path, item: &Element) -> Part {
    let Path::Field(field) = path else { return Err(Fault::new("ErrorAppendToItem", "This cannot be appended to.")) };
    let child = item.children.first().ok_or_else(|| Fault::schema("The new value is missing"))?;
    let more = read::value(field, child)?;
    match (content.values.get_mut(field.name), more) {
        (Some(Value::Body(body)), Value::Body(more)) => body.text.push_str(&more.text),
        (Some(Value::People(list)), Value::People(more)) => list.extend(more),
        (Some(Value::Attendees(list)), Value::Attendees(more)) => list.extend(more),
        (Some(Value::Text(text)), Value::Text(more)) => text.push_str(&more),
        (Some(_), _) => return Err(Fault::new("ErrorAppendToItem", "This cannot be appended to.")),
        (None, more) => {
            content.values.insert(field.name, more);
        }
    }
    Ok(())
}

/// Makes the changes; the answer is whether only the read flag was among them.
fn apply(content: &mut Content, updates: &[Element], now: chrono::DateTime<chrono::Utc>) -> Part<Touch> {
    let before = content.clone();
    for update in updates {
        let path = path::within(update)?;
        let item = || {
            let item = update.children.iter().find(|child| !path::is_path(child));
            item.ok_or_else(|| Fault::schema("The item with the new value is missing"))
        };
        match update.name.as_str() {
            "SetItemField" => set(content, path, item()?)?,
            "DeleteItemField" => delete(content, path),
            "AppendToItemField" => append(content, path, item()?)?,
            other => return Err(Fault::schema(format!("{other} is not known"))),
        }
    }
    if content.class == Class::Task && content.text("Status") != before.text("Status") {
        if content.text("Status") != "Completed" {
            content.values.remove("CompleteDate");
            let same = content.values.get("PercentComplete") == before.values.get("PercentComplete");
            if same && before.text("Status") == "Completed" {
                content.values.remove("PercentComplete");
            }
        }
        read::settle_task(content, now);
    } else if content.class == Class::Task
        && content.values.get("PercentComplete") != before.values.get("PercentComplete")
    {
        read::settle_task(content, now);
    }
    if content.class == Class::CalendarItem {
        if let (Some(start), Some(end)) = (content.instant("Start"), content.instant("End"))
            && end < start
        {
            return Err(Fault::new("ErrorCalendarEndDateIsEarlierThanStartDate", "End is before Start."));
        }
        let meeting = !content.attendees().is_empty();
        if content.text("MyResponseType") == "Organizer" {
            content.values.insert("IsMeeting", Value::Bool(meeting));
        }
    }
    // A message whose headers or body were changed no longer is what travelled.
    let mut without = content.clone();
    without.values.remove("IsRead");
    let mut only_flag = before;
    only_flag.values.remove("IsRead");
    if without == only_flag {
        return Ok(Touch::ReadFlag);
    }
    const LOCAL: &[&str] = &["IsRead", "Categories", "Importance", "Flag", "ReminderIsSet", "IsDraft"];
    let changed =
        content.values.iter().any(|(name, value)| !LOCAL.contains(name) && only_flag.values.get(name) != Some(value));
    if changed || only_flag.values.keys().any(|name| !content.values.contains_key(name)) {
        content.mime = None;
    }
    Ok(Touch::Content)
}

fn forgets(content: &Content, before: &Content) -> bool {
    content.recurrence().is_some() && RULE.iter().any(|name| content.values.get(name) != before.values.get(name))
}

fn change(call: &mut Call<'_>, id: ItemRef, updates: &[Element]) -> Part {
    let now = call.now;
    let mailbox = call.mailbox_mut(id.mailbox)?;
    // Tried on a copy first: how it counts is known only afterwards, and what fails must leave nothing behind.
    let mut content = View::find(mailbox, id)?.content.into_owned();
    let touch = apply(&mut content, updates, now)?;
    match id.original {
        Some(original) => mailbox.change_occurrence(id.item, original, now, |own| {
            *own = content;
            Ok(())
        })?,
        None => mailbox.change(id.item, touch, now, |item| {
            if forgets(&content, &item.content) {
                item.exceptions.clear();
            }
            item.content = content;
            Ok(())
        })?,
    }
    Ok(())
}

fn one(call: &mut Call<'_>, request: &Element, element: &Element) -> Part<Option<ItemRef>> {
    let id_element = element.children.iter().find(|child| child.name.ends_with("ItemId"));
    let id_element = id_element.ok_or_else(|| Fault::schema("An item id is missing"))?;
    let id = call.item(id_element)?;
    let resolution = request.attribute("ConflictResolution").unwrap_or("AutoResolve");
    if current(call, id, id_element)? == Some(false) && resolution == "NeverOverwrite" {
        let text = "The send or update operation could not be performed because the change key passed in the request does \
                    not match the current change key for the item.";
        return Err(Fault::new(code::IRRESOLVABLE, text));
    }
    let class = call.mailbox(id.mailbox)?.item(id.item)?.content.class;
    let how = request.attribute("SendMeetingInvitationsOrCancellations");
    if class == Class::CalendarItem && how.is_none() {
        let text = "SendMeetingInvitationsOrCancellations is required for calendar items.";
        return Err(Fault::new("ErrorSendMeetingInvitationsOrCancellationsRequired", text));
    }
    change(call, id, element.list("Updates"))?;
    let disposition = request.attribute("MessageDisposition").unwrap_or("SaveOnly");
    if class == Class::CalendarItem {
        announce(call, id, how.unwrap_or("SendToNone"))?;
    } else if class.is_mail() && disposition.starts_with("Send") {
        let place = target(call, request.child("SavedItemFolderId"), "sentitems")?;
        let keep = (disposition == "SendAndSaveCopy").then_some(place);
        return send_draft(call, id.mailbox, id.item, keep);
    }
    Ok(Some(id))
}

/// Tells the invited of a changed meeting, where this is the organiser and that is wished.
fn announce(call: &mut Call<'_>, id: ItemRef, how: &str) -> Part {
    let how = match how {
        "SendToChangedAndSaveCopy" => "SendToAllAndSaveCopy",
        other => other,
    };
    let content = View::find(call.mailbox(id.mailbox)?, id)?.content.into_owned();
    let organiser = content.text("MyResponseType") == "Organizer";
    if how == "SendToNone" || !organiser || content.attendees().is_empty() {
        return Ok(());
    }
    let now = call.now;
    let next = match content.values.get("AppointmentSequenceNumber") {
        Some(Value::Int(number)) => number + 1,
        _ => 1,
    };
    if let Some(item) = call.mailbox_mut(id.mailbox)?.items.get_mut(&id.item) {
        item.content.values.insert("AppointmentSequenceNumber", Value::Int(next));
        item.content.values.insert("MeetingRequestWasSent", Value::Bool(true));
    }
    let mut content = View::find(call.mailbox(id.mailbox)?, id)?.content.into_owned();
    meeting::prepare(call.mailbox(id.mailbox)?, &mut content, 0, now);
    notify(call, &content, Notice::Request, how)
}

/// `UpdateItem`.
pub fn update(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "UpdateItem", |w| {
        for element in request.list("ItemChanges") {
            let done = one(call, request, element);
            answer::message(w, "UpdateItem", &done, |w, made| {
                super::create::write_made(call, w, *made);
                w.element("m:ConflictResults", &[], |w| w.leaf("t:Count", "0"));
            });
        }
    });
    Ok(())
}
