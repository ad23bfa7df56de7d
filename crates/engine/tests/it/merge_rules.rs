//! The rules of the two-way engine as tables: deletions, conflicts, directions, the brake, marks and intents.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::{
    guard,
    merge::{
        Base, ItemPlan, Pair, Rules, Seen, Side, Step, Written,
        brake::{HELD_FOR, Tally, has_expired},
        conflict::{Outcome, decide},
        deletion::{Choices, Event, Facts, Verdict, Why, judge},
        intent::{Intent, Settled, settle},
        merge, order,
        plan::{Crm, Key, Origin, Server, Tie, plan, plan_leaving, plan_new_item, plan_new_record},
        rules::{Access, Flow, Standing},
    },
};
use lockstep_model::{
    address::AddressKey,
    id::{MailboxId, RunId},
    record::{
        Field, Fields, Invited, Kind, LinkId, Patch, RecordId, RecordVersion, RemoteVersion, Value,
        schema::{Direction, Directions, Options},
    },
    remote::RemoteKey,
};
use uuid::Uuid;

const PLAIN: Facts =
    Facts { kind: Kind::Task, organiser: true, owner: true, past: false, closed: false, completed_there: false };

fn facts(kind: Kind) -> Facts {
    Facts { kind, ..PLAIN }
}

/// J5: what is deleted or cancelled on one side, by past and future, organiser and state.
#[test]
fn j5_deletions_of_appointments() {
    use Event::{ItemDeleted, RecordCancelled, RecordDeleted, RecordLeft};
    let defaults = Choices::default();
    let spreading = Choices { cancelling_spreads: true, ..defaults };
    let leaving = Choices { leaving_deletes: true, ..defaults };
    for kind in [Kind::Appointment, Kind::RecurringAppointment] {
        let ours = facts(kind);
        let theirs = Facts { organiser: false, ..ours };
        let past = Facts { past: true, ..ours };
        let closed = Facts { closed: true, ..ours };
        // A whole series asks for state and organiser only.
        let past_item = if kind == Kind::Appointment { Verdict::Unlink(Why::Past) } else { Verdict::Delete };
        for (event, facts, choices, expected) in [
            (RecordDeleted, ours, defaults, Verdict::Delete),
            (RecordDeleted, closed, defaults, Verdict::Delete),
            (RecordDeleted, theirs, defaults, Verdict::Unlink(Why::NotOrganiser)),
            (RecordDeleted, past, defaults, Verdict::Unlink(Why::Past)),
            (RecordLeft, ours, defaults, Verdict::Unlink(Why::LeftFilters)),
            (RecordLeft, ours, leaving, Verdict::Unlink(Why::LeftFilters)),
            (RecordCancelled, ours, defaults, Verdict::Keep(Why::SwitchedOff)),
            (RecordCancelled, ours, spreading, Verdict::Delete),
            (RecordCancelled, theirs, spreading, Verdict::Keep(Why::NotOrganiser)),
            (RecordCancelled, past, spreading, Verdict::Keep(Why::Past)),
            (ItemDeleted, ours, defaults, Verdict::Delete),
            (ItemDeleted, theirs, defaults, Verdict::Unlink(Why::NotOrganiser)),
            (ItemDeleted, closed, defaults, Verdict::Unlink(Why::Closed)),
            (ItemDeleted, past, defaults, past_item),
        ] {
            assert_eq!(judge(event, facts, choices), expected, "{event:?} {facts:?} {choices:?}");
        }
    }
}

/// J14: a service activity goes one way.
#[test]
fn j14_deletions_of_service_activities() {
    let service = facts(Kind::ServiceActivity);
    let past = Facts { past: true, ..service };
    assert_eq!(judge(Event::RecordDeleted, service, Choices::default()), Verdict::Delete);
    assert_eq!(judge(Event::RecordDeleted, past, Choices::default()), Verdict::Unlink(Why::Past));
    assert_eq!(judge(Event::ItemDeleted, service, Choices::default()), Verdict::Unlink(Why::OneWay));
}

/// K2: four cases by ownership. K5: who gets another owner leaves the mailbox. L8: leaving the filters.
#[test]
fn k2_k5_l8_deletions_of_contacts() {
    let owned = facts(Kind::Contact);
    let foreign = Facts { owner: false, ..owned };
    let defaults = Choices::default();
    let leaving = Choices { leaving_deletes: true, ..defaults };
    for (event, facts, choices, expected) in [
        (Event::RecordDeleted, owned, defaults, Verdict::Unlink(Why::Ownership)),
        (Event::RecordDeleted, foreign, defaults, Verdict::Delete),
        (Event::ItemDeleted, owned, defaults, Verdict::Delete),
        (Event::ItemDeleted, foreign, defaults, Verdict::Unlink(Why::Ownership)),
        (Event::RecordReassigned, foreign, defaults, Verdict::Delete),
        (Event::RecordLeft, foreign, defaults, Verdict::Unlink(Why::LeftFilters)),
        (Event::RecordLeft, foreign, leaving, Verdict::Delete),
        (Event::RecordLeft, owned, leaving, Verdict::Unlink(Why::Ownership)),
    ] {
        assert_eq!(judge(event, facts, choices), expected, "{event:?} {facts:?} {choices:?}");
    }
}

/// K8: a completed task is kept, a deletion on the server counts unless switched off. L8: leaving the filters.
#[test]
fn k8_l8_deletions_of_tasks() {
    let defaults = Choices::default();
    let kept = Choices { tasks_are_deleted_in_crm: false, ..defaults };
    let leaving = Choices { leaving_deletes: true, ..defaults };
    for kind in [Kind::Task, Kind::PhoneCall, Kind::Letter, Kind::Fax] {
        let open = facts(kind);
        let done = Facts { completed_there: true, ..open };
        for (event, facts, choices, expected) in [
            (Event::RecordDeleted, open, defaults, Verdict::Delete),
            (Event::RecordDeleted, done, defaults, Verdict::Unlink(Why::Completed)),
            (Event::ItemDeleted, open, defaults, Verdict::Delete),
            (Event::ItemDeleted, done, defaults, Verdict::Delete),
            (Event::ItemDeleted, open, kept, Verdict::Unlink(Why::SwitchedOff)),
            (Event::RecordLeft, open, defaults, Verdict::Unlink(Why::LeftFilters)),
            (Event::RecordLeft, open, leaving, Verdict::Delete),
            (Event::RecordLeft, done, leaving, Verdict::Unlink(Why::Completed)),
            (Event::RecordReassigned, open, defaults, Verdict::Unlink(Why::LeftFilters)),
        ] {
            assert_eq!(judge(event, facts, choices), expected, "{event:?} {facts:?} {choices:?}");
        }
    }
}

#[test]
fn who_wins() {
    const BOTH: Flow = Flow { to_crm: true, to_server: true, put_back: false };
    const OUT: Flow = Flow { to_crm: false, to_server: true, put_back: false };
    const IN: Flow = Flow { to_crm: true, to_server: false, put_back: false };
    const BACK: Flow = Flow { to_crm: false, to_server: true, put_back: true };
    const NONE: Flow = Flow { to_crm: false, to_server: false, put_back: false };
    let wins = |side, loses| Outcome::Wins { side, loses };
    let (crm, server) = (wins(Side::Crm, false), wins(Side::Server, false));
    let (over_server, over_crm) = (wins(Side::Crm, true), wins(Side::Server, true));
    // flow; only the CRM, only the server, both with the server's later, both with the CRM's later or a tie
    for (flow, expected) in [
        (BOTH, [crm, server, over_crm, over_server]),
        (OUT, [crm, Outcome::Stays, over_server, over_server]),
        (IN, [Outcome::Stays, server, over_crm, over_crm]),
        (BACK, [crm, over_server, over_server, over_server]),
        (NONE, [Outcome::Stays; 4]),
    ] {
        let told = [
            decide(flow, true, false, false, Side::Crm),
            decide(flow, false, true, false, Side::Crm),
            decide(flow, true, true, false, Side::Server),
            decide(flow, true, true, false, Side::Crm),
        ];
        assert_eq!(told, expected, "{flow:?}");
        assert_eq!(decide(flow, false, false, false, Side::Crm), Outcome::Unchanged);
        let same = if flow == NONE { Outcome::Unchanged } else { Outcome::Agreed };
        assert_eq!(decide(flow, true, true, true, Side::Server), same, "{flow:?}");
    }
}

fn rules(kind: Kind) -> Rules {
    Rules::open(Directions::of(kind, Options::default()))
}

/// L14: what cannot be read never leaves, what cannot be written is put back. J6: closed in the CRM. J3: somebody
/// else's meeting.
#[test]
fn j3_j6_l14_rights_and_state_narrow_directions() {
    let flow = |direction, access, standing| {
        let mut rules = rules(Kind::Appointment);
        rules.directions.choose(Field::Body, direction).unwrap();
        rules.access.insert(Field::Body, access);
        rules.standing = standing;
        let Flow { to_crm, to_server, put_back } = rules.flow(Field::Body);
        (to_crm, to_server, put_back)
    };
    let no_read = Access { readable: false, writable: true };
    let no_write = Access { readable: true, writable: false };
    let neither = Access { readable: false, writable: false };
    for (direction, access, standing, expected) in [
        (Direction::Both, Access::FULL, Standing::Open, (true, true, false)),
        (Direction::ToCrm, Access::FULL, Standing::Open, (true, false, false)),
        (Direction::ToServer, Access::FULL, Standing::Open, (false, true, false)),
        (Direction::Neither, Access::FULL, Standing::Open, (false, false, false)),
        (Direction::Both, no_read, Standing::Open, (true, false, false)),
        (Direction::Both, no_write, Standing::Open, (false, true, true)),
        (Direction::Both, neither, Standing::Open, (false, false, false)),
        (Direction::ToServer, no_write, Standing::Open, (false, true, false)),
        (Direction::ToCrm, no_write, Standing::Open, (false, false, false)),
        (Direction::Both, Access::FULL, Standing::Closed, (false, true, false)),
        (Direction::ToCrm, Access::FULL, Standing::Closed, (false, false, false)),
        (Direction::Both, Access::FULL, Standing::ForeignMeeting, (true, false, false)),
        (Direction::Both, Access::FULL, Standing::ForeignCopy, (false, false, false)),
    ] {
        assert_eq!(flow(direction, access, standing), expected, "{direction:?} {access:?} {standing:?}");
    }
}

fn fields(values: &[(Field, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (field, text) in values {
        let value = match AddressKey::of(text) {
            Some(address) => {
                let mut invited = Invited::default();
                invited.add(address, "");
                Value::People(invited)
            }
            None => Value::Text((*text).to_owned()),
        };
        fields.set(*field, value).unwrap();
    }
    fields
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn crm(version: i64, values: &[(Field, &str)]) -> Seen<RecordVersion> {
    Seen { version: RecordVersion(version), fields: fields(values), modified: start() }
}

fn item(version: &str, values: &[(Field, &str)]) -> Seen<RemoteVersion> {
    Seen { version: RemoteVersion(version.to_owned()), fields: fields(values), modified: start() }
}

fn base(values: &[(Field, &str)]) -> Base {
    Base { crm: fields(values), server: fields(values), ..Base::default() }
}

fn patched(patch: &Patch) -> Vec<Field> {
    patch.fields().collect()
}

/// J1, K1: fields that do not touch each other are merged; attendees change hands together; what loses is kept.
#[test]
fn fields_are_merged_and_units_are_not_mixed() {
    use Field::{Body, Location, OptionalAttendees, RequiredAttendees, Subject};
    let agreed = base(&[(Subject, "s"), (Body, "b"), (RequiredAttendees, "a@example.test")]);
    let record = crm(2, &[(Subject, "s2"), (Body, "b"), (RequiredAttendees, "c@example.test")]);
    let mut theirs = item("2", &[(Subject, "s"), (Body, "b2"), (Location, "l"), (OptionalAttendees, "a@example.test")]);
    theirs.modified += TimeDelta::seconds(1);
    let merged = merge(&agreed, &record, &theirs, &rules(Kind::Appointment));
    assert_eq!(patched(&merged.to_server), [Subject]);
    assert_eq!(patched(&merged.to_crm), [Body, Location, RequiredAttendees, OptionalAttendees]);
    let lost: Vec<_> = merged.lost.iter().map(|lost| (lost.field, lost.side, lost.value.is_some())).collect();
    assert_eq!(lost, [(RequiredAttendees, Side::Crm, true), (OptionalAttendees, Side::Crm, false)]);
    let expected = fields(&[(Subject, "s2"), (Body, "b2"), (Location, "l"), (OptionalAttendees, "a@example.test")]);
    assert_eq!(merged.merged(&record.fields), expected);
    // A tie is the CRM's.
    theirs.modified = record.modified;
    let merged = merge(&agreed, &record, &theirs, &rules(Kind::Appointment));
    assert_eq!(patched(&merged.to_server), [Subject, RequiredAttendees, OptionalAttendees]);
}

/// A server that shortens what it is given is not written to again, and what it never had is kept when it gives way.
#[test]
fn what_a_server_makes_of_a_value_is_no_change() {
    use Field::{Body, Subject};
    let rules = rules(Kind::Task);
    let record = crm(2, &[(Subject, "s"), (Body, "body with a link")]);
    let before = item("1", &[(Subject, "s")]);
    let merged = merge(&base(&[(Subject, "s")]), &record, &before, &rules);
    assert_eq!(patched(&merged.to_server), [Body]);
    let written = Written { now: item("2", &[(Subject, "s"), (Body, "body")]), sure: true };
    let after = base(&[(Subject, "s")]).after(&merged, (&record, None), (&before, Some(&written)), &rules);
    assert!(after.settled.is_some());
    assert!(merge(&after, &record, &written.now, &rules).writes_nothing());
    // Even where the versions tell nothing.
    let forgotten = Base { settled: None, ..after.clone() };
    assert!(merge(&forgotten, &record, &written.now, &rules).writes_nothing());
    let edited = item("3", &[(Subject, "s"), (Body, "other")]);
    let merged = merge(&after, &record, &edited, &rules);
    assert_eq!(patched(&merged.to_crm), [Body]);
    assert_eq!(merged.lost.len(), 1, "the link was never on the server");

    // Read back after somebody's edit: that edit flows, and ours is kept.
    let raced = Written { now: edited, sure: false };
    let merged = merge(&base(&[(Subject, "s")]), &record, &before, &rules);
    let doubtful = base(&[(Subject, "s")]).after(&merged, (&record, None), (&before, Some(&raced)), &rules);
    assert_eq!((doubtful.settled.clone(), doubtful.unclear.clone()), (None, BTreeSet::from([Body])));
    let merged = merge(&doubtful, &record, &raced.now, &rules);
    assert_eq!((patched(&merged.to_crm), merged.lost.len()), (vec![Body], 1));
}

fn pair(crm: Crm, server: Server) -> Pair {
    Pair {
        link: LinkId(Uuid::from_u128(1)),
        record: RecordId(Uuid::from_u128(2)),
        remote: RemoteKey::new("item").unwrap(),
        tie: Tie::Linked,
        base: base(&[(Field::Subject, "s")]),
        crm,
        server,
    }
}

/// What is missing in a listing is asked for, never deleted; what was changed on the other side is not deleted either.
#[test]
fn only_a_deletion_deletes() {
    let rules = rules(Kind::Task);
    let (same, edited) = ([(Field::Subject, "s")], [(Field::Subject, "s2")]);
    let steps = |crm, server| plan(&pair(crm, server), &rules, PLAIN, Choices::default()).steps;
    let remote = RemoteKey::new("item").unwrap();
    assert_eq!(steps(Crm::Here(crm(1, &same)), Server::Unseen), [Step::Look { remote: remote.clone() }]);
    assert_eq!(steps(Crm::Deleted, Server::Unseen), [Step::Look { remote: remote.clone() }]);
    let record = RecordId(Uuid::from_u128(2));
    let expected = RecordVersion(1);
    assert_eq!(steps(Crm::Here(crm(1, &same)), Server::Deleted), [Step::DeleteRecord { record, expected }]);
    assert_eq!(steps(Crm::Here(crm(2, &edited)), Server::Deleted), [Step::Unlink { why: Why::Changed }]);
    let deleted = steps(Crm::Deleted, Server::Here(item("1", &same)));
    assert!(matches!(&deleted[..], [Step::DeleteItem { expected, .. }] if expected.0 == "1"), "{deleted:?}");
    assert_eq!(steps(Crm::Deleted, Server::Here(item("2", &edited))), [Step::Unlink { why: Why::Changed }]);
    assert_eq!(steps(Crm::Deleted, Server::Deleted), [Step::Forget]);
    assert_eq!(steps(Crm::Left, Server::Here(item("1", &same))), [Step::Unlink { why: Why::LeftFilters }]);
    assert_eq!(steps(Crm::Left, Server::Deleted), [Step::Forget]);
}

/// L8: a task that leaves the filters by being completed is completed in the mailbox before it is let go; where leaving
/// deletes, or nothing has changed, nothing is written.
#[test]
fn l8_the_last_state_is_brought_there() {
    let rules = rules(Kind::Task);
    let leaving = |last, choices| {
        let pair = pair(Crm::Left, Server::Here(item("1", &[(Field::Subject, "s")])));
        plan_leaving(&pair, last, &rules, PLAIN, choices).steps
    };
    let edited = leaving(crm(2, &[(Field::Subject, "done")]), Choices::default());
    let unlink = Step::Unlink { why: Why::LeftFilters };
    assert!(matches!(&edited[..], [Step::UpdateItem { .. }, last] if *last == unlink), "{edited:?}");
    assert_eq!(leaving(crm(1, &[(Field::Subject, "s")]), Choices::default()), [unlink]);
    let deletes = leaving(crm(2, &[(Field::Subject, "done")]), Choices { leaving_deletes: true, ..Choices::default() });
    assert!(matches!(&deletes[..], [Step::DeleteItem { .. }]), "{deletes:?}");
}

/// L8: who comes back into the filters finds the own item again; all other unlinked pairs are left alone.
#[test]
fn l8_unlinked_pairs() {
    let rules = rules(Kind::Task);
    let here = || (Crm::Here(crm(3, &[(Field::Subject, "s2")])), Server::Here(item("1", &[(Field::Subject, "s")])));
    let steps = |why, (crm, server)| {
        let unlinked = Pair { tie: Tie::Unlinked(why), ..pair(crm, server) };
        plan(&unlinked, &rules, PLAIN, Choices::default()).steps
    };
    let back = steps(Why::LeftFilters, here());
    assert!(matches!(&back[..], [Step::Relink, Step::UpdateItem { .. }]), "{back:?}");
    assert_eq!(steps(Why::Changed, here()), []);
    assert_eq!(steps(Why::LeftFilters, (Crm::Left, here().1)), []);
    assert_eq!(steps(Why::LeftFilters, (here().0, Server::Deleted)), [Step::Forget]);
    assert_eq!(steps(Why::Ownership, (here().0, Server::Deleted)), [], "what a person deleted does not come back");
    assert_eq!(steps(Why::Ownership, (Crm::Deleted, Server::Deleted)), [Step::Forget]);
}

/// J2: only what is tracked comes into the CRM; copies of linked items do not.
#[test]
fn j2_new_items_and_records() {
    let rules = rules(Kind::Task);
    let (remote, seen) = (RemoteKey::new("item").unwrap(), item("1", &[(Field::Subject, "s")]));
    let record = RecordId(Uuid::from_u128(2));
    let new = |origin| plan_new_item(&remote, &seen, origin, &rules).map(|plan| plan.steps);
    assert_eq!(new(Origin::Untracked), None);
    assert_eq!(new(Origin::Copy), None);
    assert_eq!(new(Origin::Ours(record)), Some(vec![Step::Link { record, remote: remote.clone() }]));
    let values = seen.fields.clone();
    assert_eq!(new(Origin::Tracked), Some(vec![Step::CreateRecord { kind: Kind::Task, values: values.clone() }]));

    let (mailbox, other) = (MailboxId(Uuid::from_u128(8)), MailboxId(Uuid::from_u128(9)));
    let planned = plan_new_record(mailbox, record, &crm(1, &[(Field::Subject, "s")]), &rules).unwrap();
    assert_eq!(planned.steps, [Step::CreateItem { key: Key::of_creation(mailbox, record), values }]);
    assert_eq!(Key::of_creation(mailbox, record), Key::of_creation(mailbox, record));
    assert_ne!(Key::of_creation(mailbox, record), Key::of_creation(other, record));
}

#[test]
fn an_emptied_side_waits_for_a_person() {
    for (gone, known, expected) in [
        (3, 3, guard::Verdict::Go),
        (4, 4, guard::Verdict::Hold),
        (10, 11, guard::Verdict::Go),
        (11, 50, guard::Verdict::Hold),
        (0, 0, guard::Verdict::Go),
    ] {
        let tally = Tally { known, items_gone: gone, ..Tally::default() };
        assert_eq!(tally.judge(Side::Crm), expected, "{gone} of {known}");
        assert_eq!(tally.judge(Side::Server), guard::Verdict::Go, "nothing is gone in the CRM");
        assert_eq!(Tally { agreed: true, ..tally }.judge(Side::Crm), guard::Verdict::Go);
    }
    let (record, expected) = (RecordId(Uuid::from_u128(2)), RecordVersion(1));
    let mut plan = ItemPlan::from(Step::DeleteRecord { record, expected });
    assert!(!Tally { known: 3, items_gone: 3, ..Tally::default() }.apply(&mut plan));
    assert!(Tally { known: 4, items_gone: 4, ..Tally::default() }.apply(&mut plan));
    assert_eq!(plan.steps, [Step::Hold { side: Side::Crm }]);
    let held_for = TimeDelta::from_std(HELD_FOR).unwrap();
    assert!(has_expired(start(), start() + held_for));
    assert!(!has_expired(start(), start() + held_for - TimeDelta::seconds(1)));
}

#[test]
fn what_takes_away_comes_last() {
    let (record, expected) = (RecordId(Uuid::from_u128(2)), RecordVersion(1));
    let values = Fields::default();
    let delete = ItemPlan::from(Step::DeleteRecord { record, expected });
    let create = ItemPlan::from(Step::CreateRecord { kind: Kind::Task, values });
    let mut plans = [delete.clone(), create.clone(), delete.clone(), ItemPlan::default()];
    plans.sort_by_key(order::rank);
    assert_eq!(plans, [ItemPlan::default(), create, delete.clone(), delete]);
}

fn intent(step: Step) -> Intent {
    let (run, link) = (RunId(Uuid::from_u128(5)), Some(LinkId(Uuid::from_u128(1))));
    Intent { run, stored: start(), link, record: RecordId(Uuid::from_u128(2)), step, lost: Vec::new() }
}

/// A found intent is settled by looking, a lease later.
#[test]
fn found_intents() {
    use Field::{Body, Subject};
    let rules = rules(Kind::Task);
    let name = |text: &str| RemoteKey::new(text).unwrap();
    let key = Key(Uuid::from_u128(3));
    let created = intent(Step::CreateItem { key, values: fields(&[(Subject, "s"), (Body, "b")]) });
    let lease = Duration::from_secs(60);
    assert!(!created.is_ripe(start() + TimeDelta::seconds(59), lease));
    assert!(created.is_ripe(start() + TimeDelta::seconds(60), lease));

    let none = Base::default();
    assert_eq!(settle(&created, &[], &none, &rules), Settled::Undone);
    let made = item("1", &[(Subject, "s"), (Body, "b")]);
    let edited = item("2", &[(Subject, "s"), (Body, "b2")]);
    let Settled::Created { remote, base: known, twins } =
        settle(&created, &[(name("a"), made.clone()), (name("b"), made.clone())], &none, &rules)
    else {
        panic!("it was created twice")
    };
    assert_eq!((remote, twins.len(), known.server.clone()), (name("a"), 1, made.fields.clone()));
    let Settled::Created { remote, base: known, twins } =
        settle(&created, &[(name("a"), made.clone()), (name("b"), edited.clone())], &none, &rules)
    else {
        panic!("it was created twice")
    };
    assert_eq!((remote, twins.len()), (name("b"), 0), "what somebody has worked on is kept, and nothing deleted");
    assert_eq!(known.unclear, BTreeSet::from([Body]));

    let agreed = base(&[(Subject, "s"), (Body, "b")]);
    let mut patch = Patch::default();
    let planned = fields(&[(Subject, "s2"), (Body, "b2")]);
    patch.take(Subject, &planned);
    patch.take(Body, &planned);
    let expected = RemoteVersion("1".to_owned());
    let updated = intent(Step::UpdateItem { key, remote: name("a"), expected: expected.clone(), patch });
    let settled = |now: Seen<RemoteVersion>| settle(&updated, &[(name("a"), now)], &agreed, &rules);
    assert_eq!(settled(made.clone()), Settled::Undone, "the version has not moved");
    assert_eq!(settled(item("2", &[(Subject, "s"), (Body, "else")])), Settled::Overtaken);
    let Settled::Updated { base: known } = settled(item("2", &[(Subject, "s2"), (Body, "b2")])) else {
        panic!("it was done")
    };
    assert_eq!((known.crm.clone(), known.server.clone()), (planned.clone(), planned.clone()));
    let Settled::Updated { base: known } = settled(item("2", &[(Subject, "s2"), (Body, "b")])) else {
        panic!("half of it shows")
    };
    assert_eq!(known.crm, fields(&[(Subject, "s2"), (Body, "b")]), "what is as it was before is planned again");
    assert_eq!(settle(&updated, &[], &agreed, &rules), Settled::Overtaken);

    let deleted = intent(Step::DeleteItem { key, remote: name("a"), expected });
    assert_eq!(settle(&deleted, &[], &agreed, &rules), Settled::Deleted);
    assert_eq!(settle(&deleted, &[(name("a"), made)], &agreed, &rules), Settled::Undone);
}
