//! What every connector with contacts, tasks and appointments promises. Somebody else is a second session with the same
//! mailbox.

mod attachments;
mod beside;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};

use chrono::{NaiveDate, NaiveDateTime, Weekday};
use chrono_tz::Tz;
use lockstep_model::{
    address::AddressKey,
    record::{
        Field, Fields, Importance, Invited, Kind, LinkId, Patch, PersonName, PostalAddress, RemoteVersion, ShowAs,
        TaskStatus, Value, When,
        series::{Changed, End, Exception, Length, Pattern, Rule, Series},
    },
    remote::{Cursor, RemoteKey},
};
use uuid::Uuid;

use super::{World, close, deadline, open};
use crate::{
    Session, Target,
    items::{Beside, Changes, Folder, Item, ItemHead, Items, NotDone, Reading, Receipt, Tell, Write},
};

/// The zone of the mailboxes' owners.
const HOME: Tz = Tz::Europe__Berlin;

/// Everything a connector that has contacts, tasks and appointments promises.
pub async fn items(world: &dyn World) {
    for kind in Kind::ALL {
        lives_from_creation_to_deletion(world, kind).await;
        refuses_what_is_based_on_an_older_state(world, kind).await;
    }
    an_empty_mailbox_lists_nothing(world).await;
    lists_in_pages_and_then_only_changes(world).await;
    answers_each_of_many_writes(world).await;
    reads_what_is_there_next_to_what_is_not(world).await;
    finds_by_the_mark_and_by_nothing_else(world).await;
    whole_days_are_whole_days(world).await;
    a_series_changes_with_its_exceptions(world).await;
    begins_again_where_the_cursor_means_nothing(world).await;
    beside::all(world).await;
    attachments::all(world).await;
}

fn port(session: &mut Box<dyn Session>) -> &mut dyn Items {
    session
        .items(HOME)
        .unwrap_or_else(|| panic!("a connector with contacts, tasks and appointments has a port for them"))
}

async fn changes(session: &mut Box<dyn Session>, folder: Folder, cursor: &Cursor, limit: u16) -> Changes {
    let listed = port(session).changes(folder, cursor, limit, &deadline()).await;
    listed.unwrap_or_else(|fault| panic!("a listing was expected: {fault}"))
}

/// All pages since a cursor, as one; each keeps the limit.
async fn all(session: &mut Box<dyn Session>, folder: Folder, cursor: &Cursor, limit: u16) -> (Changes, usize) {
    let (mut whole, mut pages) = (Changes { cursor: cursor.clone(), ..Changes::default() }, 0);
    loop {
        let page = changes(session, folder, &whole.cursor, limit).await;
        assert!(page.changed.len() + page.deleted.len() <= usize::from(limit), "a page keeps its limit");
        assert!(page.cursor.0.len() <= Cursor::MAX_BYTES && !page.cursor.is_start(), "the cursor can be kept");
        pages += 1;
        assert!(pages < 1_000, "a listing ends");
        whole.changed.extend(page.changed);
        whole.deleted.extend(page.deleted);
        whole.cursor = page.cursor;
        whole.reset |= page.reset;
        if !page.more {
            return (whole, pages);
        }
    }
}

async fn write_all(session: &mut Box<dyn Session>, writes: &[Write]) -> Vec<Result<Receipt, NotDone>> {
    let written = port(session).write(writes, &deadline()).await;
    assert_eq!(written.broken, None, "nothing ended the session");
    assert_eq!(written.done.len(), writes.len(), "each write has an answer");
    written.done
}

async fn write(session: &mut Box<dyn Session>, write: Write) -> Result<Receipt, NotDone> {
    write_all(session, &[write]).await.remove(0)
}

async fn done(session: &mut Box<dyn Session>, wanted: Write) -> Receipt {
    let receipt =
        write(session, wanted).await.unwrap_or_else(|why| panic!("the write was expected to be done: {why:?}"));
    assert_eq!(receipt.left_out, [], "nothing was left out");
    receipt
}

async fn reading(session: &mut Box<dyn Session>, folder: Folder, key: &RemoteKey) -> Reading {
    let read = port(session).read(folder, std::slice::from_ref(key), &deadline()).await;
    let mut read = read.unwrap_or_else(|fault| panic!("a reading was expected: {fault}"));
    assert_eq!(read.len(), 1, "each key has a reading");
    read.remove(0)
}

async fn item(session: &mut Box<dyn Session>, folder: Folder, key: &RemoteKey) -> Item {
    match reading(session, folder, key).await {
        Reading::Here(item) => *item,
        other => panic!("the item was expected: {other:?}"),
    }
}

fn create(kind: Kind, values: Fields, mark: LinkId) -> Write {
    Write::Create { kind, values, mark, beside: Beside::default(), tell: Tell::Nobody }
}

fn update(item: &Item, patch: Patch) -> Write {
    Write::Update { item: Box::new(item.clone()), patch, beside: Beside::default(), tell: Tell::Nobody }
}

fn delete(item: &Item) -> Write {
    Write::Delete { item: Box::new(item.clone()), tell: Tell::Nobody }
}

/// One that nothing carries yet.
fn mark() -> LinkId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    LinkId(Uuid::from_u128(0x6d61_726b << 96 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed))))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn fields(values: &[(Field, Value)]) -> Fields {
    let mut fields = Fields::default();
    for (field, value) in values {
        fields.set(*field, value.clone()).unwrap();
    }
    fields
}

/// A patch that sets these, and clears what has no value here.
fn patch(values: &[(Field, Option<Value>)]) -> Patch {
    let mut patch = Patch::default();
    for (field, value) in values {
        let source = value.clone().map(|value| fields(&[(*field, value)])).unwrap_or_default();
        patch.take(*field, &source);
    }
    patch
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn people(addresses: &[&str]) -> Value {
    let mut invited = Invited::default();
    for address in addresses {
        invited.add(AddressKey::of(address).unwrap(), "");
    }
    Value::People(invited)
}

fn timed(start: &str, end: &str) -> Value {
    Value::When(When::Timed { start: local(start), end: local(end), zone: HOME })
}

/// Every Monday and Thursday, ten times, over the change to summer time; one is cancelled, one is longer and later.
fn series() -> Series {
    let changed = Changed {
        start: local("2027-03-18T10:00:00"),
        length: Length::Minutes(90),
        fields: patch(&[(Field::Subject, Some(text("longer today")))]),
    };
    Series {
        zone: HOME,
        start: local("2027-03-15T09:00:00"),
        length: Length::Minutes(60),
        rule: Rule {
            every: 1,
            pattern: Pattern::Weekly {
                days: [Weekday::Mon, Weekday::Thu].into_iter().collect(),
                week_start: Weekday::Mon,
            },
        },
        end: End::Count(10),
        exceptions: [
            (local("2027-03-18T09:00:00"), Exception::Changed(Box::new(changed))),
            (local("2027-03-22T09:00:00"), Exception::Cancelled),
        ]
        .into(),
    }
}

fn recurring(series: &Series) -> Value {
    Value::Series(Box::new(series.clone()))
}

/// One of a kind, and a change that touches several of its values and clears one.
fn sample(kind: Kind) -> (Fields, Patch) {
    let meeting = [
        (Field::Subject, text("review <1> & \"2\"")),
        (Field::Body, text("agenda:\n1. all\n\nÄöü €")),
        (Field::Location, text("room 1")),
        (Field::Importance, Value::Importance(Importance::High)),
        (Field::ShowAs, Value::ShowAs(ShowAs::OutOfOffice)),
        (Field::Regarding, text("Contoso")),
        (Field::RequiredAttendees, people(&["bob@elsewhere.test", "cid@elsewhere.test"])),
        (Field::OptionalAttendees, people(&["dan@elsewhere.test"])),
    ];
    let mut change = vec![
        (Field::Subject, Some(text("another"))),
        (Field::ShowAs, Some(Value::ShowAs(ShowAs::Free))),
        (Field::Location, None),
        (Field::RequiredAttendees, Some(people(&["bob@elsewhere.test"]))),
    ];
    match Folder::of(kind) {
        Folder::Contacts => contact(),
        Folder::Tasks => task(),
        Folder::Calendar if kind == Kind::RecurringAppointment => {
            let all = [&meeting[..], &[(Field::Recurrence, recurring(&series()))]].concat();
            (fields(&all), patch(&change))
        }
        Folder::Calendar => {
            let when = (Field::Time, timed("2027-07-01T09:00:00", "2027-07-01T10:30:00"));
            change.push((Field::Time, Some(timed("2027-07-02T11:00:00", "2027-07-02T12:00:00"))));
            (fields(&[&meeting[..], &[when]].concat()), patch(&change))
        }
    }
}

fn contact() -> (Fields, Patch) {
    let name = |last: &str| Value::Name(PersonName { first: "Ann".into(), middle: String::new(), last: last.into() });
    let place = PostalAddress {
        street: "Street 1\nfloor 2".into(),
        city: "Wien".into(),
        region: String::new(),
        postal_code: "1010".into(),
        country: "Österreich".into(),
    };
    let values = fields(&[
        (Field::FullName, name("O'Hara & Söhne")),
        (Field::Company, text("Contoso")),
        (Field::Email1, text("ann@elsewhere.test")),
        (Field::MobilePhone, text("+43 1 234")),
        (Field::MailingAddress, Value::Place(place)),
        (Field::Birthday, Value::Date(NaiveDate::from_ymd_opt(1980, 2, 29).unwrap())),
        (Field::Body, text("met at the fair")),
    ]);
    let change = patch(&[
        (Field::FullName, Some(name("Smith"))),
        (Field::JobTitle, Some(text("Chief"))),
        (Field::MobilePhone, None),
    ]);
    (values, change)
}

fn task() -> (Fields, Patch) {
    let at = |text: &str| Value::Instant(text.parse().unwrap());
    let values = fields(&[
        (Field::Subject, text("call back")),
        (Field::Body, text("line one\nline two")),
        (Field::Importance, Value::Importance(Importance::High)),
        (Field::Regarding, text("Contoso")),
        (Field::StartDate, at("2027-05-10T00:00:00Z")),
        (Field::DueDate, at("2027-05-17T00:00:00Z")),
        (Field::Status, Value::TaskStatus(TaskStatus::InProgress)),
    ]);
    let change = patch(&[
        (Field::Subject, Some(text("called back"))),
        (Field::Status, Some(Value::TaskStatus(TaskStatus::Waiting))),
        (Field::DueDate, None),
    ]);
    (values, change)
}

/// Only these fields: servers add some of their own.
fn only(all: &Fields, fields: impl IntoIterator<Item = Field>) -> Fields {
    let mut some = Fields::default();
    fields.into_iter().for_each(|field| some.copy(field, all));
    some
}

fn head_of<'c>(changes: &'c Changes, key: &RemoteKey) -> &'c ItemHead {
    let [head] = changes.changed.as_slice() else { panic!("one item was expected: {changes:?}") };
    assert_eq!(&head.key, key);
    assert_eq!(changes.deleted, []);
    head
}

async fn fresh(world: &dyn World) -> (Target, Box<dyn Session>) {
    let (_, target) = world.mailbox().await;
    let session = open(world, &target).await;
    (target, session)
}

/// Its creation, its change and its deletion are each done, read, found and listed; the version that a write answers is
/// the one that reading and listing show, so that one's own writes are known again.
async fn lives_from_creation_to_deletion(world: &dyn World, kind: Kind) {
    let folder = Folder::of(kind);
    let (_, mut session) = fresh(world).await;
    let begin = all(&mut session, folder, &Cursor::default(), 100).await.0.cursor;
    let ((values, change), mark) = (sample(kind), mark());
    let made = done(&mut session, create(kind, values.clone(), mark)).await;
    let there = item(&mut session, folder, &made.key).await;
    assert_eq!(only(&there.fields, values.iter().map(|(field, _)| field)), values, "{kind:?} is what was written");
    assert_eq!(Folder::of(there.kind), folder);
    assert_eq!(there.kind == Kind::RecurringAppointment, kind == Kind::RecurringAppointment);
    assert!(there.organiser, "one's own item is one's own");
    assert_eq!(there.head.mark, Some(mark), "it carries its mark");
    assert_eq!(there.head.uid.is_some(), folder == Folder::Calendar, "appointments have a UID, and nothing else");
    assert_eq!(Some(&there.head.version), made.version.as_ref(), "the write's version is the item's");
    let (listed, _) = all(&mut session, folder, &begin, 100).await;
    assert_eq!(head_of(&listed, &made.key), &there.head, "a listing shows what reading shows");
    let found = port(&mut session).find(folder, mark, &deadline()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&there), "and so does finding by the mark");

    let changed = done(&mut session, update(&there, change.clone())).await;
    assert_eq!(changed.key, made.key, "a change leaves the key alone");
    assert_ne!(changed.version, made.version, "and gives another version");
    let now = item(&mut session, folder, &made.key).await;
    let mut expected = there.fields.clone();
    expected.apply(&change);
    assert_eq!(now.fields, expected, "{kind:?}: what was not named stays as it was");
    assert_eq!(Some(&now.head.version), changed.version.as_ref());
    assert_eq!(now.head.mark, Some(mark), "the mark stays");
    let (again, _) = all(&mut session, folder, &listed.cursor, 100).await;
    assert_eq!(head_of(&again, &made.key), &now.head);

    let gone = done(&mut session, delete(&now)).await;
    assert_eq!((gone.key, gone.version), (made.key.clone(), None));
    assert_eq!(reading(&mut session, folder, &made.key).await, Reading::Gone);
    assert_eq!(port(&mut session).find(folder, mark, &deadline()).await.unwrap(), [], "what is deleted is not found");
    let (last, _) = all(&mut session, folder, &again.cursor, 100).await;
    assert_eq!((last.changed, last.deleted), (vec![], vec![made.key]), "a deletion is listed");
    close(session).await;
}

/// Whoever knows an item as it was writes nothing to it, and takes nothing away.
async fn refuses_what_is_based_on_an_older_state(world: &dyn World, kind: Kind) {
    let folder = Folder::of(kind);
    let (target, mut session) = fresh(world).await;
    let (values, change) = sample(kind);
    let key = done(&mut session, create(kind, values, mark())).await.key;
    let before = item(&mut session, folder, &key).await;
    let mut somebody = open(world, &target).await;
    done(&mut somebody, update(&before, patch(&[(Field::Body, Some(text("somebody else's")))]))).await;
    let theirs = item(&mut somebody, folder, &key).await;
    assert_eq!(write(&mut session, update(&before, change.clone())).await, Err(NotDone::Conflict));
    assert_eq!(write(&mut session, delete(&before)).await, Err(NotDone::Conflict));
    assert_eq!(item(&mut session, folder, &key).await, theirs, "a conflict changes nothing");
    done(&mut somebody, delete(&theirs)).await;
    close(somebody).await;
    assert_eq!(write(&mut session, update(&theirs, change)).await, Err(NotDone::Gone));
    assert_eq!(write(&mut session, delete(&theirs)).await, Err(NotDone::Gone));
    close(session).await;
}

async fn an_empty_mailbox_lists_nothing(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    for folder in Folder::ALL {
        let first = changes(&mut session, folder, &Cursor::default(), 10).await;
        let empty = Changes { cursor: first.cursor.clone(), ..Changes::default() };
        assert_eq!(first, empty);
        assert_eq!(changes(&mut session, folder, &first.cursor, 10).await.changed, []);
        assert_eq!(port(&mut session).read(folder, &[], &deadline()).await.unwrap(), []);
    }
    assert_eq!(port(&mut session).write(&[], &deadline()).await.done, []);
    close(session).await;
}

async fn lists_in_pages_and_then_only_changes(world: &dyn World) {
    let (target, mut session) = fresh(world).await;
    let subject = |n: usize| fields(&[(Field::Subject, text(&format!("task {n}")))]);
    let writes: Vec<_> = (0..7).map(|n| create(Kind::Task, subject(n), mark())).collect();
    let made = write_all(&mut session, &writes).await;
    let made: BTreeSet<RemoteKey> = made.into_iter().map(|answer| answer.unwrap().key).collect();
    let (first, pages) = all(&mut session, Folder::Tasks, &Cursor::default(), 3).await;
    assert!(pages >= 3, "seven items are three pages of three");
    assert_eq!(first.changed.iter().map(|head| head.key.clone()).collect::<BTreeSet<_>>(), made);
    assert_eq!((first.changed.len(), first.reset), (7, false), "each once");
    let (nothing, _) = all(&mut session, Folder::Tasks, &first.cursor, 3).await;
    assert_eq!((nothing.changed, nothing.deleted), (vec![], vec![]), "nothing changed, so nothing is listed");
    assert_eq!(all(&mut session, Folder::Contacts, &Cursor::default(), 3).await.0.changed, [], "folders are apart");
    close(session).await;

    // The cursor is good for another session, and an older one still leads to the present.
    let mut session = open(world, &target).await;
    let keys: Vec<_> = made.into_iter().collect();
    let one = item(&mut session, Folder::Tasks, &keys[0]).await;
    let changed = done(&mut session, update(&one, patch(&[(Field::Subject, Some(text("other")))]))).await;
    let two = item(&mut session, Folder::Tasks, &keys[1]).await;
    done(&mut session, delete(&two)).await;
    for cursor in [&first.cursor, &nothing.cursor] {
        let (now, _) = all(&mut session, Folder::Tasks, cursor, 3).await;
        let listed: Vec<_> = now.changed.iter().map(|head| (&head.key, Some(&head.version))).collect();
        assert_eq!(listed, [(&keys[0], changed.version.as_ref())]);
        assert_eq!(now.deleted, [keys[1].clone()]);
    }
    close(session).await;
}

/// Of many writes at once each has its own answer, and one that is refused stops none of the others.
async fn answers_each_of_many_writes(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let person = |n: usize| fields(&[(Field::Company, text(&format!("company {n}")))]);
    let marks: Vec<_> = (0..60).map(|_| mark()).collect();
    let writes: Vec<_> = marks.iter().enumerate().map(|(n, mark)| create(Kind::Contact, person(n), *mark)).collect();
    let answers = write_all(&mut session, &writes).await;
    let keys: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 60);
    let mut items = Vec::new();
    let read = port(&mut session).read(Folder::Contacts, &keys, &deadline()).await.unwrap();
    for (n, one) in read.into_iter().enumerate() {
        let Reading::Here(one) = one else { panic!("contact {n} was expected: {one:?}") };
        assert_eq!((one.fields.get(Field::Company), one.head.mark), (person(n).get(Field::Company), Some(marks[n])));
        items.push(*one);
    }
    let mut stale = items[1].clone();
    stale.head.version = RemoteVersion(items[0].head.version.0.clone() + "x");
    let rename = || patch(&[(Field::Company, Some(text("renamed")))]);
    done(&mut session, delete(&items[2])).await;
    let writes = [
        update(&items[0], rename()),
        delete(&stale),
        update(&items[2], rename()),
        create(Kind::Contact, person(61), mark()),
        delete(&items[3]),
    ];
    let answers = write_all(&mut session, &writes).await;
    assert!(answers[0].is_ok() && answers[3].is_ok() && answers[4].is_ok(), "{answers:?}");
    assert_eq!((&answers[1], &answers[2]), (&Err(NotDone::Conflict), &Err(NotDone::Gone)));
    close(session).await;
}

async fn reads_what_is_there_next_to_what_is_not(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let (values, _) = sample(Kind::Appointment);
    let first = done(&mut session, create(Kind::Appointment, values.clone(), mark())).await.key;
    let second = done(&mut session, create(Kind::Appointment, values, mark())).await.key;
    let here = item(&mut session, Folder::Calendar, &first).await;
    done(&mut session, delete(&here)).await;
    let keys = [second.clone(), first, second.clone()];
    let read = port(&mut session).read(Folder::Calendar, &keys, &deadline()).await.unwrap();
    let is = |at: usize| matches!(&read[at], Reading::Here(item) if item.head.key == second);
    assert!(read.len() == 3 && is(0) && read[1] == Reading::Gone && is(2), "in the order asked for: {read:?}");
    close(session).await;
}

async fn finds_by_the_mark_and_by_nothing_else(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let ours = mark();
    let (values, _) = sample(Kind::Contact);
    let keys: BTreeSet<_> = [
        done(&mut session, create(Kind::Contact, values.clone(), ours)).await.key,
        done(&mut session, create(Kind::Contact, values.clone(), ours)).await.key,
    ]
    .into();
    done(&mut session, create(Kind::Contact, values, mark())).await;
    let found = port(&mut session).find(Folder::Contacts, ours, &deadline()).await.unwrap();
    assert_eq!(found.into_iter().map(|item| item.head.key).collect::<BTreeSet<_>>(), keys, "all that carry it");
    assert_eq!(port(&mut session).find(Folder::Contacts, mark(), &deadline()).await.unwrap(), []);
    assert_eq!(port(&mut session).find(Folder::Tasks, ours, &deadline()).await.unwrap(), [], "folders are apart");
    close(session).await;
}

/// Whole days stay the days they are, also around the change to summer time, and become times of the day and back.
async fn whole_days_are_whole_days(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let days = |day, days| Value::When(When::AllDay { first: NaiveDate::from_ymd_opt(2027, 3, day).unwrap(), days });
    let values = fields(&[(Field::Subject, text("fair")), (Field::Time, days(27, 3))]);
    let key = done(&mut session, create(Kind::Appointment, values, mark())).await.key;
    for time in [timed("2027-03-28T09:00:00", "2027-03-28T10:00:00"), days(28, 1), days(31, 2)] {
        let there = item(&mut session, Folder::Calendar, &key).await;
        assert_ne!(there.fields.get(Field::Time), Some(&time));
        done(&mut session, update(&there, patch(&[(Field::Time, Some(time.clone()))]))).await;
        assert_eq!(item(&mut session, Folder::Calendar, &key).await.fields.get(Field::Time), Some(&time));
    }
    close(session).await;
}

/// Exceptions come, change and go; one that was cancelled and is to take place again is told where it cannot.
async fn a_series_changes_with_its_exceptions(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let values = fields(&[(Field::Subject, text("weekly")), (Field::Recurrence, recurring(&series()))]);
    let key = done(&mut session, create(Kind::RecurringAppointment, values, mark())).await.key;
    let mut wanted = series();
    let moved = |start: &str, minutes| Changed {
        start: local(start),
        length: Length::Minutes(minutes),
        fields: Patch::default(),
    };
    // The one that was longer is as long as the others again, with another subject; two more differ.
    let renamed =
        Changed { fields: patch(&[(Field::Subject, Some(text("renamed")))]), ..moved("2027-03-18T09:00:00", 60) };
    wanted.exceptions.insert(local("2027-03-18T09:00:00"), Exception::Changed(Box::new(renamed)));
    let later = moved("2027-04-06T08:30:00", 30);
    wanted.exceptions.insert(local("2027-04-05T09:00:00"), Exception::Changed(Box::new(later)));
    wanted.exceptions.insert(local("2027-04-08T09:00:00"), Exception::Cancelled);
    let there = item(&mut session, Folder::Calendar, &key).await;
    let receipt = done(&mut session, update(&there, patch(&[(Field::Recurrence, Some(recurring(&wanted)))]))).await;
    let there = item(&mut session, Folder::Calendar, &key).await;
    assert_eq!(there.fields.get(Field::Recurrence), Some(&recurring(&wanted)));
    assert_eq!(receipt.version.as_ref(), Some(&there.head.version), "the version is that of the whole series");

    // Back to the rule.
    wanted.exceptions.remove(&local("2027-03-18T09:00:00"));
    wanted.exceptions.remove(&local("2027-04-05T09:00:00"));
    done(&mut session, update(&there, patch(&[(Field::Recurrence, Some(recurring(&wanted)))]))).await;
    let there = item(&mut session, Folder::Calendar, &key).await;
    assert_eq!(there.fields.get(Field::Recurrence), Some(&recurring(&wanted)));

    // A cancelled one takes place again, or it is said that it does not.
    let back = wanted.exceptions.remove(&local("2027-04-08T09:00:00"));
    let receipt = write(&mut session, update(&there, patch(&[(Field::Recurrence, Some(recurring(&wanted)))]))).await;
    let left_out: Vec<Field> = receipt.unwrap().left_out.into_iter().map(|(field, _)| field).collect();
    let there = item(&mut session, Folder::Calendar, &key).await;
    if !left_out.is_empty() {
        assert_eq!(left_out, [Field::Recurrence]);
        wanted.exceptions.extend(back.map(|back| (local("2027-04-08T09:00:00"), back)));
    }
    assert_eq!(there.fields.get(Field::Recurrence), Some(&recurring(&wanted)), "what is not told is done");

    // Another rule.
    let other = Series {
        rule: Rule { every: 2, pattern: Pattern::Daily },
        end: End::Until(NaiveDate::from_ymd_opt(2027, 4, 30).unwrap()),
        exceptions: [(local("2027-03-17T09:00:00"), Exception::Cancelled)].into(),
        ..series()
    };
    done(&mut session, update(&there, patch(&[(Field::Recurrence, Some(recurring(&other)))]))).await;
    let there = item(&mut session, Folder::Calendar, &key).await;
    assert_eq!(there.fields.get(Field::Recurrence), Some(&recurring(&other)));
    close(session).await;
}

async fn begins_again_where_the_cursor_means_nothing(world: &dyn World) {
    let (_, mut session) = fresh(world).await;
    let key = done(&mut session, create(Kind::Task, fields(&[(Field::Subject, text("one"))]), mark())).await.key;
    for nonsense in [&b"nonsense"[..], b"\xff\xfe", b"0"] {
        let page = changes(&mut session, Folder::Tasks, &Cursor(nonsense.to_vec()), 10).await;
        assert!(page.reset, "a cursor that is not known begins again, and says so");
        head_of(&page, &key);
        let next = changes(&mut session, Folder::Tasks, &page.cursor, 10).await;
        assert_eq!((next.changed, next.reset), (vec![], false));
    }
    close(session).await;
}
