//! Whatever is sent, the answer is never an error of ours, and never a secret.

use lockstep_store::access::Role;
use lockstep_web::RULES;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::world::{World, profile};

/// Values that have broken things before.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "\0",
            "a@b",
            "x@example.test",
            "\u{feff}",
            "\u{202e}",
            "00000000-0000-0000-0000-000000000000",
            "9999-12-31T23:59:59Z",
            "+262142-12-31T23:59:59Z",
            "-262143-01-01T00:00:00Z",
            "1e400",
            "none",
            "server-side",
            "profile",
            "mailbox",
            "pop3",
            "smtp",
            "implicit",
            "%00",
            "'; DROP TABLE users; --",
            "\u{10ffff}",
        ])
        .prop_map(Value::from),
        Just(json!("x".repeat(70_000))),
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(1e308)),
    ]
}

fn body(names: Vec<String>) -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 6, move |inner| {
        let name = prop_oneof![9 => prop::sample::select(names.clone()), 1 => ".{0,8}".prop_map(String::from)];
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::vec((name, inner), 0..8).prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every name of a property or parameter.
fn names(document: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut waiting = vec![document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::Object(properties)) = members.get("properties") {
                    names.extend(properties.keys().cloned());
                }
                if members.get("in") == Some(&json!("query")) {
                    names.extend(members.get("name").and_then(Value::as_str).map(str::to_owned));
                }
                waiting.extend(members.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    names
}

/// A valid body with one member replaced: gets deeper than noise does.
fn valid(path: &str, ids: &[String]) -> Value {
    match path {
        "/api/v1/users" | "/api/v1/users/{id}" => {
            json!({ "name": "A", "address": "a@x.test", "track_option": "all", "source": "s", "external_id": "e" })
        }
        "/api/v1/email-server-profiles" | "/api/v1/email-server-profiles/{id}" => profile("p"),
        "/api/v1/mailboxes/{id}" => {
            json!({ "profile_id": ids[2], "allow_credentials": true, "login": "l", "password": "p", "process_email_from": "2026-01-01T00:00:00Z", "address": "q@x.test" })
        }
        "/api/v1/emails" | "/api/v1/emails/{id}" => {
            json!({ "from": { "user_id": ids[0] }, "to": [{ "address": "b@x.test" }], "subject": "s", "body_text": "t", "body_html": "h", "in_reply_to_email_id": ids[3] })
        }
        "/api/v1/webhook-endpoints" | "/api/v1/webhook-endpoints/{id}" => {
            json!({ "name": "w", "url": "https://x.test/h", "record_kinds": ["email"], "active": true, "description": "d" })
        }
        "/api/v1/webhook-endpoints/{id}/resume" => json!({ "after": 0, "epoch": ids[0], "from_now": false }),
        "/api/v1/organisation" => json!({ "name": "o", "max_body_bytes": 2048, "blocked_extensions": ["exe"] }),
        "/api/v1/api-keys" => json!({ "name": "k", "role": "service", "expires_at": "2999-01-01T00:00:00Z" }),
        "/api/v1/sessions" => json!({ "name": "k", "password": "p" }),
        _ => {
            json!({ "name": "c", "address": "c@x.test", "owner_user_id": ids[0], "source": "s", "external_id": "e", "active": true, "decision": "sent" })
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_is_sent_is_an_error_of_ours() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let profile = world.profile("own").await;
    let email = world.post("/emails", json!({ "from": { "user_id": user } })).await.expect(201).id();
    let hook = json!({ "name": "hook", "url": "https://x.test/h" });
    let hook = world.post("/webhook-endpoints", hook).await.expect(201).id();
    let ids = [user, mailbox, profile, email, hook];
    let document = serde_json::to_value(lockstep_web::openapi()).unwrap();
    let names = names(&document);
    let bodies = body(names.clone());
    let leaves = leaf();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for rule in RULES {
        // Signing in computes for long; a few are enough.
        let rounds = if rule.path.ends_with("/sessions") { 6 } else { 40 };
        for round in 0..rounds {
            let mut sent = bodies.new_tree(&mut runner).unwrap().current();
            if round % 2 == 0 {
                sent = valid(rule.path, &ids);
                let members = sent.as_object_mut().unwrap();
                let at = round / 2 % members.len();
                let name = members.keys().nth(at).unwrap().clone();
                members.insert(name, leaves.new_tree(&mut runner).unwrap().current());
            }
            let id = &ids[round % ids.len()];
            let mut path = rule.path.trim_start_matches("/api/v1").replace("{id}", id).replace("{attachment_id}", id);
            if round % 3 == 0 && rule.method == "GET" {
                let value = leaves.new_tree(&mut runner).unwrap().current().to_string();
                let value: String = value.bytes().take(60).map(|b| format!("%{b:02X}")).collect();
                let name = &names[round * 7 % names.len()];
                let of_route = ["limit", "after", "address", "state", "mailbox", "message_id", "severity", "epoch"];
                let known = of_route[round % of_route.len()];
                path = format!("{path}?{}={value}", if round % 2 == 0 { known } else { name });
            }
            let has_body = rule.method != "GET";
            let answer =
                world.call(Some(Role::Administrator), rule.method, &path, has_body.then_some(&sent), &[]).await;
            let status = answer.status.as_u16();
            let shown = sent.to_string().chars().take(400).collect::<String>();
            assert!(status < 500, "{} {path} {shown}: {} {}", rule.method, status, answer.body);
            if status >= 400 {
                assert_eq!(answer.headers["content-type"], "application/problem+json", "{} {path}", rule.method);
            }
        }
    }
}

/// No answer to any reading request holds a password or a key.
#[tokio::test]
async fn no_answer_holds_a_secret() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let mut shared = profile("shared");
    (shared["credentials"], shared["login"], shared["password"]) = (json!("profile"), json!("l"), json!("geheim-1"));
    let shared = world.post("/email-server-profiles", shared).await.expect(201).id();
    let own = world.profile("own").await;
    let account = json!({ "profile_id": own, "allow_credentials": true, "login": "l", "password": "geheim-2" });
    world.patch(&format!("/mailboxes/{mailbox}"), account).await.expect(200);
    let key = world.post("/api-keys", json!({ "name": "k", "role": "service" })).await.expect(201).body["key"].clone();
    let wrong = json!({ "colour": 1, "password": "geheim-3", "name": "x" });
    let refused = world.post("/email-server-profiles", wrong).await.expect(422);
    let mut seen = refused.body.to_string();
    for rule in RULES.iter().filter(|rule| rule.method == "GET") {
        for id in [&mailbox, &shared, &own] {
            let path = rule.path.trim_start_matches("/api/v1").replace("{id}", id).replace("{attachment_id}", id);
            let answer = world.get(&path).await;
            seen.push_str(&String::from_utf8_lossy(&answer.bytes));
        }
    }
    assert!(!seen.contains("geheim"));
    assert!(!seen.contains(key.as_str().unwrap()));
    let everywhere = "SELECT (SELECT count(*) FROM feed_entries WHERE feed_entries::text LIKE '%geheim%')
        + (SELECT count(*) FROM audit_entries WHERE audit_entries::text LIKE '%geheim%')
        + (SELECT count(*) FROM mailboxes WHERE convert_from(sealed_secret, 'LATIN1') LIKE '%geheim%')";
    assert_eq!(world.count(everywhere).await, 0);
}
