//! Subscriptions: pull with watermarks, and streaming.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    answer::{self, Fault, Part, code},
    call::Call,
    ids::{self, ItemRef},
    time,
    xml::{self, Element, Writer},
};
use crate::world::{
    event::{Event, Happening, Interest},
    folder::FolderId,
    item::ItemId,
    mailbox::Mailbox,
};

/// How many events one answer carries.
const EVENTS: usize = 50;
/// How many subscriptions there may be.
const SUBSCRIPTIONS: usize = 5_000;

#[derive(Debug, Clone)]
struct Subscription {
    mailbox: u32,
    interest: Interest,
    /// Of a streaming one: what was told already.
    told: Option<u64>,
}

/// Who listens to what.
#[derive(Debug, Default)]
pub struct Subscriptions {
    next: u64,
    known: BTreeMap<String, Subscription>,
}

impl Subscriptions {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    fn add(&mut self, subscription: Subscription) -> Part<String> {
        if self.known.len() >= SUBSCRIPTIONS {
            return Err(Fault::new("ErrorExceededSubscriptionCount", "There are too many subscriptions."));
        }
        self.next += 1;
        let id = STANDARD.encode(format!("sim-subscription {}", self.next));
        self.known.insert(id.clone(), subscription);
        Ok(id)
    }

    fn find(&self, id: &str) -> Part<&Subscription> {
        let missing = || Fault::new(code::SUBSCRIPTION_NOT_FOUND, "The specified subscription was not found.");
        self.known.get(id).ok_or_else(missing)
    }
}

fn watermark(mailbox: &Mailbox, sequence: u64) -> String {
    STANDARD.encode(format!("sim-watermark {} {sequence}", mailbox.epoch))
}

fn read_watermark(mailbox: &Mailbox, text: &str) -> Part<u64> {
    let invalid = || Fault::new(code::INVALID_WATERMARK, "The watermark used in the request is not valid.");
    let text = STANDARD.decode(text).ok().and_then(|octets| String::from_utf8(octets).ok()).ok_or_else(invalid)?;
    let (epoch, sequence) =
        text.strip_prefix("sim-watermark ").and_then(|rest| rest.split_once(' ')).ok_or_else(invalid)?;
    if epoch.parse() != Ok(mailbox.epoch) {
        return Err(invalid());
    }
    sequence.parse().map_err(|_| invalid())
}

fn subscribe_one(call: &mut Call<'_>, request: &Element) -> Part<(String, Option<String>)> {
    let kind = request.children.first().ok_or_else(|| Fault::schema("A subscription is missing"))?;
    let streaming = match kind.name.as_str() {
        "PullSubscriptionRequest" => false,
        "StreamingSubscriptionRequest" => true,
        _ => return Err(Fault::new(code::INVALID_SUBSCRIPTION, "Push subscriptions are not offered.")),
    };
    let mut folders = Vec::new();
    let mut number = call.me;
    for element in kind.list("FolderIds") {
        let (mailbox, folder) = call.folder(element)?;
        number = mailbox;
        folders.push(folder);
    }
    if folders.is_empty() && !xml::is_true(kind.attribute("SubscribeToAllFolders")) {
        return Err(Fault::new(code::INVALID_SUBSCRIPTION, "Folders are missing."));
    }
    let names = kind.list("EventTypes").iter().map(|name| name.text.trim().to_owned()).collect();
    let mailbox = call.mailbox(number)?;
    let from = match kind.text_of("Watermark").filter(|text| !text.is_empty()) {
        Some(text) => read_watermark(mailbox, text)?,
        None => mailbox.sequence,
    };
    let mark = (!streaming).then(|| watermark(mailbox, from));
    let interest = Interest { folders, names };
    let id = call.subscriptions.add(Subscription { mailbox: number, interest, told: streaming.then_some(from) })?;
    Ok((id, mark))
}

/// `Subscribe`.
pub fn subscribe(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "Subscribe", |w| {
        let made = subscribe_one(call, request);
        answer::message(w, "Subscribe", &made, |w, (id, mark)| {
            w.leaf("m:SubscriptionId", id);
            if let Some(mark) = mark {
                w.leaf("m:Watermark", mark);
            }
        });
    });
    Ok(())
}

/// `Unsubscribe`.
pub fn unsubscribe(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    answer::response(w, "Unsubscribe", |w| {
        let id = request.text_of("SubscriptionId").unwrap_or_default();
        let done = call.subscriptions.find(id).map(|_| ());
        call.subscriptions.known.remove(id);
        answer::message(w, "Unsubscribe", &done, |_, ()| {});
    });
    Ok(())
}

fn write_event(w: &mut Writer, mailbox: &Mailbox, event: &Event) {
    let item = |w: &mut Writer, name: &str, item: ItemId| {
        let version = mailbox.items.get(&item).map_or(1, |item| item.version);
        ids::write_item(w, name, ItemRef { mailbox: mailbox.number, item, original: None }, version);
    };
    let folder = |w: &mut Writer, name: &str, folder: FolderId| {
        let version = mailbox.folders.get(&folder).map_or(1, |folder| folder.version);
        ids::write_folder(w, name, mailbox.number, folder, version);
    };
    w.element(&format!("t:{}", event.happening.name()), &[], |w| {
        w.leaf("t:Watermark", &watermark(mailbox, event.sequence));
        w.leaf("t:TimeStamp", &time::write(event.at));
        match event.happening {
            Happening::NewMail { item: id, folder: place }
            | Happening::Created { item: id, folder: place }
            | Happening::Modified { item: id, folder: place }
            | Happening::Deleted { item: id, folder: place } => {
                item(w, "t:ItemId", id);
                folder(w, "t:ParentFolderId", place);
            }
            Happening::Moved { item: id, folder: place, was, from }
            | Happening::Copied { item: id, folder: place, was, from } => {
                item(w, "t:ItemId", id);
                folder(w, "t:ParentFolderId", place);
                item(w, "t:OldItemId", was);
                folder(w, "t:OldParentFolderId", from);
            }
            Happening::FolderCreated { folder: id, parent }
            | Happening::FolderDeleted { folder: id, parent }
            | Happening::FolderMoved { folder: id, parent } => {
                folder(w, "t:FolderId", id);
                folder(w, "t:ParentFolderId", parent);
                if matches!(event.happening, Happening::FolderMoved { .. }) {
                    folder(w, "t:OldFolderId", id);
                    folder(w, "t:OldParentFolderId", parent);
                }
            }
            Happening::FolderModified { folder: id } => {
                folder(w, "t:FolderId", id);
                let parent = mailbox.folders.get(&id).and_then(|folder| folder.parent).unwrap_or(id);
                folder(w, "t:ParentFolderId", parent);
            }
        }
    });
}

/// `GetEvents`.
pub fn events(call: &mut Call<'_>, request: &Element, w: &mut Writer) -> Result<(), Fault> {
    let id = request.text_of("SubscriptionId").unwrap_or_default();
    let mark = request.text_of("Watermark").unwrap_or_default();
    answer::response(w, "GetEvents", |w| {
        let found: Part<_> = (|| {
            let subscription = call.subscriptions.find(id)?;
            let mailbox = call.mailbox(subscription.mailbox)?;
            let since = read_watermark(mailbox, mark)?;
            let mut events = mailbox.heard(&subscription.interest, since, EVENTS + 1)?;
            let more = events.len() > EVENTS;
            events.truncate(EVENTS);
            Ok((mailbox, since, events, more))
        })();
        answer::message(w, "GetEvents", &found, |w, (mailbox, since, events, more)| {
            w.element("m:Notification", &[], |w| {
                w.leaf("t:SubscriptionId", id);
                w.leaf("t:PreviousWatermark", &watermark(mailbox, *since));
                w.leaf("t:MoreEvents", if *more { "true" } else { "false" });
                events.iter().for_each(|event| write_event(w, mailbox, event));
                if events.is_empty() {
                    let now = watermark(mailbox, mailbox.sequence);
                    w.element("t:StatusEvent", &[], |w| w.leaf("t:Watermark", &now));
                }
            });
        });
    });
    Ok(())
}

/// What a `GetStreamingEvents` asks for: its subscriptions, and for how many minutes.
pub fn stream_request(request: &Element) -> (Vec<String>, u64) {
    let ids = request.list("SubscriptionIds").iter().map(|id| id.text.trim().to_owned()).collect();
    (ids, request.text_of("ConnectionTimeout").and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 30))
}

/// The next piece of a stream: what happened since the last one; none when nothing did. A subscription that is not known
/// ends the stream with an error.
pub fn piece(call: &mut Call<'_>, ids: &[String]) -> (Option<String>, bool) {
    let mut w = Writer::default();
    let mut told = false;
    let missing: Vec<_> = ids.iter().filter(|id| call.subscriptions.find(id).is_err()).collect();
    if !missing.is_empty() {
        answer::response(&mut w, "GetStreamingEvents", |w| {
            w.element("m:GetStreamingEventsResponseMessage", &[("ResponseClass", "Error")], |w| {
                w.leaf("m:MessageText", "One or more subscriptions were not found.");
                w.leaf("m:ResponseCode", code::SUBSCRIPTION_NOT_FOUND);
                w.leaf("m:DescriptiveLinkKey", "0");
                w.element("m:ErrorSubscriptionIds", &[], |w| {
                    missing.iter().for_each(|id| w.leaf("m:SubscriptionId", id));
                });
                w.leaf("m:ConnectionStatus", "Closed");
            });
        });
        return (Some(w.finish()), true);
    }
    answer::response(&mut w, "GetStreamingEvents", |w| {
        answer::message(w, "GetStreamingEvents", &Ok(()), |w, ()| {
            w.element("m:Notifications", &[], |w| {
                for id in ids {
                    let Some(subscription) = call.subscriptions.known.get(id).cloned() else { continue };
                    let Ok(mailbox) = call.world.mailbox(subscription.mailbox) else { continue };
                    let since = subscription.told.unwrap_or(mailbox.sequence);
                    let events = mailbox.heard(&subscription.interest, since, EVENTS).unwrap_or_default();
                    let Some(last) = events.last() else { continue };
                    told = true;
                    w.element("m:Notification", &[], |w| {
                        w.leaf("t:SubscriptionId", id);
                        events.iter().for_each(|event| write_event(w, mailbox, event));
                    });
                    if let Some(kept) = call.subscriptions.known.get_mut(id) {
                        kept.told = Some(last.sequence);
                    }
                }
            });
        });
    });
    (told.then(|| w.finish()), false)
}

/// A piece that says no more than how the connection is.
pub fn status(word: &str) -> String {
    let mut w = Writer::default();
    answer::response(&mut w, "GetStreamingEvents", |w| {
        answer::message(w, "GetStreamingEvents", &Ok(()), |w, ()| w.leaf("m:ConnectionStatus", word));
    });
    w.finish()
}
