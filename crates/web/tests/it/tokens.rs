//! Tracking tokens of outgoing email, and what a message is called when it is sent once more.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn draft(world: &World, user: &str, subject: &str) -> String {
    let wanted =
        json!({ "from": { "user_id": user }, "to": [{ "address": "cara@customer.test" }], "subject": subject });
    world.post("/emails", wanted).await.expect(201).id()
}

async fn send(world: &World, email: &str) -> Answer {
    world.call(Some(Role::Service), "POST", &format!("/emails/{email}/send"), None, &[]).await
}

async fn sql(world: &World, statement: &'static str) {
    sqlx::raw_sql(statement).execute(world.database.pool()).await.unwrap();
}

async fn subjects(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT subject FROM deliveries ORDER BY created_at, email_id")
        .fetch_all(world.database.pool())
        .await
        .unwrap()
}

/// H6, F10: each message of a sender gets the next number, each sender has a number of its own; after 999 comes 000.
#[tokio::test]
async fn h6_f10_each_message_gets_the_next_token() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let (bob, _) = world.user("bob").await;
    let mut tokens = Vec::new();
    for user in [&ann, &ann, &bob, &ann] {
        let email = draft(&world, user, "Offer").await;
        assert_eq!(world.get(&format!("/emails/{email}")).await.body["tracking_token"], Value::Null);
        let sent = send(&world, &email).await.expect(202).body;
        assert_eq!(sent["subject"], "Offer", "the record keeps what was written");
        tokens.push(sent["tracking_token"].as_str().unwrap().to_owned());
    }
    assert_eq!(tokens, ["CRM:0001000", "CRM:0001001", "CRM:0002000", "CRM:0001002"]);
    assert_eq!(subjects(&world).await[0], "Offer CRM:0001000");
    sql(&world, "UPDATE token_counters SET last = 999 WHERE number = 1").await;
    let email = draft(&world, &ann, "Offer").await;
    assert_eq!(send(&world, &email).await.expect(202).body["tracking_token"], "CRM:0001000", "it wraps");
}

/// H6: a long subject is cut, not inside a character, and ends with the whole token; an answer's old token gives way.
#[tokio::test]
async fn h6_the_subject_has_room_for_its_token() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    for subject in ["ß".repeat(255), "Re: Offer CRM:0009123 ".to_owned(), String::new()] {
        let email = draft(&world, &ann, &subject).await;
        send(&world, &email).await.expect(202);
    }
    let sent = subjects(&world).await;
    assert_eq!(sent[0].chars().count(), 255);
    assert!(sent[0].ends_with("ß CRM:0001000"), "{}", sent[0]);
    assert_eq!(sent[1..], ["Re: Offer CRM:0001001".to_owned(), "CRM:0001002".to_owned()]);
}

/// H6: the token is fixed when the email is first sent, whatever tokens look like later; with tokens off there is none.
#[tokio::test]
async fn h6_a_resend_keeps_its_token() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let email = draft(&world, &ann, "Offer").await;
    let first = send(&world, &email).await.expect(202).body["tracking_token"].clone();
    sql(&world, "UPDATE deliveries SET state = 'failed'; UPDATE emails SET status = 'failed'").await;
    world.patch("/organisation", json!({ "token_prefix": "Acme#", "token_counter_digits": 5 })).await.expect(200);
    assert_eq!(send(&world, &email).await.expect(202).body["tracking_token"], first);
    assert_eq!(subjects(&world).await, ["Offer CRM:0001000"]);
    let other = draft(&world, &ann, "Offer").await;
    assert_eq!(send(&world, &other).await.expect(202).body["tracking_token"], "Acme#000100001");
    world.patch("/organisation", json!({ "use_tracking_tokens": false })).await.expect(200);
    let third = draft(&world, &ann, "Offer").await;
    let sent = send(&world, &third).await.expect(202).body;
    assert_eq!(sent["tracking_token"], Value::Null);
    assert_eq!(subjects(&world).await[2], "Offer");
}

/// F10: what tokens may look like; each refusal names its field.
#[tokio::test]
async fn f10_tokens_have_limits() {
    let world = World::new().await;
    let before = world.get("/organisation").await.body;
    for (field, default) in [
        ("use_tracking_tokens", json!(true)),
        ("token_prefix", json!("CRM:")),
        ("token_base", json!(0)),
        ("token_user_digits", json!(3)),
        ("token_counter_digits", json!(3)),
        ("ignore_reply_headers", json!(false)),
    ] {
        assert_eq!(before[field], default, "{field}");
    }
    for (field, wrong) in [
        ("token_prefix", json!("")),
        ("token_prefix", json!("x".repeat(21))),
        ("token_prefix", json!("CRM: ")),
        ("token_prefix", json!("CR\nM")),
        ("token_base", json!(-1)),
        ("token_base", json!(2_147_483_648_i64)),
        ("token_user_digits", json!(0)),
        ("token_user_digits", json!(11)),
        ("token_counter_digits", json!(0)),
        ("token_counter_digits", json!(10)),
    ] {
        let refused = world.patch("/organisation", json!({ field: wrong })).await.expect(422);
        assert_eq!(refused.complaints()[0].0, field);
    }
    let right = json!({ "token_prefix": "x".repeat(20), "token_base": 2_147_483_647, "token_user_digits": 10,
        "token_counter_digits": 9, "ignore_reply_headers": true });
    let now = world.patch("/organisation", right.clone()).await.expect(200).body;
    for (field, value) in right.as_object().unwrap() {
        assert_eq!(now[field], *value);
    }
}

/// H10: an email that was changed after it failed is another message, with an id and a date of its own. It stays the
/// same message where nothing was changed, and where somebody has or may have the first one.
#[tokio::test]
async fn h10_a_changed_email_is_another_message() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    for (change, possession, other) in [
        (Some(json!({ "body_text": "Dear Cara" })), "UPDATE deliveries SET was_unknown = false", true),
        (None, "UPDATE deliveries SET was_unknown = false", false),
        (Some(json!({ "body_text": "Dear Cara" })), "UPDATE deliveries SET was_unknown = true", false),
        (
            Some(json!({ "to": [{ "address": "cara@customer.test" }, { "address": "dan@customer.test" }] })),
            "UPDATE delivery_recipients SET state = 'accepted'",
            false,
        ),
    ] {
        let email = draft(&world, &ann, "Offer").await;
        let path = format!("/emails/{email}");
        let first = send(&world, &email).await.expect(202).body["message_id"].clone();
        sql(&world, "UPDATE deliveries SET state = 'failed', dated_at = '2026-01-01T00:00Z'; UPDATE emails SET status = 'failed'").await;
        sql(&world, possession).await;
        if let Some(change) = &change {
            world.patch(&path, change.clone()).await.expect(200);
        } else {
            sql(&world, "UPDATE delivery_recipients SET state = 'refused'").await;
        }
        let again = send(&world, &email).await.expect(202).body;
        assert_eq!(again["message_id"] != first, other, "{change:?} {possession}");
        let id = uuid::Uuid::parse_str(&email).unwrap();
        let kept: bool = sqlx::query_scalar(
            "SELECT d.dated_at = '2026-01-01T00:00Z' AND d.message_id = e.message_id FROM deliveries d
             JOIN emails e ON e.id = d.email_id WHERE d.email_id = $1",
        )
        .bind(id)
        .fetch_one(world.database.pool())
        .await
        .unwrap();
        assert_eq!(kept, !other, "the date goes with the id");
    }
}
