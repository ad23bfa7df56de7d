//! The world on its own: what happens, and what is seen of it.

#![allow(clippy::unwrap_used)]

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Error, World,
    event::Interest,
    item::{Class, Content, Touch},
    mailbox::Mailbox,
    meeting::{self, Notice},
    recurrence::{End, Pattern, Recurrence},
    search,
    sync::{ItemChange, Position},
    value::{Answer, Attendee, Person, Value},
};

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_714_550_400, 0).unwrap() + TimeDelta::hours(hours)
}

fn mailbox() -> Mailbox {
    Mailbox::new(Person::new("Ann", "ann@x.test"), 1, at(0))
}

fn message(subject: &str) -> Content {
    let mut content = Content::new(Class::Message);
    content.set_text("Subject", subject);
    content
}

#[test]
fn a_round_of_several_pages_tells_each_change_once() {
    let mut mailbox = mailbox();
    let inbox = mailbox.home("inbox");
    let ids: Vec<_> = (0..5).map(|n| mailbox.put(inbox, message(&n.to_string()), at(0)).unwrap()).collect();
    let first = mailbox.sync_items(inbox, Position::default(), 2).unwrap();
    assert_eq!(first.changes, [ItemChange::Create(ids[0]), ItemChange::Create(ids[1])]);
    assert!(!first.last);
    // Meanwhile one that was told changes, one that was not told changes, and one that was not told goes.
    for id in [ids[0], ids[3]] {
        mailbox.change(id, Touch::Content, at(1), |_| Ok(())).unwrap();
    }
    mailbox.remove(ids[4], at(1)).unwrap();
    let second = mailbox.sync_items(inbox, first.position, 9).unwrap();
    assert_eq!(second.changes, [ItemChange::Create(ids[2]), ItemChange::Create(ids[3])]);
    assert!(second.last);
    let third = mailbox.sync_items(inbox, second.position, 9).unwrap();
    let expected = [ItemChange::Update(ids[0]), ItemChange::Update(ids[3]), ItemChange::Delete(ids[4])];
    assert_eq!(third.changes, expected);
    assert!(mailbox.sync_items(inbox, third.position, 9).unwrap().changes.is_empty());
}

#[test]
fn a_read_flag_is_told_as_such_and_a_move_as_going_and_coming() {
    let mut mailbox = mailbox();
    let (inbox, drafts) = (mailbox.home("inbox"), mailbox.home("drafts"));
    let id = mailbox.put(inbox, message("a"), at(0)).unwrap();
    let known = mailbox.sync_items(inbox, Position::default(), 9).unwrap().position;
    mailbox.change(id, Touch::ReadFlag, at(1), |_| Ok(())).unwrap();
    let page = mailbox.sync_items(inbox, known, 9).unwrap();
    assert_eq!(page.changes, [ItemChange::ReadFlag(id)]);
    let moved = mailbox.move_item(id, drafts, at(2)).unwrap();
    assert_ne!(moved, id);
    assert_eq!(mailbox.sync_items(inbox, page.position, 9).unwrap().changes, [ItemChange::Delete(id)]);
    assert_eq!(mailbox.sync_items(drafts, Position::default(), 9).unwrap().changes, [ItemChange::Create(moved)]);
}

#[test]
fn positions_that_were_never_given_out_are_refused() {
    let mailbox = mailbox();
    let inbox = mailbox.home("inbox");
    for (from, done, horizon) in [(0, 0, 999), (5, 4, 6), (0, 7, 6)] {
        let found = mailbox.sync_items(inbox, Position { from, done, horizon }, 9);
        assert_eq!(found, Err(Error::SyncStateInvalid), "{from} {done} {horizon}");
    }
}

#[test]
fn folders_keep_their_names_apart_and_those_of_everybody_stay() {
    let mut mailbox = mailbox();
    let inbox = mailbox.home("inbox");
    let one = mailbox.create_folder(inbox, "One", "IPF.Note", at(0)).unwrap();
    let two = mailbox.create_folder(one, "Two", "IPF.Note", at(0)).unwrap();
    assert_eq!(mailbox.create_folder(inbox, "ONE", "IPF.Note", at(0)), Err(Error::FolderExists));
    assert_eq!(mailbox.create_folder(inbox, "", "IPF.Note", at(0)), Err(Error::FolderNameMissing));
    assert!(mailbox.move_folder(one, two, at(0)).is_err());
    assert_eq!(mailbox.delete_folder(inbox, at(0)), Err(Error::FolderProtected));
    let id = mailbox.put(two, message("a"), at(0)).unwrap();
    mailbox.delete_folder(one, at(1)).unwrap();
    assert_eq!(mailbox.item(id).unwrap_err(), Error::ItemNotFound);
    assert!(mailbox.folder(two).is_err());
}

#[test]
fn subscribers_hear_what_they_asked_for() {
    let mut mailbox = mailbox();
    let (inbox, drafts) = (mailbox.home("inbox"), mailbox.home("drafts"));
    let since = mailbox.sequence;
    let id = mailbox.receive(inbox, message("a"), at(0)).unwrap();
    mailbox.put(drafts, message("b"), at(0)).unwrap();
    mailbox.move_item(id, drafts, at(0)).unwrap();
    let names = ["NewMailEvent", "CreatedEvent", "MovedEvent"].map(str::to_owned).to_vec();
    let heard = |folders, limit| {
        let interest = Interest { folders, names: names.clone() };
        let events = mailbox.heard(&interest, since, limit).unwrap();
        events.iter().map(|event| event.happening.name()).collect::<Vec<_>>()
    };
    assert_eq!(heard(vec![inbox], 9), ["CreatedEvent", "NewMailEvent", "MovedEvent"]);
    assert_eq!(heard(vec![drafts], 9), ["CreatedEvent", "MovedEvent"]);
    assert_eq!(heard(vec![], 2).len(), 2);
}

fn appointment(world: &World, who: u32, people: &[&str], repeat: Option<Pattern>) -> Content {
    let mut content = Content::new(Class::CalendarItem);
    content.set_text("Subject", "Talk");
    content.set_text("StartTimeZone", "W. Europe Standard Time");
    content.values.insert("Start", Value::Instant(at(0)));
    content.values.insert("End", Value::Instant(at(1)));
    let attendee =
        |address: &&str| Attendee { person: Person::new(address, address), answer: Answer::Unknown, answered_at: None };
    if !people.is_empty() {
        content.values.insert("RequiredAttendees", Value::Attendees(people.iter().map(attendee).collect()));
    }
    if let Some(pattern) = repeat {
        let rule = Recurrence { pattern, start: at(0).date_naive(), end: End::After(4) };
        content.values.insert("Recurrence", Value::Recurrence(rule));
    }
    meeting::prepare(world.mailbox(who).unwrap(), &mut content, 7, at(0));
    content
}

#[test]
fn an_invitation_arrives_and_the_answer_comes_back() {
    let mut world = World::default();
    let ann = world.join(Person::new("Ann", "ann@x.test"), at(0));
    let bob = world.join(Person::new("Bob", "bob@x.test"), at(0));
    let content = appointment(&world, ann, &["bob@x.test", "out@y.test"], None);
    let calendar = world.mailbox(ann).unwrap().home("calendar");
    let id = world.mailbox_mut(ann).unwrap().put(calendar, content.clone(), at(0)).unwrap();
    world.notify(ann, &content, Notice::Request, at(0)).unwrap();
    let mailbox = world.mailbox(bob).unwrap();
    let request = mailbox.items_in(mailbox.home("inbox"))[0];
    let entered = mailbox.item(request).unwrap().about.unwrap();
    assert_eq!(mailbox.item(entered).unwrap().content.text("MyResponseType"), "NoResponseReceived");
    assert_eq!(world.answer(ann, id, Answer::Unknown, None, true, at(1)), Err(Error::NotAMeeting));
    world.answer(bob, request, Answer::Accept, None, true, at(1)).unwrap();
    let organiser = world.mailbox(ann).unwrap();
    let answers = organiser.item(id).unwrap().content.attendees();
    assert_eq!(answers.iter().map(|one| one.answer).collect::<Vec<_>>(), [Answer::Accept, Answer::Unknown]);
    let news = organiser.items_in(organiser.home("inbox"))[0];
    assert_eq!(organiser.item(news).unwrap().content.text("Subject"), "Accepted: Talk");
    world.notify(ann, &content, Notice::Cancellation, at(2)).unwrap();
    let invited = world.mailbox(bob).unwrap();
    assert!(invited.item(entered).unwrap().content.is("IsCancelled"));
    assert_eq!(invited.items_in(invited.home("inbox")).len(), 1);
}

#[test]
fn occurrences_move_and_go_and_the_clock_on_the_wall_stays() {
    let mut world = World::default();
    let ann = world.join(Person::new("Ann", "ann@x.test"), at(0));
    let content = appointment(&world, ann, &[], Some(Pattern::Daily { interval: 180 }));
    let mailbox = world.mailbox_mut(ann).unwrap();
    let id = mailbox.put(mailbox.home("calendar"), content, at(0)).unwrap();
    let starts = |mailbox: &Mailbox| {
        let found = mailbox.item(id).unwrap().occurrences(at(0), at(24 * 1000));
        found.iter().map(|one| one.start.format("%m-%dT%H").to_string()).collect::<Vec<_>>()
    };
    // Ten o'clock in Berlin, in summer and in winter.
    assert_eq!(starts(mailbox), ["05-01T08", "10-28T09", "04-26T08", "10-23T08"]);
    let second = mailbox.item(id).unwrap().by_index(2).unwrap();
    let third = mailbox.item(id).unwrap().by_index(3).unwrap();
    mailbox
        .change_occurrence(id, second, at(1), |own| {
            own.values.insert("Start", Value::Instant(second + TimeDelta::hours(2)));
            own.values.insert("End", Value::Instant(second + TimeDelta::hours(3)));
            Ok(())
        })
        .unwrap();
    mailbox.delete_occurrence(id, third, at(1)).unwrap();
    assert_eq!(starts(mailbox), ["05-01T08", "10-28T11", "10-23T08"]);
    let item = mailbox.item(id).unwrap();
    assert_eq!(item.by_index(3), Err(Error::OccurrenceDeleted));
    assert_eq!(item.by_index(5), Err(Error::OccurrenceOutOfRange));
    assert_eq!(item.occurrence_content(second).unwrap().text("Subject"), "Talk");
    assert_eq!(mailbox.delete_occurrence(id, at(5), at(1)), Err(Error::OccurrenceNotFound));
}

#[test]
fn pages_count_from_either_end() {
    #[allow(clippy::type_complexity)]
    let cases: [(usize, usize, bool, &[u8], usize, bool); 5] = [
        (0, 2, false, &[1, 2], 2, false),
        (3, 9, false, &[4, 5], 5, true),
        (9, 9, false, &[], 5, true),
        (0, 2, true, &[4, 5], 2, false),
        (4, 2, true, &[1], 5, true),
    ];
    for (offset, limit, from_end, expected, next, last) in cases {
        let page = search::page(vec![1, 2, 3, 4, 5], offset, limit, from_end);
        assert_eq!(
            (page.elements.as_slice(), page.next, page.last),
            (expected, next, last),
            "{offset} {limit} {from_end}"
        );
    }
}
