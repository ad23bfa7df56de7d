//! A CRM and a mail server in memory, with versions and clocks, and the people who use them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::merge::{
    Base, Lost, Rules, Seen,
    deletion::{Choices, Facts},
    intent::Intent,
    plan::{Key, Tie},
    rules::{Access, Standing},
};
use lockstep_model::{
    address::AddressKey,
    id::MailboxId,
    record::{
        Field, Fields, Importance, Invited, Kind, LinkId, RecordId, RecordVersion, RemoteVersion, Value,
        schema::{Direction, Directions, Options},
    },
    remote::RemoteKey,
};
use uuid::Uuid;

/// How long a run that is gone may still be at work.
pub(super) const LEASE: i64 = 60;

/// How many records and items a history may start with; small, so that events meet.
const MOST: u64 = 3;

/// What a mail server or a crash does to one remote call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Refused without being done.
    Fails,
    /// Done, but the answer never comes.
    AnswerLost,
    /// No answer; it is done a while later, within the lease.
    Late,
    /// The run dies before it.
    DiesBefore,
    /// The run dies when it is done.
    DiesAfter,
    /// A person changes the item just before.
    Raced,
    /// A person changes the item between the write and the reading back.
    RacedAfter,
}

/// What goes wrong in a cycle as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// A second run does the same cycle between this one's intents and its steps.
    Doubled,
    /// The run dies before its last transaction.
    DiesAtCommit,
    /// A person changes a record before the last transaction.
    CrmRaced,
    /// Items are missing in the listing.
    ListingCut,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Edit { crm: bool, which: u8, field: u8, clear: bool },
    EditBoth { which: u8, field: u8 },
    New { crm: bool },
    Delete { crm: bool, which: u8 },
    Copy { which: u8 },
    Filter { which: u8, passes: bool },
    Wait,
    Cycle { mishap: Mishap, faults: [Fault; 3] },
}

fn fault(bits: u32) -> Fault {
    match bits % 16 {
        0 => Fault::Fails,
        1 | 2 => Fault::AnswerLost,
        3 => Fault::Late,
        4 => Fault::DiesBefore,
        5 => Fault::DiesAfter,
        6 => Fault::Raced,
        7 => Fault::RacedAfter,
        _ => Fault::None,
    }
}

impl Event {
    /// Any number is an event, so that histories shrink well; 0 is the dullest.
    pub(super) fn decode(bits: u32) -> Self {
        let which = (bits >> 8) as u8;
        let (crm, field) = (bits & 0x10_000 != 0, (bits >> 20) as u8);
        match bits % 16 {
            0..=4 => {
                let mishap = match (bits >> 8) % 10 {
                    1 | 2 => Mishap::Doubled,
                    3 => Mishap::DiesAtCommit,
                    4 => Mishap::CrmRaced,
                    5 => Mishap::ListingCut,
                    _ => Mishap::None,
                };
                Self::Cycle { mishap, faults: [fault(bits >> 16), fault(bits >> 20), fault(bits >> 24)] }
            }
            5..=8 => Self::Edit { crm, which, field, clear: (bits >> 28) == 0 },
            9 => Self::EditBoth { which, field },
            10 | 11 => Self::New { crm },
            12 => Self::Delete { crm, which },
            13 if crm => Self::Copy { which },
            13 | 14 => Self::Filter { which, passes: field.is_multiple_of(2) },
            _ => Self::Wait,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) seen: Seen<RecordVersion>,
    pub(super) deleted: bool,
    pub(super) passes: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) seen: Seen<RemoteVersion>,
    pub(super) mark: Option<Key>,
    pub(super) tracked: bool,
    pub(super) copied: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) record: RecordId,
    pub(super) remote: RemoteKey,
    pub(super) tie: Tie,
    pub(super) base: Base,
}

/// A value that a person wrote somewhere.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) place: Place,
    pub(super) field: Field,
    pub(super) value: Value,
    /// The same side's people have written another value there since.
    pub(super) replaced: bool,
    /// Where somebody who saw it, on whichever side, has written another value over it, and which.
    pub(super) superseded: Option<(Place, Option<Value>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Record(RecordId),
    Item(RemoteKey),
}

/// How often histories met what they are made for.
#[derive(Clone, Debug, Default)]
pub(super) struct Met(pub(super) BTreeMap<&'static str, u32>);

impl Met {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u32)> {
        [
            "created here",
            "created there",
            "updated here",
            "updated there",
            "deleted here",
            "deleted there",
            "conflict",
            "unlinked",
            "relinked",
            "forgotten",
            "agreed",
            "looked",
            "copy ignored",
            "refused",
            "settled created",
            "settled updated",
            "settled deleted",
            "settled undone",
            "settled overtaken",
            "run fenced off",
            "landed late",
            "read back raced",
            "crm raced",
        ]
        .into_iter()
        .map(|what| (what, self.0.get(what).copied().unwrap_or(0)))
    }
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: DateTime<Utc>,
    skew: TimeDelta,
    counter: u64,
    pub(super) mailbox: MailboxId,
    pub(super) rules: Rules,
    pub(super) facts: Facts,
    pub(super) choices: Choices,
    // The CRM's database.
    pub(super) records: BTreeMap<RecordId, Record>,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) intents: Vec<Intent>,
    pub(super) lane: u64,
    pub(super) history: Vec<Lost>,
    // The mail server.
    pub(super) items: BTreeMap<RemoteKey, Item>,
    pub(super) late: Vec<(DateTime<Utc>, lockstep_engine::merge::Step)>,
    // What the judge knows.
    pub(super) tokens: Vec<Token>,
    pub(super) touched: Vec<(Place, Field)>,
    pub(super) reached_crm: Vec<Value>,
    pub(super) reached_server: Vec<Value>,
    pub(super) deleted_items: BTreeSet<RemoteKey>,
    pub(super) gone_by_engine: BTreeSet<RecordId>,
    pub(super) writes: u64,
    pub(super) wrong: Vec<String>,
    pub(super) met: Met,
}

impl World {
    pub(super) fn new(setting: u32) -> Self {
        let kind = if setting & 1 == 0 { Kind::Appointment } else { Kind::Task };
        let mut directions = Directions::of(kind, Options::default());
        let way = |bits: u32| Direction::ALL[(bits % 4) as usize];
        directions.choose(Field::Body, Direction::Both).unwrap();
        directions.choose(Field::Subject, if setting & 2 == 0 { Direction::Both } else { way(setting >> 8) }).unwrap();
        if kind == Kind::Appointment {
            directions.choose(Field::Location, way(setting >> 10)).unwrap();
        }
        let mut rules = Rules::open(directions);
        if setting & 0x30 == 0 {
            rules.access.insert(Field::Subject, Access { readable: true, writable: false });
        }
        if setting & 0x3000 == 0 {
            rules.standing = Standing::ForeignMeeting;
        }
        let facts = Facts {
            kind,
            organiser: setting & 0xC000 != 0,
            owner: true,
            past: setting & 0x3_0000 == 0,
            closed: false,
            completed_there: setting & 0xC_0000 == 0,
        };
        Self {
            now: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            skew: TimeDelta::seconds(i64::from((setting >> 20) % 3) * 20 - 20),
            counter: 0,
            mailbox: MailboxId(Uuid::from_u128(7)),
            rules,
            facts,
            choices: Choices { leaving_deletes: setting & 0x40_0000 != 0, ..Choices::default() },
            records: BTreeMap::new(),
            links: BTreeMap::new(),
            intents: Vec::new(),
            lane: 0,
            history: Vec::new(),
            items: BTreeMap::new(),
            late: Vec::new(),
            tokens: Vec::new(),
            touched: Vec::new(),
            reached_crm: Vec::new(),
            reached_server: Vec::new(),
            deleted_items: BTreeSet::new(),
            gone_by_engine: BTreeSet::new(),
            writes: 0,
            wrong: Vec::new(),
            met: Met::default(),
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.pass(1);
        match event {
            Event::Cycle { mishap, faults } => {
                let mut faults = faults.into_iter().collect();
                self.cycle(mishap, &mut faults, 0);
            }
            Event::Edit { crm: true, which, field, clear } => self.edit_record(which, field, clear),
            Event::Edit { crm: false, which, field, clear } => self.edit_item(which, field, clear),
            Event::EditBoth { which, field } => self.edit_both(which, field),
            Event::New { crm: true } => self.new_record(),
            Event::New { crm: false } => self.new_item(),
            Event::Delete { crm: true, which } => {
                if let Some(record) = self.nth_record(which) {
                    self.records.get_mut(&record).unwrap().deleted = true;
                }
            }
            Event::Delete { crm: false, which } => {
                if let Some(remote) = self.nth_item(which) {
                    self.items.remove(&remote);
                    self.deleted_items.insert(remote);
                }
            }
            Event::Copy { which } => self.copy_item(which),
            Event::Filter { which, passes } => {
                if let Some(record) = self.nth_record(which) {
                    self.records.get_mut(&record).unwrap().passes = passes;
                }
            }
            Event::Wait => self.pass(LEASE),
        }
    }

    /// Time passes, and late requests arrive.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.now);
        self.late = rest;
        let due: Vec<(DateTime<Utc>, lockstep_engine::merge::Step)> = due;
        for (_, step) in due {
            self.met.note("landed late");
            let _ = self.serve(&step);
        }
    }

    pub(super) fn quiet_cycles(&mut self, times: u32) {
        for _ in 0..times {
            self.pass(LEASE + 1);
            self.cycle(Mishap::None, &mut std::collections::VecDeque::new(), 0);
        }
    }

    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn next_version(&mut self) -> RemoteVersion {
        RemoteVersion(format!("v{}", self.count()))
    }

    pub(super) fn server_time(&self) -> DateTime<Utc> {
        self.now + self.skew
    }

    fn nth_record(&self, which: u8) -> Option<RecordId> {
        let alive: Vec<_> = self.records.iter().filter(|(_, record)| !record.deleted).map(|(id, _)| *id).collect();
        (!alive.is_empty()).then(|| alive[usize::from(which) % alive.len()])
    }

    fn nth_item(&self, which: u8) -> Option<RemoteKey> {
        (!self.items.is_empty())
            .then(|| self.items.keys().nth(usize::from(which) % self.items.len()).cloned())
            .flatten()
    }

    fn field(&self, which: u8) -> Field {
        let fields: &[Field] = match self.facts.kind {
            Kind::Appointment => &[
                Field::Subject,
                Field::Body,
                Field::Location,
                Field::RequiredAttendees,
                Field::OptionalAttendees,
                Field::Importance,
            ],
            _ => &[Field::Subject, Field::Body, Field::Importance],
        };
        fields[usize::from(which) % fields.len()]
    }

    /// A value nobody has written before, so that it can be told where it went.
    fn fresh(&mut self, field: Field) -> Value {
        let count = self.count();
        match field {
            Field::RequiredAttendees | Field::OptionalAttendees => {
                let mut invited = Invited::default();
                invited.add(AddressKey::of(&format!("p{count}@example.test")).unwrap(), "");
                Value::People(invited)
            }
            Field::Importance => {
                Value::Importance([Importance::Low, Importance::Normal, Importance::High][(count % 3) as usize])
            }
            Field::Body => Value::Text(format!("b{count}, and what servers strip")),
            _ => Value::Text(format!("t{count}")),
        }
    }

    /// What the server makes of what it is given: bodies lose something, importance has a default.
    pub(super) fn normalised(mut fields: Fields) -> Fields {
        if let Some(Value::Text(body)) = fields.get(Field::Body) {
            let short = body.split(',').next().unwrap_or_default().to_owned();
            fields.set(Field::Body, Value::Text(short)).unwrap();
        }
        if fields.get(Field::Importance).is_none() {
            fields.set(Field::Importance, Value::Importance(Importance::Normal)).unwrap();
        }
        fields
    }

    pub(super) fn edit_record(&mut self, which: u8, field: u8, clear: bool) {
        let Some(id) = self.nth_record(which) else { return };
        let field = self.field(field);
        let value = if clear { Value::Text(String::new()) } else { self.fresh(field) };
        self.write_record(id, field, value);
    }

    fn write_record(&mut self, id: RecordId, field: Field, value: Value) {
        let value = if value.shape() == field.shape() { value } else { self.fresh(field) };
        let now = self.now;
        self.supersede(&Place::Record(id), field, self.records[&id].seen.fields.get(field).cloned(), &value);
        let record = self.records.get_mut(&id).unwrap();
        record.seen.fields.set(field, value.clone()).unwrap();
        record.seen.version.0 += 1;
        record.seen.modified = now;
        self.token(Place::Record(id), field, value);
    }

    pub(super) fn edit_item(&mut self, which: u8, field: u8, clear: bool) {
        let Some(remote) = self.nth_item(which) else { return };
        let field = self.field(field);
        let value = if clear { Value::Text(String::new()) } else { self.fresh(field) };
        self.write_item(&remote, field, value);
    }

    pub(super) fn write_item(&mut self, remote: &RemoteKey, field: Field, value: Value) {
        let value = if value.shape() == field.shape() { value } else { self.fresh(field) };
        let (version, modified) = (self.next_version(), self.server_time());
        let seen = self.items.get(remote).and_then(|item| item.seen.fields.get(field).cloned());
        self.supersede(&Place::Item(remote.clone()), field, seen, &value);
        let Some(item) = self.items.get_mut(remote) else { return };
        item.seen.fields.set(field, value).unwrap();
        item.seen = Seen { version, fields: Self::normalised(item.seen.fields.clone()), modified };
        let stored = item.seen.fields.get(field).cloned();
        match stored {
            Some(value) => self.token(Place::Item(remote.clone()), field, value),
            None => self.replace(&Place::Item(remote.clone()), field),
        }
    }

    /// The same change on both sides.
    fn edit_both(&mut self, which: u8, field: u8) {
        let linked: Vec<_> = self.links.values().map(|link| (link.record, link.remote.clone())).collect();
        if linked.is_empty() {
            return;
        }
        let (record, remote) = linked[usize::from(which) % linked.len()].clone();
        let alive = self.records.get(&record).is_some_and(|record| !record.deleted);
        if alive && self.items.contains_key(&remote) {
            let field = self.field(field);
            let value = self.fresh(field);
            self.write_record(record, field, value.clone());
            self.write_item(&remote, field, value);
            // Both sides know it without being told.
            self.reached_crm.extend(self.items[&remote].seen.fields.get(field).cloned());
            self.reached_server.extend(self.items[&remote].seen.fields.get(field).cloned());
        }
    }

    pub(super) fn race_item(&mut self, remote: &RemoteKey) {
        if self.items.contains_key(remote) {
            let field = self.field((self.counter % 7) as u8);
            let value = self.fresh(field);
            self.write_item(remote, field, value);
        }
    }

    fn new_record(&mut self) {
        if self.records.len() as u64 >= MOST {
            return;
        }
        let id = RecordId(Uuid::from_u128(u128::from(self.count())));
        let seen = Seen { version: RecordVersion(1), fields: Fields::default(), modified: self.now };
        self.records.insert(id, Record { seen, deleted: false, passes: true });
        for field in [Field::Subject, Field::Body] {
            let value = self.fresh(field);
            self.write_record(id, field, value);
        }
    }

    fn new_item(&mut self) {
        if self.items.len() as u64 >= MOST {
            return;
        }
        let remote = RemoteKey::new(format!("item{}", self.count())).unwrap();
        let seen = Seen { version: self.next_version(), fields: Fields::default(), modified: self.server_time() };
        self.items.insert(remote.clone(), Item { seen, mark: None, tracked: true, copied: false });
        for field in [Field::Subject, Field::Body] {
            let value = self.fresh(field);
            self.write_item(&remote, field, value);
        }
    }

    fn copy_item(&mut self, which: u8) {
        // Only of what has arrived in the CRM: copies made while a creation is in doubt are told apart by nothing.
        let Some(remote) = self.nth_item(which) else { return };
        if self.items.len() as u64 >= MOST || !self.links.values().any(|link| link.remote == remote) {
            return;
        }
        let mut copy = self.items[&remote].clone();
        copy.copied = true;
        copy.seen.version = self.next_version();
        let name = RemoteKey::new(format!("copy{}", self.count())).unwrap();
        self.items.insert(name, copy);
    }

    fn token(&mut self, place: Place, field: Field, value: Value) {
        self.replace(&place, field);
        if field != Field::Importance && value.clone().canonical().is_some() {
            self.tokens.push(Token { place, field, value, replaced: false, superseded: None });
        }
    }

    /// A person sees a value and writes another: the old one must not come back.
    fn supersede(&mut self, place: &Place, field: Field, seen: Option<Value>, by: &Value) {
        let short = |value: &Value| match value {
            Value::Text(text) => text.split(',').next().map(str::to_owned),
            _ => None,
        };
        let Some(seen) = seen.as_ref().and_then(short) else { return };
        if matches!(place, Place::Item(remote) if self.items.get(remote).is_some_and(|item| item.copied)) {
            return;
        }
        for token in &mut self.tokens {
            if token.field == field && short(&token.value).as_ref() == Some(&seen) {
                token.superseded = Some((place.clone(), by.clone().canonical()));
            }
        }
    }

    fn replace(&mut self, place: &Place, field: Field) {
        self.touched.push((place.clone(), field));
        for token in &mut self.tokens {
            token.replaced |= token.place == *place && token.field == field;
        }
    }
}
