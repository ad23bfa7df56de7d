//! Emails.

use axum::{body::Body, http::Request};
use lockstep_model::id::{EmailId, MailboxId};
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
    emails::refused,
};
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn draft(user: &str) -> Value {
    json!({
        "from": { "user_id": user },
        "to": [{ "name": "Cara", "address": "Cara@customer.test" }],
        "cc": [{ "address": "dan@customer.test" }],
        "subject": "An offer",
        "body_text": "Dear Cara",
    })
}

async fn act(world: &World, email: &str, action: &str) -> Answer {
    world.call(Some(Role::Service), "POST", &format!("/emails/{email}/{action}"), None, &[]).await
}

async fn upload(world: &World, email: &str, name: &str, media_type: &str, bytes: Vec<u8>) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri(format!("/api/v1/emails/{email}/attachments?name={name}"))
        .header("authorization", format!("Bearer {}", world.key(Role::Service)))
        .header("content-type", media_type)
        .body(Body::from(bytes));
    world.send(request.unwrap()).await
}

/// H1: Draft, then Pending Send; the delivery's row says to whom.
#[tokio::test]
async fn h1_a_draft_is_written_and_sent() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    world.post("/contacts", json!({ "name": "Cara", "address": "cara@customer.test" })).await.expect(201);
    let made = world.post("/emails", draft(&user)).await.expect(201);
    assert_eq!((made.body["status"].as_str(), made.body["from_mailbox_id"].as_str()), (Some("draft"), Some(&*mailbox)));
    assert_eq!(made.body["parties"][0]["address"], "ann@example.test");
    assert_eq!(made.body["parties"][1]["record_kind"], "contact");
    let path = format!("/emails/{}", made.id());
    let bcc = json!({ "bcc": [{ "address": "CARA@customer.test" }], "subject": "A better offer" });
    let written = world.patch(&path, bcc).await.expect(200);
    assert_eq!((written.etag().as_str(), written.body["subject"].as_str()), ("\"2\"", Some("A better offer")));
    assert_eq!(written.body["parties"].as_array().unwrap().len(), 4);

    let sent = act(&world, &made.id(), "send").await.expect(202).body;
    assert_eq!((sent["status"].as_str(), sent["delivery"]["state"].as_str()), (Some("pending-send"), Some("pending")));
    assert_eq!(sent["message_id"], json!(format!("{}@example.test", made.id())));
    let addresses: Vec<_> =
        sent["delivery"]["recipients"].as_array().unwrap().iter().map(|r| r["address"].clone()).collect();
    assert_eq!(addresses, [json!("Cara@customer.test"), json!("dan@customer.test")], "each address once");
    act(&world, &made.id(), "send").await.expect(409);
    world.patch(&path, json!({ "subject": "x" })).await.expect(409);
    world.delete(&path).await.expect(409);
    let listed = world.get("/emails?direction=outgoing&status=pending-send").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&format!("/emails?mailbox={mailbox}")).await.body["items"].as_array().unwrap().len(), 1);
    let by_id = format!("/emails?message_id=%3C{}@example.test%3E", made.id());
    assert_eq!(world.get(&by_id).await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sending_names_what_cannot_be_sent_to() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let empty = world.post("/emails", json!({ "from": { "user_id": user } })).await.expect(201).id();
    assert_eq!(act(&world, &empty, "send").await.expect(422).complaints(), [("to".into(), "required".into())]);
    let mut bad = draft(&user);
    (bad["to"], bad["cc"]) =
        (json!([{ "address": "a@b.test" }, { "address": "nobody" }]), json!([{ "address": "x y@z" }]));
    let bad = world.post("/emails", bad).await.expect(201).id();
    let named = act(&world, &bad, "send").await.expect(422).complaints();
    assert_eq!(named, [("to.1.address".into(), "address".into()), ("cc.0.address".into(), "address".into())]);
    assert_eq!(world.count("SELECT count(*) FROM deliveries").await, 0);
}

#[tokio::test]
async fn a_draft_must_have_a_sender() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    for (from, field, rule) in [
        (json!({}), "from", "one-of"),
        (json!({ "user_id": user, "queue_id": user }), "from", "one-of"),
        (json!({ "user_id": mailbox }), "from.user_id", "exists"),
        (json!({ "queue_id": user }), "from.queue_id", "exists"),
    ] {
        let refused = world.post("/emails", json!({ "from": from })).await.expect(422);
        assert_eq!(refused.complaints(), [(field.into(), rule.into())]);
    }
    let mut long = draft(&user);
    (long["subject"], long["body_text"]) = (json!("x".repeat(256)), json!("x".repeat(1_048_577)));
    let refused = world.post("/emails", long).await.expect(422);
    assert_eq!(refused.complaints(), [("subject".into(), "length".into()), ("body_text".into(), "length".into())]);
}

#[tokio::test]
async fn an_answer_refers_to_what_it_answers() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let first = world.post("/emails", draft(&user)).await.expect(201).id();
    act(&world, &first, "send").await.expect(202);
    let mut answer = draft(&user);
    answer["in_reply_to_email_id"] = json!(first);
    let second = world.post("/emails", answer.clone()).await.expect(201);
    assert_eq!(second.body["in_reply_to"], json!([format!("{first}@example.test")]));
    assert_eq!(
        (&second.body["parent_email_id"], second.body["correlation_method"].as_str()),
        (&json!(first), Some("in-reply-to"))
    );
    act(&world, &second.id(), "send").await.expect(202);
    answer["in_reply_to_email_id"] = json!(second.id());
    let third = world.post("/emails", answer.clone()).await.expect(201).body;
    assert_eq!(third["in_reply_to"], json!([format!("{first}@example.test"), format!("{}@example.test", second.id())]));
    answer["in_reply_to_email_id"] = json!(user);
    assert_eq!(world.post("/emails", answer).await.expect(422).complaints()[0].0, "in_reply_to_email_id");
}

/// Files within the limit are kept as they are, larger ones refused.
#[tokio::test]
async fn files_go_in_and_out() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let mut with_file = draft(&user);
    with_file["attachments"] = json!([{ "name": "hello.txt", "media_type": "text/plain", "content": "aGVsbG8=" }]);
    let email = world.post("/emails", with_file.clone()).await.expect(201);
    assert_eq!(email.body["attachments"][0]["size_bytes"], 5);
    let large: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let added = upload(&world, &email.id(), "r%C3%A9sum%C3%A9.pdf", "application/pdf", large.clone()).await.expect(201);
    assert_eq!(added.body["attachments"][1]["name"], "résumé.pdf");
    let location = added.headers["location"].to_str().unwrap().trim_start_matches("/api/v1").to_owned();
    let read = world.get(&location).await.expect(200);
    assert!(read.bytes == large, "the same bytes in several chunks");
    assert_eq!(read.headers["content-type"], "application/octet-stream");
    assert!(read.headers["content-disposition"].to_str().unwrap().starts_with("attachment;"));
    assert_eq!(read.headers["x-content-type-options"], "nosniff");

    world.patch("/organisation", json!({ "max_attachment_bytes": 1000 })).await.expect(200);
    upload(&world, &email.id(), "x.pdf", "application/pdf", vec![0; 1001]).await.expect(413);
    with_file["attachments"][0]["content"] = json!("A".repeat(4000));
    let refused = world.post("/emails", with_file.clone()).await.expect(422);
    assert_eq!(refused.complaints(), [("attachments.0.content".into(), "size".into())]);
    with_file["attachments"] = json!([{ "name": "run.EXE", "media_type": "x", "content": "%" }]);
    let refused = world.post("/emails", with_file).await.expect(422).complaints();
    let rules: Vec<_> = refused.iter().map(|(_, rule)| rule.as_str()).collect();
    assert_eq!(rules, ["blocked", "form", "base64"]);

    let file = added.body["attachments"][0]["id"].as_str().unwrap().to_owned();
    world.delete(&format!("/emails/{}/attachments/{file}", email.id())).await.expect(204);
    world.get(&format!("/emails/{}/attachments/{file}/content", email.id())).await.expect(404);
    // A file is found under its own email only.
    let other = world.post("/emails", draft(&user)).await.expect(201).id();
    world.get(&location.replace(&email.id(), &other)).await.expect(404);
}

/// Operators see states, not content.
#[tokio::test]
async fn operators_see_no_content() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let mut secret = draft(&user);
    (secret["subject"], secret["body_text"], secret["body_html"]) =
        (json!("geheim-s"), json!("geheim-t"), json!("geheim-h"));
    secret["attachments"] = json!([{ "name": "geheim-n.txt", "content": "Z2VoZWlt" }]);
    let email = world.post("/emails", secret).await.expect(201);
    let operator = Some(Role::Operator);
    for path in ["/emails".to_owned(), format!("/emails/{}", email.id())] {
        let seen = world.call(operator, "GET", &path, None, &[]).await.expect(200).body.to_string();
        assert!(!seen.contains("geheim"), "{seen}");
    }
    let file = email.body["attachments"][0]["id"].as_str().unwrap();
    let content = format!("/emails/{}/attachments/{file}/content", email.id());
    world.call(operator, "GET", &content, None, &[]).await.expect(403);
}

#[tokio::test]
async fn sending_can_be_called_off_until_it_begins() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let email = world.post("/emails", draft(&user)).await.expect(201).id();
    act(&world, &email, "send").await.expect(202);
    let canceled = act(&world, &email, "cancel").await.expect(200).body;
    assert_eq!(
        (canceled["status"].as_str(), canceled["delivery"]["state"].as_str()),
        (Some("canceled"), Some("failed"))
    );
    act(&world, &email, "cancel").await.expect(409);
    act(&world, &email, "send").await.expect(409);

    let email = world.post("/emails", draft(&user)).await.expect(201).id();
    act(&world, &email, "send").await.expect(202);
    sqlx::query("UPDATE emails SET status = 'sending' WHERE id = $1")
        .bind(email.parse::<uuid::Uuid>().unwrap())
        .execute(world.database.pool())
        .await
        .unwrap();
    act(&world, &email, "cancel").await.expect(409);
    act(&world, &email, "send").await.expect(409);
}

/// A failed email is sent again to whoever has not accepted, under its first Message-ID.
#[tokio::test]
async fn a_failed_email_is_sent_again() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let email = world.post("/emails", draft(&user)).await.expect(201).id();
    let first = act(&world, &email, "send").await.expect(202).body;
    for statement in [
        "UPDATE emails SET status = 'failed'",
        "UPDATE deliveries SET state = 'failed', attempt = 3, fault_code = 'X'",
        "UPDATE delivery_recipients SET state = CASE WHEN address LIKE 'dan%' THEN 'accepted' ELSE 'refused' END",
    ] {
        sqlx::query(statement).execute(world.database.pool()).await.unwrap();
    }
    let again = act(&world, &email, "send").await.expect(202).body;
    assert_eq!((&again["message_id"], &again["delivery"]["attempt"]), (&first["message_id"], &json!(0)), "begun anew");
    let states: Vec<_> =
        again["delivery"]["recipients"].as_array().unwrap().iter().map(|r| r["state"].clone()).collect();
    assert_eq!(states, [json!("pending"), json!("accepted")]);
    for statement in ["UPDATE emails SET status = 'failed'", "UPDATE delivery_recipients SET state = 'accepted'"] {
        sqlx::query(statement).execute(world.database.pool()).await.unwrap();
    }
    assert_eq!(act(&world, &email, "send").await.expect(409).body["type"], "/problems/all-accepted");
}

/// What was wrong with a failed email can be mended, by the rules of a draft; it stays failed until it is sent.
#[tokio::test]
async fn a_failed_email_is_edited_and_sent() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let email = world.post("/emails", draft(&user)).await.expect(201).id();
    let first = act(&world, &email, "send").await.expect(202).body;
    let path = format!("/emails/{email}");
    world.patch(&path, json!({ "subject": "Too late" })).await.expect(409);
    for statement in [
        "UPDATE emails SET status = 'failed'",
        "UPDATE deliveries SET state = 'failed', attempt = 10, fault_code = 'RecipientRefused'",
        "UPDATE delivery_recipients SET state = CASE WHEN address LIKE 'dan%' THEN 'accepted' ELSE 'refused' END",
    ] {
        sqlx::query(statement).execute(world.database.pool()).await.unwrap();
    }
    let refused = world.patch(&path, json!({ "subject": "x".repeat(256) })).await.expect(422);
    assert_eq!(refused.complaints(), [("subject".into(), "length".into())]);
    let to = json!([{ "address": "right@customer.test" }, { "address": "dan@customer.test" }]);
    let before = world.get(&path).await;
    let edited = world.patch(&path, json!({ "subject": "Mended", "to": to, "cc": [] })).await.expect(200);
    assert_eq!((edited.body["status"].as_str(), edited.body["subject"].as_str()), (Some("failed"), Some("Mended")));
    assert_ne!(edited.etag(), before.etag());
    upload(&world, &email, "more.txt", "text/plain", b"more".to_vec()).await.expect(201);
    world.delete(&path).await.expect(409);

    let again = act(&world, &email, "send").await.expect(202).body;
    assert_eq!((&again["message_id"], &again["delivery"]["attempt"]), (&first["message_id"], &json!(0)));
    let recipients: Vec<_> = again["delivery"]["recipients"].as_array().unwrap().iter().collect();
    let waiting: Vec<_> = recipients.iter().filter(|r| r["state"] == "pending").map(|r| &r["address"]).collect();
    assert_eq!(waiting, [&json!("right@customer.test")], "{recipients:?}");
    for status in ["sending", "sent", "canceled", "completed"] {
        let email = match status {
            "sending" | "sent" => email.clone(),
            _ => world.post("/emails", draft(&user)).await.expect(201).id(),
        };
        sqlx::query("UPDATE emails SET status = $1 WHERE id = $2::uuid")
            .bind(status)
            .bind(email.parse::<uuid::Uuid>().unwrap())
            .execute(world.database.pool())
            .await
            .unwrap();
        world.patch(&format!("/emails/{email}"), json!({ "subject": "Too late" })).await.expect(409);
    }
}

/// A lost outcome is decided by a person, and nobody else.
#[tokio::test]
async fn a_lost_outcome_is_decided() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    for (decision, status, state) in
        [("sent", "sent", "sent"), ("send-again", "pending-send", "pending"), ("failed", "failed", "failed")]
    {
        let email = world.post("/emails", draft(&user)).await.expect(201).id();
        let path = format!("/emails/{email}/resolve-delivery");
        act(&world, &email, "send").await.expect(202);
        world.post(&path, json!({ "decision": decision })).await.expect(409);
        let id: uuid::Uuid = email.parse().unwrap();
        for statement in [
            "UPDATE emails SET status = 'sending' WHERE id = $1",
            "UPDATE deliveries SET state = 'unknown', attempt = 1, in_flight_at = now() WHERE email_id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(world.database.pool()).await.unwrap();
        }
        let mut tx = world.store.begin().await.unwrap();
        let subject = Subject::Email(EmailId(id), MailboxId(mailbox.parse().unwrap()));
        alerts::raise(&mut tx, "OutcomeUnknown", Severity::Error, subject, json!({ "message": "lost" })).await.unwrap();
        tx.commit().await.unwrap();
        world.post(&path, json!({ "decision": "maybe" })).await.expect(422);
        let resolved = world.post(&path, json!({ "decision": decision })).await.expect(200).body;
        assert_eq!((resolved["status"].as_str(), resolved["delivery"]["state"].as_str()), (Some(status), Some(state)));
        assert_eq!(resolved["sent_at"].is_null(), decision != "sent");
        assert_eq!(world.get("/alerts").await.body["items"], json!([]), "the alert is gone");
    }
}

/// H10: what a restored backup has left open is decided on in one request, by administrators only.
#[tokio::test]
async fn h10_what_a_restored_backup_has_left_open_is_decided_on_together() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let mut emails = Vec::new();
    for _ in 0..2 {
        let email = world.post("/emails", draft(&user)).await.expect(201).id();
        act(&world, &email, "send").await.expect(202);
        emails.push(email);
    }
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::restores::restored(&mut tx, false, "test").await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let shown = world.get(&format!("/emails/{}", emails[0])).await.expect(200).body;
    assert_eq!((&shown["status"], &shown["delivery"]["state"]), (&json!("sending"), &json!("unknown")));
    assert_eq!(world.get("/alerts").await.body["items"].as_array().unwrap().len(), 2);
    act(&world, &emails[0], "send").await.expect(409);
    act(&world, &emails[0], "cancel").await.expect(409);

    let path = "/emails/resolve-restored";
    world.post(path, json!({ "decision": "maybe" })).await.expect(422);
    world.post(path, json!({ "decision": "failed", "all": true })).await.expect(422);
    let failed = json!({ "decision": "failed" });
    for role in [Role::Service, Role::Operator] {
        world.call(Some(role), "POST", path, Some(&failed), &[]).await.expect(403);
    }
    let other = json!({ "decision": "failed", "mailbox_id": uuid::Uuid::nil() });
    assert_eq!(world.post(path, other).await.expect(200).body, json!({ "resolved": 0, "more": false }));
    // One is decided on its own.
    world.post(&format!("/emails/{}/resolve-delivery", emails[0]), json!({ "decision": "sent" })).await.expect(200);
    let rest = json!({ "decision": "send-again", "mailbox_id": mailbox });
    assert_eq!(world.post(path, rest).await.expect(200).body, json!({ "resolved": 1, "more": false }));
    let again = world.get(&format!("/emails/{}", emails[1])).await.expect(200).body;
    assert_eq!((&again["status"], &again["delivery"]["state"]), (&json!("pending-send"), &json!("pending")));
    assert_eq!(world.get("/alerts").await.body["items"], json!([]), "the alerts are gone");
}

#[tokio::test]
async fn drafts_are_removed_with_a_tombstone() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let email = world.post("/emails", draft(&user)).await.expect(201).id();
    world.delete(&format!("/emails/{email}")).await.expect(204);
    world.get(&format!("/emails/{email}")).await.expect(404);
    let told =
        "SELECT count(*) FROM feed_entries WHERE record_kind = 'email' AND change = 'deleted' AND record_version = 2";
    assert_eq!(world.count(told).await, 1);
}

/// H9: an email that some recipients were refused for is copied to them: as a draft, with its files, to nobody who has
/// it already; the alert ends with that. Operators see how many, not who.
#[tokio::test]
async fn h9_a_draft_to_those_who_were_refused() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let mut body = draft(&user);
    body["bcc"] = json!([{ "address": "eve@customer.test" }, { "address": "CARA@customer.test" }]);
    let email = world.post("/emails", body).await.expect(201).id();
    upload(&world, &email, "offer.txt", "text/plain", b"an offer".to_vec()).await.expect(201);
    act(&world, &email, "copy-to-refused").await.expect(409);
    act(&world, &email, "send").await.expect(202);
    for statement in [
        "UPDATE emails SET status = 'sending'",
        "UPDATE emails SET status = 'sent'",
        "UPDATE deliveries SET state = 'sent'",
        "UPDATE delivery_recipients SET state = 'accepted', reply = ''",
    ] {
        sqlx::query(statement).execute(world.database.pool()).await.unwrap();
    }
    let refused = act(&world, &email, "copy-to-refused").await.expect(409).body;
    assert_eq!(refused["type"], "/problems/none-refused", "everybody has it");
    let some = "UPDATE delivery_recipients SET state = 'refused', reply = '550 no' WHERE address NOT LIKE 'dan%'";
    sqlx::query(some).execute(world.database.pool()).await.unwrap();
    let id = EmailId(email.parse().unwrap());
    let mut tx = world.store.begin().await.unwrap();
    refused::tell(&mut tx, id, MailboxId(mailbox.parse().unwrap())).await.unwrap();
    tx.commit().await.unwrap();
    world.patch("/organisation", json!({ "alert_warnings": true })).await.expect(200);
    for (role, addresses) in [(Role::Administrator, true), (Role::Operator, false)] {
        let alert = world.call(Some(role), "GET", "/alerts", None, &[]).await.expect(200).body["items"][0].clone();
        assert_eq!((alert["code"].as_str(), alert["scope"].as_str()), (Some("PartlyRefused"), Some("item")));
        assert_eq!(alert["text"], "The server refused 2 of 3 recipients; the others have the email.");
        assert!(alert["remedy"].as_str().unwrap().contains("copy-to-refused"));
        assert_eq!(alert["parameters"]["addresses"].is_array(), addresses, "{alert}");
    }

    let key = [("idempotency-key", "once")];
    let path = format!("/emails/{email}/copy-to-refused");
    world.call(Some(Role::Operator), "POST", &path, None, &key).await.expect(403);
    let made = world.call(Some(Role::Service), "POST", &path, None, &key).await.expect(201);
    let again = world.call(Some(Role::Service), "POST", &path, None, &key).await.expect(201);
    assert_eq!(made.id(), again.id());
    let copy = &made.body;
    assert_eq!((copy["status"].as_str(), copy["subject"].as_str()), (Some("draft"), Some("An offer")));
    let parties: Vec<_> = copy["parties"].as_array().unwrap().iter().map(|p| (&p["role"], &p["address"])).collect();
    assert_eq!(
        parties,
        [
            (&json!("from"), &json!("ann@example.test")),
            (&json!("to"), &json!("Cara@customer.test")),
            (&json!("bcc"), &json!("eve@customer.test")),
            (&json!("bcc"), &json!("CARA@customer.test")),
        ]
    );
    assert_eq!((&copy["attachments"][0]["name"], &copy["body_text"]), (&json!("offer.txt"), &json!("Dear Cara")));
    assert_eq!(world.get("/alerts").await.body["items"], json!([]));
    let sent = act(&world, &made.id(), "send").await.expect(202).body;
    let to: Vec<_> = sent["delivery"]["recipients"].as_array().unwrap().iter().map(|r| r["address"].clone()).collect();
    assert_eq!(to, [json!("Cara@customer.test"), json!("eve@customer.test")], "never to Dan, who has it");
    assert_ne!(sent["message_id"], json!(format!("{email}@example.test")));
}
