//! Users, queues and people.

use lockstep_store::access::Role;
use serde_json::json;

use crate::world::World;

/// C1: a user's mailbox is there with the user, with the default profile and the organisation's methods.
#[tokio::test]
async fn c1_a_new_user_and_a_new_queue_have_a_mailbox() {
    let world = World::new().await;
    let mut default = crate::world::profile("default");
    default["is_default"] = json!(true);
    let profile = world.post("/email-server-profiles", default).await.expect(201).id();
    world.patch("/organisation", json!({ "default_outgoing": "none" })).await.expect(200);

    let user = world.post("/users", json!({ "name": "Ann", "address": "Ann@Example.test" })).await.expect(201);
    assert_eq!(user.headers["location"].to_str().unwrap(), format!("/api/v1/users/{}", user.id()));
    assert_eq!(user.body["track_option"], "in-response");
    let queue = world.post("/queues", json!({ "name": "Help", "address": "help@example.test" })).await.expect(201);
    for (owner, kind) in [(user.id(), "user"), (queue.id(), "queue")] {
        let mailbox = world.get(&format!("/mailboxes?owner={owner}")).await.expect(200).body["items"][0].clone();
        assert_eq!(mailbox["profile_id"], json!(profile));
        assert_eq!(
            (mailbox["incoming_method"].as_str(), mailbox["outgoing_method"].as_str()),
            (Some("server-side"), Some("none"))
        );
        assert_eq!(mailbox["owner"], json!({ "kind": kind, "id": owner }));
        assert_eq!(
            (mailbox["address_status"].as_str(), mailbox["state"].as_str()),
            (Some("pending"), Some("unapproved"))
        );
        assert_eq!(mailbox["act_method"], "none");
    }
}

/// C2: the address is kept in step both ways, and another one has to be approved again: who approved it is forgotten.
#[tokio::test]
async fn c2_the_address_is_kept_in_step() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let approved =
        world.call(Some(Role::Administrator), "POST", &format!("/mailboxes/{mailbox}/approve"), None, &[]).await;
    assert_eq!(approved.expect(200).body["address_status"], "approved");

    world.patch(&format!("/users/{user}"), json!({ "address": "ann.new@example.test" })).await.expect(200);
    let seen = world.get(&format!("/mailboxes/{mailbox}")).await.body;
    assert_eq!(
        (seen["address"].as_str(), seen["address_status"].as_str()),
        (Some("ann.new@example.test"), Some("pending"))
    );
    assert!(seen["approved_by"].is_null() && seen["approved_at"].is_null());

    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "address": "ann.third@example.test" })).await.expect(200);
    assert_eq!(world.get(&format!("/users/{user}")).await.body["address"], "ann.third@example.test");

    // Case alone is no other address.
    world
        .call(Some(Role::Administrator), "POST", &format!("/mailboxes/{mailbox}/approve"), None, &[])
        .await
        .expect(200);
    world.patch(&format!("/users/{user}"), json!({ "address": "Ann.Third@example.test" })).await.expect(200);
    assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["address_status"], "approved");
}

/// C19: the mailbox of an inactive user is inactive, and cannot be activated without its owner.
#[tokio::test]
async fn c19_the_mailbox_follows_its_owner() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    world.patch(&format!("/users/{user}"), json!({ "active": false })).await.expect(200);
    assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["state"], "inactive");
    let refused = world.patch(&format!("/mailboxes/{mailbox}"), json!({ "active": true })).await.expect(422);
    assert_eq!(refused.complaints(), [("active".into(), "owner-inactive".into())]);
    world.patch(&format!("/users/{user}"), json!({ "active": true })).await.expect(200);
    assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["active"], true);
}

/// D2, D3: an address has one mailbox; the conflict names who has it.
#[tokio::test]
async fn d2_d3_a_taken_address_names_its_holder() {
    let world = World::new().await;
    let (ann, mailbox) = world.user("ann").await;
    for (path, address) in [("/users", "ANN@example.test"), ("/queues", "ann@example.test")] {
        let taken = world.post(path, json!({ "name": "Bob", "address": address })).await.expect(409);
        assert_eq!(taken.headers["content-type"], "application/problem+json");
        assert_eq!(taken.body["holder"]["mailbox_id"], json!(mailbox));
        assert_eq!(taken.body["holder"]["owner"], json!({ "kind": "user", "id": ann }));
        assert!(taken.body["detail"].as_str().unwrap().contains("ann@example.test"));
    }
    let (bob, _) = world.user("bob").await;
    let taken = world.patch(&format!("/users/{bob}"), json!({ "address": "ann@example.test" })).await.expect(409);
    assert_eq!(taken.body["holder"]["mailbox_id"], json!(mailbox));
    assert_eq!(world.get(&format!("/users/{bob}")).await.body["address"], "bob@example.test", "nothing was written");
}

#[tokio::test]
async fn etags_guard_against_lost_updates() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let path = format!("/users/{user}");
    let first = world.get(&path).await.etag();
    assert_eq!(first, "\"1\"");
    let patch = json!({ "name": "Ann B" });
    let admin = Some(Role::Administrator);
    let written = world.call(admin, "PATCH", &path, Some(&patch), &[("if-match", &first)]).await.expect(200);
    assert_eq!(written.etag(), "\"2\"");
    let other = json!({ "name": "Ann C" });
    let stale = world.call(admin, "PATCH", &path, Some(&other), &[("if-match", &first)]).await.expect(412);
    assert_eq!(stale.body["current_version"], 2);
    world.call(admin, "PATCH", &path, Some(&other), &[("if-match", "W/\"2\"")]).await.expect(412);
    world.call(admin, "PATCH", &path, Some(&other), &[("if-match", "*")]).await.expect(200);
    // What changes nothing is no write.
    assert_eq!(world.patch(&path, json!({ "name": "Ann C" })).await.expect(200).etag(), "\"3\"");
}

#[tokio::test]
async fn a_repeated_request_has_one_effect() {
    let world = World::new().await;
    let body = json!({ "name": "Ann", "address": "ann@example.test" });
    let key: &[(&str, &str)] = &[("idempotency-key", "first")];
    let service = Some(Role::Service);
    let first = world.call(service, "POST", "/users", Some(&body), key).await.expect(201);
    let again = world.call(service, "POST", "/users", Some(&body), key).await.expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(first.headers["location"], again.headers["location"]);
    assert_eq!(first.etag(), again.etag());
    let other = json!({ "name": "Bob", "address": "bob@example.test" });
    let reused = world.call(service, "POST", "/users", Some(&other), key).await.expect(409);
    assert_eq!(reused.body["type"], "/problems/idempotency-key-reused");
    // Another caller's key is another key.
    world.call(Some(Role::Administrator), "POST", "/users", Some(&other), key).await.expect(201);
    assert_eq!(world.count("SELECT count(*) FROM users").await, 2);
}

#[tokio::test]
async fn equal_requests_at_once_have_one_effect() {
    let world = World::new().await;
    let body = json!({ "name": "Ann", "address": "ann@example.test" });
    let key: &[(&str, &str)] = &[("idempotency-key", "at-once")];
    let one = || world.call(Some(Role::Service), "POST", "/users", Some(&body), key);
    let (a, b, c) = tokio::join!(one(), one(), one());
    let ids = [a.expect(201).id(), b.expect(201).id(), c.expect(201).id()];
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn people_come_and_go() {
    let world = World::new().await;
    for path in ["/contacts", "/accounts", "/leads"] {
        let body = json!({ "name": "Cara", "address": "cara@customer.test", "source": "crm", "external_id": path });
        let person = world.post(path, body.clone()).await.expect(201);
        let one = format!("{path}/{}", person.id());
        assert_eq!(world.post(path, body).await.expect(409).body["type"], "/problems/taken");
        world.patch(&one, json!({ "address": null })).await.expect(200);
        assert!(world.get(&one).await.body.get("address").is_none());
        world.patch(&one, json!({ "owner_user_id": person.id() })).await.expect(422);
        world.delete(&one).await.expect(204);
        world.get(&one).await.expect(404);
    }
    let contact = world.post("/contacts", json!({ "name": "Cara" })).await.expect(201).id();
    world.get(&format!("/leads/{contact}")).await.expect(404);
    let kinds =
        "SELECT count(*) FROM feed_entries WHERE change = 'deleted' AND record_kind IN ('contact','account','lead')";
    assert_eq!(world.count(kinds).await, 3, "tombstones");
}

#[tokio::test]
async fn lists_are_read_in_pages() {
    let world = World::new().await;
    for n in 0..5 {
        world.user(&format!("user{n}")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/users?limit=2".to_owned();
    for _ in 0..4 {
        let page = world.get(&path).await.expect(200).body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|u| u["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/users?limit=2&after={next}");
    }
    assert_eq!(seen, ["user0", "user1", "user2", "user3", "user4"]);
    assert_eq!(world.get("/users?address=USER3@example.test").await.body["items"].as_array().unwrap().len(), 1);
    for (query, complaint) in [
        ("colour=red", ("colour", "unknown")),
        ("limit=-1", ("limit", "number")),
        ("address=%00", ("address", "characters")),
        ("limit=1&limit=2", ("limit", "duplicate")),
    ] {
        let refused = world.get(&format!("/users?{query}")).await.expect(422);
        assert_eq!(refused.complaints(), [(complaint.0.into(), complaint.1.into())]);
    }
}

/// Every write tells the feed and the audit, in its own transaction.
#[tokio::test]
async fn writes_are_told_and_noted() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    world.patch(&format!("/users/{user}"), json!({ "name": "Ann B" })).await.expect(200);
    let told =
        "SELECT count(*) FROM feed_entries WHERE record_kind = 'user' AND fields = '{name}' AND record_version = 2";
    assert_eq!(world.count(told).await, 1);
    let noted = "SELECT count(*) FROM audit_entries WHERE object_kind = 'user' AND action = 'updated'
        AND actor LIKE 'administrator (%' AND detail = '{\"fields\": [\"name\"]}'";
    assert_eq!(world.count(noted).await, 1);
    let followed = "SELECT count(*) FROM feed_entries WHERE record_kind = 'mailbox' AND fields = '{name}'";
    assert_eq!(world.count(followed).await, 1);
}
