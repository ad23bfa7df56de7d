//! The port's contacts, tasks and appointments on the simulated Exchange: what is this protocol's own beside the promises
//! of every port.

use lockstep_connector::{
    Session, Target,
    items::{Beside, Changes, Folder, Item, Items, NotDone, Reading, Receipt, Tell, Write, Written},
};
use lockstep_ews::{
    client::Client,
    codec::{create_item::Invitations, id::ItemId, property::Property, update_item::Update},
    item::{Class, task},
};
use lockstep_model::{
    record::{
        Field, Fields, Kind, LinkId, Patch, Value, When,
        series::{Changed, End, Exception, Length, OnDay, Pattern, Rule, Series, ShortMonth},
    },
    remote::{Cursor, RemoteKey},
};
use uuid::Uuid;

use crate::{
    records::{HOME, fields, meeting, people, somebody, something_to_do, text, weekly},
    simulator::{Sim, deadline},
};

pub(crate) const MARK: LinkId = LinkId(Uuid::from_u128(0xabcd));

pub(crate) async fn session(sim: &Sim, target: &Target) -> Box<dyn Session> {
    use lockstep_connector::Connector;
    sim.connector().open(target, &deadline()).await.unwrap()
}

pub(crate) fn port(session: &mut Box<dyn Session>) -> &mut dyn Items {
    session.items(HOME).unwrap()
}

pub(crate) fn create(kind: Kind, values: Fields, tell: Tell) -> Write {
    Write::Create { kind, values, mark: MARK, beside: Beside::default(), tell }
}

pub(crate) fn update(item: &Item, values: &[(Field, Value)], tell: Tell) -> Write {
    let source = fields(values);
    let mut patch = Patch::default();
    values.iter().for_each(|(field, _)| patch.take(*field, &source));
    Write::Update { item: Box::new(item.clone()), patch, beside: Beside::default(), tell }
}

async fn write(session: &mut Box<dyn Session>, write: Write) -> Result<Receipt, NotDone> {
    let Written { mut done, broken } = port(session).write(&[write], &deadline()).await;
    assert_eq!(broken, None);
    done.remove(0)
}

pub(crate) async fn read(session: &mut Box<dyn Session>, folder: Folder, key: &RemoteKey) -> Reading {
    port(session).read(folder, std::slice::from_ref(key), &deadline()).await.unwrap().remove(0)
}

async fn item(session: &mut Box<dyn Session>, folder: Folder, key: &RemoteKey) -> Item {
    match read(session, folder, key).await {
        Reading::Here(item) => *item,
        other => panic!("{other:?}"),
    }
}

async fn all(session: &mut Box<dyn Session>, folder: Folder) -> Changes {
    port(session).changes(folder, &Cursor::default(), 512, &deadline()).await.unwrap()
}

async fn raw(client: &mut Client, class: Class, element: &str) -> ItemId {
    client.create_item(class, element, Invitations::None, &deadline()).await.unwrap().unwrap()
}

fn key(id: &ItemId) -> RemoteKey {
    RemoteKey::new(id.id.clone()).unwrap()
}

/// Which address got what: the subjects in an inbox.
fn inbox(sim: &Sim, address: &str) -> Vec<String> {
    let state = sim.server.state();
    let mailbox = state.world.mailbox(state.world.find(address).unwrap()).unwrap();
    let items = mailbox.items_in(mailbox.home("inbox"));
    items.into_iter().filter_map(|id| Some(mailbox.items.get(&id)?.content.text("Subject").to_owned())).collect()
}

/// Categories are listed and read; what lies in a folder beside its items is neither.
#[tokio::test]
async fn categories_are_told_and_other_kinds_are_not() {
    let sim = Sim::start().await;
    let (address, mut client) = sim.client().await;
    let made = raw(&mut client, Class::Contact, "<t:Contact><t:CompanyName>Contoso</t:CompanyName></t:Contact>").await;
    let list = "<t:DistributionList><t:DisplayName>All</t:DisplayName></t:DistributionList>";
    let list = raw(&mut client, Class::Contact, list).await;
    let names: String = (0..60).map(|n| format!("<t:String>  cat {n} </t:String>")).collect();
    let set = format!("<t:Contact><t:Categories>{names}</t:Categories></t:Contact>");
    let updates = [Update::Set(Property::Field("item:Categories"), set)];
    client.update_item(&made.clone().into(), &updates, Invitations::None, &deadline()).await.unwrap().unwrap();
    client.close().await;
    let mut session = session(&sim, &sim.target(&address)).await;
    let listed = all(&mut session, Folder::Contacts).await;
    assert_eq!(listed.changed.len(), 1);
    let head = &listed.changed[0];
    assert_eq!((&head.key, head.mark, head.uid.as_deref()), (&key(&made), None, None));
    assert_eq!(head.categories.len(), 50, "not more than fifty");
    assert_eq!(head.categories[3], "cat 3");
    assert_eq!(&item(&mut session, Folder::Contacts, &head.key).await.head, head);
    assert!(matches!(read(&mut session, Folder::Contacts, &key(&list)).await, Reading::Apart(_)));
}

/// K9: recurring and assigned tasks stay apart, and say which they are.
#[tokio::test]
async fn k9_recurring_and_assigned_tasks_stay_apart() {
    let sim = Sim::start().await;
    let (address, mut client) = sim.client().await;
    let plain = raw(&mut client, Class::Task, &task::create(&something_to_do(), None)).await;
    let recurring = "<t:Task><t:Subject>again</t:Subject><t:Recurrence><t:DailyRecurrence><t:Interval>1</t:Interval>\
        </t:DailyRecurrence><t:NoEndRecurrence><t:StartDate>2027-01-04</t:StartDate></t:NoEndRecurrence>\
        </t:Recurrence></t:Task>";
    let recurring = raw(&mut client, Class::Task, recurring).await;
    let mut keys = vec![key(&plain), key(&recurring)];
    for state in ["NoMatch", "OwnNew", "Owned", "Accepted", "Declined"] {
        let element =
            format!("<t:Task><t:Subject>a</t:Subject><t:DelegationState>{state}</t:DelegationState></t:Task>");
        keys.push(key(&raw(&mut client, Class::Task, &element).await));
    }
    client.close().await;
    let mut session = session(&sim, &sim.target(&address)).await;
    let read = port(&mut session).read(Folder::Tasks, &keys, &deadline()).await.unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|reading| match reading {
            Reading::Here(_) => "here",
            Reading::Apart(why) => why,
            _ => "?",
        })
        .collect();
    let assigned = "an assigned task";
    assert_eq!(told, ["here", "a recurring task", "here", assigned, assigned, assigned, assigned]);
}

/// Occurrences never stand for themselves: neither listed, nor read by their ids.
#[tokio::test]
async fn occurrences_are_no_items() {
    let sim = Sim::start().await;
    let (address, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let values = fields(&[(Field::Subject, text("weekly")), (Field::Recurrence, Value::Series(Box::new(weekly())))]);
    let made = write(&mut session, create(Kind::RecurringAppointment, values, Tell::Nobody)).await.unwrap();
    let listed = all(&mut session, Folder::Calendar).await;
    assert_eq!(listed.changed.iter().map(|head| &head.key).collect::<Vec<_>>(), [&made.key]);
    let mut client = Client::open(sim.connector().options(&sim.target(&address)), &deadline()).await.unwrap();
    let id = ItemId::whatever(String::from_utf8(made.key.as_bytes().to_vec()).unwrap());
    let master = client.get_items(Class::Appointment, &[id.into()], &deadline()).await.unwrap().remove(0).unwrap();
    let exception = lockstep_ews::item::series::modified(&master).remove(0).id;
    let there = read(&mut session, Folder::Calendar, &key(&exception)).await;
    assert_eq!(there, Reading::Apart("one occurrence of a series"));
}

/// Invitations, news and cancellations go out when they are to, and only then; who is invited is not the organiser, and
/// sends nothing whatever is asked for.
#[tokio::test]
async fn the_invited_hear_what_they_are_to_hear() {
    let sim = Sim::start().await;
    let (ann, target) = sim.fresh();
    let (bob, bobs) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let mut values = meeting();
    values.set(Field::RequiredAttendees, people(&[&bob])).unwrap();
    values.set(Field::OptionalAttendees, people(&[])).unwrap();
    let quiet = write(&mut session, create(Kind::Appointment, values.clone(), Tell::Nobody)).await.unwrap();
    let there = item(&mut session, Folder::Calendar, &quiet.key).await;
    write(&mut session, update(&there, &[(Field::Subject, text("quiet"))], Tell::Nobody)).await.unwrap();
    let there = item(&mut session, Folder::Calendar, &quiet.key).await;
    write(&mut session, Write::Delete { item: Box::new(there), tell: Tell::Nobody }).await.unwrap();
    assert_eq!(inbox(&sim, &bob), [] as [String; 0], "nobody hears of anything");

    let told = write(&mut session, create(Kind::Appointment, values, Tell::Attendees)).await.unwrap();
    assert_eq!(inbox(&sim, &bob), ["review"]);
    let there = item(&mut session, Folder::Calendar, &told.key).await;
    assert!(there.organiser);

    let mut other = self::session(&sim, &bobs).await;
    let listed = all(&mut other, Folder::Calendar).await;
    let copy = item(&mut other, Folder::Calendar, &listed.changed[0].key).await;
    assert!(!copy.organiser, "it is somebody else's meeting");
    assert_eq!((&copy.head.uid, copy.head.mark), (&there.head.uid, None), "one meeting, and no mark on the copy");
    assert!(there.head.uid.is_some());
    let own = write(&mut other, update(&copy, &[(Field::Body, text("my notes"))], Tell::Attendees)).await.unwrap();
    assert_eq!(inbox(&sim, &ann), [] as [String; 0], "an invited one tells nobody");
    assert!(own.version.is_some());

    let receipt =
        write(&mut session, update(&there, &[(Field::Subject, text("moved"))], Tell::Attendees)).await.unwrap();
    let there = item(&mut session, Folder::Calendar, &told.key).await;
    assert_eq!(receipt.version.as_ref(), Some(&there.head.version));
    assert_eq!(inbox(&sim, &bob), ["review", "moved"]);
    write(&mut session, Write::Delete { item: Box::new(there), tell: Tell::Attendees }).await.unwrap();
    assert_eq!(inbox(&sim, &bob), ["review", "moved", "Canceled: moved"]);
}

/// What the protocol cannot say is not written; where it is a part of a change only, the rest is, and it is told.
#[tokio::test]
async fn what_cannot_be_said_is_told() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let mut odd = weekly();
    odd.rule = Rule { every: 1, pattern: Pattern::Monthly(OnDay::Absolute { day: 31, short: ShortMonth::Skipped }) };
    odd.exceptions.clear();
    let odd = (Field::Recurrence, Value::Series(Box::new(odd)));
    let is_unwritable =
        |answer: &Result<Receipt, NotDone>| matches!(answer, Err(NotDone::Unwritable { field: Field::Recurrence, .. }));
    let refused =
        write(&mut session, create(Kind::RecurringAppointment, fields(std::slice::from_ref(&odd)), Tell::Nobody)).await;
    assert!(is_unwritable(&refused), "{refused:?}");
    assert_eq!(all(&mut session, Folder::Calendar).await.changed, [], "nothing was made");

    let plain = (Field::Recurrence, Value::Series(Box::new(weekly())));
    let values = fields(&[(Field::Subject, text("weekly")), plain.clone()]);
    let made = write(&mut session, create(Kind::RecurringAppointment, values, Tell::Nobody)).await.unwrap();
    let there = item(&mut session, Folder::Calendar, &made.key).await;
    let refused = write(&mut session, update(&there, std::slice::from_ref(&odd), Tell::Nobody)).await;
    assert!(is_unwritable(&refused), "{refused:?}");
    assert_eq!(item(&mut session, Folder::Calendar, &made.key).await, there);
    let receipt =
        write(&mut session, update(&there, &[(Field::Subject, text("other")), odd], Tell::Nobody)).await.unwrap();
    let left_out: Vec<_> = receipt.left_out.iter().map(|(field, _)| *field).collect();
    assert_eq!(left_out, [Field::Recurrence]);
    let now = item(&mut session, Folder::Calendar, &made.key).await;
    assert_eq!(receipt.version.as_ref(), Some(&now.head.version));
    assert_eq!(
        (now.fields.get(Field::Subject), now.fields.get(Field::Recurrence)),
        (Some(&text("other")), Some(&plain.1))
    );
    // Nothing that could be written is no write, and no new state.
    let organiser = update(&now, &[(Field::Organiser, people(&["eve@example.test"]))], Tell::Nobody);
    assert_eq!(write(&mut session, organiser).await.unwrap().version.as_ref(), Some(&now.head.version));
}

/// J7: an exception that was not written is told by its date; the others are written, and the version is that of the whole.
#[tokio::test]
async fn an_exception_that_is_not_written_is_told_by_its_date() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let mut series = weekly();
    series.exceptions.insert("2024-03-12T09:00:00".parse().unwrap(), Exception::Cancelled);
    let values = fields(&[(Field::Recurrence, Value::Series(Box::new(series)))]);
    let receipt = write(&mut session, create(Kind::RecurringAppointment, values, Tell::Nobody)).await.unwrap();
    assert!(
        matches!(receipt.left_out.as_slice(), [(Field::Recurrence, why)] if why.contains("2024-03-12 09:00")),
        "{receipt:?}"
    );
    let there = item(&mut session, Folder::Calendar, &receipt.key).await;
    assert_eq!(there.fields.get(Field::Recurrence), Some(&Value::Series(Box::new(weekly()))));
    assert_eq!(receipt.version.as_ref(), Some(&there.head.version));
}

/// J7: a series of whole days is written in its owner's zone; an occurrence with a time of the day keeps its moment.
#[tokio::test]
async fn j7_a_time_among_whole_days_keeps_its_moment() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let day = |text: &str| text.parse::<chrono::NaiveDateTime>().unwrap();
    let changed = Changed { start: day("2027-03-17T10:00:00"), length: Length::Minutes(30), fields: Patch::default() };
    let series = Series {
        zone: chrono_tz::Tz::America__New_York,
        start: day("2027-03-15T00:00:00"),
        length: Length::Days(1),
        rule: Rule { every: 1, pattern: Pattern::Daily },
        end: End::Count(5),
        exceptions: [(day("2027-03-17T00:00:00"), Exception::Changed(Box::new(changed)))].into(),
    };
    let values = fields(&[(Field::Recurrence, Value::Series(Box::new(series.clone())))]);
    let made = write(&mut session, create(Kind::RecurringAppointment, values, Tell::Nobody)).await.unwrap();
    assert_eq!(made.left_out, []);
    let there = item(&mut session, Folder::Calendar, &made.key).await;
    let Some(Value::Series(read)) = there.fields.get(Field::Recurrence) else { panic!("{there:?}") };
    assert_eq!((read.zone, read.start, read.length), (HOME, series.start, series.length));
    let [(original, Exception::Changed(changed))] = read.exceptions.iter().collect::<Vec<_>>()[..] else {
        panic!("{read:?}")
    };
    // America is on summer time that week, Europe is not yet.
    assert_eq!((*original, changed.start), (day("2027-03-17T00:00:00"), day("2027-03-17T15:00:00")));
}

/// Where the server has forgotten a sync state, everything is listed again and that is said.
#[tokio::test]
async fn a_forgotten_state_begins_again() {
    let sim = Sim::start().await;
    let (_, target) = sim.fresh();
    let mut session = session(&sim, &target).await;
    let made = write(&mut session, create(Kind::Contact, somebody(), Tell::Nobody)).await.unwrap();
    let before = all(&mut session, Folder::Contacts).await;
    sim.forget_states();
    let again = port(&mut session).changes(Folder::Contacts, &before.cursor, 10, &deadline()).await.unwrap();
    assert!(again.reset && again.changed.len() == 1 && again.changed[0].key == made.key, "{again:?}");
    let next = port(&mut session).changes(Folder::Contacts, &again.cursor, 10, &deadline()).await.unwrap();
    assert!(!next.reset && next.changed.is_empty());
}

/// Times of an appointment that names no zone are of the mailbox's owner.
#[tokio::test]
async fn times_without_a_zone_are_of_the_owners() {
    let sim = Sim::start().await;
    let (address, mut client) = sim.client().await;
    let element = "<t:CalendarItem><t:Subject>a</t:Subject><t:Start>2027-06-01T07:00:00Z</t:Start>\
        <t:End>2027-06-01T08:00:00Z</t:End><t:StartTimeZone Id=\"My own zone\"/></t:CalendarItem>";
    let made = raw(&mut client, Class::Appointment, element).await;
    client.close().await;
    let mut session = session(&sim, &sim.target(&address)).await;
    let there = item(&mut session, Folder::Calendar, &key(&made)).await;
    let Some(Value::When(When::Timed { start, zone, .. })) = there.fields.get(Field::Time) else { panic!("{there:?}") };
    assert_eq!((start.to_string().as_str(), *zone), ("2027-06-01 09:00:00", HOME));
}
