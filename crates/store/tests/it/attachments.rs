//! Files of appointments: kept while their appointment is, and what both sides of a link have agreed on about them.

use lockstep_model::{
    clock::Clock,
    id::{MailboxId, RunId},
    mailbox::{Owner, TrackOption},
    record::{Field, Kind, LinkId, RecordVersion, RemoteVersion, schema::Direction},
    remote::RemoteKey,
};
use lockstep_store::{
    Tx, activities,
    activity_attachments::{self, NewAttachment},
    attachment_links::{self, Known, LEFT_OUT, State},
    contents::{self, Content, Writer},
    directions, organisations, rights,
};
use std::time::Duration;
use uuid::Uuid;

use crate::seed::World;

async fn content(world: &World, bytes: &[u8]) -> Content {
    let mut writer = Writer::new(&world.store);
    writer.write(bytes).await.unwrap();
    writer.finish().await.unwrap()
}

/// An appointment, linked with an item in a mailbox.
async fn linked(world: &World, mailbox: MailboxId, kind: &str, key: &str) -> (Uuid, LinkId) {
    let (record, link) = (Uuid::now_v7(), Uuid::now_v7());
    world
        .sql(&format!(
            "INSERT INTO activities (id, kind, owner_user_id, fields, created_at, updated_at)
             SELECT '{record}', '{kind}', owner_user_id, '{{}}', now(), now() FROM mailboxes WHERE id = '{mailbox}';
             INSERT INTO links (id, mailbox_id, record_kind, record_id, remote_key, crm_fields, server_fields,
                 settled_record, settled_remote, created_at, updated_at)
             VALUES ('{link}', '{mailbox}', '{kind}', '{record}', '{key}', '{{}}', '{{}}', 1, 'v1', now(), now())"
        ))
        .await;
    (record, LinkId(link))
}

async fn scene() -> (World, MailboxId, Uuid, LinkId) {
    let world = World::new().await;
    let profile = world.profile(10).await;
    let user = world.user("anna", TrackOption::All).await;
    let mailbox = world.mailbox(profile, Owner::User(user)).await;
    let (record, link) = linked(&world, mailbox, "appointment", "i1").await;
    (world, mailbox, record, link)
}

async fn attach(world: &World, record: Uuid, name: &str, content: Content) -> (usize, i64) {
    let mut tx = world.store.begin().await.unwrap();
    let activity = activities::lock(&mut tx, rights::Kind::Appointment, record).await.unwrap().unwrap();
    let file = NewAttachment { name: name.to_owned(), media_type: "text/plain".to_owned(), content };
    let (added, version) = activity_attachments::add(&mut tx, &activity, &[file], "test").await.unwrap();
    tx.commit().await.unwrap();
    (added.len(), version)
}

async fn due(tx: &mut Tx, mailbox: MailboxId) -> Vec<(LinkId, bool)> {
    let due = attachment_links::due(tx, mailbox, None, 10).await.unwrap();
    due.into_iter().map(|due| (due.link, due.look)).collect()
}

fn state(link: LinkId, record: i64, remote: &str) -> State {
    let (record, remote) = (RecordVersion(record), Some(RemoteVersion(remote.to_owned())));
    State { link, record, remote, due: None, attempts: 0, left_out: 0 }
}

/// J11: a file stays while its appointment is there, however old, and goes with it.
#[tokio::test]
async fn j11_contents_of_appointments_are_kept_as_long_as_they_are() {
    let (world, _, record, _) = scene().await;
    let bytes = content(&world, b"agenda").await;
    assert_eq!(attach(&world, record, "agenda.txt", bytes).await, (1, 2));
    assert_eq!(attach(&world, record, "agenda.txt", bytes).await, (0, 2), "the same is there once");
    assert_eq!(attach(&world, record, "copy.txt", bytes).await, (1, 3));
    world.advance(3 * 86_400);
    let sweep = async || {
        let mut tx = world.store.begin().await.unwrap();
        let before = world.clock.now() - Duration::from_secs(86_400);
        let removed = contents::sweep(&mut tx, before, 100).await.unwrap();
        tx.commit().await.unwrap();
        removed
    };
    assert_eq!(sweep().await, 0);
    let mut tx = world.store.begin().await.unwrap();
    let activity = activities::lock(&mut tx, rights::Kind::Appointment, record).await.unwrap().unwrap();
    activities::delete(&mut tx, &activity, "test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(sweep().await, 2, "the content and its chunk");
}

/// J11: compared is what never was, what moved on either side, and what is due; only single appointments, only while the two
/// are linked, and not while a step is under way.
#[tokio::test]
async fn j11_only_what_moved_is_compared() {
    let (world, mailbox, record, link) = scene().await;
    for kind in ["recurring-appointment", "service-activity", "task"] {
        linked(&world, mailbox, kind, kind).await;
    }
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, [(link, true)], "it never was");
    attachment_links::compared(&mut tx, &state(link, 1, "v1")).await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, []);
    let key = |key: &str| RemoteKey::new(key).unwrap();
    let listed =
        |version: &str| [(key("i1"), RemoteVersion(version.to_owned())), (key("other"), RemoteVersion("v".into()))];
    attachment_links::listed(&mut tx, mailbox, &listed("v1")).await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, [], "what was written here is listed too");
    attachment_links::listed(&mut tx, mailbox, &listed("v2")).await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, [(link, true)]);
    attachment_links::compared(&mut tx, &state(link, 1, "v2")).await.unwrap();
    tx.commit().await.unwrap();

    let bytes = content(&world, b"agenda").await;
    attach(&world, record, "agenda.txt", bytes).await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, [(link, false)], "the record moved");
    let later = tx.now() + chrono::TimeDelta::minutes(5);
    attachment_links::postpone(&mut tx, link, later, 1).await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, []);
    tx.commit().await.unwrap();
    world.advance(301);
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(due(&mut tx, mailbox).await, [(link, true)]);
    tx.commit().await.unwrap();
    for hidden in ["unlinked = 'left-filters'", "unlinked = NULL, held_on = 'crm', held_since = now()"] {
        world.sql(&format!("UPDATE links SET {hidden}")).await;
        assert_eq!(due(&mut world.store.begin().await.unwrap(), mailbox).await, [], "{hidden}");
    }
    world
        .sql(&format!(
            "UPDATE links SET held_on = NULL, held_since = NULL;
             INSERT INTO intents (id, mailbox_id, run, stored_at, record_kind, record_id, step)
             VALUES (gen_random_uuid(), '{mailbox}', gen_random_uuid(), now(), 'appointment', '{record}', 'create')"
        ))
        .await;
    assert_eq!(due(&mut world.store.begin().await.unwrap(), mailbox).await, []);
}

/// J11, N10: what is about to be added is known by whoever looks next, and what is agreed on replaces all of it.
#[tokio::test]
async fn j11_n10_what_is_about_to_be_added_is_noted() {
    let (world, mailbox, _, link) = scene().await;
    let (run, digest) = (RunId::new(), content(&world, b"agenda").await.digest);
    let mut tx = world.store.begin().await.unwrap();
    attachment_links::compared(&mut tx, &state(link, 1, "v1")).await.unwrap();
    attachment_links::intend(&mut tx, link, run, "agenda.txt", &digest).await.unwrap();
    let found = attachment_links::due(&mut tx, mailbox, None, 10).await.unwrap().remove(0);
    assert_eq!((found.intended, found.compared), (Some((run, tx.now())), Some(RemoteVersion("v1".to_owned()))));
    let noted = Known { name: "agenda.txt".to_owned(), digest, remote_id: None, remote_size: None };
    assert_eq!(found.known, std::slice::from_ref(&noted));
    let added = Known { remote_id: Some("f1".to_owned()), ..noted };
    let other = Known { name: "map.txt".to_owned(), remote_size: Some(3), ..added.clone() };
    attachment_links::know(&mut tx, link, &added).await.unwrap();
    attachment_links::agree(&mut tx, link, std::slice::from_ref(&other)).await.unwrap();
    let version = |version: &str| RemoteVersion(version.to_owned());
    let (one, two) = (version("v1"), version("v2"));
    let record = (RecordVersion(1), RecordVersion(2));
    attachment_links::moved_along(&mut tx, link, record, Some((&one, &two))).await.unwrap();
    let due = Some(tx.now());
    attachment_links::compared(&mut tx, &State { due, ..state(link, 1, "v2") }).await.unwrap();
    let found = attachment_links::due(&mut tx, mailbox, None, 10).await.unwrap().remove(0);
    assert_eq!((found.known, found.intended), (vec![other], None));
    tx.commit().await.unwrap();
    assert_eq!(world.text("SELECT settled_record || ' ' || settled_remote FROM links").await, "2 v2");
}

/// J11: switched on or off, the direction of the field follows and is told, everything is looked at again, and nothing counts
/// as agreed on; switched off, nothing is told any more.
#[tokio::test]
async fn j11_the_switch_is_followed() {
    let (world, mailbox, record, link) = scene().await;
    let digest = content(&world, b"agenda").await.digest;
    let switch = async |on: bool| {
        let mut tx = world.store.begin().await.unwrap();
        attachment_links::compared(&mut tx, &state(link, 1, "v1")).await.unwrap();
        attachment_links::intend(&mut tx, link, RunId::new(), "agenda.txt", &digest).await.unwrap();
        let mut organisation = organisations::lock(&mut tx, None).await.unwrap().unwrap();
        organisation.appointment_attachments = on;
        organisations::save(&mut tx, &organisation, &["appointment_attachments"], "test").await.unwrap();
        let direction = directions::of(&mut tx, Kind::Appointment).await.unwrap().of_field(Field::Attachments);
        let of_series = directions::of(&mut tx, Kind::RecurringAppointment).await.unwrap().of_field(Field::Attachments);
        assert_eq!(of_series, Direction::Neither);
        tx.commit().await.unwrap();
        assert_eq!(world.number("SELECT count(*) FROM link_attachments").await, 0);
        assert_eq!(world.number("SELECT count(*) FROM attachment_states").await, 0);
        direction
    };
    let before = world.lane(mailbox).await;
    assert_eq!(switch(true).await, Direction::Both);
    let told = "SELECT count(*) FROM feed_entries WHERE record_kind = 'field-directions' AND fields = '{attachments}'";
    assert_eq!(world.number(told).await, 1);
    let key = hex::encode(format!("record/{record}"));
    world
        .sql(&format!(
            "INSERT INTO alerts (id, key, code, severity, scope, mailbox_id, first_at, last_at)
             VALUES (gen_random_uuid(), '{LEFT_OUT}/item/{mailbox}/{key}', '{LEFT_OUT}', 'warning', 'item', '{mailbox}', now(), now())"
        ))
        .await;
    let open = format!("SELECT count(*) FROM alerts WHERE code = '{LEFT_OUT}' AND resolved_at IS NULL");
    let end = async || {
        let mut tx = world.store.begin().await.unwrap();
        attachment_links::end_alerts_without_links(&mut tx, mailbox).await.unwrap();
        tx.commit().await.unwrap();
    };
    end().await;
    assert_eq!(world.number(&open).await, 1, "its appointment is still linked");
    assert_eq!(switch(false).await, Direction::Neither);
    assert_eq!(world.number(&open).await, 0);
    world.sql("UPDATE alerts SET resolved_at = NULL; DELETE FROM links").await;
    end().await;
    assert_eq!(world.number(&open).await, 0, "its appointment is not linked any more");
    assert_eq!(world.lane(mailbox).await, before, "email is another lane");
}
