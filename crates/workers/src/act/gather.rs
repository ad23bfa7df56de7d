//! Both sides of what may have to be done, and the plan for each: everything is read in a few statements and requests for
//! a whole batch, and nothing is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use lockstep_connector::items::{Folder, Item, ItemHead, Items, Reading, Tell};
use lockstep_engine::{
    invitation::{self, Happening, Meeting},
    merge::{
        Base, ItemPlan, Pair, Rules, Seen, Step,
        brake::{self, Tally},
        deletion::{Facts, Why},
        plan::{self, Crm, Key, Origin, Server, Tie},
        rules::Standing,
    },
    recurrence,
};
use lockstep_model::{
    address::AddressKey,
    fault::{Fault, FaultClass, FaultScope},
    record::{Field, Fields, Kind, LinkId, RecordId, RecordVersion, RemoteVersion, ShowAs, State, TaskStatus, Value},
    remote::RemoteKey,
};
use lockstep_store::{item_retries::Which, links::Link, records::Record};

use crate::{
    act::{
        Act, beside, carry,
        known::{Known, ask},
        questions,
    },
    mailbox::Stopped,
};

/// What may have to be done.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Records that were written, or are due.
    pub(crate) records: BTreeSet<RecordId>,
    /// Items that were listed.
    pub(crate) heads: Vec<(Folder, ItemHead)>,
    /// Items that the server reports as deleted.
    pub(crate) deleted: Vec<RemoteKey>,
    /// Items without a link that somebody asked for, and that could not be taken over before.
    pub(crate) due: Vec<(Folder, RemoteKey)>,
}

impl Batch {
    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.heads.is_empty() && self.deleted.is_empty() && self.due.is_empty()
    }
}

/// One record, item or pair of both, and what is to be done.
#[derive(Debug)]
pub(crate) struct Case {
    /// Whom failures are noted for.
    pub(crate) which: Which,
    pub(crate) folder: Folder,
    pub(crate) kind: Kind,
    pub(crate) link: Option<Link>,
    pub(crate) record: Option<Record>,
    pub(crate) item: Option<Item>,
    pub(crate) rules: Rules,
    pub(crate) plan: ItemPlan,
    pub(crate) tell: Tell,
    /// Nothing is planned because of this.
    pub(crate) failed: Option<Fault>,
}

/// Reads both sides of a batch and plans.
pub(crate) async fn gather(act: &mut Act<'_>, items: &mut dyn Items, batch: &Batch) -> Result<Vec<Case>, Stopped> {
    let known = ask(act, batch).await?;
    let mut cases = Vec::new();
    let heads: HashMap<_, _> = batch.heads.iter().map(|(folder, head)| (&head.key, (*folder, head))).collect();
    // Which pairs have to be looked at, and of which of them the item has to be read.
    let mut pairs = Vec::new();
    for link in &known.links {
        if known.waiting.contains(&link.record) {
            continue;
        }
        let record = known.records.get(&link.record);
        let deleted = batch.deleted.contains(&link.remote);
        let head = heads.get(&link.remote).map(|(_, head)| *head);
        let here = record.is_some() && known.passing.contains(&link.record);
        let settled = link.settled.as_ref().is_some_and(|(version, remote)| {
            record.is_some_and(|record| record.version() == *version) && head.is_none_or(|head| head.version == *remote)
        });
        let same_owner = record.is_none_or(|record| record.owner() == link.owner);
        if settled && here && !deleted && same_owner && link.unlinked.is_none() && link.held.is_none() {
            continue;
        }
        // Nothing can follow for a pair that was let go of, unless its record comes back or an end is near.
        if link.unlinked.is_some() && record.is_some() && !here && !deleted {
            continue;
        }
        pairs.push((link, deleted));
    }
    let wanted: Vec<_> =
        pairs.iter().filter(|(_, deleted)| !deleted).map(|(link, _)| (link.kind, link.remote.clone())).collect();
    let untied: Vec<_> =
        batch.heads.iter().filter(|(_, head)| known.links.iter().all(|link| link.remote != head.key)).collect();
    let mut tracked = Vec::new();
    for (folder, head) in untied {
        if let Some(mark) = head.mark {
            // A copy of a linked item, or an item whose link was lost: the record it was made for will find it.
            if known.links.iter().all(|link| link.id != mark) {
                act.remember(mark, &head.key);
            }
            continue;
        }
        let meeting = head.uid.as_ref().and_then(|uid| {
            let same = known.elsewhere.iter().find(|other| other.uid.as_ref() == Some(uid))?;
            let free = known.links.iter().all(|link| link.record != same.record);
            (free && known.records.contains_key(&same.record)).then_some(same.record)
        });
        if meeting.is_some() || head.categories.contains(&act.options.tracked_category) {
            tracked.push((*folder, head, meeting));
        }
    }
    let mut keys: BTreeMap<Folder, Vec<RemoteKey>> = BTreeMap::new();
    for (kind, key) in &wanted {
        keys.entry(Folder::of(*kind)).or_default().push(key.clone());
    }
    for (folder, head, _) in &tracked {
        keys.entry(*folder).or_default().push(head.key.clone());
    }
    for (folder, key) in &batch.due {
        keys.entry(*folder).or_default().push(key.clone());
    }
    let mut read = HashMap::new();
    for (folder, keys) in keys {
        for portion in keys.chunks(200) {
            let readings = items.read(folder, portion, act.deadline).await.map_err(Stopped::Remote)?;
            read.extend(portion.iter().cloned().zip(readings));
        }
    }
    for (link, deleted) in pairs {
        let reading = if deleted { Reading::Gone } else { read.remove(&link.remote).unwrap_or(Reading::Gone) };
        cases.extend(of_pair(act, &known, link, fitted(reading)).await?);
    }
    for (folder, head, meeting) in tracked {
        let reading = read.remove(&head.key).unwrap_or(Reading::Gone);
        cases.extend(of_item(act, &known, folder, &head.key, meeting, fitted(reading)).await?);
    }
    for (folder, key) in &batch.due {
        let reading = read.remove(key).unwrap_or(Reading::Gone);
        let tied = known.links.iter().any(|link| link.remote == *key);
        let case = if tied { None } else { of_item(act, &known, *folder, key, None, fitted(reading)).await? };
        if case.is_none() {
            // It is gone, has a record by now, or is never synchronised: nobody looks for it any more.
            act.over.push(Which::Item(key.clone()));
        }
        cases.extend(case);
    }
    let linked: BTreeSet<_> = known.links.iter().map(|link| link.record).collect();
    for id in known.passing.difference(&linked) {
        if !known.waiting.contains(id)
            && let Some(record) = known.records.get(id)
        {
            cases.extend(of_record(act, &known, record).await?);
        }
    }
    questions::consider(act, batch, &mut cases).await?;
    brake(act, &known, &mut cases).await?;
    let waits = |case: &Case| case.link.as_ref().is_some_and(|link| link.held.is_some());
    let listed = |case: &Case| case.link.as_ref().is_some_and(|link| heads.contains_key(&link.remote));
    cases.retain(|case| {
        !case.plan.steps.is_empty() || case.failed.is_some() || waits(case) || listed(case) && carry::settles(case)
    });
    cases.sort_by_key(|case| lockstep_engine::merge::order::rank(&case.plan));
    Ok(cases)
}

/// What can be kept of an item: longer values are cut.
fn fitted(reading: Reading) -> Reading {
    match reading {
        Reading::Here(mut item) => {
            item.fields = lockstep_store::fields::fitted(&item.fields).0;
            Reading::Here(item)
        }
        other => other,
    }
}

pub(crate) fn organiser(fields: &Fields) -> Option<AddressKey> {
    match fields.get(Field::Organiser) {
        Some(Value::People(people)) => people.iter().next().map(|(address, _)| address.clone()),
        _ => None,
    }
}

fn attendees(fields: &Fields) -> bool {
    [Field::RequiredAttendees, Field::OptionalAttendees].iter().any(|field| fields.get(*field).is_some())
}

/// Whether an appointment has begun; of a series, whether its last occurrence is over.
fn has_begun(fields: &Fields, now: DateTime<Utc>) -> bool {
    match (fields.get(Field::Time), fields.get(Field::Recurrence)) {
        (Some(Value::When(when)), _) => recurrence::span(when).0 <= now,
        (_, Some(Value::Series(series))) => {
            recurrence::extent(series).is_some_and(|(_, ends)| ends.is_some_and(|ends| ends <= now))
        }
        _ => false,
    }
}

const fn is_appointment(kind: Kind) -> bool {
    matches!(kind, Kind::Appointment | Kind::RecurringAppointment)
}

/// A record as it is merged. Time that is over and done, or does not take place, is free on the server (J8); of closed
/// appointments nothing comes back, so that the record keeps what it says.
pub(crate) fn seen_record(record: &Record) -> Seen<RecordVersion> {
    let mut fields = record.fields();
    if is_appointment(record.kind()) && record.state() != State::Open {
        // The shape is that of the field.
        let _ = fields.set(Field::ShowAs, Value::ShowAs(ShowAs::Free));
    }
    Seen { version: record.version(), fields, modified: record.modified() }
}

pub(crate) fn seen_item(item: &Item) -> Seen<RemoteVersion> {
    Seen { version: item.head.version.clone(), fields: item.fields.clone(), modified: item.modified }
}

pub(crate) fn base_of(link: &Link) -> Base {
    Base {
        crm: link.crm.clone(),
        server: link.server.clone(),
        unclear: link.unclear.clone(),
        settled: link.settled.clone(),
    }
}

const LEFT_FILTERS: &str = "left-filters";

/// The word that is stored for a reason.
pub(crate) const fn why_word(why: Why) -> &'static str {
    match why {
        Why::LeftFilters => LEFT_FILTERS,
        Why::NotOrganiser => "not-organiser",
        Why::Past => "past",
        Why::Closed => "closed",
        Why::Ownership => "ownership",
        Why::Completed => "completed",
        Why::SwitchedOff => "switched-off",
        Why::OneWay => "one-way",
        Why::Changed => "changed",
        Why::NobodyAgreed => "nobody-agreed",
    }
}

async fn of_pair(act: &mut Act<'_>, known: &Known, link: &Link, reading: Reading) -> Result<Option<Case>, Stopped> {
    let record = known.records.get(&link.record);
    let item = match reading {
        Reading::Here(item) => Some(*item),
        Reading::Gone => None,
        Reading::Apart(why) => {
            let fault = Fault::new(FaultScope::Item, FaultClass::Refused, "ItemUnavailable", why);
            return failed(act, link, record, fault).await.map(Some);
        }
        Reading::Unreadable(fault) => return failed(act, link, record, fault).await.map(Some),
    };
    let fields = record.map_or_else(|| link.crm.clone(), Record::fields);
    let closed = record.is_some_and(|record| record.state() != State::Open) && is_appointment(link.kind);
    let organiser = item.as_ref().map_or(link.organiser, |item| item.organiser);
    let held_elsewhere = known.elsewhere.iter().any(|other| other.record == link.record && other.organiser);
    let standing = match (is_appointment(link.kind), organiser) {
        (true, false) if held_elsewhere => Standing::ForeignCopy,
        (true, false) => Standing::ForeignMeeting,
        _ if closed => Standing::Closed,
        _ => Standing::Open,
    };
    let kind_rules = act.kind_rules(link.kind).await?;
    let rules = kind_rules.rules(standing, known.writable.contains(&link.record));
    let past = has_begun(&fields, known.now);
    let facts = Facts {
        kind: link.kind,
        organiser,
        owner: record.map_or(link.owner, Record::owner) == Some(act.user.0),
        past,
        closed,
        completed_there: item
            .as_ref()
            .is_some_and(|item| item.fields.get(Field::Status) == Some(&Value::TaskStatus(TaskStatus::Completed))),
    };
    let crm = match record {
        None => Crm::Deleted,
        Some(record) if known.passing.contains(&link.record) && record.state() == State::Canceled => {
            Crm::Cancelled(seen_record(record))
        }
        Some(record) if known.passing.contains(&link.record) => Crm::Here(seen_record(record)),
        Some(record) if record.owner_user().is_some() && record.owner() != link.owner => Crm::Reassigned,
        Some(_) => Crm::Left,
    };
    let server = item.as_ref().map_or(Server::Deleted, |item| Server::Here(seen_item(item)));
    let tie = match link.unlinked.as_deref() {
        None => Tie::Linked,
        Some(LEFT_FILTERS) => Tie::Unlinked(Why::LeftFilters),
        Some(_) => Tie::Unlinked(Why::SwitchedOff),
    };
    let pair =
        Pair { link: link.id, record: link.record, remote: link.remote.clone(), tie, base: base_of(link), crm, server };
    let mut plan = match record {
        Some(record) if pair.crm == Crm::Left && known.readable.contains(&link.record) => {
            plan::plan_leaving(&pair, seen_record(record), &rules, facts, act.choices())
        }
        _ => plan::plan(&pair, &rules, facts, act.choices()),
    };
    if !known.deletable.contains(&link.record) {
        for step in &mut plan.steps {
            if matches!(step, Step::DeleteRecord { .. }) {
                *step = Step::Unlink { why: Why::Ownership };
            }
        }
    }
    beside::planned(act, &pair, record.filter(|_| known.readable.contains(&link.record)), item.as_ref(), &mut plan);
    let meeting = Meeting {
        organiser: organiser && is_appointment(link.kind),
        attendees: attendees(&fields),
        past,
        service: link.kind == Kind::ServiceActivity,
    };
    let tell = tell(meeting, &plan, act.options.past_meeting_updates);
    Ok(Some(Case {
        which: Which::Record(link.kind, link.record),
        folder: Folder::of(link.kind),
        kind: link.kind,
        link: Some(link.clone()),
        record: record.cloned(),
        item,
        rules,
        plan,
        tell,
        failed: None,
    }))
}

fn tell(meeting: Meeting, plan: &ItemPlan, past_too: bool) -> Tell {
    let told = plan.steps.iter().any(|step| match step {
        Step::CreateItem { .. } => invitation::is_told(meeting, Happening::Created, false),
        Step::UpdateItem { patch, .. } => {
            invitation::is_told(meeting, Happening::Changed(&patch.fields().collect::<Vec<_>>()), past_too)
        }
        Step::DeleteItem { .. } => invitation::is_told(meeting, Happening::Cancelled, false),
        _ => false,
    });
    if told { Tell::Attendees } else { Tell::Nobody }
}

async fn failed(act: &mut Act<'_>, link: &Link, record: Option<&Record>, fault: Fault) -> Result<Case, Stopped> {
    let rules = act.kind_rules(link.kind).await?.rules(Standing::Open, false);
    Ok(Case {
        which: Which::Record(link.kind, link.record),
        folder: Folder::of(link.kind),
        kind: link.kind,
        link: Some(link.clone()),
        record: record.cloned(),
        item: None,
        rules,
        plan: ItemPlan::default(),
        tell: Tell::Nobody,
        failed: Some(fault),
    })
}

/// An item that no link knows, and that somebody has asked for, or that is a copy of a meeting that the CRM has.
async fn of_item(
    act: &mut Act<'_>,
    known: &Known,
    folder: Folder,
    key: &RemoteKey,
    meeting: Option<RecordId>,
    reading: Reading,
) -> Result<Option<Case>, Stopped> {
    let which = Which::Item(key.clone());
    let item = match reading {
        Reading::Here(item) => *item,
        Reading::Gone | Reading::Apart(_) => return Ok(None),
        Reading::Unreadable(fault) => {
            let kind = kind_in(folder);
            let rules = act.kind_rules(kind).await?.rules(Standing::Open, false);
            let plan = ItemPlan::default();
            return Ok(Some(Case {
                which,
                folder,
                kind,
                link: None,
                record: None,
                item: None,
                rules,
                plan,
                tell: Tell::Nobody,
                failed: Some(fault),
            }));
        }
    };
    let record = meeting.and_then(|id| known.records.get(&id));
    let (origin, standing) = match record {
        Some(record) => (Origin::Ours(record.id()), Standing::ForeignCopy),
        None if item.organiser => (Origin::Tracked, Standing::Open),
        None => (Origin::Tracked, Standing::ForeignMeeting),
    };
    let kind = record.map_or(item.kind, Record::kind);
    let rules = act.kind_rules(kind).await?.rules(standing, true);
    let Some(plan) = plan::plan_new_item(key, &seen_item(&item), origin, &rules) else { return Ok(None) };
    Ok(Some(Case {
        which,
        folder,
        kind,
        link: None,
        record: record.cloned(),
        item: Some(item),
        rules,
        plan,
        tell: Tell::Nobody,
        failed: None,
    }))
}

const fn kind_in(folder: Folder) -> Kind {
    match folder {
        Folder::Contacts => Kind::Contact,
        Folder::Tasks => Kind::Task,
        Folder::Calendar => Kind::Appointment,
    }
}

/// A record that belongs into the mailbox and has no item there.
async fn of_record(act: &mut Act<'_>, known: &Known, record: &Record) -> Result<Option<Case>, Stopped> {
    let (kind, fields) = (record.kind(), record.fields());
    let mailbox = act.run.mailbox.id;
    let which = Which::Record(kind, record.id());
    let rules = act.kind_rules(kind).await?.rules(Standing::Open, known.writable.contains(&record.id()));
    let case = |plan: ItemPlan, tell, failed| Case {
        which: which.clone(),
        folder: Folder::of(kind),
        kind,
        link: None,
        record: Some(record.clone()),
        item: None,
        rules: rules.clone(),
        plan,
        tell,
        failed,
    };
    let own = match organiser(&fields) {
        _ if !is_appointment(kind) => true,
        None => {
            let words = "the appointment names no organiser, from whose mailbox it would be synchronised";
            let fault = Fault::new(FaultScope::Item, FaultClass::Refused, "AppointmentWithoutOrganiser", words).local();
            return Ok(Some(case(ItemPlan::default(), Tell::Nobody, Some(fault))));
        }
        Some(organiser) if Some(&organiser) == act.address.as_ref() => true,
        // It comes here by the organiser's own invitation.
        Some(organiser) if known.organisers.contains(&organiser) => return Ok(None),
        Some(_) => false,
    };
    if is_appointment(kind) && record.state() != State::Open {
        return Ok(None);
    }
    // An item that carries the mark of this very record was made for it, though the link was lost.
    let mark = LinkId(Key::of_creation(mailbox, record.id()).0);
    if let Some(remote) = act.unclaimed.get(&mark) {
        let step = Step::Link { record: record.id(), remote: remote.clone() };
        return Ok(Some(case(step.into(), Tell::Nobody, None)));
    }
    let Some(plan) = plan::plan_new_record(mailbox, record.id(), &seen_record(record), &rules) else { return Ok(None) };
    let meeting = Meeting {
        organiser: own && is_appointment(kind),
        attendees: attendees(&fields),
        past: has_begun(&fields, known.now),
        service: kind == Kind::ServiceActivity,
    };
    let tell = tell(meeting, &plan, act.options.past_meeting_updates);
    Ok(Some(case(plan, tell, None)))
}

/// Many deletions at once wait for a person.
async fn brake(act: &mut Act<'_>, known: &Known, cases: &mut [Case]) -> Result<(), Stopped> {
    for case in cases.iter() {
        if case.link.as_ref().is_some_and(|link| link.unlinked.is_none()) {
            let tally = act.tally(case.folder).await?;
            tally.items_gone += u64::from(case.item.is_none() && case.failed.is_none());
            tally.records_gone += u64::from(case.record.is_none());
        }
    }
    for case in cases {
        if case.plan.steps.iter().all(|step| step.deletes().is_none()) {
            continue;
        }
        let tally = Tally { agreed: known.agreed, ..*act.tally(case.folder).await? };
        if tally.apply(&mut case.plan)
            && let Some((_, since)) = case.link.as_ref().and_then(|link| link.held.as_ref())
            && brake::has_expired(*since, known.now)
        {
            case.plan = Step::Unlink { why: Why::NobodyAgreed }.into();
        }
    }
    Ok(())
}
