//! What a request says and nobody would look at is refused; what is wrong is told in words that say what to do.

use axum::{body::Body, http::Request};
use lockstep_store::access::{self, Role};
use lockstep_web::{Access, RULES};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World, profile, takes_body};

fn filled(path: &str) -> String {
    let mut path = path.trim_start_matches("/api/v1").to_owned();
    for (name, value) in [("group", "email"), ("record_kind", "email"), ("field", "subject"), ("key", "00")] {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    for (name, value) in [("source", "s"), ("external_id", "e"), ("position", "0")] {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    let nil = Uuid::nil().to_string();
    path.split('/').map(|part| if part.starts_with('{') { nil.as_str() } else { part }).collect::<Vec<_>>().join("/")
}

async fn raw(world: &World, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let request = request.header("authorization", format!("Bearer {}", world.key(Role::Administrator)));
    world.send(request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()).await
}

/// A parameter that a route does not have is refused on every route, by name.
#[tokio::test]
async fn unknown_parameters_are_refused_on_every_route() {
    let world = World::new().await;
    for rule in RULES {
        let path = format!("{}?colour=green", filled(rule.path));
        let refused = world.call(Some(Role::Administrator), rule.method, &path, None, &[]).await;
        if let Access::Roles(roles) = rule.access
            && !roles.contains(&Role::Administrator)
        {
            continue;
        }
        let refused = refused.expect(422);
        assert_eq!(refused.complaints(), [("colour".into(), "unknown".into())], "{rule:?}");
        let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains("parameter"), "{rule:?}: {remedy}");
    }
    world.call(Some(Role::Administrator), "HEAD", "/organisation?colour=green", None, &[]).await.expect(422);
    world.call(None, "GET", "/openapi.json?colour=green", None, &[]).await.expect(422);
    world.get("/organisation?").await.expect(200);
}

/// A body that a route does not take is refused; no body and an empty object are the same.
#[tokio::test]
async fn bodies_nobody_reads_are_refused() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let mut without = 0;
    for rule in RULES.iter().filter(|rule| !takes_body(rule.method, rule.path)) {
        without += 1;
        for body in [r#"{"force": true}"#, "[]", "null", "x", &"x".repeat(100_000)] {
            let refused = raw(&world, rule.method, &filled(rule.path), body).await.expect(422);
            assert!(refused.body["detail"].as_str().unwrap().contains("takes no body"), "{rule:?}: {}", refused.body);
        }
    }
    assert!(without > 50, "{without}");
    let approve = format!("/mailboxes/{mailbox}/approve");
    for body in ["", "{}", " { } \n"] {
        raw(&world, "POST", &approve, body).await.expect(200);
    }
    let sync = format!("/mailboxes/{mailbox}/sync-now");
    raw(&world, "POST", &sync, r#"{"after": 7}"#).await.expect(422);
    assert_ne!(raw(&world, "POST", &sync, "{}").await.status.as_u16(), 422);
}

/// What is of the wrong kind is told with the field, with what it may be, and without a parser's words.
#[tokio::test]
async fn remedies_are_for_people() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let own = world.profile("own").await;
    let profile_path = format!("/email-server-profiles/{own}");
    let mailbox_path = format!("/mailboxes/{mailbox}");
    let key = |expires: Value| json!({ "name": "k", "role": "service", "expires_at": expires });
    let of = |field: &str, value: Value| json!({ field: value });
    let cases: Vec<(&str, &str, Value, &str, &str)> = vec![
        ("POST", "/api-keys", key(json!("tomorrow")), "expires_at", "such as 2026-11-23T08:00:00Z"),
        ("POST", "/api-keys", key(json!("+262142-12-31T23:59:59Z")), "expires_at", "1970 to 9999"),
        ("POST", "/api-keys", key(json!("2026-11-23")), "expires_at", "such as 2026-11-23T08:00:00Z"),
        ("POST", "/api-keys", key(json!(7)), "expires_at", "such as 2026-11-23T08:00:00Z"),
        ("PATCH", &mailbox_path, of("process_email_from", json!("")), "process_email_from", "a date and time"),
        ("PATCH", &mailbox_path, of("profile_id", json!("own")), "profile_id", "a UUID"),
        ("PATCH", &mailbox_path, of("verbose_logging", json!("9")), "verbose_logging", "from 0 to 100"),
        ("PATCH", &mailbox_path, of("verbose_logging", json!(1e300)), "verbose_logging", "from 0 to 100"),
        ("PATCH", &mailbox_path, of("active", json!("true")), "active", "true or false"),
        ("PATCH", &profile_path, of("max_connections", json!("900")), "max_connections", "from 1 to 65536"),
        ("PATCH", &profile_path, of("max_connections", json!(0)), "max_connections", "from 1 to 65536"),
        ("PATCH", &profile_path, json!({ "incoming": { "port": "995" } }), "incoming.port", "from 1 to 65535"),
        ("PATCH", &profile_path, of("request_timeout_ms", json!(1.5)), "request_timeout_ms", "from 100 to 100000"),
        ("PATCH", "/organisation", of("max_body_bytes", json!("9")), "max_body_bytes", "from 1024 to 16777216"),
        ("PATCH", "/organisation", of("token_base", json!(u64::MAX)), "token_base", "from 0 to 2147483647"),
        ("PATCH", "/organisation", of("approve_users", json!("yes")), "approve_users", "true or false"),
        ("PATCH", "/organisation", of("approve_users", json!(null)), "approve_users", "cannot be empty"),
        (
            "POST",
            "/users",
            json!({ "name": "A", "address": "a@x.test", "active": null }),
            "active",
            "leave the field out",
        ),
        ("PATCH", "/settings/email", of("normal_interval_s", json!("900")), "normal_interval_s", "quotation marks"),
        ("PATCH", "/settings/email", of("normal_interval_s", json!(true)), "normal_interval_s", "whole number from"),
        ("PATCH", "/settings/email", of("colour", json!("900")), "colour", "one of the settings of the group email"),
        ("GET", "/mailboxes?idle_since=yesterday", Value::Null, "idle_since", "such as 2026-11-23T08:00:00Z"),
        ("GET", "/users?after=x", Value::Null, "after", "a UUID"),
        ("GET", "/users?limit=0", Value::Null, "limit", "from 1 to 200"),
        ("GET", "/users?limit=201", Value::Null, "limit", "from 1 to 200"),
        ("GET", "/changes?limit=201", Value::Null, "limit", "from 1 to 200"),
        ("GET", "/users?limit=-1", Value::Null, "limit", "from 1 to 200"),
        ("GET", "/users?limit=many", Value::Null, "limit", "from 1 to 200"),
        ("GET", "/changes?after=x", Value::Null, "after", "whole number"),
        ("GET", "/mailboxes?forward=1", Value::Null, "forward", "true, false"),
    ];
    let settings = world.get("/settings/email").await.expect(200).body;
    let setting = settings.as_object().unwrap().iter().find(|(_, value)| value.is_i64()).unwrap().0.clone();
    for (method, path, body, field, words) in cases {
        let body: Value = serde_json::from_str(&body.to_string().replace("normal_interval_s", &setting)).unwrap();
        let field = field.replace("normal_interval_s", &setting);
        let sent = (!body.is_null()).then_some(&body);
        let refused = world.call(Some(Role::Administrator), method, path, sent, &[]).await.expect(422);
        assert_eq!(refused.complaints().first().map(|(field, _)| field), Some(&field), "{path} {body}");
        let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap();
        assert!(remedy.contains(words), "{path} {body}: {remedy}");
        for parser in ["out of range", "premature", "invalid", "922337", "1844674", "RFC 3339", "parsing", "expected `"]
        {
            assert!(!remedy.contains(parser), "{path} {body}: {remedy}");
        }
    }
}

/// A list of the fields there are ends at a whole name.
#[tokio::test]
async fn known_fields_are_not_cut() {
    let world = World::new().await;
    let mut wrong = profile("p");
    wrong["colour"] = json!(1);
    let refused = world.post("/email-server-profiles", wrong).await.expect(422);
    let remedy = refused.body["errors"][0]["remedy"].as_str().unwrap().to_owned();
    let names = remedy.split("those known are ").nth(1).unwrap();
    let (some, more) = names.rsplit_once(" and ").unwrap();
    let known = serde_json::to_value(lockstep_web::openapi()).unwrap();
    let known = &known["components"]["schemas"]["ProfileFields"]["properties"];
    assert!(some.split(", ").all(|name| known.get(name).is_some()), "{remedy}");
    let count: usize = more.trim_end_matches(" more").parse().unwrap();
    assert_eq!(some.split(", ").count() + count, known.as_object().unwrap().len(), "{remedy}");
}

/// Null empties what may be empty; what may not is refused by name. Sending it back as it is changes nothing.
#[tokio::test]
async fn null_means_the_same_everywhere() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let own = world.profile("own").await;
    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@x.test" })).await.expect(201).id();
    let person = json!({ "name": "C", "address": "c@x.test", "source": "s", "external_id": "e" });
    let contact = world.post("/contacts", person).await.expect(201).id();
    let team = world.post("/teams", json!({ "name": "T", "description": "d" })).await.expect(201).id();
    let role = world.post("/security-roles", json!({ "name": "R", "description": "d" })).await.expect(201).id();
    let hook = json!({ "name": "h", "url": "https://x.test/h", "description": "d" });
    let hook = world.post("/webhook-endpoints", hook).await.expect(201).id();
    let email = json!({ "from": { "user_id": user }, "subject": "s", "body_text": "t" });
    let email = world.post("/emails", email).await.expect(201).id();
    world.patch(&format!("/users/{user}"), json!({ "active": false })).await.expect(200);
    let task = world.post("/tasks", json!({ "subject": "s" })).await.expect(201).id();
    let filter = json!({ "user_id": user, "record_kind": "task", "name": "n", "expression": { "all": [] } });
    let filter = world.post("/synchronization-filters", filter).await.expect(201).id();
    let never: Vec<(String, &[&str])> = vec![
        (format!("/tasks/{task}"), &["state"]),
        (format!("/synchronization-filters/{filter}"), &["scope", "record_kind", "name", "active", "is_default"]),
        (
            format!("/users/{user}"),
            &["name", "address", "active", "track_option", "auto_create", "allow_send_on_behalf"],
        ),
        (format!("/queues/{queue}"), &["name", "address", "active", "track_option"]),
        (format!("/contacts/{contact}"), &["name", "active"]),
        (
            format!("/email-server-profiles/{own}"),
            &[
                "name",
                "incoming",
                "outgoing",
                "credentials",
                "same_settings_for_outgoing",
                "max_connections",
                "min_polling_minutes",
                "active",
                "is_default",
                "resend_unknown",
            ],
        ),
        (
            format!("/mailboxes/{mailbox}"),
            &[
                "name",
                "address",
                "incoming_method",
                "outgoing_method",
                "act_method",
                "allow_credentials",
                "delete_after_processing",
                "verbose_logging",
                "active",
            ],
        ),
        (format!("/teams/{team}"), &["name"]),
        (format!("/security-roles/{role}"), &["name"]),
        (format!("/webhook-endpoints/{hook}"), &["name", "url"]),
        ("/organisation".to_owned(), &["name", "approve_users", "max_body_bytes", "token_prefix", "alert_errors"]),
    ];
    for (path, fields) in &never {
        let before = world.get(path).await.expect(200);
        for field in *fields {
            let refused = world.patch(path, json!({ *field: null })).await.expect(422);
            assert_eq!(refused.complaints(), [((*field).to_owned(), "required".to_owned())], "{path}");
            assert!(
                refused.body["errors"][0]["remedy"].as_str().unwrap().contains("cannot be empty"),
                "{path} {field}"
            );
        }
        let unknown = world.patch(path, json!({ "colour": null })).await.expect(422);
        assert_eq!(unknown.complaints(), [("colour".to_owned(), "unknown".to_owned())], "{path}");
        assert_eq!(world.get(path).await.expect(200).etag(), before.etag(), "nothing was changed");
    }
    assert_eq!(world.get(&format!("/users/{user}")).await.body["active"], false);
    let may: Vec<(String, Value)> = vec![
        (format!("/contacts/{contact}"), json!({ "address": null, "source": null, "external_id": null })),
        (format!("/teams/{team}"), json!({ "description": null })),
        (format!("/security-roles/{role}"), json!({ "description": null, "privileges": null, "fields": null })),
        (format!("/webhook-endpoints/{hook}"), json!({ "description": null })),
        (format!("/email-server-profiles/{own}"), json!({ "description": null, "owner_user_id": null })),
        (format!("/emails/{email}"), json!({ "subject": null, "body_text": null, "to": null })),
        ("/organisation".to_owned(), json!({ "default_security_role_id": null, "notification_queue_id": null })),
        ("/settings/email".to_owned(), json!({ "incoming_maximum_emails_per_cycle": null })),
    ];
    for (path, patch) in may {
        let cleared = world.patch(&path, patch.clone()).await.expect(200).body;
        for (field, _) in patch.as_object().unwrap().iter().filter(|_| !path.starts_with("/settings")) {
            let left = cleared.get(field).cloned().unwrap_or_default();
            assert!([json!(null), json!(""), json!([])].contains(&left), "{path} {field}: {left}");
        }
    }

    // A password is cleared, where none is needed; else it is refused.
    let path = format!("/mailboxes/{mailbox}");
    let account = json!({ "profile_id": own, "allow_credentials": true, "login": "l", "password": "p" });
    world.patch(&path, account).await.expect(200);
    let needed = world.patch(&path, json!({ "password": null })).await.expect(422);
    assert_eq!(needed.complaints(), [("password".to_owned(), "required".to_owned())]);
    let off = json!({ "allow_credentials": false, "password": null });
    let cleared = world.patch(&path, off).await.expect(200).body;
    assert_eq!((&cleared["password_set"], &cleared["login"]), (&json!(false), &Value::Null));
    let mut shared = profile("shared");
    (shared["credentials"], shared["login"], shared["password"]) = (json!("profile"), json!("l"), json!("p"));
    let shared = world.post("/email-server-profiles", shared).await.expect(201).id();
    let needed =
        world.patch(&format!("/email-server-profiles/{shared}"), json!({ "password": null })).await.expect(422);
    assert_eq!(needed.complaints(), [("password".to_owned(), "required".to_owned())]);

    // The same holds where a record is made by the caller's own id.
    let by_id = "/contacts/by-external-id/erp/1";
    let refused = world.patch(by_id, json!({ "name": "N", "active": null })).await.expect(422);
    assert_eq!(refused.complaints(), [("active".to_owned(), "required".to_owned())]);
    world.patch(by_id, json!({ "name": "N", "address": null })).await.expect(201);
}

/// Whatever is taken is told with its field and what to do, never with a rule of the database.
#[tokio::test]
async fn what_is_taken_is_named() {
    let world = World::new().await;
    let (ann, mailbox) = world.sign_in("ann").await;
    let (_, other) = world.user("bob").await;
    let own = world.profile("own").await;
    let person = json!({ "name": "C", "source": "s", "external_id": "e" });
    let hook = json!({ "name": "h", "url": "https://x.test/h" });
    let draft = json!({ "from": { "user_id": ann }, "source": "s", "external_id": "e" });
    for (path, body, field) in [
        ("/teams", json!({ "name": "Sales" }), "name"),
        ("/security-roles", json!({ "name": "Sales" }), "name"),
        ("/webhook-endpoints", hook, "name"),
        ("/email-server-profiles", profile("same"), "name"),
        ("/users", json!({ "name": "U", "address": "u@x.test" }), "address"),
        ("/queues", json!({ "name": "Q", "address": "q@x.test" }), "address"),
        ("/contacts", person, "external_id"),
        ("/emails", draft, "external_id"),
    ] {
        world.post(path, body.clone()).await.expect(201);
        let taken = world.post(path, body).await.expect(409);
        assert_eq!(taken.complaints(), [(field.to_owned(), "taken".to_owned())], "{path}: {}", taken.body);
        assert!(!taken.body.to_string().contains("_key"), "{}", taken.body);
        assert!(!taken.body["errors"][0]["remedy"].as_str().unwrap().is_empty());
    }
    world.post("/teams", json!({ "name": "Other" })).await.expect(201);
    let shouted = world.post("/teams", json!({ "name": "OTHER" })).await.expect(409);
    assert_eq!(shouted.complaints(), [("name".to_owned(), "taken".to_owned())]);

    // A user is told of the account, and not whose it is.
    for id in [&mailbox, &other] {
        world.patch(&format!("/mailboxes/{id}"), json!({ "profile_id": own })).await.expect(200);
    }
    let account = json!({ "allow_credentials": true, "login": "bob", "password": "p" });
    world.patch(&format!("/mailboxes/{other}"), account.clone()).await.expect(200);
    let path = format!("/mailboxes/{mailbox}");
    let taken = world.call(Some(Role::User), "PATCH", &path, Some(&account), &[]).await.expect(409);
    assert_eq!(taken.complaints(), [("login".to_owned(), "taken".to_owned())]);
    assert!(!taken.body.to_string().contains("_key") && !taken.body.to_string().contains(&other), "{}", taken.body);
}

/// A key is made once for one Idempotency-Key, and shown once; the database never has it in the clear.
#[tokio::test]
async fn a_repeated_request_makes_no_second_key() {
    let world = World::new().await;
    let body = json!({ "name": "crm", "role": "service" });
    let once = [("idempotency-key", "k-1")];
    let ask = async |body: &Value| world.call(Some(Role::Administrator), "POST", "/api-keys", Some(body), &once).await;
    let first = ask(&body).await.expect(201);
    let key = first.body["key"].as_str().unwrap().to_owned();
    assert!(first.body.get("notice").is_none());
    let again = ask(&body).await.expect(201);
    assert_eq!(again.id(), first.id());
    assert!(again.body.get("key").is_none() && again.body["notice"].as_str().unwrap().contains("revoke"));
    ask(&json!({ "name": "crm", "role": "operator" })).await.expect(409);
    assert_eq!(world.count("SELECT count(*) FROM api_keys WHERE name = 'crm'").await, 1);
    let kept = world.texts("SELECT to_jsonb(i)::text FROM idempotency_keys i").await;
    assert!(!kept.is_empty() && kept.iter().all(|row| !row.contains(&key)), "{kept:?}");
    world.call_with(Some(&key), "GET", "/users", None, &[]).await.expect(200);
}

/// Guessing at one name is slowed down, whoever guesses; the right password has to wait as well.
#[tokio::test]
async fn guesses_at_a_name_are_slowed_down() {
    let world = World::new().await;
    let hash = lockstep_web::hash_password(&"correct horse battery".to_owned().into()).unwrap();
    let mut tx = world.store.begin().await.unwrap();
    access::create_administrator(&mut tx, "root", &hash, "test").await.unwrap();
    tx.commit().await.unwrap();
    let sign_in = async |password: &str| {
        let body = json!({ "name": "root", "password": password });
        world.call(None, "POST", "/sessions", Some(&body), &[]).await
    };
    for _ in 0..10 {
        sign_in("wrong").await.expect(401);
    }
    let late = sign_in("correct horse battery").await.expect(429);
    let seconds: u64 = late.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(late.body["type"], "/problems/too-many-attempts");
}
