//! Writes, one after the other. Only contacts are made several at a time.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use lockstep_connector::{
    Deadline,
    items::{Beside, Folder, Item, NotDone, Receipt, Tell, Write, Written},
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    record::{
        Field, Fields, Kind, LinkId, Patch, RemoteVersion, Value,
        series::{MAX_EXCEPTIONS, Series},
    },
    remote::RemoteKey,
};

use super::{beside, class_of, reading};
use crate::{
    client::Client,
    codec::{create_item::Invitations, id::ItemId, update_item::Update},
    fault::{self, Refusal},
    header::id_of,
    item::{Class, Unwritable, appointment, contact, task, values},
    items::{NotWritten, TOGETHER},
};

/// What became of one write.
type Answer = Result<Receipt, NotDone>;

/// Parts that were not written, and why.
type LeftOut = Vec<(Field, String)>;

/// Carries writes out until all are, or the session ends.
pub(super) async fn write(client: &mut Client, writes: &[Write], home: Tz, deadline: &Deadline) -> Written {
    let mut written = Written::default();
    // So many are not made together, because one of them spoils the request.
    let mut singly = 0_usize;
    while written.broken.is_none() && written.done.len() < writes.len() {
        let rest = &writes[written.done.len()..];
        let contacts: Vec<(&Fields, LinkId)> = rest.iter().map_while(contact_of).take(TOGETHER).collect();
        if singly == 0 && contacts.len() > 1 {
            match contacts_together(client, &contacts, deadline).await {
                Ok(Some(together)) => {
                    written.done.extend(together.done);
                    written.broken = together.broken;
                }
                Ok(None) => singly = contacts.len(),
                Err(fault) => written.broken = Some(fault),
            }
            continue;
        }
        singly = singly.saturating_sub(1);
        match one(client, &rest[0], home, deadline).await {
            Ok(answer) => written.done.push(answer),
            Err(fault) => written.broken = Some(fault),
        }
    }
    written
}

fn contact_of(write: &Write) -> Option<(&Fields, LinkId)> {
    match write {
        Write::Create { kind: Kind::Contact, values, mark, .. } => Some((values, *mark)),
        _ => None,
    }
}

/// Makes contacts with one request; `None` when the server refused it as a whole, and nothing was made.
async fn contacts_together(
    client: &mut Client,
    contacts: &[(&Fields, LinkId)],
    deadline: &Deadline,
) -> Result<Option<Written>, Fault> {
    let elements: Vec<String> = contacts.iter().map(|(values, mark)| contact::create(values, Some(*mark))).collect();
    let answers = match client.create_contacts(&elements, deadline).await {
        Err(fault) if was_refused(&fault) => {
            client.look(deadline).await?;
            return Ok(None);
        }
        answers => answers?,
    };
    let mut written = Written::default();
    let left = answers.len() < contacts.len();
    for answer in answers {
        let answer = match answer {
            Ok(id) => receipt(id, LeftOut::new()).map(Ok),
            Err(refusal) => not_made(&Refused::Item(refusal)).map(Err),
        };
        match answer {
            Ok(answer) => written.done.push(answer),
            Err(fault) => {
                written.broken = Some(fault);
                return Ok(Some(written));
            }
        }
    }
    written.broken = left.then(|| fault::violation("the server left an item out"));
    Ok(Some(written))
}

async fn one(client: &mut Client, write: &Write, home: Tz, deadline: &Deadline) -> Result<Answer, Fault> {
    match write {
        Write::Create { kind, values, mark, beside, tell } => {
            let new = New { kind: *kind, values, mark: *mark, reminder: !beside.no_reminder };
            create(client, new, invitations(*tell, true), home, deadline).await
        }
        Write::Update { item, patch, beside, tell } => {
            update(client, item, patch, beside, invitations(*tell, item.organiser), home, deadline).await
        }
        Write::Delete { item, tell } => delete(client, item, invitations(*tell, item.organiser), deadline).await,
    }
}

/// Only who holds a meeting tells others about it.
fn invitations(tell: Tell, organiser: bool) -> Invitations {
    match tell {
        Tell::Attendees if organiser => Invitations::AllAndCopy,
        _ => Invitations::None,
    }
}

/// An item to be made.
struct New<'v> {
    kind: Kind,
    values: &'v Fields,
    mark: LinkId,
    /// Whether it has the reminder that the mailbox gives new appointments.
    reminder: bool,
}

async fn create(
    client: &mut Client,
    new: New<'_>,
    invitations: Invitations,
    home: Tz,
    deadline: &Deadline,
) -> Result<Answer, Fault> {
    let New { kind, values, mark, reminder } = new;
    let class = class_of(Folder::of(kind));
    let element = match class {
        Class::Contact => contact::create(values, Some(mark)),
        Class::Task => task::create(values, Some(mark)),
        Class::Appointment => match appointment::create_reminding(values, Some(mark), home, reminder) {
            Ok(element) => element,
            Err(unwritable) => return Ok(Err(not_sayable(unwritable))),
        },
    };
    let made = client.create_item(class, &element, invitations, deadline).await;
    let made = match settled(client, made, deadline).await? {
        Ok(id) => id,
        Err(refusal) => return not_made(&refusal).map(Err),
    };
    match values.get(Field::Recurrence) {
        Some(Value::Series(series)) if class == Class::Appointment && !series.exceptions.is_empty() => {
            exceptions(client, made, series, LeftOut::new(), invitations, home, deadline).await.map(Ok)
        }
        _ => receipt(made, LeftOut::new()).map(Ok),
    }
}

async fn update(
    client: &mut Client,
    item: &Item,
    patch: &Patch,
    beside: &Beside,
    invitations: Invitations,
    home: Tz,
    deadline: &Deadline,
) -> Result<Answer, Fault> {
    let id = ItemId { id: id_of(&item.head.key), change_key: item.head.version.0.clone() };
    let class = class_of(Folder::of(item.kind));
    let (mut updates, fields, left_out) = match sayable(class, patch, home) {
        Ok(sayable) => sayable,
        Err(unwritable) => return Ok(Err(not_sayable(unwritable))),
    };
    let more = beside::updates(client, class, &id, beside, deadline).await;
    match settled(client, more, deadline).await? {
        Ok(more) => updates.extend(more),
        Err(refusal) => return Ok(Err(not_done(&refusal))),
    }
    if updates.is_empty() {
        return receipt(id, left_out).map(Ok);
    }
    let changed = client.update_item(&id.into(), &updates, invitations, deadline).await;
    let changed = match settled(client, changed, deadline).await? {
        Ok(id) => id,
        Err(refusal) => return Ok(Err(not_done(&refusal))),
    };
    match fields.get(Field::Recurrence) {
        Some(Value::Series(series)) => {
            exceptions(client, changed, series, left_out, invitations, home, deadline).await.map(Ok)
        }
        _ => receipt(changed, left_out).map(Ok),
    }
}

/// The changes that carry a patch out, with the values that are written and what had to be left out of it.
fn sayable(class: Class, patch: &Patch, home: Tz) -> Result<(Vec<Update>, Fields, LeftOut), Unwritable> {
    let mut patch = patch.clone();
    let mut left_out = LeftOut::new();
    loop {
        let updates = match class {
            Class::Contact => Ok(contact::updates(&patch)),
            Class::Task => Ok(task::updates(&patch)),
            Class::Appointment => appointment::updates(&patch, home),
        };
        match updates {
            Ok(updates) => return Ok((updates, values(&patch), left_out)),
            Err(unwritable) => {
                let fields = values(&patch);
                let before = patch.fields().count();
                let mut rest = Patch::default();
                patch.fields().filter(|field| *field != unwritable.field).for_each(|field| rest.take(field, &fields));
                if rest.is_empty() || rest.fields().count() == before {
                    return Err(unwritable);
                }
                left_out.push((unwritable.field, unwritable.why.to_owned()));
                patch = rest;
            }
        }
    }
}

/// Writes what differs from the rule of a series that is there already.
async fn exceptions(
    client: &mut Client,
    master: ItemId,
    series: &Series,
    mut left_out: LeftOut,
    invitations: Invitations,
    home: Tz,
    deadline: &Deadline,
) -> Result<Receipt, Fault> {
    match client.write_exceptions(&master, series, invitations, home, deadline).await {
        Ok(failed) => left_out.extend(failed.iter().take(MAX_EXCEPTIONS).map(exception_left_out)),
        Err(fault) if fault.scope == FaultScope::Item => {
            left_out.push((Field::Recurrence, format!("its exceptions were not written: {}", fault.message)));
        }
        Err(fault) => return Err(fault),
    }
    // Each exception gave the series another state.
    let now = client.state_of(&master.id, deadline).await?;
    receipt(now.unwrap_or(master), left_out)
}

fn exception_left_out((original, why): &(NaiveDateTime, NotWritten)) -> (Field, String) {
    (Field::Recurrence, format!("the occurrence of {}: {why}", original.format("%Y-%m-%d %H:%M")))
}

/// The protocol deletes whatever is there, so it is looked at before.
async fn delete(
    client: &mut Client,
    item: &Item,
    invitations: Invitations,
    deadline: &Deadline,
) -> Result<Answer, Fault> {
    let id = id_of(&item.head.key);
    let now = client.state_of(&id, deadline).await;
    let now = match settled(client, now, deadline).await? {
        Ok(now) if now.change_key != item.head.version.0 => return Ok(Err(NotDone::Conflict)),
        Ok(now) => now,
        Err(refusal) => return Ok(Err(not_done(&refusal))),
    };
    let done = client.delete_items(&[now.into()], invitations != Invitations::None, deadline).await;
    let done = done.map(|answers| answers.into_iter().next().unwrap_or(Ok(())));
    Ok(match settled(client, done, deadline).await? {
        Ok(()) => Ok(Receipt { key: item.head.key.clone(), version: None, left_out: LeftOut::new() }),
        Err(refusal) => Err(not_done(&refusal)),
    })
}

/// Whether a request was refused as a whole, so that certainly nothing of it was done.
fn was_refused(fault: &Fault) -> bool {
    fault.class == FaultClass::Refused && reading::may_be_of_an_item(fault)
}

/// Why the server did not do what it was asked for.
pub(super) enum Refused {
    /// It said so of the item.
    Item(Refusal),
    /// It refused the request, though it answers others.
    Request(Fault),
}

pub(super) async fn settled<T>(
    client: &mut Client,
    done: Result<Result<T, Refusal>, Fault>,
    deadline: &Deadline,
) -> Result<Result<T, Refused>, Fault> {
    match done {
        Ok(done) => Ok(done.map_err(Refused::Item)),
        Err(fault) if was_refused(&fault) => {
            client.look(deadline).await?;
            Ok(Err(Refused::Request(reading::of_the_item(fault))))
        }
        Err(fault) => Err(fault),
    }
}

fn not_sayable(Unwritable { field, why }: Unwritable) -> NotDone {
    NotDone::Unwritable { field, why }
}

pub(super) fn not_done(refused: &Refused) -> NotDone {
    match refused {
        Refused::Request(fault) => NotDone::Refused(fault.clone()),
        Refused::Item(refusal) if refusal.is_conflict() => NotDone::Conflict,
        Refused::Item(refusal) => {
            let fault = refusal.fault(FaultScope::Item);
            if fault.class == FaultClass::Gone { NotDone::Gone } else { NotDone::Refused(fault) }
        }
    }
}

/// The same of a new item: where it is not an item that is gone, it is the folder for them.
fn not_made(refused: &Refused) -> Result<NotDone, Fault> {
    if let Refused::Item(refusal) = refused {
        let fault = refusal.fault(FaultScope::Item);
        if fault.scope != FaultScope::Item {
            return Err(fault);
        }
        if fault.class == FaultClass::Gone {
            return Err(refusal.fault(FaultScope::Mailbox));
        }
    }
    Ok(not_done(refused))
}

fn receipt(id: ItemId, left_out: LeftOut) -> Result<Receipt, Fault> {
    let key = RemoteKey::new(id.id).ok_or_else(|| fault::violation("an id that cannot be kept"))?;
    Ok(Receipt { key, version: Some(RemoteVersion(id.change_key)), left_out })
}
