//! Records by the caller's own id: one request makes or changes, and repeated it does nothing.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn put(world: &World, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
    world.call(Some(Role::Service), "PATCH", path, Some(&body), headers).await
}

/// Made once, then changed; what is not said stays; the same again is no change.
#[tokio::test]
async fn a_record_is_made_and_then_changed() {
    let world = World::new().await;
    for (kind, body) in [
        ("contacts", json!({ "name": "Ann", "address": "ann@x.test" })),
        ("accounts", json!({ "name": "Ann", "address": "ann@x.test" })),
        ("leads", json!({ "name": "Ann", "address": "ann@x.test" })),
        ("users", json!({ "name": "Ann", "address": "ann@own.test" })),
        ("queues", json!({ "name": "Ann", "address": "queue@own.test" })),
    ] {
        let path = format!("/{kind}/by-external-id/erp/{kind}%2F4711%20%C3%A4");
        let made = put(&world, &path, body.clone(), &[]).await.expect(201);
        assert_eq!(made.headers["location"], format!("/api/v1/{kind}/{}", made.id()).as_str());
        assert_eq!(made.body["source"], "erp");
        assert_eq!(made.body["external_id"], format!("{kind}/4711 ä"));
        let same = put(&world, &path, body.clone(), &[]).await.expect(200);
        assert_eq!((same.id(), same.etag()), (made.id(), made.etag()), "nothing was changed");
        let changed = put(&world, &path, json!({ "name": "Anna" }), &[]).await.expect(200);
        assert_eq!((changed.id(), &changed.body["address"]), (made.id(), &body["address"]));
        assert_eq!(changed.etag(), "\"2\"");
        assert_eq!(world.get(&format!("/{kind}/{}", made.id())).await.expect(200).body["name"], "Anna");

        put(&world, &path, json!({ "name": "X" }), &[("if-match", "\"1\"")]).await.expect(412);
        put(&world, &path, json!({ "name": "X" }), &[("if-none-match", "*")]).await.expect(412);
        let other = format!("/{kind}/by-external-id/erp/other");
        put(&world, &other, body.clone(), &[("if-match", "*")]).await.expect(412);
        put(&world, &other, body, &[("if-none-match", "*"), ("if-match", "*")]).await.expect(400);
        put(&world, &other, json!({ "name": "X" }), &[("if-none-match", "\"1\"")]).await.expect(400);
    }
}

/// What is known by an id elsewhere is read by it, by whoever may read it by its own.
#[tokio::test]
async fn a_record_is_read_by_its_id_elsewhere() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let path = |kind: &str, id: &str| format!("/{kind}/by-external-id/erp/{kind}-{id}");
    for (kind, body) in [
        ("contacts", json!({ "name": "C", "owner_user_id": ann })),
        ("accounts", json!({ "name": "A", "owner_user_id": ann })),
        ("leads", json!({ "name": "L", "owner_user_id": ann })),
        ("users", json!({ "name": "U", "address": "u@own.test" })),
        ("queues", json!({ "name": "Q", "address": "q@own.test" })),
        ("emails", json!({ "from": { "user_id": ann }, "subject": "S" })),
    ] {
        let made = put(&world, &path(kind, "1"), body, &[]).await.expect(201);
        let read = world.get(&path(kind, "1")).await.expect(200);
        assert_eq!((read.id(), read.etag()), (made.id(), made.etag()), "{kind}");
        assert_eq!(read.body, world.get(&format!("/{kind}/{}", made.id())).await.body);
        world.get(&path(kind, "2")).await.expect(404);
        world.get(&format!("/{kind}/by-external-id/erp/%20")).await.expect(422);
    }
    let mine = async |path: &str| world.call(Some(Role::User), "GET", path, None, &[]).await;
    for kind in ["contacts", "accounts", "leads"] {
        mine(&path(kind, "1")).await.expect(200);
        put(&world, &path(kind, "3"), json!({ "name": "B", "owner_user_id": bob }), &[]).await.expect(201);
        mine(&path(kind, "3")).await.expect(404);
        world.call(Some(Role::Operator), "GET", &path(kind, "1"), None, &[]).await.expect(403);
    }
    mine(&path("emails", "1")).await.expect(200);
    put(&world, &path("emails", "3"), json!({ "from": { "user_id": bob } }), &[]).await.expect(201);
    mine(&path("emails", "3")).await.expect(404);
    let shown = world.call(Some(Role::Operator), "GET", &path("emails", "1"), None, &[]).await.expect(200);
    assert!(!shown.body.to_string().contains("\"S\""), "operators see no content: {}", shown.body);
    let secured = "/secured-fields/contact/external_id";
    world.call(Some(Role::Administrator), "PUT", secured, None, &[]).await.expect(204);
    assert_eq!(mine(&path("contacts", "1")).await.expect(403).complaints()[0].0, "external_id");
}

/// Drafts too.
#[tokio::test]
async fn a_draft_is_made_and_then_changed() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let path = "/emails/by-external-id/erp/offer-7";
    let body = json!({ "from": { "user_id": user }, "to": [{ "address": "b@x.test" }], "subject": "Offer" });
    let made = put(&world, path, body, &[]).await.expect(201);
    let changed = put(&world, path, json!({ "subject": "Better offer" }), &[]).await.expect(200);
    assert_eq!((changed.id(), &changed.body["subject"]), (made.id(), &json!("Better offer")));
    assert!(changed.body.to_string().contains("b@x.test"), "what is not said stays: {}", changed.body);
}

/// What the path says is not said again, a missing field is named, and a record of another kind keeps its id.
#[tokio::test]
async fn bad_input_is_refused() {
    let world = World::new().await;
    let path = "/contacts/by-external-id/erp/1";
    let answer = put(&world, path, json!({ "name": "A", "source": "erp", "external_id": "1" }), &[]).await.expect(422);
    let complaints = answer.complaints();
    assert_eq!(complaints[0], ("source".to_owned(), "not-used".to_owned()));
    assert_eq!(complaints[1], ("external_id".to_owned(), "not-used".to_owned()));
    put(&world, path, json!({ "address": "a@x.test" }), &[]).await.expect(422);
    put(&world, path, json!({ "name": "A", "nonsense": 1 }), &[]).await.expect(422);
    let long = format!("/contacts/by-external-id/{}/1", "s".repeat(101));
    let answer = put(&world, &long, json!({ "name": "A" }), &[]).await.expect(422);
    assert_eq!(answer.complaints(), [("source".to_owned(), "length".to_owned())]);
    put(&world, "/contacts/by-external-id/erp/%FF", json!({ "name": "A" }), &[]).await.expect(400);
    put(&world, path, json!({ "name": "A" }), &[]).await.expect(201);
    let answer = put(&world, "/leads/by-external-id/erp/1", json!({ "name": "A" }), &[]).await.expect(409);
    assert!(answer.body["detail"].as_str().unwrap().contains("source and external_id"), "{}", answer.body);
}

/// Many at the same moment make one record, and all of them succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_make_one() {
    let world = World::new().await;
    let path = "/contacts/by-external-id/erp/many";
    let one = async |n: usize| put(&world, path, json!({ "name": format!("N{n}") }), &[]).await;
    let calls = (0..8).map(one);
    let answers = futures::future::join_all(calls).await;
    let made = answers.iter().filter(|answer| answer.status.as_u16() == 201).count();
    assert_eq!(made, 1);
    assert!(
        answers.iter().all(|answer| answer.status.is_success()),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    assert_eq!(world.get("/contacts").await.expect(200).body["items"].as_array().unwrap().len(), 1);
}
