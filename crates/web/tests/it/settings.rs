//! Settings in groups, the engine of an organisation, figures of mailboxes, and looking at one out of turn.

use lockstep_model::id::MailboxId;
use lockstep_store::{access::Role, lanes};
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn sql(world: &World, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(world.database.pool()).await.unwrap();
}

/// A mailbox that is read.
async fn served(world: &World, name: &str) -> String {
    let (_, mailbox) = world.user(name).await;
    let profile = world.post("/email-server-profiles", crate::world::profile(name)).await.expect(201).id();
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": profile })).await.expect(200);
    sql(
        world,
        &format!(
            "UPDATE mailboxes SET address_status = 'approved', incoming_enabled = true, outgoing_enabled = true,
                 incoming_test = 'success', outgoing_test = 'success' WHERE id = '{mailbox}'"
        ),
    )
    .await;
    let mut tx = world.store.begin().await.unwrap();
    lanes::realign(&mut tx, &[MailboxId(mailbox.parse().unwrap())]).await.unwrap();
    tx.commit().await.unwrap();
    mailbox
}

fn lane(mailbox: &Answer) -> &Value {
    &mailbox.body["lanes"][0]
}

/// N11: every setting is told with its type, unit, limits, default and what it does; groups are read and written, null
/// brings the default back, and who changed what is kept.
#[tokio::test]
async fn n11_groups_are_read_and_written() {
    let world = World::new().await;
    let all = world.get("/settings").await.expect(200);
    let all = all.body["items"].as_array().unwrap();
    assert!(["email", "act", "queue"].iter().all(|group| all.iter().any(|setting| setting["group"] == *group)));
    for setting in all {
        for part in ["key", "type", "unit", "minimum", "maximum", "description"] {
            assert!(!setting[part].is_null(), "{part}: {setting}");
        }
        assert_eq!(setting["value"], setting["default"], "{setting}");
    }
    let before = world.get("/settings/email").await.expect(200);
    assert_eq!(before.body["idle_mailbox_maximum_backoff"], 720);
    assert_eq!(before.body["process_email_since_maximum_days_allowed"], Value::Null, "no limit");
    assert_eq!(before.body["notices"], json!([]));

    let change = json!({ "idle_mailbox_maximum_backoff": 1800, "mailbox_backoff_on_timeout": 60 });
    let after = world.patch("/settings/email", change.clone()).await.expect(200);
    assert_eq!((&after.body["idle_mailbox_maximum_backoff"], &after.body["group"]), (&json!(1800), &json!("email")));
    assert!(after.body["notices"][0].as_str().unwrap().contains("30 minutes"), "longer than promised is told");
    let again = world.patch("/settings/email", change).await.expect(200);
    assert_eq!(again.etag(), after.etag(), "nothing changes");
    let stale = [("if-match", before.etag())];
    let stale: Vec<_> = stale.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = json!({ "mailbox_backoff_on_timeout": 61 });
    let refused = world.call(Some(Role::Administrator), "PATCH", "/settings/email", Some(&body), &stale).await;
    assert_eq!(refused.status.as_u16(), 412, "{}", refused.body);
    let back = world.patch("/settings/email", json!({ "idle_mailbox_maximum_backoff": null })).await.expect(200);
    assert_eq!((&back.body["idle_mailbox_maximum_backoff"], &back.body["notices"]), (&json!(720), &json!([])));
    assert_eq!(back.body["mailbox_backoff_on_timeout"], 60, "the others stay");

    let audited: Vec<String> = sqlx::query_scalar(
        "SELECT detail::text FROM audit_entries WHERE object_kind = 'settings' AND actor LIKE 'administrator (%' ORDER BY id",
    )
    .fetch_all(world.database.pool())
    .await
    .unwrap();
    assert_eq!(audited.len(), 2, "{audited:?}");
    let last: Value = serde_json::from_str(&audited[1]).unwrap();
    assert_eq!(
        last,
        json!({ "group": "email", "changes": { "idle_mailbox_maximum_backoff": { "from": 1800, "to": null } } })
    );
}

/// N11: what cannot be is refused with field, rule and remedy, and nothing of the request is written.
#[tokio::test]
async fn n11_wrong_values_are_refused() {
    let world = World::new().await;
    for (group, body, field, rule) in [
        ("email", json!({ "mailbox_backoff_on_timeout": 0 }), "mailbox_backoff_on_timeout", "range"),
        ("email", json!({ "mailbox_backoff_on_timeout": 86_401 }), "mailbox_backoff_on_timeout", "range"),
        ("email", json!({ "active_mailbox_minimum_backoff": 400 }), "active_mailbox_minimum_backoff", "order"),
        ("email", json!({ "idle_mailbox_maximum_backoff": 299 }), "idle_mailbox_minimum_backoff", "order"),
        ("queue", json!({ "mailbox_queue_items_in_memory_low": 256 }), "mailbox_queue_items_in_memory_low", "order"),
        ("queue", json!({ "idle_mailbox_maximum_backoff": 900 }), "idle_mailbox_maximum_backoff", "unknown"),
        ("act", json!({ "maximum_items_per_cycle": -1 }), "maximum_items_per_cycle", "range"),
    ] {
        let refused = world.patch(&format!("/settings/{group}"), body).await.expect(422);
        assert!(refused.complaints().contains(&(field.into(), rule.into())), "{}", refused.body);
        let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap();
        assert!(remedy.len() > 10, "{remedy}");
    }
    for body in [json!({ "maximum_items_per_cycle": "many" }), json!({ "maximum_items_per_cycle": 1.5 })] {
        let refused = world.patch("/settings/act", body).await;
        assert!((400..=422).contains(&refused.status.as_u16()), "{}", refused.body);
    }
    world.patch("/settings/nothing", json!({})).await.expect(404);
    world.get("/settings/nothing").await.expect(404);
    assert_eq!(world.get("/settings/email").await.expect(200).body["version"], 1);
    let body = json!({ "maximum_items_per_cycle": 5 });
    world.call(Some(Role::Operator), "PATCH", "/settings/act", Some(&body), &[]).await.expect(403);
    world.call(Some(Role::Operator), "GET", "/settings/act", None, &[]).await.expect(200);
}

/// E1: the choice is exclusive, explained, and has no effect on what a person asks of the API.
#[tokio::test]
async fn e1_the_router_is_explained() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let organisation = world.get("/organisation").await.expect(200);
    assert_eq!(organisation.body["process_email_using"], "server-side-synchronization");
    world.patch("/organisation", json!({ "process_email_using": "both" })).await.expect(422);
    world.patch("/organisation", json!({ "process_email_using": "email-router" })).await.expect(200);
    let explained = world.get(&format!("/explanations/mailboxes/{mailbox}")).await.expect(200);
    assert_eq!(explained.body["verdict"], "stops");
    let steps = explained.body["steps"].as_array().unwrap();
    let engine: Vec<_> = steps.iter().filter(|step| step.to_string().contains("Email Router")).collect();
    assert_eq!(engine.len(), 2, "for reading and for sending: {steps:#?}");
    world.patch("/organisation", json!({ "process_email_using": "server-side-synchronization" })).await.expect(200);
    let explained = world.get(&format!("/explanations/mailboxes/{mailbox}")).await.expect(200);
    assert!(!explained.body.to_string().contains("Email Router"));
}

/// E2: the methods of new mailboxes are the organisation's; those that are there keep theirs.
#[tokio::test]
async fn e2_default_methods_are_for_new_mailboxes() {
    let world = World::new().await;
    let (_, before) = world.user("ann").await;
    let defaults = json!({ "default_incoming": "none", "default_outgoing": "server-side" });
    world.patch("/organisation", defaults).await.expect(200);
    let (_, after) = world.user("bob").await;
    for (mailbox, incoming) in [(before, "server-side"), (after, "none")] {
        let mailbox = world.get(&format!("/mailboxes/{mailbox}")).await.expect(200);
        assert_eq!(mailbox.body["incoming_method"], incoming);
        assert_eq!(mailbox.body["outgoing_method"], "server-side");
    }
}

/// C20: the field is within its bounds, and writing it disturbs nobody who is at work.
#[tokio::test]
async fn c20_verbose_logging_is_a_field_and_disturbs_nothing() {
    let world = World::new().await;
    let path = format!("/mailboxes/{}", served(&world, "ann").await);
    let before = world.get(&path).await.expect(200);
    assert_eq!(before.body["verbose_logging"], 0);
    let refused = world.patch(&path, json!({ "verbose_logging": 101 })).await.expect(422);
    assert_eq!(refused.complaints(), [("verbose_logging".into(), "range".into())]);
    let after = world.patch(&path, json!({ "verbose_logging": 100 })).await.expect(200);
    assert_eq!(after.body["verbose_logging"], 100);
    assert_eq!(lane(&after)["generation"], lane(&before)["generation"]);
    assert_eq!(world.get(&path).await.expect(200).body["verbose_logging"], 100);
}

/// C21: the figures of a mailbox, as its last cycles have left them.
#[tokio::test]
async fn c21_figures_are_shown() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let fresh = world.get(&format!("/mailboxes/{mailbox}")).await.expect(200);
    assert_eq!((&lane(&fresh)["last_error"], &lane(&fresh)["forced_unlocks"]), (&Value::Null, &json!(0)));
    sql(
        &world,
        &format!(
            "UPDATE lane_schedules SET last_started_at = now() - interval '70 s', last_ended_at = now() - interval '1 min',
                 last_succeeded_at = now() - interval '1 h', last_processed = 8, last_failed = 1,
                 last_duration_seconds = 10, average_duration_seconds = 12.5, last_worker = 'w1', worker = 'w2',
                 claimed_until = now() + interval '1 min', empty_cycles = 4, transient_failures = 2,
                 fault_code = 'MailboxBusy', last_error_code = 'MailboxBusy', last_error_message = '-ERR busy',
                 last_error_at = now(), last_error_worker = 'w1', last_error_count = 2, forced_unlocks = 3,
                 forced_unlocked_at = now(), due_at = now() + interval '4 min' WHERE mailbox_id = '{mailbox}'"
        ),
    )
    .await;
    let found = world.get(&format!("/mailboxes/{mailbox}")).await.expect(200);
    let lane = lane(&found);
    for (figure, expected) in [
        ("last_processed", json!(8)),
        ("last_failed", json!(1)),
        ("last_duration_seconds", json!(10.0)),
        ("average_duration_seconds", json!(12.5)),
        ("last_worker", json!("w1")),
        ("worker", json!("w2")),
        ("empty_cycles", json!(4)),
        ("forced_unlocks", json!(3)),
        ("postponed_until", lane["due_at"].clone()),
    ] {
        assert_eq!(lane[figure], expected, "{figure}");
    }
    let error = &lane["last_error"];
    assert_eq!(
        [&error["code"], &error["message"], &error["count"], &error["worker"]],
        [&json!("MailboxBusy"), &json!("-ERR busy"), &json!(2), &json!("w1")]
    );
    for at in ["last_started_at", "last_succeeded_at", "forced_unlocked_at"] {
        assert!(lane[at].is_string(), "{at}");
    }
    assert!(error["at"].is_string());
}

/// C21: the figures of sending and of the last test, as attempts and runs have left them.
#[tokio::test]
async fn c21_figures_of_sending_and_testing_are_shown() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let fresh = world.get(&path).await.expect(200).body;
    let sending = &fresh["sending"];
    for (figure, expected) in [
        ("attempts", json!(0)),
        ("waiting", json!(0)),
        ("workers", json!([])),
        ("last_outcome", Value::Null),
        ("last_error", Value::Null),
        ("postponed_until", Value::Null),
    ] {
        assert_eq!(sending[figure], expected, "{figure}");
    }
    sql(
        &world,
        &format!(
            "DELETE FROM mailbox_tests; DELETE FROM mailbox_sending;
             INSERT INTO mailbox_sending (mailbox_id, last_run, last_started_at, last_ended_at, last_succeeded_at,
                 last_outcome, last_processed, last_failed, last_duration_seconds, average_duration_seconds, last_worker,
                 transient_failures, last_error_code, last_error_message, last_error_at, last_error_worker,
                 last_error_count, attempts, sent, retried, failed, unknown, forced_unlocks, forced_unlocked_at)
             VALUES ('{mailbox}', '{mailbox}', now() - interval '7 s', now(), now(), 'retry', 2, 1, 7, 3.5, 'w1', 4,
                 'ConnectionLost', 'closed', now(), 'w2', 3, 10, 4, 3, 2, 1, 5, now());
             INSERT INTO mailbox_tests (mailbox_id, operation_id, scheduled_at, started_at, postponed_until, retries,
                 worker, last_worker, last_error_code, last_error_message, last_error_at)
             VALUES ('{mailbox}', '{mailbox}', now(), now(), now() + interval '1 min', 2, 'w3', 'w4', 'ConnectFailure',
                 'refused', now())"
        ),
    )
    .await;
    let shown = world.get(&path).await.expect(200).body;
    let sending = &shown["sending"];
    for (figure, expected) in [
        ("last_run", json!(mailbox)),
        ("last_outcome", json!("retry")),
        ("last_processed", json!(2)),
        ("last_failed", json!(1)),
        ("last_duration_seconds", json!(7.0)),
        ("average_duration_seconds", json!(3.5)),
        ("last_worker", json!("w1")),
        ("transient_failures", json!(4)),
        ("attempts", json!(10)),
        ("sent", json!(4)),
        ("retried", json!(3)),
        ("failed", json!(2)),
        ("unknown", json!(1)),
        ("forced_unlocks", json!(5)),
    ] {
        assert_eq!(sending[figure], expected, "{figure}");
    }
    for at in ["last_started_at", "last_ended_at", "last_succeeded_at", "forced_unlocked_at"] {
        assert!(sending[at].is_string(), "{at}");
    }
    let error = &sending["last_error"];
    assert_eq!(
        [&error["code"], &error["message"], &error["count"], &error["worker"]],
        [&json!("ConnectionLost"), &json!("closed"), &json!(3), &json!("w2")]
    );
    let test = &shown["test"];
    for (figure, expected) in [
        ("operation_id", json!(mailbox)),
        ("scheduled", json!(true)),
        ("completed_at", Value::Null),
        ("retries", json!(2)),
        ("worker", json!("w3")),
        ("last_worker", json!("w4")),
        ("outcome", Value::Null),
    ] {
        assert_eq!(test[figure], expected, "{figure}");
    }
    assert!(test["postponed_until"].is_string() && test["started_at"].is_string());
    assert_eq!(
        [&test["last_error"]["code"], &test["last_error"]["message"]],
        [&json!("ConnectFailure"), &json!("refused")]
    );
    // The list shows the same, and they are no fields: nobody writes them.
    let listed = world.get("/mailboxes").await.expect(200).body;
    assert_eq!(listed["items"][0]["sending"]["attempts"], 10);
    world.patch(&path, json!({ "sending": { "attempts": 0 } })).await.expect(422);
}

/// C21, C15: who asks for a test sees it at the mailbox at once; asked again, the first one is given up.
#[tokio::test]
async fn c21_c15_a_wish_for_a_test_is_shown_and_replaced() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let ask = async || {
        let path = format!("/mailboxes/{mailbox}/test-and-enable");
        world.post(&path, json!({})).await.expect(202).body
    };
    let test = async || world.get(&format!("/mailboxes/{mailbox}")).await.expect(200).body["test"].clone();
    let first = ask().await;
    let shown = test().await;
    assert_eq!((&shown["operation_id"], &shown["scheduled"]), (&first["id"], &json!(true)));
    let second = ask().await;
    assert_eq!(test().await["operation_id"], second["id"]);
    let replaced = world.get(&format!("/operations/{}", first["id"].as_str().unwrap())).await.expect(200).body;
    assert_eq!((&replaced["state"], &replaced["result"]["code"]), (&json!("failed"), &json!("Replaced")));
    assert_eq!(replaced["result"]["operation"], second["id"]);
}

/// A12: users cannot have their mailbox looked at; operators can, which is kept, and nothing that protects a server is
/// skipped.
#[tokio::test]
async fn a12_sync_now_is_for_operators_and_skips_nothing() {
    let world = World::new().await;
    let mailbox = served(&world, "ann").await;
    let path = format!("/mailboxes/{mailbox}/sync-now");
    let later = "UPDATE lane_schedules SET due_at = now() + interval '5 min', not_before = NULL, fault_class = NULL,
                 last_ended_at = now()";
    let due_in = async || -> f64 {
        let query = "SELECT extract(epoch FROM due_at - now())::double precision FROM lane_schedules";
        sqlx::query_scalar(query).fetch_one(world.database.pool()).await.unwrap()
    };
    let ask = async |role| world.call(Some(role), "POST", &path, None, &[]).await;
    sql(&world, later).await;
    ask(Role::Service).await.expect(403);
    world.sign_in("carl").await;
    ask(Role::User).await.expect(403);
    assert!(due_in().await > 200.0, "nothing has happened");
    ask(Role::Operator).await.expect(200);
    assert!(due_in().await <= 1.0);
    let audited: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_entries WHERE action = 'hastened' AND actor LIKE 'operator (%' AND object_id IS NOT NULL",
    )
    .fetch_one(world.database.pool())
    .await
    .unwrap();
    assert_eq!(audited, 1);

    // A profile's minimum, a deferral and a server that wants to be left alone.
    sql(&world, "UPDATE email_server_profiles SET min_polling_minutes = 3").await;
    sql(&world, later).await;
    ask(Role::Operator).await.expect(200);
    assert!((150.0..=180.5).contains(&due_in().await), "{}", due_in().await);
    sql(&world, "UPDATE email_server_profiles SET min_polling_minutes = 0").await;
    sql(&world, later).await;
    sql(&world, "UPDATE lane_schedules SET fault_code = 'Throttled', fault_class = 'throttled'").await;
    ask(Role::Operator).await.expect(200);
    assert!(due_in().await > 200.0);
    sql(&world, later).await;
    sql(&world, "UPDATE lane_schedules SET not_before = now() + interval '1 min'").await;
    let answer = ask(Role::Operator).await.expect(200);
    assert!(lane(&answer)["not_before"].is_string(), "deferred all the same");

    // A lane that is disabled stays so.
    sql(&world, "UPDATE lane_schedules SET enabled = false").await;
    let refused = ask(Role::Operator).await.expect(409);
    assert!(refused.body["detail"].as_str().unwrap().contains("explanations"), "{}", refused.body);
    let nobody = format!("/mailboxes/{}/sync-now", uuid::Uuid::nil());
    world.call(Some(Role::Operator), "POST", &nobody, None, &[]).await.expect(404);
}
