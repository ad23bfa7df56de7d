//! The organisation's rules, and what follows from them in the API.

use lockstep_store::{access::Role, queue_items};
use serde_json::{Value, json};

use crate::world::World;

const SWITCHES: &[(&str, bool)] = &[
    ("use_correlation", true),
    ("only_receiving_mailbox_accepts", false),
    ("internal_email_twice", true),
    ("unresolve_multiple_recipients", false),
    ("queue_items_for_recipients", true),
    ("queue_items_for_receiving", false),
    ("queue_items_for_known", false),
    ("auto_create_people", true),
    ("allow_unresolved_recipients", true),
    ("auto_track_sent_items", false),
    ("restrict_rights_managed", false),
    ("save_sent_copy", true),
];

/// F8, F24, H5: every switch has the reference's default, can be turned, and takes nothing but a truth value.
#[tokio::test]
async fn switches_are_read_and_written() {
    let world = World::new().await;
    for (switch, default) in SWITCHES {
        assert_eq!(world.get("/organisation").await.expect(200).body[*switch], json!(default), "{switch}");
        world.patch("/organisation", json!({ *switch: !default })).await.expect(200);
        assert_eq!(world.get("/organisation").await.body[*switch], json!(!default), "{switch}");
        let refused = world.patch("/organisation", json!({ *switch: "perhaps" })).await.expect(422);
        assert_eq!(refused.complaints()[0].0, *switch);
    }
}

/// A user's choice what unknown senders become.
#[tokio::test]
async fn a_user_chooses_what_strangers_become() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let path = format!("/users/{user}");
    assert_eq!(world.get(&path).await.body["auto_create"], "off");
    for choice in ["contact", "lead", "off"] {
        let changed = world.patch(&path, json!({ "auto_create": choice })).await.expect(200);
        assert_eq!(changed.body["auto_create"], choice);
    }
    let refused = world.patch(&path, json!({ "auto_create": "account" })).await.expect(422);
    assert_eq!(refused.complaints()[0].0, "auto_create");
}

/// A queue's items are listed page by page, for whoever may read; an unknown queue is not there.
#[tokio::test]
async fn queue_items_are_listed() {
    let world = World::new().await;
    let queue = world.post("/queues", json!({ "name": "Help", "address": "help@example.test" })).await.expect(201).id();
    let (user, _) = world.user("ann").await;
    let mut entering = Vec::new();
    for _ in 0..3 {
        let email = world.post("/emails", json!({ "from": { "user_id": user } })).await.expect(201).id();
        entering.push((queue.parse::<uuid::Uuid>().unwrap().into(), email.parse::<uuid::Uuid>().unwrap().into()));
    }
    let mut tx = world.store.begin().await.unwrap();
    queue_items::enter(&mut tx, &entering).await.unwrap();
    queue_items::enter(&mut tx, &entering).await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("/queues/{queue}/items");
    let first = world.get(&format!("{path}?limit=2")).await.expect(200).body;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let rest = world.get(&format!("{path}?after={next}")).await.expect(200).body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "an item entered twice is there once");
    world.call(Some(Role::Operator), "GET", &path, None, &[]).await.expect(200);
    world.get(&format!("/queues/{user}/items")).await.expect(404);
    world.get(&format!("{path}?colour=red")).await.expect(422);
}

/// What an email is about, in whatever system that lives; a flaw names its field.
#[tokio::test]
async fn an_email_is_about_something() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let about = json!({ "kind": "opportunity", "id": "OPP-4711" });
    let draft = json!({ "from": { "user_id": user }, "regarding": about });
    let made = world.post("/emails", draft).await.expect(201);
    assert_eq!(made.body["regarding"], about);
    let path = format!("/emails/{}", made.id());
    world.patch(&path, json!({ "subject": "x" })).await.expect(200);
    assert_eq!(world.get(&path).await.body["regarding"], about, "a patch of something else leaves it");
    world.patch(&path, json!({ "regarding": null })).await.expect(200);
    assert_eq!(world.get(&path).await.body["regarding"], Value::Null);
    let flaw = world.patch(&path, json!({ "regarding": { "kind": "", "id": "x".repeat(201) } })).await.expect(422);
    assert_eq!(
        flaw.complaints(),
        [("regarding.kind".into(), "length".into()), ("regarding.id".into(), "length".into())]
    );
}

/// E5: with unresolved recipients not allowed, sending names each of them; a record made meanwhile is enough.
#[tokio::test]
async fn e5_unresolved_recipients_are_named() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    world.patch("/organisation", json!({ "allow_unresolved_recipients": false })).await.expect(200);
    world.post("/contacts", json!({ "name": "Cara", "address": "cara@customer.test" })).await.expect(201);
    let draft = json!({
        "from": { "user_id": user },
        "to": [{ "address": "Cara@customer.test" }, { "address": "dan@customer.test" }],
    });
    let email = world.post("/emails", draft).await.expect(201).id();
    let send = format!("/emails/{email}/send");
    let refused = world.call(Some(Role::Service), "POST", &send, None, &[]).await.expect(422);
    assert_eq!(refused.complaints(), [("to.1.address".into(), "unresolved".into())]);
    world.post("/contacts", json!({ "name": "Dan", "address": "dan@customer.test" })).await.expect(201);
    world.call(Some(Role::Service), "POST", &send, None, &[]).await.expect(202);
}
