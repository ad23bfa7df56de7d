//! What an organisation chooses about items, which way fields flow, and that mailboxes are looked at again when what counts
//! for them is another.

use std::collections::BTreeMap;

use lockstep_model::{
    filter::Expression,
    id::{MailboxId, UserId},
    mailbox::{Lane, Owner, TrackOption},
    record::{
        Field, Kind,
        schema::{Direction, Directions, Options},
    },
    remote::Cursor,
};
use lockstep_store::{
    Tx, directions,
    filters::{self, Filter, Scope},
    item_options::{self, ItemOptions},
    lanes, links, organisations, security_roles,
    teams::{self, Team},
};
use uuid::Uuid;

use crate::seed::World;

/// A user with a mailbox whose appointments, contacts and tasks are synchronised, reviewed, and due in an hour.
async fn served(world: &World, name: &str) -> (UserId, MailboxId) {
    let user = world.user(name, TrackOption::All).await;
    let mailbox = world.mailbox(world.profile(1).await, Owner::User(user)).await;
    world
        .sql(&format!("UPDATE mailboxes SET act_method = 'server-side', act_enabled = true WHERE id = '{mailbox}'"))
        .await;
    world.realign(&[mailbox]).await;
    world
        .sql(&format!(
            "UPDATE lanes SET cursor = '{CURSOR}' WHERE mailbox_id = '{mailbox}' AND lane = 'act';
             UPDATE lane_schedules SET due_at = due_at + interval '1 h', claimed_until = due_at + interval '1 min', claims = 1
             WHERE mailbox_id = '{mailbox}'"
        ))
        .await;
    (user, mailbox)
}

/// A cursor as the worker writes it.
const CURSOR: &str = r#"{"epoch":"01930000-0000-7000-8000-000000000001","position":7,"reviewed":{"generation":0},"folders":{"tasks":"Ilz/"}}"#;

#[derive(Debug, PartialEq)]
struct Stand {
    version: i64,
    generation: i64,
    review: i64,
    cursor: Vec<u8>,
}

async fn stand(world: &World, mailbox: MailboxId, lane: Lane) -> Stand {
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, mailbox, lane).await.unwrap().unwrap();
    Stand { version: run.version, generation: run.generation, review: run.review_generation, cursor: run.cursor.0 }
}

/// Does something in a transaction, and tells which of these mailboxes are looked at again.
async fn looked_at(world: &World, mailboxes: &[MailboxId], act: impl AsyncFnOnce(&mut Tx)) -> Vec<bool> {
    let mut before = Vec::new();
    for mailbox in mailboxes {
        world
            .sql(&format!("UPDATE lanes SET cursor = '{CURSOR}' WHERE mailbox_id = '{mailbox}' AND lane = 'act'"))
            .await;
        before.push((stand(world, *mailbox, Lane::Act).await, stand(world, *mailbox, Lane::Incoming).await));
    }
    let mut tx = world.store.begin().await.unwrap();
    act(&mut tx).await;
    tx.commit().await.unwrap();
    let mut again = Vec::new();
    for (mailbox, (act, incoming)) in mailboxes.iter().zip(before) {
        assert_eq!(stand(world, *mailbox, Lane::Incoming).await, incoming, "email is not concerned");
        let now = stand(world, *mailbox, Lane::Act).await;
        let moved = now != act;
        if moved {
            let (version, generation, review) = (act.version + 1, act.generation + 1, act.review + 1);
            assert_eq!(now, Stand { version, generation, review, cursor: CURSOR.as_bytes().to_vec() });
        }
        again.push(moved);
    }
    again
}

async fn choose(tx: &mut Tx, kind: Kind, field: Field, direction: Option<Direction>) {
    let before = directions::lock(tx, kind, None).await.unwrap();
    let mut chosen = before.chosen.clone();
    match direction {
        Some(direction) => chosen.insert(field, direction),
        None => chosen.remove(&field),
    };
    directions::save(tx, &before, &chosen, "test").await.unwrap();
}

async fn link(world: &World, mailbox: MailboxId, kind: Kind, settled: bool) -> Uuid {
    let id = Uuid::now_v7();
    let (record, remote) = if settled { ("1", "'CK1'") } else { ("NULL", "NULL") };
    world
        .sql(&format!(
            "INSERT INTO links (id, mailbox_id, record_kind, record_id, remote_key, crm_fields, server_fields, settled_record,
                 settled_remote, created_at, updated_at)
             VALUES ('{id}', '{mailbox}', '{}', gen_random_uuid(), decode(md5('{id}'), 'hex'), '{{\"subject\": \"A\"}}', '{{}}',
                 {record}, {remote}, now(), now())",
            kind.name()
        ))
        .await;
    id
}

/// L11: what was chosen is in force for its kind alone, is told in the feed and kept in the audit, and every pair of the
/// kind is compared again; the default is nothing that is stored.
#[tokio::test]
async fn l11_a_direction_is_chosen_and_everything_of_the_kind_compared_again() {
    let world = World::new().await;
    let (_, mailbox) = served(&world, "anna").await;
    for (kind, count) in [(Kind::Contact, 3), (Kind::Task, 2)] {
        for _ in 0..count {
            link(&world, mailbox, kind, true).await;
        }
        link(&world, mailbox, kind, false).await;
    }
    let mut tx = world.store.begin().await.unwrap();
    for kind in Kind::ALL {
        assert_eq!(directions::of(&mut tx, kind).await.unwrap(), Directions::of(kind, Options::default()), "{kind:?}");
    }
    drop(tx);

    let again = looked_at(&world, &[mailbox], async |tx| {
        choose(tx, Kind::Contact, Field::Body, Some(Direction::Neither)).await;
    })
    .await;
    assert_eq!(again, [true]);
    let settled = async |kind: Kind| {
        let query = format!("SELECT count(settled_remote) FROM links WHERE record_kind = '{}'", kind.name());
        world.number(&query).await
    };
    assert_eq!((settled(Kind::Contact).await, settled(Kind::Task).await), (0, 2));
    assert_eq!(
        world.number("SELECT count(*) FROM links WHERE crm_fields = '{\"subject\": \"A\"}'").await,
        7,
        "all stay"
    );

    let mut tx = world.store.begin().await.unwrap();
    let contact = directions::of(&mut tx, Kind::Contact).await.unwrap();
    assert_eq!(contact.of_field(Field::Body), Direction::Neither);
    assert_eq!(contact.of_field(Field::JobTitle), Direction::Both);
    assert_eq!(directions::of(&mut tx, Kind::Task).await.unwrap().of_field(Field::Body), Direction::Both);
    let map = directions::map(&mut tx, Kind::Contact).await.unwrap();
    assert_eq!((map.version, &map.chosen), (2, &BTreeMap::from([(Field::Body, Direction::Neither)])));
    let maps = directions::all(&mut tx).await.unwrap();
    assert_eq!(maps.iter().map(|map| map.kind).collect::<Vec<_>>(), Kind::ALL);
    assert!(directions::lock(&mut tx, Kind::Contact, Some(1)).await.is_err(), "stale");
    drop(tx);
    let told = world
        .text(&format!(
            "SELECT array_agg(change || ' ' || fields[1] || ' ' || record_version) FROM feed_entries
             WHERE record_kind = 'field-directions' AND record_id = '{}'",
            map.id
        ))
        .await;
    assert_eq!(told, r#"{"updated description 2"}"#);
    let audited = world.text("SELECT detail FROM audit_entries WHERE object_kind = 'field-directions'").await;
    let audited: serde_json::Value = serde_json::from_str(&audited).unwrap();
    let change = serde_json::json!({ "description": { "from": null, "to": "neither" } });
    assert_eq!(audited, serde_json::json!({ "record_kind": "contact", "changes": change }));

    let mut tx = world.store.begin().await.unwrap();
    choose(&mut tx, Kind::Contact, Field::Body, None).await;
    tx.commit().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM field_directions").await, 0);
}

/// L11: more links than one statement takes are all compared again.
#[tokio::test]
async fn l11_many_links_are_unsettled_in_bounded_statements() {
    let world = World::new().await;
    let (_, mailbox) = served(&world, "anna").await;
    world
        .sql(&format!(
            "INSERT INTO links (id, mailbox_id, record_kind, record_id, remote_key, crm_fields, server_fields, settled_record,
                 settled_remote, created_at, updated_at)
             SELECT gen_random_uuid(), '{mailbox}', 'contact', gen_random_uuid(), decode(md5(n::text), 'hex'), '{{}}', '{{}}',
                 1, 'a', now(), now() FROM generate_series(1, 10001) AS n"
        ))
        .await;
    let mut tx = world.store.begin().await.unwrap();
    links::unsettle(&mut tx, Kind::Contact).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM links WHERE settled_record IS NOT NULL").await, 0);
}

/// L12: what stands in the database for a field that is fixed, or that this code does not know, changes nothing.
#[tokio::test]
async fn l12_a_fixed_field_stays_what_the_database_says() {
    let world = World::new().await;
    world
        .sql(
            "INSERT INTO field_directions VALUES ('contact', 'full_name', 'neither'), ('contact', 'colour', 'neither'),
                 ('contact', 'home_address', 'both')",
        )
        .await;
    let mut tx = world.store.begin().await.unwrap();
    let found = directions::of(&mut tx, Kind::Contact).await.unwrap();
    assert_eq!(found, Directions::of(Kind::Contact, Options::default()));
}

/// K3, K8, L8, J12: the choices are the documented defaults, are read in one piece, and let everything be looked at again;
/// with all addresses the fields flow, and contacts are compared again.
#[tokio::test]
async fn k3_k8_l8_j12_options_are_read_and_followed() {
    let world = World::new().await;
    let (_, mailbox) = served(&world, "anna").await;
    link(&world, mailbox, Kind::Contact, true).await;
    link(&world, mailbox, Kind::Task, true).await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(item_options::read(&mut tx).await.unwrap(), ItemOptions::default());
    let map = directions::map(&mut tx, Kind::Contact).await.unwrap();
    drop(tx);
    let save = async |tx: &mut Tx, fields: &[&str], change: fn(&mut organisations::Organisation)| {
        let mut organisation = organisations::lock(tx, None).await.unwrap().unwrap();
        change(&mut organisation);
        organisations::save(tx, &organisation, fields, "test").await.unwrap();
    };
    let rest = ["leaving_deletes", "tasks_are_deleted_in_crm", "cancelling_spreads", "past_meeting_updates"];
    let again = looked_at(&world, &[mailbox], async |tx| {
        save(tx, &rest, |organisation| {
            organisation.leaving_deletes = true;
            organisation.tasks_are_deleted_in_crm = false;
            organisation.cancelling_spreads = true;
            organisation.past_meeting_updates = true;
        })
        .await;
    })
    .await;
    assert_eq!(again, [true]);
    assert_eq!(world.number("SELECT count(settled_remote) FROM links").await, 2, "no field flows another way");
    let again = looked_at(&world, &[mailbox], async |tx| {
        save(tx, &["tracked_category"], |organisation| organisation.tracked_category = "In das CRM".to_owned()).await;
    })
    .await;
    assert_eq!(again, [false], "a category is on items, and items are read when they change");
    let again = looked_at(&world, &[mailbox], async |tx| {
        save(tx, &["all_addresses"], |organisation| organisation.all_addresses = true).await;
    })
    .await;
    assert_eq!(again, [true]);
    assert_eq!(
        world.text("SELECT string_agg(record_kind, ' ') FROM links WHERE settled_remote IS NOT NULL").await,
        "task"
    );
    let mut tx = world.store.begin().await.unwrap();
    let expected = ItemOptions {
        all_addresses: true,
        leaving_deletes: true,
        tasks_are_deleted_in_crm: false,
        cancelling_spreads: true,
        past_meeting_updates: true,
        appointment_attachments: false,
        tracked_category: "In das CRM".to_owned(),
        ..ItemOptions::default()
    };
    assert_eq!(item_options::read(&mut tx).await.unwrap(), expected);
    let contact = directions::of(&mut tx, Kind::Contact).await.unwrap();
    assert_eq!(contact.of_field(Field::HomeAddress), Direction::Both);
    assert_eq!(contact.of_field(Field::OtherAddress), Direction::Both);
    let after = directions::map(&mut tx, Kind::Contact).await.unwrap();
    assert_eq!(after.version, map.version + 1, "the answer is another, so its ETag is");
}

fn filter(scope: Scope, user: Option<UserId>) -> Filter {
    Filter {
        id: Uuid::nil(),
        scope,
        user_id: user.map(|user| user.0),
        kind: Kind::Contact,
        name: "All".to_owned(),
        active: true,
        is_default: false,
        expression: Expression::All(Vec::new()),
        version: 0,
        created_at: crate::seed::morning(),
        updated_at: crate::seed::morning(),
    }
}

/// L2, L6, L7: a user's filter concerns the user's mailbox, one of the system every mailbox, a template none; what does not
/// count leaves them alone.
#[tokio::test]
async fn l2_l6_l7_filters_are_held_against_mailboxes_at_once() {
    let world = World::new().await;
    let ((anna, a), (_, b)) = (served(&world, "anna").await, served(&world, "bert").await);
    let both = [a, b];
    let mut own = None;
    let again = looked_at(&world, &both, async |tx| {
        own = Some(filters::create(tx, filter(Scope::User, Some(anna)), &[], "test").await.unwrap());
    })
    .await;
    assert_eq!(again, [true, false]);
    let mut own = own.unwrap();
    for (active, changed, expected) in
        [(true, "name", false), (true, "expression", true), (false, "active", true), (false, "expression", false)]
    {
        own.active = active;
        let again = looked_at(&world, &both, async |tx| {
            filters::save(tx, &own, &[changed], "test").await.unwrap();
        })
        .await;
        assert_eq!(again, [expected, false], "{changed}");
    }
    let again = looked_at(&world, &both, async |tx| filters::delete(tx, &own, "test").await.unwrap()).await;
    assert_eq!(again, [false, false], "it did not count any more");
    let mut template = Uuid::nil();
    let again = looked_at(&world, &both, async |tx| {
        template = filters::create(tx, filter(Scope::Template, None), &[], "test").await.unwrap().id;
    })
    .await;
    assert_eq!(again, [false, false]);
    let again = looked_at(&world, &both, async |tx| {
        filters::apply(tx, &[anna.0], template, "test").await.unwrap();
    })
    .await;
    assert_eq!(again, [true, false]);
    let again = looked_at(&world, &both, async |tx| filters::reset(tx, &[anna.0], "test").await.unwrap()).await;
    assert_eq!(again, [true, false]);
    let again = looked_at(&world, &both, async |tx| {
        filters::create(tx, filter(Scope::System, None), &[], "test").await.unwrap();
    })
    .await;
    assert_eq!(again, [true, true]);
}

/// L9: who comes into a team may read other records from then on; a field that is secured is compared again.
#[tokio::test]
async fn l9_rights_are_held_against_mailboxes_at_once() {
    let world = World::new().await;
    let ((anna, a), (_, b)) = (served(&world, "anna").await, served(&world, "bert").await);
    link(&world, a, Kind::Contact, true).await;
    let team = Team {
        id: Uuid::nil(),
        name: "Sales".to_owned(),
        description: String::new(),
        security_role_ids: Vec::new(),
        version: 0,
        created_at: crate::seed::morning(),
        updated_at: crate::seed::morning(),
    };
    let mut tx = world.store.begin().await.unwrap();
    let team = teams::create(&mut tx, team, &[], "test").await.unwrap().id;
    tx.commit().await.unwrap();
    for expected in [true, false] {
        let again = looked_at(&world, &[a, b], async |tx| {
            assert_eq!(teams::admit(tx, team, anna, "test").await.unwrap(), expected);
        })
        .await;
        assert_eq!(again, [expected, false], "only what changes something");
    }
    assert_eq!(world.number("SELECT count(settled_remote) FROM links").await, 1);
    let again = looked_at(&world, &[a, b], async |tx| {
        security_roles::secure(tx, "contact", "description", "test").await.unwrap();
    })
    .await;
    assert_eq!(again, [true, true]);
    assert_eq!(world.number("SELECT count(settled_remote) FROM links").await, 0);
}

/// Whoever is at work is fenced; the lane of a named user is due at once, but not against its server's wish, and of all
/// lanes each waits for its turn. Where it stands is left alone.
#[tokio::test]
async fn a_review_fences_and_is_due_in_its_turn() {
    let world = World::new().await;
    let ((anna, a), (bert, b)) = (served(&world, "anna").await, served(&world, "bert").await);
    world
        .sql(&format!(
            "UPDATE lane_schedules SET fault_class = 'throttled', fault_code = 'ServerBusy' WHERE mailbox_id = '{b}' AND lane = 'act'"
        ))
        .await;
    let before = stand(&world, a, Lane::Act).await;
    let mut tx = world.store.begin().await.unwrap();
    lanes::review_again(&mut tx, None).await.unwrap();
    tx.commit().await.unwrap();
    let due = async |mailbox: MailboxId| {
        let at = format!(
            "SELECT extract(epoch FROM due_at) FROM lane_schedules WHERE mailbox_id = '{mailbox}' AND lane = 'act'"
        );
        world.number(&at).await - crate::seed::morning().timestamp()
    };
    assert_eq!((due(a).await, due(b).await), (3600, 3600));
    let claimed = "SELECT count(claimed_until) FROM lane_schedules WHERE lane = 'act'";
    assert_eq!(world.number(claimed).await, 0);
    let mut tx = world.store.begin().await.unwrap();
    let cursor = Cursor(b"too late".to_vec());
    assert!(!lanes::fence(&mut tx, a, Lane::Act, before.version, Some(&cursor)).await.unwrap());
    drop(tx);

    world.sql("UPDATE lanes SET cursor = '\\xff007b5c' WHERE lane = 'act'").await;
    let mut tx = world.store.begin().await.unwrap();
    lanes::review_again(&mut tx, Some(&[anna.0, bert.0])).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((due(a).await, due(b).await), (0, 3600));
    assert_eq!(stand(&world, a, Lane::Act).await.cursor, b"\xff\x00\x7b\x5c");
}
