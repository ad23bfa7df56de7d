//! Whatever is sent, the answer is never an error of ours, and never a secret.

use axum::{body::Body, http::Request};
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
};
use lockstep_web::{Access, RULES};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::world::{World, profile, takes_body};

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

/// A path whose placeholders other than ids are filled with what can stand there.
pub(crate) fn with_words(path: &str) -> String {
    let mut path = path.to_owned();
    for (placeholder, word) in [
        ("{key}", "00"),
        ("{source}", "s"),
        ("{external_id}", "e"),
        ("{group}", "email"),
        ("{position}", "0"),
        ("{record_kind}", "contact"),
        ("{field}", "address"),
    ] {
        path = path.replace(placeholder, word);
    }
    path
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
        "/api/v1/contacts" | "/api/v1/contacts/{id}" => json!({
            "name": "C", "address": "c@x.test", "birthday": "1980-01-01", "mobile_phone": "1",
            "mailing_address": { "city": "K", "street": "S" }, "full_name": { "first": "C" },
        }),
        "/api/v1/tasks" | "/api/v1/tasks/{id}" | "/api/v1/tasks/by-external-id/{source}/{external_id}" => json!({
            "subject": "s", "due_date": "2027-01-02T09:00:00Z", "start_date": "2027-01-01T09:00:00Z", "status": "in-progress",
            "percent_complete": 10, "importance": "high", "state": "open", "owner_user_id": ids[0],
            "regarding": { "kind": "opportunity", "id": "1" },
        }),
        "/api/v1/appointments" | "/api/v1/appointments/{id}" => json!({
            "subject": "s", "time": { "start": "2027-01-02T09:00:00", "end": "2027-01-02T10:00:00", "zone": "Europe/Berlin" },
            "organiser": [{ "address": "a@x.test" }], "required_attendees": [{ "address": "b@x.test", "name": "B" }], "draft": true,
        }),
        "/api/v1/recurring-appointments" | "/api/v1/recurring-appointments/{id}" => json!({
            "subject": "s",
            "recurrence": {
                "zone": "Europe/Berlin", "start": "2027-01-04T09:00:00", "length": { "minutes": 30 }, "count": 5,
                "rule": { "frequency": "weekly", "days": ["monday"] },
                "exceptions": [{ "original": "2027-01-11T09:00:00", "cancelled": true }],
            },
        }),
        "/api/v1/synchronization-filters" | "/api/v1/synchronization-filters/{id}" => json!({
            "user_id": ids[0], "record_kind": "task", "name": "n", "active": true,
            "expression": { "all": [{ "attribute": "subject", "test": "contains", "value": "x" }] },
        }),
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
        "/api/v1/mailboxes" => {
            json!({ "is_forward_mailbox": true, "name": "f", "address": "f@x.test", "profile_id": ids[2], "login": "l", "password": "p", "delete_after_processing": true })
        }
        "/api/v1/mailboxes/actions" => {
            json!({ "action": "edit", "mailbox_ids": [ids[1]], "changes": { "outgoing_method": "none" } })
        }
        "/api/v1/mailboxes/{id}/judge-again" => json!({ "reason": "TooOld", "seen_since": "2026-01-01T00:00:00Z" }),
        "/api/v1/mailboxes/{id}/test-and-enable" => json!({ "process_email_from": "2026-11-01T00:00:00Z" }),
        "/api/v1/security-roles" | "/api/v1/security-roles/{id}" => {
            json!({ "name": "r", "description": "d", "privileges": [{ "record_kind": "email", "privilege": "read", "depth": "own" }], "fields": [{ "record_kind": "contact", "field": "address", "read": true }] })
        }
        "/api/v1/teams" | "/api/v1/teams/{id}" => json!({ "name": "t", "description": "d" }),
        "/api/v1/settings/{group}" => json!({ "incoming_maximum_emails_per_cycle": 7 }),
        "/api/v1/erasures" => json!({ "address": "e@x.test", "emails": "anonymise" }),
        "/api/v1/erasures/preview" => json!({ "address": "e@x.test" }),
        "/api/v1/emails/{id}/parties/{position}/resolve" => json!({ "record_kind": "user", "record_id": ids[0] }),
        "/api/v1/emails/resolve-restored" => json!({ "decision": "failed", "mailbox_id": ids[1] }),
        "/api/v1/alerts/dismiss" => json!({ "severity": "warning", "switched_off": true }),
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
    let team = world.post("/teams", json!({ "name": "team" })).await.expect(201).id();
    let role = world.post("/security-roles", json!({ "name": "role" })).await.expect(201).id();
    let ids = [user, mailbox, profile, email, hook, team, role];
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
            path = path.replace("{user_id}", &ids[0]).replace("{role_id}", &ids[6]);
            if round % 4 == 3 {
                let odd = ["%00", "%FF", "..", "%2e%2e%2f", "-1", "99999999999", "%F0%9F%92%A9", "'"];
                for placeholder in
                    ["{key}", "{source}", "{external_id}", "{group}", "{position}", "{record_kind}", "{field}"]
                {
                    path = path.replace(placeholder, odd[round / 4 % odd.len()]);
                }
            }
            path = with_words(&path);
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
        + (SELECT count(*) FROM mailboxes WHERE position('geheim'::bytea IN sealed_secret) > 0)";
    assert_eq!(world.count(everywhere).await, 0);
}

/// Method and path of every route that takes a body.
pub(crate) fn routes_with_body(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter().filter(|(_, operation)| operation.get("requestBody").is_some());
        methods.map(|(method, _)| (method.to_uppercase(), path.clone()))
    });
    // What is no JSON is a file.
    all.filter(|(_, path)| !path.ends_with("/attachments")).collect()
}

/// The words of a refusal, which show no type of ours.
fn words(answer: &crate::world::Answer, sent: &str) -> String {
    let text = answer.body.to_string();
    for shown in ["struct ", "enum ", "tuple", "elements", "expected u", "expected i", "Fields", "Patch"] {
        assert!(!text.contains(shown) || sent.contains(shown), "{shown:?} in {text}");
    }
    text
}

/// An array with the right values in the right order is no object, neither as the body nor inside it.
#[tokio::test]
async fn objects_are_objects_on_every_route() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let profile = world.profile("own").await;
    let email = world.post("/emails", json!({ "from": { "user_id": user } })).await.expect(201).id();
    let hook = json!({ "name": "hook", "url": "https://x.test/h" });
    let hook = world.post("/webhook-endpoints", hook).await.expect(201).id();
    let ids = [user, mailbox, profile, email, hook];
    let routes = routes_with_body(&serde_json::to_value(lockstep_web::openapi()).unwrap());
    assert!(routes.len() > 15, "{routes:?}");
    let mut nested = 0;
    for (method, path) in routes {
        let short = with_words(path.trim_start_matches("/api/v1"));
        let call = async |id: &str, sent: &Value| {
            world.call(Some(Role::Administrator), &method, &short.replace("{id}", id), Some(sent), &[]).await
        };
        let right = valid(&path, &ids);
        let values: Vec<Value> = right.as_object().unwrap().values().cloned().collect();
        for sent in
            [json!([]), json!(values), json!([null, null, null]), json!(null), json!("a"), json!(7), json!(true)]
        {
            let refused = call(&ids[0], &sent).await.expect(422);
            assert!(
                words(&refused, "").contains("a JSON object is expected"),
                "{method} {path} {sent}: {}",
                refused.body
            );
        }
        for (name, member) in right.as_object().unwrap() {
            let (inside, wrap): (_, fn(Value) -> Value) = match member {
                Value::Object(members) => (members, |values| values),
                Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                    (items[0].as_object().unwrap(), |values| json!([values]))
                }
                _ => continue,
            };
            let mut sent = right.clone();
            sent[name.as_str()] = wrap(inside.values().cloned().collect());
            for id in &ids {
                let refused = call(id, &sent).await;
                if refused.status.as_u16() == 404 {
                    continue;
                }
                let text = words(&refused.expect(422), "");
                assert!(text.contains("a JSON object is expected") && text.contains(name), "{method} {path}: {text}");
                nested += 1;
            }
        }
    }
    assert!(nested > 3, "only {nested} objects inside others");
}

/// A key stands once, wherever it is; the problem names it.
#[tokio::test]
async fn keys_stand_once() {
    let world = World::new().await;
    let request = |path: &str, body: &str| {
        let request = Request::builder().method("POST").uri(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("Bearer {}", world.key(Role::Administrator)));
        request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
    };
    for (path, body, key) in [
        ("/users", r#"{"name": "N", "address": "n@x.test", "name": "M"}"#, "name"),
        ("/users", r#"{"name": "N", "address": "n@x.test", "\u006eame": "N"}"#, "name"),
        (
            "/emails",
            r#"{"to": [{"address": "a@x.test"}, {"address": "b@x.test", "address": "c@x.test"}]}"#,
            "to.1.address",
        ),
        ("/email-server-profiles", r#"{"incoming": {"host": "a", "port": 1, "host": "b"}}"#, "incoming.host"),
    ] {
        let refused = world.send(request(path, body)).await.expect(422);
        assert_eq!(refused.complaints(), [(key.to_owned(), "duplicate".to_owned())], "{body}");
    }
}

/// Whatever does not fit is told in JSON's words.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_refusal_shows_our_types() {
    let world = World::new().await;
    let document = serde_json::to_value(lockstep_web::openapi()).unwrap();
    let ids: Vec<String> = (0..5).map(|_| uuid::Uuid::nil().to_string()).collect();
    let leaves = leaf();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for (method, path) in routes_with_body(&document).into_iter().filter(|(_, path)| !path.ends_with("/sessions")) {
        let short = path.trim_start_matches("/api/v1").replace("{id}", &ids[0]).replace("{key}", "00");
        let right = valid(&path, &ids);
        for (name, _) in right.as_object().unwrap() {
            for round in 0..6 {
                let mut sent = right.clone();
                let leaf = leaves.new_tree(&mut runner).unwrap().current();
                sent[name.as_str()] = if round % 2 == 0 { leaf } else { json!([leaf]) };
                let answer = world.call(Some(Role::Administrator), &method, &short, Some(&sent), &[]).await;
                if answer.status.is_client_error() {
                    words(&answer, &sent.to_string());
                }
            }
        }
    }
}

/// Operators see states. Whatever they ask, nothing that stands in an email comes back: no subject, no text, no name of
/// a file or of a person written to, nor what an alert may carry of them.
#[tokio::test]
async fn no_answer_to_an_operator_holds_content() {
    const CONTENT: [&str; 5] = ["hush-subject", "hush-text", "hush-html", "hush-file", "hush-name"];
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let profile = world.profile("own").await;
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": profile })).await.expect(200);
    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@example.test" })).await.expect(201).id();
    let draft = json!({
        "from": { "user_id": user }, "to": [{ "address": "b@x.test", "name": "hush-name" }], "subject": "hush-subject",
        "body_text": "hush-text", "body_html": "<p>hush-html</p>",
        "attachments": [{ "name": "hush-file.txt", "media_type": "text/plain", "content": "eA==" }],
    });
    let sent = world.post("/emails", draft.clone()).await.expect(201);
    let file = sent.body["attachments"][0]["id"].as_str().unwrap().to_owned();
    let sent = sent.id();
    world.call(Some(Role::Service), "POST", &format!("/emails/{sent}/send"), None, &[]).await.expect(202);
    let received = uuid::Uuid::new_v4();
    let seed = format!(
        "INSERT INTO emails (id, direction, status, subject, body_text, body_html, message_id, created_at, updated_at)
             VALUES ('{received}', 'incoming', 'received', 'hush-subject', 'hush-text', 'hush-html', 'm@x.test', now(), now());
         INSERT INTO email_parties (email_id, position, role, name, address)
             VALUES ('{received}', 0, 'from', 'hush-name', 'b@x.test');
         INSERT INTO email_attachments (id, email_id, position, name, media_type, size_bytes, left_out)
             VALUES (gen_random_uuid(), '{received}', 0, 'hush-file.exe', 'text/plain', 1, 'not accepted');
         INSERT INTO email_mailboxes SELECT '{received}', '{mailbox}', 'k', now();
         INSERT INTO remote_items (mailbox_id, remote_key, disposition, reason, message_id, attempts, seen_at)
             VALUES ('{mailbox}', 'k1', 'quarantined', 'ItemUnavailable', 'aside@x.test', 5, now())"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(seed)).execute(world.database.pool()).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let subject = Subject::Email(received.into(), mailbox.parse::<uuid::Uuid>().unwrap().into());
    let parameters =
        json!({ "message": "no header field", "subject": "hush-subject", "file": { "name": "hush-file" } });
    alerts::raise(&mut tx, "EmailUnparsable", Severity::Warning, subject, parameters).await.unwrap();
    tx.commit().await.unwrap();
    world.patch("/organisation", json!({ "alert_warnings": true })).await.expect(200);
    let alert = world.get("/alerts").await.expect(200).body["items"][0]["id"].as_str().unwrap().to_owned();
    let received = received.to_string();

    let of_administrator = world.get(&format!("/emails/{sent}")).await.body.to_string();
    assert!(CONTENT.iter().all(|text| of_administrator.contains(text)), "the test looks for what is there");
    let mut answered = 0;
    for rule in RULES {
        for id in [&user, &mailbox, &profile, &queue, &sent, &received, &alert] {
            let path = rule.path.trim_start_matches("/api/v1").replace("{id}", id).replace("{key}", "6b31");
            let path = path.replace("{attachment_id}", &file);
            let message = ["m@x.test", "aside@x.test"].map(|id| format!("{path}?message_id={id}"));
            let paths = if path.ends_with("/explanations/messages") { message.to_vec() } else { vec![path] };
            for path in paths {
                let body = takes_body(rule.method, rule.path).then_some(&draft);
                let answer = world.call(Some(Role::Operator), rule.method, &path, body, &[]).await;
                let refused = matches!(rule.access, Access::Roles(roles) if !roles.contains(&Role::Operator));
                assert_eq!(answer.status.as_u16() == 403, refused, "{} {path}", rule.method);
                let shown = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.bytes));
                for text in CONTENT {
                    assert!(!shown.contains(text), "{} {path} shows {text}: {shown}", rule.method);
                }
                answered += usize::from(answer.status.is_success());
            }
        }
    }
    assert!(answered > 40, "only {answered} answers had something to show");
}
