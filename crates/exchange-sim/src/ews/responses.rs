//! What is created in response to another item: replies, forwards, answers to invitations, cancellations.

use super::{
    answer::{Fault, Part},
    call::Call,
    create::{notify, save, target},
    ids::ItemRef,
    read,
    view::View,
    xml::Element,
};
use crate::world::{
    item::{Class, Content},
    meeting::Notice,
    value::{Answer, Body, Person, Value},
};

fn reference(call: &Call<'_>, element: &Element) -> Part<ItemRef> {
    let id = element.child("ReferenceItemId").ok_or_else(|| Fault::schema("ReferenceItemId is missing"))?;
    let id = call.item(id)?;
    View::find(call.mailbox(id.mailbox)?, id)?;
    Ok(id)
}

fn body(element: &Element) -> Option<Body> {
    let body = element.child("NewBodyContent").or(element.child("Body"))?;
    Some(Body { html: body.attribute("BodyType") == Some("HTML"), text: body.text.clone() })
}

fn people(element: &Element, name: &str) -> Option<Vec<Person>> {
    element.child(name).map(|list| list.children.iter().filter_map(read::mailbox).collect())
}

/// A reply or a forward.
fn message(call: &mut Call<'_>, request: &Element, element: &Element) -> Part<Option<ItemRef>> {
    let id = reference(call, element)?;
    let now = call.now;
    let mailbox = call.mailbox_mut(id.mailbox)?;
    let original = mailbox.item(id.item)?.content.clone();
    let owner = mailbox.owner.clone();
    let forward = element.name == "ForwardItem";
    let mut content = Content::new(Class::Message);
    let subject = original.text("Subject");
    let bare = ["RE: ", "Re: ", "FW: "].iter().find_map(|head| subject.strip_prefix(head)).unwrap_or(subject);
    content.set_text("Subject", format!("{}{bare}", if forward { "FW: " } else { "RE: " }));
    if let Some(given) = element.text_of("Subject") {
        content.set_text("Subject", given);
    }
    if !forward {
        let mut to: Vec<Person> = match original.people("ReplyTo") {
            [] => original.person("From").cloned().into_iter().collect(),
            list => list.to_vec(),
        };
        if element.name == "ReplyAllToItem" {
            to.extend(original.people("ToRecipients").iter().filter(|person| !person.is(&owner.address)).cloned());
            content.values.insert("CcRecipients", Value::People(original.people("CcRecipients").to_vec()));
        }
        content.values.insert("ToRecipients", Value::People(to));
    }
    for name in ["ToRecipients", "CcRecipients", "BccRecipients"] {
        if let Some(list) = people(element, name) {
            content.values.insert(name, Value::People(list));
        }
    }
    let id_of_original = original.text("InternetMessageId");
    content.set_text("InReplyTo", id_of_original);
    content.set_text("References", format!("{} {id_of_original}", original.text("References")).trim());
    content.set_text("ConversationTopic", original.text("ConversationTopic"));
    let mut words = body(element).unwrap_or_default();
    let quoted = super::body::plain(&original);
    words.text.push_str(if words.html { "<hr>" } else { "\r\n\r\n________________________________\r\n" });
    words.text.push_str(&if words.html { quoted.replace('&', "&amp;").replace('<', "&lt;") } else { quoted });
    content.values.insert("Body", Value::Body(words));
    if forward {
        content.attachments = original.attachments;
        for one in &mut content.attachments {
            one.id = mailbox.fresh_attachment();
        }
    }
    match request.attribute("MessageDisposition") {
        Some(how @ ("SendOnly" | "SendAndSaveCopy")) => {
            let sent = call.world.send(call.me, content, now)?;
            if how == "SendOnly" {
                return Ok(None);
            }
            let place = target(call, request.child("SavedItemFolderId"), "sentitems")?;
            save(call, place, sent).map(Some)
        }
        _ => {
            content.values.insert("IsDraft", Value::Bool(true));
            let place = target(call, request.child("SavedItemFolderId"), "drafts")?;
            save(call, place, content).map(Some)
        }
    }
}

fn answer(call: &mut Call<'_>, request: &Element, element: &Element, answer: Answer) -> Part<Option<ItemRef>> {
    let id = reference(call, element)?;
    let how = request.attribute("MessageDisposition").unwrap_or("SendAndSaveCopy");
    let send = how.starts_with("Send");
    let message = call.world.answer(id.mailbox, id.item, answer, body(element), send, call.now)?;
    let Some(message) = message.filter(|_| how == "SendAndSaveCopy") else { return Ok(None) };
    let place = (id.mailbox, call.mailbox(id.mailbox)?.home("sentitems"));
    save(call, place, message).map(Some)
}

/// Calls a meeting, or one occurrence of it, off.
pub(super) fn cancel(call: &mut Call<'_>, id: ItemRef, words: Option<Body>, how: &str) -> Part {
    let now = call.now;
    let mut content = View::find(call.mailbox(id.mailbox)?, id)?.content.into_owned();
    if let Some(words) = words {
        content.values.insert("Body", Value::Body(words));
    }
    if content.text("MyResponseType") == "Organizer" {
        notify(call, &content, Notice::Cancellation, how)?;
    }
    let mailbox = call.mailbox_mut(id.mailbox)?;
    match id.original {
        Some(original) => mailbox.delete_occurrence(id.item, original, now)?,
        None => {
            let bin = mailbox.home("deleteditems");
            mailbox.move_item(id.item, bin, now)?;
        }
    }
    Ok(())
}

fn remove(call: &mut Call<'_>, element: &Element) -> Part<Option<ItemRef>> {
    let id = reference(call, element)?;
    let now = call.now;
    let mailbox = call.mailbox_mut(id.mailbox)?;
    let bin = mailbox.home("deleteditems");
    if let Some(about) = mailbox.item(id.item)?.about.filter(|about| mailbox.items.contains_key(about)) {
        mailbox.move_item(about, bin, now)?;
    }
    let item = mailbox.move_item(id.item, bin, now)?;
    Ok(Some(ItemRef { item, ..id }))
}

/// Creates what an element asks for that names another item.
pub(super) fn create(call: &mut Call<'_>, request: &Element, element: &Element) -> Part<Option<ItemRef>> {
    match element.name.as_str() {
        "ReplyToItem" | "ReplyAllToItem" | "ForwardItem" => message(call, request, element),
        "AcceptItem" => answer(call, request, element, Answer::Accept),
        "TentativelyAcceptItem" => answer(call, request, element, Answer::Tentative),
        "DeclineItem" => answer(call, request, element, Answer::Decline),
        "CancelCalendarItem" => {
            let id = reference(call, element)?;
            cancel(call, id, body(element), "SendToAllAndSaveCopy").map(|()| None)
        }
        "RemoveItem" => remove(call, element),
        "SuppressReadReceipt" => reference(call, element).map(|_| None),
        other => Err(Fault::schema(format!("{other} cannot be created"))),
    }
}
