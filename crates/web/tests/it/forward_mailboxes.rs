//! Forward mailboxes: made and removed by themselves, reading only.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::World;

fn new() -> Value {
    json!({ "is_forward_mailbox": true, "name": "Collected", "address": "Collect@Example.test" })
}

/// G1: a forward mailbox belongs to nobody and reads; it is changed, listed and, once inactive, removed.
#[tokio::test]
async fn g1_a_forward_mailbox_is_made_changed_and_removed() {
    let world = World::new().await;
    let (_, anns) = world.user("ann").await;
    let profile = world.profile("pop").await;
    let mut body = new();
    body["profile_id"] = json!(profile);
    (body["allow_credentials"], body["login"], body["password"]) = (json!(true), json!("collect"), json!("geheim-456"));
    body["delete_after_processing"] = json!(true);
    let made = world.post("/mailboxes", body).await.expect(201);
    assert_eq!(made.etag(), "\"1\"");
    let id = made.id();
    for (field, value) in [
        ("is_forward_mailbox", json!(true)),
        ("owner", json!(null)),
        ("name", json!("Collected")),
        ("address", json!("Collect@Example.test")),
        ("incoming_method", json!("server-side")),
        ("outgoing_method", json!("none")),
        ("act_method", json!("none")),
        ("delete_after_processing", json!(true)),
        ("password_set", json!(true)),
        ("state", json!("unapproved")),
    ] {
        assert_eq!(made.body[field], value, "{field}");
    }
    let path = format!("/mailboxes/{id}");
    let renamed = world.patch(&path, json!({ "name": "All mail" })).await.expect(200);
    assert_eq!(renamed.body["name"], "All mail");
    let ids = |answer: &Value| -> Vec<String> {
        answer["items"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    for (query, expected) in [("?forward=true", vec![id.clone()]), ("?forward=false", vec![anns.clone()])] {
        let listed = world.get(&format!("/mailboxes{query}")).await.expect(200);
        assert_eq!(ids(&listed.body), expected, "{query}");
    }
    // Approval, test, explanation: as for others.
    world.call(Some(Role::Administrator), "POST", &format!("{path}/approve"), None, &[]).await.expect(200);
    assert_eq!(world.get(&path).await.body["state"], "untested");
    world.call(Some(Role::Administrator), "POST", &format!("{path}/test-and-enable"), None, &[]).await.expect(202);
    let explained = world.get(&format!("/explanations{path}")).await.expect(200);
    let steps = explained.body["steps"].as_array().unwrap();
    let enabled = steps.iter().find(|step| step["name"] == "enabled").unwrap();
    assert!(!enabled["sentence"].as_str().unwrap().contains("belongs to nobody"), "{enabled}");
    // In use it stays.
    assert_eq!(world.delete(&path).await.expect(409).body["type"].as_str().unwrap().rsplit('/').next(), Some("in-use"));
    world.patch(&path, json!({ "active": false })).await.expect(200);
    world.delete(&path).await.expect(204);
    world.get(&path).await.expect(404);
    // Other mailboxes stay with their owners.
    let kept = world.delete(&format!("/mailboxes/{anns}")).await.expect(409);
    assert!(kept.body["detail"].as_str().unwrap().contains("user or queue"));
}

/// G1: it does not send, has no appointments, and belongs to nobody.
#[tokio::test]
async fn g1_what_a_forward_mailbox_cannot_be() {
    let world = World::new().await;
    let (ann, anns) = world.user("ann").await;
    for (field, value, rule) in [
        ("is_forward_mailbox", json!(false), "forward-only"),
        ("outgoing_method", json!("server-side"), "incoming-only"),
        ("act_method", json!("server-side"), "incoming-only"),
        ("incoming_method", json!("forward-mailbox"), "forward"),
        ("owner_user_id", json!(ann), "forward"),
        ("owner_queue_id", json!(ann), "forward"),
        ("name", json!(""), "length"),
        ("address", json!("nobody"), "address"),
        ("allow_credentials", json!(true), "required"),
    ] {
        let mut body = new();
        body[field] = value;
        let refused = world.post("/mailboxes", body).await.expect(422);
        assert_eq!(refused.complaints()[0].1, rule, "{field}: {}", refused.body);
    }
    let id = world.post("/mailboxes", new()).await.expect(201).id();
    let path = format!("/mailboxes/{id}");
    for (field, rule) in [("outgoing_method", "incoming-only"), ("act_method", "incoming-only")] {
        let refused = world.patch(&path, json!({ field: "server-side" })).await.expect(422);
        assert_eq!(refused.complaints(), [(field.to_owned(), rule.to_owned())]);
    }
    // One address, one mailbox; the holder is named.
    let taken = world.post("/mailboxes", new()).await.expect(409);
    assert_eq!(taken.body["holder"]["mailbox_id"], id);
    assert!(taken.body["detail"].as_str().unwrap().contains("forward mailbox"), "{}", taken.body);
    let user = json!({ "name": "C", "address": "collect@example.test" });
    world.post("/users", user).await.expect(409);
    // A user's mailbox keeps its owner's name.
    let refused = world.patch(&format!("/mailboxes/{anns}"), json!({ "name": "Other" })).await.expect(422);
    assert_eq!(refused.complaints(), [("name".into(), "owner".into())]);
    // Asked for twice, made once.
    let key = [("Idempotency-Key", "collect-2")];
    let body = json!({ "is_forward_mailbox": true, "name": "Second", "address": "second@example.test" });
    let first = world.call(Some(Role::Administrator), "POST", "/mailboxes", Some(&body), &key).await.expect(201);
    let again = world.call(Some(Role::Administrator), "POST", "/mailboxes", Some(&body), &key).await.expect(201);
    assert_eq!(first.id(), again.id());
    world.call(Some(Role::Operator), "POST", "/mailboxes", Some(&new()), &[]).await.expect(403);
}

/// C3: mail of users and queues may come through a forward mailbox; such a mailbox is not read, and says so.
#[tokio::test]
async fn c3_the_incoming_method_forward_mailbox() {
    let world = World::new().await;
    let (_, anns) = world.user("ann").await;
    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@example.test" })).await.expect(201).id();
    let queue = world.mailbox_of(&queue).await;
    for mailbox in [&anns, &queue] {
        let path = format!("/mailboxes/{mailbox}");
        let change = json!({ "incoming_method": "forward-mailbox", "outgoing_method": "none" });
        assert_eq!(world.patch(&path, change).await.expect(200).body["incoming_method"], "forward-mailbox");
        let approved = world.call(Some(Role::Administrator), "POST", &format!("{path}/approve"), None, &[]).await;
        assert_eq!(approved.expect(200).body["state"], "healthy", "nothing is left to be tested");
        let explained = world.get(&format!("/explanations{path}")).await.expect(200);
        let steps = explained.body["steps"].as_array().unwrap();
        let method = steps.iter().find(|step| step["part"] == "incoming" && step["name"] == "enabled").unwrap();
        assert!(method["remedy"].as_str().unwrap().contains("forward mailbox"), "{method}");
        world.call(Some(Role::Administrator), "POST", &format!("{path}/test-and-enable"), None, &[]).await.expect(409);
    }
    let refused = world.patch(&format!("/mailboxes/{anns}"), json!({ "outgoing_method": "forward-mailbox" })).await;
    refused.expect(422);
    // The organisation's default may be it; a forward mailbox keeps its own methods.
    world.patch("/organisation", json!({ "default_incoming": "forward-mailbox" })).await.expect(200);
    let (_, berts) = world.user("bert").await;
    assert_eq!(world.get(&format!("/mailboxes/{berts}")).await.body["incoming_method"], "forward-mailbox");
    let forward = world.post("/mailboxes", new()).await.expect(201).id();
    let apply = json!({ "action": "apply-defaults", "mailbox_ids": [forward], "test": false });
    let applied = world.post("/mailboxes/actions", apply).await.expect(200);
    assert_eq!(applied.body["results"][0]["outcome"], "done");
    assert_eq!(world.get(&format!("/mailboxes/{forward}")).await.body["incoming_method"], "server-side");
}

/// An incoming email from an address that belongs to two contacts, as it is when parties are left open.
async fn received(world: &World, id: u8) -> String {
    let email = format!("01930000-0000-7000-8000-0000000000{id:02x}");
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO emails (id, direction, status, subject, created_at, updated_at)
         VALUES ('{email}', 'incoming', 'received', 'x', now(), now())"
    )))
    .execute(world.database.pool())
    .await
    .unwrap();
    for (position, role, address) in
        [(0, "from", "a@b.test"), (1, "to", "info@firm.test"), (2, "cc", "other@firm.test")]
    {
        sqlx::query(
            "INSERT INTO email_parties (email_id, position, role, address, address_key) VALUES ($1::uuid, $2, $3, $4, $4)",
        )
        .bind(email.parse::<uuid::Uuid>().unwrap())
        .bind(position)
        .bind(role)
        .bind(address)
        .execute(world.database.pool())
        .await
        .unwrap();
    }
    email
}

/// E7: a party is resolved by hand; with the organisation's setting the same address elsewhere is, too.
#[tokio::test]
async fn e7_a_party_is_resolved_by_hand_and_all_alike_if_wanted() {
    let world = World::new().await;
    let contact = json!({ "name": "Firm", "address": "info@firm.test" });
    let contact = world.post("/contacts", contact).await.expect(201).id();
    let emails = [received(&world, 1).await, received(&world, 2).await, received(&world, 3).await];
    let body = json!({ "record_kind": "contact", "record_id": contact });
    let path = |email: &str, position: u8| format!("/emails/{email}/parties/{position}/resolve");
    let record = async |email: &str, position: usize| {
        world.get(&format!("/emails/{email}")).await.expect(200).body["parties"][position]["record_id"].clone()
    };
    // Where several matches are not left open, only the one that is named.
    let one = world.post(&path(&emails[0], 1), body.clone()).await.expect(200);
    assert_eq!((&one.body["others"], &one.body["more"]), (&json!(0), &json!(false)));
    assert_eq!(one.body["email"]["parties"][1]["record_kind"], "contact");
    assert_eq!(record(&emails[1], 1).await, json!(null));
    // Switched off: the same.
    let off = json!({ "unresolve_multiple_recipients": true, "resolve_all_alike": false });
    world.patch("/organisation", off).await.expect(200);
    world.post(&path(&emails[0], 1), body.clone()).await.expect(200);
    assert_eq!(record(&emails[1], 1).await, json!(null));
    // Switched on: the others, each in a new version; other addresses stay as they are.
    world.patch("/organisation", json!({ "resolve_all_alike": true })).await.expect(200);
    let all = world.post(&path(&emails[1], 1), body.clone()).await.expect(200);
    assert_eq!(all.body["others"], 1);
    for email in &emails {
        assert_eq!(record(email, 1).await, json!(contact));
        assert_eq!(record(email, 2).await, json!(null));
    }
    assert_eq!(world.get(&format!("/emails/{}", emails[2])).await.body["version"], 2);
    let fed = world.get("/changes?limit=200").await.expect(200);
    assert_eq!(fed.status.as_u16(), 200);
    // What cannot be.
    let no = json!({ "record_kind": "contact", "record_id": emails[0] });
    assert_eq!(world.post(&path(&emails[0], 1), no).await.expect(422).complaints()[0].1, "exists");
    let no = json!({ "record_kind": "other", "record_id": contact });
    assert_eq!(world.post(&path(&emails[0], 1), no).await.expect(422).complaints()[0].1, "choice");
    world.post(&path(&emails[0], 9), body.clone()).await.expect(404);
    world.post(&path(&contact, 1), body).await.expect(404);
}

/// M12: why an email is a record, and where it was found, through the API; an email that was forwarded is the
/// forwarder's.
#[tokio::test]
async fn m12_the_why_columns_are_shown() {
    let world = World::new().await;
    let (ann, anns) = world.user("ann").await;
    let forward = world.post("/mailboxes", new()).await.expect(201).id();
    let (question, answer) = (received(&world, 1).await, received(&world, 2).await);
    for sql in [
        format!(
            "UPDATE emails SET accepting_kind = 'user', accepting_id = '{ann}', receiving_mailbox_id = '{anns}',
                 correlated_email_id = '{question}', parent_email_id = '{question}', correlation_method = 'in-reply-to'
             WHERE id = '{answer}'"
        ),
        format!(
            "INSERT INTO email_mailboxes (email_id, mailbox_id, via_mailbox_id, remote_key, linked_at)
             VALUES ('{answer}', '{anns}', '{forward}', 'k', now())"
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(world.database.pool()).await.unwrap();
    }
    let shown = world.get(&format!("/emails/{answer}")).await.expect(200).body;
    for (field, value) in [
        ("accepting_kind", "user"),
        ("accepting_id", &ann),
        ("receiving_mailbox_id", &anns),
        ("correlated_email_id", &question),
        ("parent_email_id", &question),
        ("correlation_method", "in-reply-to"),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(
        (&shown["found_in"][0]["mailbox_id"], &shown["found_in"][0]["via_mailbox_id"]),
        (&json!(anns), &json!(forward))
    );
}
