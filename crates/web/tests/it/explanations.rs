//! Where mail is, and the items that became no record.

use lockstep_model::{id::MailboxId, remote::RemoteKey};
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
    items::{self, Disposition, Item},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::world::{Answer, World};

async fn sql(world: &World, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(world.database.pool()).await.unwrap();
}

/// A mailbox that is read and sent from.
async fn served(world: &World, name: &str) -> String {
    let profile = world.profile(name).await;
    let (_, mailbox) = world.user(name).await;
    let account = json!({ "profile_id": profile, "allow_credentials": true, "login": name, "password": "geheim-456" });
    world.patch(&format!("/mailboxes/{mailbox}"), account).await.expect(200);
    sql(
        world,
        format!(
            "UPDATE mailboxes SET incoming_enabled = true, outgoing_enabled = true, incoming_test = 'success',
                 outgoing_test = 'success' WHERE id = '{mailbox}'"
        ),
    )
    .await;
    let path = format!("/mailboxes/{mailbox}/approve");
    world.call(Some(Role::Administrator), "POST", &path, None, &[]).await.expect(200);
    mailbox
}

fn id(mailbox: &str) -> MailboxId {
    MailboxId(mailbox.parse().unwrap())
}

async fn put(world: &World, mailbox: &str, name: &str, disposition: Disposition) {
    let item = Item {
        key: RemoteKey::new(name).unwrap(),
        weak: false,
        fingerprint: None,
        size_bytes: 10,
        message_id: Some(format!("{name}@kunde.example")),
        disposition,
        reason: Some(if disposition == Disposition::Refused { "NoCorrelationMatch" } else { "ItemUnavailable" }.into()),
        detail: None,
        delete_wanted: false,
        folder: lockstep_model::remote::MailFolder::Inbox,
        move_wanted: false,
    };
    let mut tx = world.store.begin().await.unwrap();
    items::put(&mut tx, id(mailbox), std::slice::from_ref(&item)).await.unwrap();
    if disposition != Disposition::Refused {
        let subject = Subject::Item(id(mailbox), &item.key);
        let parameters = json!({ "message": "no", "next": "never" });
        alerts::raise(&mut tx, items::QUARANTINED, Severity::Warning, subject, parameters).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn step<'a>(answer: &'a Answer, part: &str, name: &str) -> &'a Value {
    let steps = answer.body["steps"].as_array().unwrap();
    steps.iter().find(|s| s["part"] == part && s["name"] == name).unwrap_or_else(|| panic!("{:#}", answer.body))
}

async fn about(world: &World, role: Role, query: &str) -> Answer {
    world.call(Some(role), "GET", &format!("/explanations/messages?{query}"), None, &[]).await
}

/// The chain, as an administrator checks it.
const ORDER: [&str; 10] =
    ["approved", "enabled", "due", "breaker", "permit", "lease", "filter", "acceptance", "correlation", "result"];

/// The chain of a mailbox follows its record; operators may ask, programs may not.
#[tokio::test]
async fn a_mailbox_is_explained() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let path = format!("/explanations/mailboxes/{mailbox}");
    let found = world.call(Some(Role::Operator), "GET", &path, None, &[]).await.expect(200);
    assert_eq!(found.body["address"], "ann@example.test");
    assert_eq!(step(&found, "incoming", "enabled")["verdict"], "ok");
    assert_eq!(step(&found, "outgoing", "due")["verdict"], "ok");
    let permit = step(&found, "incoming", "permit")["sentence"].as_str().unwrap();
    assert!(permit.starts_with("0 of the 10 connections of the mailbox's own account"), "{permit}");
    let order: Vec<_> = found.body["steps"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(order, [ORDER, ORDER].concat(), "reading, then sending");
    assert!(step(&found, "incoming", "enabled").get("remedy").is_none());
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "active": false })).await.expect(200);
    let found = world.get(&path).await.expect(200);
    assert_eq!(found.body["verdict"], "stops");
    assert_eq!(step(&found, "incoming", "enabled")["verdict"], "stops");
    assert!(step(&found, "incoming", "enabled")["remedy"].as_str().unwrap().contains("active"));
    assert_eq!(step(&found, "incoming", "due")["verdict"], "not-reached");
    world.call(Some(Role::Service), "GET", &path, None, &[]).await.expect(403);
    world.get(&format!("/explanations/mailboxes/{}", uuid::Uuid::nil())).await.expect(404);
}

/// F25: one message: recorded here, refused there, unknown elsewhere; no subject is shown to anybody.
#[tokio::test]
async fn f25_a_message_is_explained() {
    let world = World::new().await;
    let (ann, bob) = (served(&world, "ann").await, served(&world, "bob").await);
    sql(
        &world,
        format!(
            "WITH e AS (INSERT INTO emails (id, direction, status, subject, message_id, accepting_kind, accepting_id,
                 created_at, updated_at) SELECT gen_random_uuid(), 'incoming', 'received', 'Secret', 'k1@kunde.example',
                 'user', owner_user_id, now(), now() FROM mailboxes WHERE id = '{ann}' RETURNING id)
             INSERT INTO email_mailboxes SELECT id, '{ann}', 'k', now() FROM e"
        ),
    )
    .await;
    put(&world, &bob, "k1", Disposition::Refused).await;
    let found = about(&world, Role::Operator, "message_id=%3Ck1%40Kunde.EXAMPLE%3E").await.expect(200);
    assert_eq!((&found.body["message_id"], &found.body["verdict"]), (&json!("k1@kunde.example"), &json!("stops")));
    assert_eq!(found.body["email_ids"].as_array().unwrap().len(), 1);
    assert_eq!(step(&found, "record", "acceptance")["sentence"], "Accepted for the user ann.");
    let refused = step(&found, "bob@example.test", "correlation");
    assert!(refused["sentence"].as_str().unwrap().contains("NoCorrelationMatch"), "{refused}");
    assert!(!found.body.to_string().contains("Secret"));
    let here = about(&world, Role::Operator, &format!("message_id=k1@kunde.example&mailbox_id={ann}")).await;
    assert_eq!(here.expect(200).body["verdict"], "ok");

    let unseen = about(&world, Role::Administrator, "message_id=nobody@x").await.expect(200);
    assert_eq!(unseen.body["verdict"], "unknown");
    let elsewhere = step(&unseen, "message", "enabled")["sentence"].as_str().unwrap();
    assert!(elsewhere.starts_with("2 of 2 mailboxes are read"), "{elsewhere}");
    let missed = about(&world, Role::Administrator, &format!("message_id=nobody@x&mailbox_id={bob}")).await;
    let missed = missed.expect(200);
    assert_eq!(step(&missed, "bob@example.test", "enabled")["verdict"], "ok");
    assert_eq!(step(&missed, "bob@example.test", "result")["verdict"], "unknown");
    for (query, status) in [
        ("message_id=", 422),
        ("message_id=%3C%3E", 422),
        ("", 422),
        ("message_id=x&mailbox_id=7", 422),
        ("message_id=x&mailbox_id=00000000-0000-0000-0000-000000000000", 404),
    ] {
        about(&world, Role::Administrator, query).await.expect(status);
    }
}

/// A user explains the own mailbox and what is in it, and learns nothing of another's: neither of a mailbox, nor of a
/// message that is there alone, nor where else a message of the own mailbox is, nor whose record it is.
#[tokio::test]
async fn users_explain_what_is_their_own() {
    let world = World::new().await;
    let (anns, berts) = (served(&world, "ann").await, served(&world, "bert").await);
    let owner = async |mailbox: &str| {
        world.get(&format!("/mailboxes/{mailbox}")).await.body["owner"]["id"].as_str().unwrap().to_owned()
    };
    let (ann, bert) = (owner(&anns).await, owner(&berts).await);
    let (anns_key, berts_key) = (world.key_of(&ann).await, world.key_of(&bert).await);
    let ask = async |key: &str, path: &str| {
        world.call_with(Some(key), "GET", &format!("/explanations/{path}"), None, &[]).await
    };
    let own = ask(&anns_key, &format!("mailboxes/{anns}")).await.expect(200);
    assert_eq!((own.body["address"].as_str(), own.body["verdict"].as_str()), (Some("ann@example.test"), Some("ok")));
    for other in [berts.clone(), uuid::Uuid::nil().to_string()] {
        let refused = ask(&anns_key, &format!("mailboxes/{other}")).await.expect(404);
        assert!(!refused.body.to_string().contains("bert"), "{}", refused.body);
        ask(&anns_key, &format!("messages?message_id=x&mailbox_id={other}")).await.expect(404);
    }
    // The server's alerts are on its owner's wall.
    let profile = world.get(&format!("/mailboxes/{anns}")).await.body["profile_id"].as_str().unwrap().to_owned();
    let mut tx = world.store.begin().await.unwrap();
    let subject = Subject::Profile(lockstep_model::id::ProfileId(profile.parse().unwrap()));
    let parameters = json!({ "message": "no", "mailboxes": 1, "name": "Servers" });
    alerts::raise(&mut tx, "ServerUnreachable", Severity::Error, subject, parameters).await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("mailboxes/{anns}");
    assert!(!ask(&anns_key, &path).await.expect(200).body.to_string().contains("ServerUnreachable"));
    assert!(world.get(&format!("/explanations/{path}")).await.body.to_string().contains("ServerUnreachable"));

    // In Bert's mailbox alone.
    put(&world, &berts, "secret", Disposition::Refused).await;
    let unseen = ask(&anns_key, "messages?message_id=secret@kunde.example").await.expect(200);
    assert_eq!((&unseen.body["verdict"], &unseen.body["mailbox_id"]), (&json!("unknown"), &json!(anns)));
    assert!(!unseen.body.to_string().contains("bert"), "{}", unseen.body);
    let seen = ask(&berts_key, "messages?message_id=secret@kunde.example").await.expect(200);
    assert_eq!(step(&seen, "bert@example.test", "correlation")["verdict"], "stops");

    // In both, recorded for Bert, and refused at Ann's.
    let email = uuid::Uuid::now_v7();
    sql(
        &world,
        format!(
            "INSERT INTO emails (id, direction, status, message_id, accepting_kind, accepting_id, owner_user_id, created_at,
                 updated_at) VALUES ('{email}', 'incoming', 'received', 'both@kunde.example', 'user', '{bert}', '{bert}',
                 now(), now());
             INSERT INTO email_mailboxes VALUES ('{email}', '{anns}', 'k', now()), ('{email}', '{berts}', 'k', now())"
        ),
    )
    .await;
    let anns_view = ask(&anns_key, "messages?message_id=both@kunde.example").await.expect(200);
    let told = anns_view.body.to_string();
    assert!(
        told.contains("ann@example.test") && !told.contains("bert") && !told.contains(&email.to_string()),
        "{told}"
    );
    assert_eq!((&anns_view.body["verdict"], &anns_view.body["email_ids"]), (&json!("ok"), &json!([])));
    assert!(step(&anns_view, "record", "result")["sentence"].as_str().unwrap().contains("for somebody else"));
    let berts_view = ask(&berts_key, "messages?message_id=both@kunde.example").await.expect(200);
    assert_eq!(berts_view.body["email_ids"], json!([email]));
    assert_eq!(step(&berts_view, "record", "acceptance")["sentence"], "Accepted for the user bert.");
    assert!(!berts_view.body.to_string().contains("ann@"), "{}", berts_view.body);
    let all = about(&world, Role::Operator, "message_id=both@kunde.example").await.expect(200).body.to_string();
    assert!(all.contains("ann@example.test") && all.contains("bert@example.test"), "{all}");

    // What is sent, by whom and to whom.
    let draft = json!({ "from": { "user_id": bert }, "to": [{ "address": "cara@customer.test" }], "subject": "Hi" });
    let sent = world.post("/emails", draft).await.expect(201).id();
    world.call(Some(Role::Service), "POST", &format!("/emails/{sent}/send"), None, &[]).await.expect(202);
    let sent = format!("messages?message_id={sent}@example.test");
    let berts_view = ask(&berts_key, &sent).await.expect(200);
    assert!(step(&berts_view, "outgoing", "acceptance")["sentence"].as_str().unwrap().contains("cara@customer.test"));
    let anns_view = ask(&anns_key, &sent).await.expect(200).body;
    assert!(
        !anns_view.to_string().contains("cara") && !anns_view.to_string().contains("sent from here"),
        "{anns_view}"
    );
}

/// An email that is sent is found by the Message-ID it was given, and waits with its mailbox.
#[tokio::test]
async fn a_sent_email_is_explained() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let user = world.get(&format!("/mailboxes/{mailbox}")).await.body["owner"]["id"].clone();
    let draft = json!({ "from": { "user_id": user }, "to": [{ "address": "cara@customer.test" }], "subject": "Hi" });
    let email = world.post("/emails", draft).await.expect(201).id();
    world.call(Some(Role::Service), "POST", &format!("/emails/{email}/send"), None, &[]).await.expect(202);
    sql(&world, "UPDATE mailboxes SET outgoing_enabled = false".to_owned()).await;
    let found = about(&world, Role::Administrator, &format!("message_id={email}@example.test")).await.expect(200);
    assert_eq!(step(&found, "outgoing", "due")["verdict"], "waits");
    let recipients = step(&found, "outgoing", "acceptance")["sentence"].as_str().unwrap();
    assert!(recipients.ends_with("1 not asked yet. cara@customer.test pending."), "{recipients}");
    assert_eq!(step(&found, "outgoing", "enabled")["verdict"], "stops");
}

/// F25, M11: the failures of a mailbox, page by page, with reason and sentence, for those who may see states.
#[tokio::test]
async fn f25_m11_item_failures_are_listed() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    for name in ["a", "b", "c"] {
        put(&world, &mailbox, name, Disposition::Refused).await;
    }
    put(&world, &mailbox, "q", Disposition::Quarantined(None)).await;
    let path = format!("/mailboxes/{mailbox}/items");
    let first = world.get(&format!("{path}?limit=3")).await.expect(200).body;
    let shown = &first["items"][0];
    assert_eq!((&shown["key"], &shown["reason"]), (&json!("61"), &json!("NoCorrelationMatch")));
    assert_eq!(shown["message_id"], "a@kunde.example");
    assert!(shown["sentence"].as_str().unwrap().contains("tracking options"), "{shown}");
    assert!(shown.get("subject").is_none());
    let rest = world.get(&format!("{path}?limit=3&after={}", first["next"].as_str().unwrap())).await.expect(200).body;
    assert_eq!((rest["items"][0]["key"].as_str(), rest.get("next")), (Some("71"), None));
    let aside = world.get(&format!("{path}?disposition=quarantined")).await.expect(200).body;
    assert_eq!((aside["items"].as_array().unwrap().len(), &aside["items"][0]["attempts"]), (1, &json!(1)));
    // M11: three roles.
    world.call(Some(Role::Operator), "GET", &path, None, &[]).await.expect(200);
    world.call(Some(Role::Service), "GET", &path, None, &[]).await.expect(403);
    for (query, status) in [("?disposition=tracked", 422), ("?after=zz", 422), ("?after=+1", 422), ("?limt=3", 422)] {
        world.get(&format!("{path}{query}")).await.expect(status);
    }
    world.get(&format!("/mailboxes/{}/items", uuid::Uuid::nil())).await.expect(404);
}

/// What is set aside is released or dropped, once, by whom it is noted, and the alert ends.
#[tokio::test]
async fn items_are_released_and_dropped() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    put(&world, &mailbox, "k1", Disposition::Quarantined(None)).await;
    put(&world, &mailbox, "k2", Disposition::Quarantined(None)).await;
    put(&world, &mailbox, "k3", Disposition::Refused).await;
    let act = async |role: Role, key: &str, action: &str| {
        let path = format!("/mailboxes/{mailbox}/items/{key}/{action}");
        world.call(Some(role), "POST", &path, None, &[]).await
    };
    let (k1, k2, k3) = ("6b31", "6b32", "6b33");
    act(Role::Operator, k2, "drop").await.expect(403);
    let released = act(Role::Operator, k1, "release").await.expect(200).body;
    assert_eq!((&released["disposition"], &released["attempts"]), (&json!("quarantined"), &json!(0)));
    assert!(released["next_attempt_at"].is_string());
    for _ in 0..2 {
        let dropped = act(Role::Administrator, k2, "drop").await.expect(200).body;
        assert_eq!((&dropped["disposition"], &dropped["reason"]), (&json!("refused"), &json!("DroppedByHand")));
    }
    assert_eq!(world.count("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 0);
    let noted = "SELECT count(*) FROM audit_entries WHERE action IN ('item-released', 'item-dropped')
         AND actor LIKE ANY (ARRAY['operator%', 'administrator%'])";
    assert_eq!(world.count(noted).await, 2, "the second drop changed nothing");
    assert_eq!(act(Role::Administrator, k3, "drop").await.expect(409).body["type"], "/problems/not-quarantined");
    // F25: what was refused, by rule or by hand, is judged again.
    for key in [k2, k3] {
        let again = act(Role::Operator, key, "release").await.expect(200).body;
        assert_eq!((again["disposition"].as_str(), again["next_attempt_at"].is_string()), (Some("refused"), true));
    }
    act(Role::Administrator, "ffff", "drop").await.expect(404);
    act(Role::Administrator, "xyz", "drop").await.expect(400);
}

/// F25: after a rule was changed an administrator has what it refused judged again, all or by reason and time.
#[tokio::test]
async fn f25_refused_items_are_judged_again() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    for name in ["k1", "k2"] {
        put(&world, &mailbox, name, Disposition::Refused).await;
    }
    put(&world, &mailbox, "k3", Disposition::Quarantined(None)).await;
    let path = format!("/mailboxes/{mailbox}/judge-again");
    world.call(Some(Role::Operator), "POST", &path, None, &[]).await.expect(403);
    for (body, complaint) in [
        (json!({ "reason": "Colour" }), ("reason", "choice")),
        (json!({ "seen_since": "0001-01-01T00:00:00Z" }), ("seen_since", "range")),
        (json!({ "since": 1 }), ("since", "unknown")),
    ] {
        assert_eq!(world.post(&path, body).await.expect(422).complaints(), [(complaint.0.into(), complaint.1.into())]);
    }
    assert_eq!(world.post(&path, json!({ "reason": "TooOld" })).await.expect(200).body, json!({ "items": 0 }));
    assert_eq!(world.post(&path, json!({ "seen_since": "2999-01-01T00:00:00Z" })).await.expect(200).body["items"], 0);
    assert_eq!(world.count("SELECT count(*) FROM remote_items WHERE next_attempt_at IS NOT NULL").await, 0);
    let all = world.call(Some(Role::Administrator), "POST", &path, None, &[]).await.expect(200).body;
    assert_eq!(all, json!({ "items": 2 }));
    let shown = world.get(&format!("/mailboxes/{mailbox}/items?disposition=refused")).await.body["items"].clone();
    assert!(shown.as_array().unwrap().iter().all(|item| item["next_attempt_at"].is_string()), "{shown}");
    world.post(&format!("/mailboxes/{}/judge-again", uuid::Uuid::nil()), json!({})).await.expect(404);
}

/// C16: with a start date at Test & Enable everything in the mailbox is judged again; so it is when the date is moved
/// back otherwise, and not when it is moved on.
#[tokio::test]
async fn c16_a_start_date_at_test_and_enable() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    put(&world, &mailbox, "k1", Disposition::Refused).await;
    let (path, test) = (format!("/mailboxes/{mailbox}"), format!("/mailboxes/{mailbox}/test-and-enable"));
    let profile = world.get(&path).await.body["profile_id"].as_str().unwrap().to_owned();
    let of_profile = json!({ "process_emails_from": "2026-11-01T00:00:00Z" });
    world.patch(&format!("/email-server-profiles/{profile}"), of_profile).await.expect(200);
    let again = async || world.count("SELECT count(*) FROM remote_items WHERE next_attempt_at IS NOT NULL").await;
    let from = |day: &str| json!({ "process_email_from": format!("2026-11-{day}T00:00:00Z") });
    let judged = async || sql(&world, "UPDATE remote_items SET next_attempt_at = NULL".to_owned()).await;

    let early = json!({ "process_email_from": "2026-10-31T00:00:00Z" });
    let refused = world.post(&test, early).await.expect(422);
    assert_eq!(refused.complaints(), [("process_email_from".into(), "before-profile".into())]);
    world.call(Some(Role::Operator), "POST", &test, Some(&from("05")), &[]).await.expect(403);
    assert_eq!(world.count("SELECT count(*) FROM operations").await, 0);
    world.call(Some(Role::Operator), "POST", &test, None, &[]).await.expect(202);
    assert_eq!(again().await, 0, "a test alone judges nothing again");
    let before = world.count("SELECT version FROM lanes").await;
    world.post(&test, from("05")).await.expect(202);
    let now = world.get(&path).await.body;
    assert_eq!((now["process_email_from"].as_str(), again().await), (Some("2026-11-05T00:00:00Z"), 1));
    assert!(world.count("SELECT version FROM lanes").await > before, "whoever is at work is fenced");

    for (day, judges) in [("10", 0), ("08", 1), ("08", 0), ("02", 1)] {
        judged().await;
        world.patch(&path, from(day)).await.expect(200);
        assert_eq!(again().await, judges, "moved to {day}");
    }
    judged().await;
    world.patch(&path, json!({ "process_email_from": null })).await.expect(200);
    assert_eq!(again().await, 1, "the profile's is earlier");
}

/// C21: the figures of the last cycle are shown, and move with it.
#[tokio::test]
async fn c21_status_figures() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let lane = async || {
        let lanes = world.get(&format!("/mailboxes/{mailbox}")).await.expect(200).body["lanes"].clone();
        lanes[0].clone()
    };
    let before = lane().await;
    for figure in ["last_started_at", "last_duration_seconds", "last_outcome", "postponed_until", "fault"] {
        assert!(before[figure].is_null(), "{figure}: {before}");
    }
    let ended = "UPDATE lane_schedules SET last_started_at = '2026-11-23 08:00:00+00', last_ended_at = \
         '2026-11-23 08:00:02.5+00', last_outcome = 'completed', last_succeeded_at = '2026-11-23 08:00:02.5+00', \
         cycles = 1, seen = 3, failed = 1, empty_cycles = 2, last_duration_seconds = 2.5";
    sql(&world, ended.to_owned()).await;
    let after = lane().await;
    assert_eq!((&after["last_duration_seconds"], &after["last_outcome"]), (&json!(2.5), &json!("completed")));
    assert_eq!((&after["seen"], &after["failed"], &after["empty_cycles"]), (&json!(3), &json!(1), &json!(2)));
    assert!(after["postponed_until"].is_null());
    let failed = "UPDATE lane_schedules SET transient_failures = 4, fault_code = 'ConnectFailure', fault_message = 'x', \
         fault_at = now(), due_at = '2126-11-23 09:05:00+00', not_before = '2026-11-23 09:00:00+00'";
    sql(&world, failed.to_owned()).await;
    let postponed = lane().await;
    assert_eq!(postponed["postponed_until"], "2126-11-23T09:05:00Z");
    assert_eq!((&postponed["transient_failures"], &postponed["fault"]["code"]), (&json!(4), &json!("ConnectFailure")));
}
