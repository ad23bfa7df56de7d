//! Contacts, tasks and appointments on the simulated Exchange: made, listed, read, changed, deleted.

use lockstep_ews::{
    client::Client,
    codec::{
        create_item::Invitations,
        id::{ItemId, ItemRef},
        sync_folder_items::Change,
        update_item::Update,
    },
    item::{Class, appointment, contact, link, task},
    xml::Element,
};
use lockstep_model::record::{
    Field, Fields, LinkId, Patch, TaskStatus, Value,
    series::{Exception, Length},
};
use uuid::Uuid;

use crate::{
    records::{HOME, fields, meeting, somebody, something_to_do, text, weekly},
    simulator::{Sim, deadline},
};

async fn one(client: &mut Client, class: Class, id: &ItemId) -> Element {
    let item = ItemRef::Item(ItemId::whatever(id.id.clone()));
    client.get_items(class, &[item], &deadline()).await.unwrap().remove(0).unwrap()
}

fn patch(values: &[(Field, Option<Value>)]) -> Patch {
    let mut patch = Patch::default();
    for (field, value) in values {
        let source = value.clone().map(|value| fields(&[(*field, value)])).unwrap_or_default();
        patch.take(*field, &source);
    }
    patch
}

/// Without what the server adds of its own.
fn without(mut all: Fields, fields: &[Field]) -> Fields {
    fields.iter().for_each(|field| all.copy(*field, &Fields::default()));
    all
}

/// The whole life of an item, for each class.
async fn life(
    class: Class,
    created: String,
    written: Fields,
    change: Patch,
    updates: Vec<Update>,
    read: fn(&Element) -> Fields,
) {
    let sim = Sim::start().await;
    let (_, mut client) = sim.client().await;
    let begin = client.sync_items(class, None, 100, &deadline()).await.unwrap().unwrap();
    assert!(begin.last && begin.changes.is_empty());
    let made = client.create_item(class, &created, Invitations::None, &deadline()).await.unwrap().unwrap();
    let page = client.sync_items(class, Some(&begin.state), 100, &deadline()).await.unwrap().unwrap();
    let [Change::Created(listed)] = page.changes.as_slice() else { panic!("{:?}", page.changes) };
    assert_eq!(ItemId::of_item(listed).unwrap().id, made.id);
    let element = one(&mut client, class, &made).await;
    assert_eq!(read(&element), written);
    let id = link(&element).unwrap();
    assert_eq!(client.linked_items(class, id, &deadline()).await.unwrap().len(), 1);
    assert!(client.linked_items(class, LinkId(Uuid::from_u128(1)), &deadline()).await.unwrap().is_empty());

    let changed = client.update_item(&made.clone().into(), &updates, Invitations::None, &deadline()).await;
    let changed = changed.unwrap().unwrap();
    assert_ne!(changed.change_key, made.change_key);
    let mut expected = written;
    expected.apply(&change);
    assert_eq!(read(&one(&mut client, class, &made).await), expected);
    let page = client.sync_items(class, Some(&page.state), 100, &deadline()).await.unwrap().unwrap();
    assert!(matches!(page.changes.as_slice(), [Change::Updated(_)]), "{:?}", page.changes);

    // Whoever knows the item as it was is refused, and nothing changes.
    let stale = client.update_item(&made.clone().into(), &updates, Invitations::None, &deadline()).await.unwrap();
    assert!(stale.as_ref().is_err_and(lockstep_ews::fault::Refusal::is_conflict), "{stale:?}");

    let gone = client.delete_items(&[changed.clone().into()], false, &deadline()).await.unwrap();
    assert_eq!(gone, [Ok(())]);
    let page = client.sync_items(class, Some(&page.state), 100, &deadline()).await.unwrap().unwrap();
    assert!(matches!(page.changes.as_slice(), [Change::Deleted(id)] if id.id == made.id), "{:?}", page.changes);
    let missing = client.get_items(class, &[changed.into()], &deadline()).await.unwrap().remove(0).unwrap_err();
    assert_eq!(missing.code, "ErrorItemNotFound");
    sim.forget_states();
    let forgotten = client.sync_items(class, Some(&page.state), 100, &deadline()).await.unwrap().unwrap_err();
    assert!(forgotten.forgot_the_state());
    client.close().await;
}

const LINK: Option<LinkId> = Some(LinkId(Uuid::from_u128(0x1234_5678)));

#[tokio::test]
async fn the_life_of_a_contact() {
    let change = patch(&[
        (Field::JobTitle, Some(text("Chief"))),
        (Field::Email2, None),
        (Field::MobilePhone, Some(text("+43 1"))),
        (Field::HomeAddress, None),
        (Field::Body, None),
        (Field::GovernmentId, Some(text("X 1"))),
        (Field::Children, Some(text("Tim, Tom"))),
        (Field::FullName, somebody().get(Field::FullName).cloned()),
    ]);
    let updates = contact::updates(&change);
    life(Class::Contact, contact::create(&somebody(), LINK), somebody(), change, updates, contact::read).await;
}

#[tokio::test]
async fn the_life_of_a_task() {
    let done: chrono::DateTime<chrono::Utc> = "2024-05-16T08:00:00Z".parse().unwrap();
    let change = patch(&[
        (Field::Status, Some(Value::TaskStatus(TaskStatus::Completed))),
        (Field::PercentComplete, Some(Value::Percent(100))),
        (Field::CompletedDate, Some(Value::Instant(done))),
        (Field::DueDate, None),
        (Field::Subject, Some(text("called back"))),
    ]);
    let updates = task::updates(&change);
    let created = task::create(&something_to_do(), LINK);
    life(Class::Task, created, something_to_do(), change, updates, task::read).await;
}

fn read_appointment(item: &Element) -> Fields {
    without(appointment::read(item, HOME), &[Field::Organiser])
}

#[tokio::test]
async fn the_life_of_an_appointment() {
    let when =
        lockstep_model::record::When::AllDay { first: chrono::NaiveDate::from_ymd_opt(2024, 10, 26).unwrap(), days: 2 };
    let change = patch(&[
        (Field::Subject, Some(text("moved"))),
        (Field::Time, Some(Value::When(when))),
        (Field::OptionalAttendees, None),
        (Field::Location, None),
    ]);
    let updates = appointment::updates(&change, HOME).unwrap();
    let created = appointment::create(&meeting(), LINK, HOME).unwrap();
    life(Class::Appointment, created, meeting(), change, updates, read_appointment).await;
}

/// A series goes out with its exceptions and comes back the same, over the change to summer time.
#[tokio::test]
async fn a_series_with_exceptions_comes_back_as_it_went() {
    let sim = Sim::start().await;
    let (_, mut client) = sim.client().await;
    let series = weekly();
    let all = fields(&[
        (Field::Subject, text("weekly")),
        (Field::Location, text("room 1")),
        (Field::Recurrence, Value::Series(Box::new(series.clone()))),
    ]);
    let element = appointment::create(&all, LINK, HOME).unwrap();
    let made = client.create_item(Class::Appointment, &element, Invitations::None, &deadline()).await.unwrap().unwrap();
    let failed = client.write_exceptions(&made, &series, Invitations::None, HOME, &deadline()).await.unwrap();
    assert_eq!(failed, []);
    let shared = [Field::Organiser, Field::Importance, Field::ShowAs];
    let master = one(&mut client, Class::Appointment, &made).await;
    assert!(appointment::is_master(&master));
    let back = client.series(&master, HOME, &deadline()).await.unwrap().unwrap();
    assert_eq!(without(back, &shared), all);
    // Written once more, nothing is left to do.
    let failed = client.write_exceptions(&made, &series, Invitations::None, HOME, &deadline()).await.unwrap();
    assert_eq!(failed, []);

    // Another exception, after the clocks went forward.
    let mut more = series.clone();
    let original = "2024-04-04T09:00:00".parse().unwrap();
    let changed = lockstep_model::record::series::Changed {
        start: "2024-04-05T08:30:00".parse().unwrap(),
        length: Length::Minutes(60),
        fields: Patch::default(),
    };
    more.exceptions.insert(original, Exception::Changed(Box::new(changed)));
    assert_eq!(client.write_exceptions(&made, &more, Invitations::None, HOME, &deadline()).await.unwrap(), []);
    let master = one(&mut client, Class::Appointment, &made).await;
    let back = client.series(&master, HOME, &deadline()).await.unwrap().unwrap();
    assert_eq!(back.get(Field::Recurrence), Some(&Value::Series(Box::new(more))));
    client.close().await;
}

/// One that is not there does not stop the others.
#[tokio::test]
async fn an_exception_without_its_occurrence_is_told() {
    let sim = Sim::start().await;
    let (_, mut client) = sim.client().await;
    let mut series = weekly();
    let nowhere = "2024-03-12T09:00:00".parse().unwrap();
    series.exceptions.insert(nowhere, Exception::Cancelled);
    let all = fields(&[(Field::Recurrence, Value::Series(Box::new(series.clone())))]);
    let element = appointment::create(&all, None, HOME).unwrap();
    let made = client.create_item(Class::Appointment, &element, Invitations::None, &deadline()).await.unwrap().unwrap();
    let failed = client.write_exceptions(&made, &series, Invitations::None, HOME, &deadline()).await.unwrap();
    assert_eq!(failed, [(nowhere, lockstep_ews::items::NotWritten::NoOccurrence)]);
    let master = one(&mut client, Class::Appointment, &made).await;
    let back = client.series(&master, HOME, &deadline()).await.unwrap().unwrap();
    assert_eq!(back.get(Field::Recurrence), Some(&Value::Series(Box::new(weekly()))));
}

#[tokio::test]
async fn attachments_go_up_and_come_down() {
    use lockstep_ews::codec::{
        attachment, get_item,
        property::{Property, Shape},
    };
    use tokio::io::AsyncReadExt;
    let sim = Sim::start().await;
    let (_, mut client) = sim.client().await;
    let element = task::create(&something_to_do(), None);
    let made = client.create_item(Class::Task, &element, Invitations::None, &deadline()).await.unwrap().unwrap();
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut source = &content[..];
    let parent = client
        .attach(&made, "a.bin", "application/octet-stream", Box::pin(&mut source), &deadline())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(parent.1.id, made.id);
    let shape = Shape::ids_and([Property::Field("item:Attachments")]);
    let message = client.call_one(&get_item::request(&[made.into()], &shape), &deadline()).await.unwrap().unwrap();
    let listed = attachment::list(get_item::read(&message).unwrap());
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].is_item), (1, "a.bin", false));
    let mut down = Vec::new();
    client.attachment(&listed[0].id, &deadline()).await.unwrap().read_to_end(&mut down).await.unwrap();
    assert_eq!(down, content);
    let gone = client.attachment("nothing", &deadline()).await.err().unwrap();
    assert_eq!(gone.scope, lockstep_model::fault::FaultScope::Item, "{gone}");
}
