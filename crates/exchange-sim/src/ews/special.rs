//! Properties that are made when they are asked for and have shapes of their own.

use chrono::{DateTime, TimeDelta, Utc};

use super::{ids, schema::Field, shape::write_occurrence, time, view::View, xml::Writer};
use crate::{
    mime,
    world::{
        item::{Class, Exception},
        recurrence::End,
    },
};

/// How many headers an answer carries.
const HEADERS: usize = 500;

fn rights(w: &mut Writer) {
    w.element("t:EffectiveRights", &[], |w| {
        for right in
            ["CreateAssociated", "CreateContents", "CreateHierarchy", "Delete", "Modify", "Read", "ViewPrivateItems"]
        {
            w.leaf(&format!("t:{right}"), "true");
        }
    });
}

fn responses(w: &mut Writer, view: &View<'_>) {
    let answerable = match view.content.class {
        Class::MeetingRequest => true,
        Class::CalendarItem => view.content.is("IsMeeting") && view.content.text("MyResponseType") != "Organizer",
        _ => false,
    };
    w.element("t:ResponseObjects", &[], |w| {
        if answerable {
            for name in ["t:AcceptItem", "t:TentativelyAcceptItem", "t:DeclineItem"] {
                w.empty(name, &[]);
            }
        }
        if view.content.class.is_mail() {
            for name in ["t:ReplyToItem", "t:ReplyAllToItem", "t:ForwardItem"] {
                w.empty(name, &[]);
            }
        }
    });
}

fn occurrences(w: &mut Writer, view: &View<'_>, name: &str) {
    if view.original.is_some() || view.content.recurrence().is_none() {
        return;
    }
    let item = view.item;
    let all = |until: DateTime<Utc>| item.originals(until).into_iter().filter_map(|original| item.occurrence(original));
    let far = item.created_at + TimeDelta::days(36_500);
    match name {
        "FirstOccurrence" => {
            if let Some(one) = all(far).next() {
                write_occurrence(w, "t:FirstOccurrence", view, one);
            }
        }
        "LastOccurrence" if view.content.recurrence().is_some_and(|rule| rule.end != End::Never) => {
            if let Some(one) = all(far).next_back() {
                write_occurrence(w, "t:LastOccurrence", view, one);
            }
        }
        "ModifiedOccurrences" => {
            let changed = item.exceptions.iter().filter(|(_, what)| matches!(what, Exception::Changed(_)));
            let changed: Vec<_> = changed.filter_map(|(original, _)| item.occurrence(*original)).collect();
            if !changed.is_empty() {
                w.element("t:ModifiedOccurrences", &[], |w| {
                    changed.into_iter().for_each(|one| write_occurrence(w, "t:Occurrence", view, one));
                });
            }
        }
        "DeletedOccurrences" => {
            let deleted: Vec<_> = item.exceptions.iter().filter(|(_, what)| **what == Exception::Deleted).collect();
            if !deleted.is_empty() {
                w.element("t:DeletedOccurrences", &[], |w| {
                    for (original, _) in deleted {
                        w.element("t:DeletedOccurrence", &[], |w| w.leaf("t:Start", &time::write(*original)));
                    }
                });
            }
        }
        _ => {}
    }
}

/// Writes one of them; what does not apply is left out.
pub fn write(w: &mut Writer, view: &View<'_>, field: &Field) {
    let content = &view.content;
    match field.name {
        "EffectiveRights" => rights(w),
        "ResponseObjects" => responses(w, view),
        "ConversationId" => {
            let topic = content.text("ConversationTopic");
            let topic = if topic.is_empty() { content.text("Subject") } else { topic };
            let sum = topic
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |sum, octet| (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3));
            w.empty("t:ConversationId", &[("Id", &ids::change_key(sum))]);
        }
        "InternetMessageHeaders" => {
            let octets = content.mime.clone().unwrap_or_else(|| mime::write(content, view.item.created_at));
            let headers = if content.class.is_mail() { mime::headers(&octets, HEADERS) } else { Vec::new() };
            if !headers.is_empty() {
                w.element("t:InternetMessageHeaders", &[], |w| {
                    for (name, text) in &headers {
                        w.leaf_with("t:InternetMessageHeader", &[("HeaderName", name)], text);
                    }
                });
            }
        }
        "AssociatedCalendarItemId" => {
            if let Some(about) = view.item.about.and_then(|id| view.mailbox.items.get(&id)) {
                let id = ids::ItemRef { mailbox: view.mailbox.number, item: about.id, original: None };
                ids::write_item(w, "t:AssociatedCalendarItemId", id, about.version);
            }
        }
        "CompleteName" => {
            let parts = [
                ("FirstName", "GivenName"),
                ("MiddleName", "MiddleName"),
                ("LastName", "Surname"),
                ("Nickname", "Nickname"),
            ];
            w.element("t:CompleteName", &[], |w| {
                for (element, property) in parts {
                    if !content.text(property).is_empty() {
                        w.leaf(&format!("t:{element}"), content.text(property));
                    }
                }
                let full = format!("{} {}", content.text("GivenName"), content.text("Surname"));
                w.leaf("t:FullName", full.trim());
            });
        }
        "Flag" => w.element("t:Flag", &[], |w| w.leaf("t:FlagStatus", "NotFlagged")),
        name => occurrences(w, view, name),
    }
}
