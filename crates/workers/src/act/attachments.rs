//! Attachments of single appointments, where the organisation wants them (J11): after everything else of a cycle, pair by
//! pair. What is to be done says the engine; contents are streamed from one side to the other, one at a time.
//!
//! A file that is to be added on the server is written down before. Who dies there, or never hears the answer, leaves that
//! note, and the next look finds the file by its name and content, or by its content alone where the server has given it
//! another name.

mod pair;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_connector::{
    attachments::{Listing, MAX_TOGETHER},
    items::{Folder, Items},
};
use lockstep_engine::merge::{
    attachments::{self as rules, File},
    rules::{Flow, Standing},
};
use lockstep_model::{
    record::{Field, Kind, RecordId, State},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx,
    activities::Activity,
    activity_attachments::{self, Attachment},
    attachment_links::{self, Due},
    links,
    organisations::{self, Organisation},
    records::{self, Record},
    rights::Privilege,
};
use lockstep_wire::Outcome;
use tokio::time::Instant;

use crate::{
    act::{Act, Pace},
    config::PAGE_MIB,
    mailbox::{MARGIN, Stopped, Way, hold},
    slots::AFTER_YOU,
};

/// A pair whose attachments may have to be moved.
struct Pair {
    due: Due,
    activity: Activity,
    flow: Flow,
    /// The record's files.
    ours: BTreeMap<File, Attachment>,
}

impl Pair {
    /// Whether the server has to be asked: the item has moved, or has more than may be taken over, or the record's files
    /// are others than were agreed on.
    fn wants_a_look(&self) -> bool {
        let settled = |known: &attachment_links::Known| known.remote_id.is_some();
        let agreed: BTreeSet<_> = self.due.known.iter().map(file_of).collect();
        (self.flow.to_crm || self.flow.to_server)
            && (self.due.look
                || self.due.compared.is_none()
                || !self.due.known.iter().all(settled)
                || agreed != self.ours.keys().cloned().collect())
    }

    /// Whether another run may still be adding something.
    fn is_busy(&self, act: &Act<'_>, now: DateTime<Utc>) -> bool {
        let lease = TimeDelta::from_std(act.context.config.lease_ttl()).unwrap_or(TimeDelta::MAX);
        self.due.intended.is_some_and(|(run, at)| run != act.run_id && now - at < lease)
    }
}

fn file_of(known: &attachment_links::Known) -> File {
    File { name: known.name.clone(), digest: known.digest }
}

/// Brings the attachments of every pair in step that one side of has moved. `Some`: the cycle ends after it.
pub(super) async fn bring_in_step(
    act: &mut Act<'_>,
    items: &mut dyn Items,
    pace: &mut Pace<'_>,
) -> Result<Option<Way>, Stopped> {
    if !act.options.appointment_attachments {
        return Ok(None);
    }
    let mailbox = act.run.mailbox.id;
    let mut tx = act.context.store.begin().await?;
    attachment_links::end_alerts_without_links(&mut tx, mailbox).await?;
    tx.commit().await?;
    let mut after = None;
    loop {
        let mut tx = act.context.store.begin().await?;
        let due = attachment_links::due(&mut tx, mailbox, after, i64::try_from(MAX_TOGETHER).unwrap_or(1)).await?;
        let Some(last) = due.last() else { return Ok(None) };
        after = Some(last.link);
        let limits = organisations::get(&mut tx).await?;
        let pairs = read(act, &mut tx, due).await?;
        let now = tx.now();
        drop(tx);
        let Some(limits) = limits else { return Ok(None) };
        let _held = hold(pace.memory, PAGE_MIB.min(act.context.config.memory_budget_mib), act.deadline).await?;
        if let Some(way) = together(act, items, pace, pairs, &limits, now).await? {
            return Ok(Some(way));
        }
    }
}

/// One portion of pairs: listed with one request, then brought in step one after the other.
async fn together(
    act: &mut Act<'_>,
    items: &mut dyn Items,
    pace: &mut Pace<'_>,
    pairs: Vec<Pair>,
    limits: &Organisation,
    now: DateTime<Utc>,
) -> Result<Option<Way>, Stopped> {
    let pairs: Vec<_> = pairs.into_iter().filter(|pair| !pair.is_busy(act, now)).collect();
    let (look, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(Pair::wants_a_look);
    pair::note_all(act, &rest).await?;
    if look.is_empty() {
        return Ok(None);
    }
    let keys: Vec<RemoteKey> = look.iter().map(|pair| pair.due.remote.clone()).collect();
    let listings = items.attachments(&keys, act.deadline).await.map_err(Stopped::Remote)?;
    // Most have nothing to do, and are written down together.
    let mut at_rest = Vec::new();
    for (pair, listing) in look.into_iter().zip(listings) {
        act.counts.seen += 1;
        match listing {
            Listing::Here(version, attached)
                if pair.ours.is_empty() && pair.due.known.is_empty() && attached.is_empty() =>
            {
                at_rest.push((pair, version));
            }
            listing => pair::bring_in_step(act, items, pair, listing, limits).await?,
        }
        // What one mailbox holds must not keep the others waiting (N6).
        if Instant::now() >= pace.turn_ends && pace.slot.gives_way() {
            pair::note_empty(act, &at_rest).await?;
            return Ok(Some((Outcome::Yielded, Some(AFTER_YOU))));
        }
        if act.counts.seen >= act.run.items_per_cycle || act.deadline.budget_is_spent(MARGIN) {
            pair::note_empty(act, &at_rest).await?;
            return Ok(Some((Outcome::Yielded, None)));
        }
    }
    pair::note_empty(act, &at_rest).await?;
    Ok(None)
}

/// What the database says of these pairs.
async fn read(act: &mut Act<'_>, tx: &mut Tx, due: Vec<Due>) -> Result<Vec<Pair>, Stopped> {
    let ids: Vec<RecordId> = due.iter().map(|due| due.record).collect();
    let uuids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let records = records::read(tx, &ids).await?;
    let readable = records::permitted(tx, act.user, Privilege::Read, &ids).await?;
    let writable = records::permitted(tx, act.user, Privilege::Write, &ids).await?;
    let elsewhere = links::elsewhere(tx, act.run.mailbox.id, &ids, &[]).await?;
    let files = activity_attachments::of_many(tx, &uuids).await?;
    let kind_rules = act.rules_of(tx, Kind::Appointment).await?;
    let mut pairs = Vec::with_capacity(due.len());
    for due in due {
        let record = records.iter().find(|record| record.id() == due.record);
        // Whoever may not read a record any more is about to be parted from it.
        let Some(Record::Activity(activity)) = record.filter(|_| readable.contains(&due.record)) else { continue };
        let held_elsewhere = elsewhere.iter().any(|other| other.record == due.record && other.organiser);
        let standing = match due.organiser {
            false if held_elsewhere => Standing::ForeignCopy,
            false => Standing::ForeignMeeting,
            true if activity.state != State::Open => Standing::Closed,
            true => Standing::Open,
        };
        let flow = kind_rules.rules(standing, writable.contains(&due.record)).flow(Field::Attachments);
        let of_record = files.iter().filter(|(record, _)| *record == due.record.0);
        let ours =
            of_record.map(|(_, file)| (File { name: rules::name(&file.name), digest: file.digest }, file.clone()));
        let ours = ours.collect();
        pairs.push(Pair { due, activity: (**activity).clone(), flow, ours });
    }
    Ok(pairs)
}

/// The server lists appointments: those that have moved since their attachments were compared are to be looked at. In the
/// transaction that notes the listing as read.
pub(super) async fn listed(act: &Act<'_>, tx: &mut Tx) -> Result<(), Stopped> {
    Ok(attachment_links::listed(tx, act.run.mailbox.id, &act.listed).await?)
}

impl Act<'_> {
    /// Remembers what a page of a listing says, until it is noted as read.
    pub(super) fn heard(&mut self, folder: Folder, page: &lockstep_connector::items::Changes) {
        if folder == Folder::Calendar && self.options.appointment_attachments {
            self.listed = page.changed.iter().map(|head| (head.key.clone(), head.version.clone())).collect();
        }
    }
}
