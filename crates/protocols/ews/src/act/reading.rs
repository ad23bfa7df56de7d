//! Items as they are now. One that the server chokes on does not keep its neighbours from being read.

use chrono_tz::Tz;
use lockstep_connector::{
    Deadline,
    items::{Item, Reading},
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    record::Kind,
    remote::RemoteKey,
};

use super::listing;
use crate::{
    client::Client,
    codec::{
        id::{ItemId, ItemRef},
        time,
    },
    fault::{self, Refusal},
    header::id_of,
    item::{Class, appointment, contact, task},
    items::together,
    xml::Element,
};

/// Reads items, in the order asked for.
pub(super) async fn read(
    client: &mut Client,
    class: Class,
    keys: &[RemoteKey],
    home: Tz,
    deadline: &Deadline,
) -> Result<Vec<Reading>, Fault> {
    let mut readings = Vec::with_capacity(keys.len());
    for portion in keys.chunks(together(class)) {
        let items: Vec<ItemRef> = portion.iter().map(|key| ItemId::whatever(id_of(key)).into()).collect();
        for element in shown(client, class, &items, deadline).await? {
            readings.push(match element {
                Ok(element) => reading(client, class, &element, home, deadline).await?,
                Err(fault) if fault.class == FaultClass::Gone => Reading::Gone,
                Err(fault) => Reading::Unreadable(fault),
            });
        }
    }
    Ok(readings)
}

/// Whether what went wrong may have been about one item, although the server, or the connection, failed as a whole.
pub(super) fn may_be_of_an_item(fault: &Fault) -> bool {
    let codes = ["ServerTemporaryFailure", "ServerPermanentFailure", "ProtocolViolation", "ConnectionLost"];
    fault.scope == FaultScope::Mailbox
        && !fault.local
        && fault.retry_after.is_none()
        && codes.contains(&fault.code.as_str())
}

/// The same fault, of one item.
pub(super) fn of_the_item(fault: Fault) -> Fault {
    let message = format!("{}: {}", fault.code, fault.message);
    let code = if fault.class == FaultClass::Refused { "MessageRefused" } else { "ItemUnavailable" };
    fault::item(fault.class, code, message)
}

/// The elements of one request's items.
async fn shown(
    client: &mut Client,
    class: Class,
    items: &[ItemRef],
    deadline: &Deadline,
) -> Result<Vec<Result<Element, Fault>>, Fault> {
    let judged = |one: Result<Element, Refusal>| one.map_err(|refusal| refusal.fault(FaultScope::Item));
    let together = match client.get_items(class, items, deadline).await {
        Ok(elements) => return Ok(elements.into_iter().map(judged).collect()),
        Err(fault) if may_be_of_an_item(&fault) => fault,
        Err(fault) => return Err(fault),
    };
    let (mut found, mut choked) = (Vec::with_capacity(items.len()), 0);
    for item in items {
        match client.get_items(class, std::slice::from_ref(item), deadline).await {
            Ok(elements) => found.extend(elements.into_iter().map(judged)),
            Err(fault) if may_be_of_an_item(&fault) => {
                client.look(deadline).await?;
                choked += 1;
                found.push(Err(of_the_item(fault)));
            }
            Err(fault) => return Err(fault),
        }
    }
    // A mailbox that answers, but shows not one of several items, has a trouble of its own.
    if choked > 1 && choked == items.len() { Err(together) } else { Ok(found) }
}

async fn reading(
    client: &mut Client,
    class: Class,
    element: &Element,
    home: Tz,
    deadline: &Deadline,
) -> Result<Reading, Fault> {
    if !listing::is_of(class, element) {
        return Ok(Reading::Apart("an item of another kind"));
    }
    let apart = match class {
        Class::Contact => None,
        Class::Task => task::apart(element),
        Class::Appointment => appointment::apart(element),
    };
    if let Some(why) = apart {
        return Ok(Reading::Apart(why));
    }
    let (kind, fields) = match class {
        Class::Contact => (Kind::Contact, contact::read(element)),
        Class::Task => (Kind::Task, task::read(element)),
        Class::Appointment if appointment::is_master(element) => match client.series(element, home, deadline).await {
            Ok(Some(fields)) => (Kind::RecurringAppointment, fields),
            Ok(None) => return Ok(Reading::Apart("a series whose rule is not known here")),
            Err(fault) if fault.scope == FaultScope::Item => {
                // The series itself is here; that one of its occurrences went meanwhile shows with the next try.
                let class = if fault.class == FaultClass::Gone { FaultClass::Transient } else { fault.class };
                return Ok(Reading::Unreadable(Fault { class, ..fault }));
            }
            Err(fault) if may_be_of_an_item(&fault) => {
                client.look(deadline).await?;
                return Ok(Reading::Unreadable(of_the_item(fault)));
            }
            Err(fault) => return Err(fault),
        },
        Class::Appointment => (Kind::Appointment, appointment::read(element, home)),
    };
    let head = listing::head(class, element);
    let modified = element.text_of("LastModifiedTime").and_then(time::read);
    let (Some(head), Some(modified)) = (head, modified) else {
        let message = "the server does not say which item it is, or when it was modified";
        return Ok(Reading::Unreadable(fault::item(FaultClass::Transient, "ItemUnavailable", message)));
    };
    let organiser = class != Class::Appointment || appointment::is_organiser(element);
    Ok(Reading::Here(Box::new(Item { head, kind, fields, modified, organiser })))
}
