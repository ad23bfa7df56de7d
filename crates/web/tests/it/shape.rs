//! What holds for every route: who may call it, how it refuses, how it is described.

use axum::{body::Body, http::Request};
use lockstep_store::access::Role;
use lockstep_web::{Access, RULES};
use serde_json::{Value, json};

use crate::world::World;

fn document() -> Value {
    serde_json::to_value(lockstep_web::openapi()).unwrap()
}

/// Method and path of everything that is described.
fn described(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("responses").is_some() {
                all.push((method.to_ascii_uppercase(), path.clone()));
            }
        }
    }
    all.sort();
    all
}

fn fill(path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap();
    let nil = uuid::Uuid::nil().to_string();
    let path = path.replace("{role_id}", &nil).replace("{user_id}", &nil);
    let path = path.replace("{record_kind}", "email").replace("{field}", "subject");
    path.replace("{id}", &nil).replace("{attachment_id}", &nil).replace("{key}", "00")
}

#[test]
fn every_route_has_a_rule_and_every_rule_a_route() {
    let mut rules: Vec<_> = RULES.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
    rules.sort();
    assert_eq!(described(&document()), rules);
}

/// Every route against every role: nobody comes further than the table says.
#[tokio::test]
async fn the_matrix_of_roles() {
    let world = World::new().await;
    // Where the role is let in, her security roles let her further: the table alone is asked.
    let (ann, _) = world.sign_in("ann").await;
    let approver = json!({ "name": "Approver", "privileges": [
        { "record_kind": "organisation", "privilege": "approve-email-addresses", "depth": "all" },
    ] });
    let approver = world.post("/security-roles", approver).await.expect(201).id();
    let given = format!("/users/{ann}/security-roles/{approver}");
    world.call(Some(Role::Administrator), "PUT", &given, None, &[]).await.expect(204);
    for rule in RULES {
        let path = fill(rule.path);
        let anonymous = world.call(None, rule.method, &path, None, &[]).await;
        let Access::Roles(roles) = rule.access else {
            let status = anonymous.status.as_u16();
            assert!(anonymous.headers.get("www-authenticate").is_none() && status != 403, "{rule:?}");
            continue;
        };
        assert_eq!(anonymous.status.as_u16(), 401, "{rule:?}");
        assert!(anonymous.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        for role in Role::ALL {
            let answer = world.call(Some(*role), rule.method, &path, None, &[]).await;
            let allowed = roles.contains(role);
            assert_eq!(answer.status.as_u16() == 403, !allowed, "{} {rule:?}: {}", role.as_str(), answer.body);
            assert_ne!(answer.status.as_u16(), 401, "{rule:?}");
            assert!(answer.status.as_u16() < 500, "{rule:?}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn refusals_are_problems() {
    let world = World::new().await;
    let admin = Some(Role::Administrator);
    let raw = |method: &str, path: &str, content_type: &str, body: &str| {
        Request::builder()
            .method(method)
            .uri(path.to_owned())
            .header("authorization", format!("Bearer {}", world.key(Role::Administrator)))
            .header("content-type", content_type)
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(3 * 1024 * 1024));
    let cases = [
        (world.send(raw("POST", "/api/v1/users", "application/json", "{\"name\": ")).await, 400),
        (world.send(raw("POST", "/api/v1/users", "application/json", "")).await, 400),
        (world.send(raw("POST", "/api/v1/users", "application/json", "\u{feff}[]")).await, 400),
        (world.send(raw("POST", "/api/v1/users", "application/json", "[]")).await, 422),
        (
            world.send(raw("PATCH", &format!("/api/v1/users/{}", uuid::Uuid::nil()), "application/json", "[]")).await,
            422,
        ),
        (world.send(raw("POST", "/api/v1/users", "text/plain", "{}")).await, 415),
        (world.send(raw("POST", "/api/v1/users", "application/json", &large)).await, 413),
        (world.send(raw("POST", "/api/v1/users", "application/json", &"[".repeat(100_000))).await, 400),
        (world.call(admin, "GET", "/nowhere", None, &[]).await, 404),
        (world.send(raw("GET", "/", "text/plain", "")).await, 404),
        (world.call(admin, "PUT", "/users", None, &[]).await, 405),
        (world.call(admin, "GET", "/users/not-a-uuid", None, &[]).await, 400),
        (world.call(admin, "GET", "/users?after=x", None, &[]).await, 422),
        (world.call(admin, "POST", "/users", Some(&json!({})), &[("idempotency-key", "")]).await, 400),
    ];
    for (answer, status) in cases {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], json!(status));
        for member in ["type", "title", "detail"] {
            assert!(!answer.body[member].as_str().unwrap().is_empty(), "{}", answer.body);
        }
        assert!(answer.headers.contains_key("x-request-id"));
    }
    let not_allowed = world.call(admin, "PUT", "/users", None, &[]).await;
    assert!(not_allowed.headers["allow"].to_str().unwrap().contains("POST"));
}

/// Without its database the API says so, and shows nothing of it.
#[tokio::test]
async fn an_outage_is_a_problem_too() {
    let world = World::new().await;
    world.store.close().await;
    let answer = world.get("/users").await.expect(503);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.body.to_string().to_lowercase().contains("pool"), "{}", answer.body);
}

#[tokio::test]
async fn keys_are_shown_once_expire_and_are_revoked() {
    let world = World::new().await;
    let made = world.post("/api-keys", json!({ "name": "crm", "role": "service" })).await.expect(201);
    let key = made.body["key"].as_str().unwrap().to_owned();
    let with = |key: String| {
        let request = Request::builder().uri("/api/v1/users").header("authorization", format!("Bearer {key}"));
        world.send(request.body(Body::empty()).unwrap())
    };
    with(key.clone()).await.expect(200);
    let list = world.get("/api-keys").await.expect(200).body.to_string();
    assert!(!list.contains(&key));
    let stored = "SELECT count(*) FROM api_keys WHERE length(key_hash) = 32";
    assert_eq!(world.count(stored).await, 4);
    world.delete(&format!("/api-keys/{}", made.id())).await.expect(204);
    with(key).await.expect(401);
    world.post("/api-keys", json!({ "name": "x", "role": "root" })).await.expect(422);
    let past = json!({ "name": "x", "role": "service", "expires_at": "2001-01-01T00:00:00Z" });
    assert_eq!(world.post("/api-keys", past).await.expect(422).complaints(), [("expires_at".into(), "range".into())]);
}

/// A key of the role user belongs to an active user, and to nobody else.
#[tokio::test]
async fn keys_of_users_belong_to_active_users() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let wanted = |role: &str, user: Value| json!({ "name": "x", "role": role, "user_id": user });
    for (body, rule) in [
        (json!({ "name": "x", "role": "user" }), "required"),
        (wanted("user", json!(uuid::Uuid::nil())), "reference"),
        (wanted("administrator", json!(ann)), "combination"),
        (wanted("service", json!(ann)), "combination"),
    ] {
        let refused = world.post("/api-keys", body).await.expect(422);
        assert_eq!(refused.complaints(), [("user_id".into(), rule.into())]);
    }
    let key = world.key_of(&ann).await;
    let listed = world.get("/api-keys").await.expect(200).body["items"].as_array().unwrap().clone();
    assert!(listed.iter().any(|k| k["user_id"] == json!(ann) && k["role"] == "user"), "{listed:?}");
    let status = async || world.call_with(Some(&key), "GET", "/api-keys", None, &[]).await.status.as_u16();
    assert_eq!(status().await, 403, "known, and not an administrator");
    world.patch(&format!("/users/{ann}"), json!({ "active": false })).await.expect(200);
    assert_eq!(status().await, 401, "a key of a deactivated user is refused");
    world.post("/api-keys", wanted("user", json!(ann))).await.expect(422);
    world.patch(&format!("/users/{ann}"), json!({ "active": true })).await.expect(200);
    assert_eq!(status().await, 403);
}

#[tokio::test]
async fn administrators_sign_in() {
    let world = World::new().await;
    let hash = lockstep_web::hash_password(&"correct horse battery".to_owned().into()).unwrap();
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::access::create_administrator(&mut tx, "root", &hash, "test").await.unwrap();
    tx.commit().await.unwrap();
    let body = json!({ "name": "root", "password": "correct horse battery" });
    let session = world.call(None, "POST", "/sessions", Some(&body), &[]).await.expect(201).body;
    let request = Request::builder()
        .uri("/api/v1/api-keys")
        .header("authorization", format!("Bearer {}", session["key"].as_str().unwrap()));
    world.send(request.body(Body::empty()).unwrap()).await.expect(200);
    let wrong = json!({ "name": "root", "password": "wrong" });
    let unknown = json!({ "name": "nobody", "password": "wrong" });
    let wrong = world.call(None, "POST", "/sessions", Some(&wrong), &[]).await.expect(401).body;
    let unknown = world.call(None, "POST", "/sessions", Some(&unknown), &[]).await.expect(401).body;
    assert_eq!(wrong, unknown, "the answer does not tell which names there are");
}

#[tokio::test]
async fn the_feed_is_read_by_position_within_an_epoch() {
    let world = World::new().await;
    world.user("ann").await;
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::feed::number(&mut tx, 100).await.unwrap();
    tx.commit().await.unwrap();
    let first = world.get("/changes?limit=2").await.expect(200).body;
    let epoch = first["epoch"].as_str().unwrap();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let rest = world.get(&format!("/changes?after={}&epoch={epoch}", first["next"])).await.expect(200).body;
    let kinds: Vec<_> = rest["items"].as_array().unwrap().iter().map(|c| c["record_kind"].clone()).collect();
    assert!(kinds.contains(&json!("mailbox")), "{kinds:?}");
    let end = world.get(&format!("/changes?after={}&epoch={epoch}", rest["next"])).await.expect(200).body;
    assert_eq!((end["items"].as_array().unwrap().len(), &end["next"]), (0, &rest["next"]));
    let other = uuid::Uuid::nil();
    for path in [
        format!("/changes?after=1&epoch={other}"),
        format!("/changes?after=999999&epoch={epoch}"),
        format!("/changes?after=-1&epoch={epoch}"),
    ] {
        let gone = world.get(&path).await.expect(410);
        assert!(gone.body["detail"].as_str().unwrap().contains("read every record again"), "{path}");
    }
    world.get("/changes?after=1").await.expect(422);
}

/// H10: after a restored backup a place of the epoch before is gone, and reading begins anew.
#[tokio::test]
async fn h10_a_restored_backup_begins_another_epoch() {
    let world = World::new().await;
    world.user("ann").await;
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::feed::number(&mut tx, 100).await.unwrap();
    tx.commit().await.unwrap();
    let before = world.get("/changes").await.expect(200).body;
    let place = format!("/changes?after={}&epoch={}", before["next"], before["epoch"].as_str().unwrap());
    world.get(&place).await.expect(200);
    let mut tx = world.store.begin().await.unwrap();
    let done = lockstep_store::restores::restored(&mut tx, false, "test").await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.get(&place).await.expect(410).body["epoch"], json!(done.epoch));
    let anew = world.get("/changes").await.expect(200).body;
    assert_eq!((&anew["epoch"], &anew["items"]), (&json!(done.epoch), &before["items"]), "what is kept stays readable");
}

/// E8: the limit of attachments is at most 128 MiB.
#[tokio::test]
async fn e8_settings_are_bounded() {
    let world = World::new().await;
    assert_eq!(world.get("/organisation").await.expect(200).body["max_attachment_bytes"], 5_242_880);
    world.patch("/organisation", json!({ "max_attachment_bytes": 134_217_728 })).await.expect(200);
    let refused =
        world.patch("/organisation", json!({ "max_attachment_bytes": 134_217_729, "name": "" })).await.expect(422);
    assert_eq!(
        refused.complaints(),
        [("name".into(), "length".into()), ("max_attachment_bytes".into(), "range".into())]
    );
    let extensions =
        world.patch("/organisation", json!({ "blocked_extensions": [".EXE", "bat", "exe"] })).await.expect(200);
    assert_eq!(extensions.body["blocked_extensions"], json!(["bat", "exe"]));
    world.patch("/organisation", json!({ "blocked_extensions": ["a b"] })).await.expect(422);
}

/// The description: what there is, how one signs in, what may go wrong.
#[test]
fn the_description() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let statuses =
                operation["responses"].as_object().unwrap().keys().filter(|s| s.starts_with(['1', '2'])).cloned();
            let roles = operation.get("x-roles").map_or("public".to_owned(), Value::to_string);
            lines.push(format!("{method} {path} {} {roles}", statuses.collect::<Vec<_>>().join(" ")));
            let refusal = &operation["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(refusal, "#/components/schemas/Problem", "{method} {path}");
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
    // References lead somewhere, and no part contradicts another.
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        assert!(value.get("allOf").is_none(), "{value}");
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    let schemas = &document["components"]["schemas"];
    assert!(schemas["EmailServerProfile"]["properties"]["password_set"].is_object());
    assert!(schemas["EmailServerProfile"]["properties"]["password"].is_null(), "write-only");
    assert!(schemas["UserFieldsPatch"]["required"].is_null());
}

#[tokio::test]
async fn the_description_is_served() {
    let world = World::new().await;
    let served = world.call(None, "GET", "/openapi.json", None, &[]).await.expect(200);
    assert_eq!(served.body, document());
}

/// Figures have one label a route, whatever paths are asked for.
#[tokio::test]
async fn requests_are_counted_by_route() {
    let world = World::new().await;
    world.get(&format!("/users/{}", uuid::Uuid::new_v4())).await.expect(404);
    world.get(&format!("/users/{}", uuid::Uuid::new_v4())).await.expect(404);
    world.get("/no/such/path").await.expect(404);
    let families = world.registry.gather();
    let requests = families.iter().find(|f| f.name() == "lockstep_web_requests_total").unwrap();
    let counted: Vec<_> = requests
        .get_metric()
        .iter()
        .map(|m| {
            let labels: Vec<_> = m.get_label().iter().map(|l| l.value().to_owned()).collect();
            (labels.join(" "), m.get_counter().get_value())
        })
        .collect();
    assert!(counted.contains(&("GET /api/v1/users/{id} 404".to_owned(), 2.0)), "{counted:?}");
    assert!(counted.contains(&("GET unmatched 404".to_owned(), 1.0)), "{counted:?}");
    assert!(families.iter().any(|f| f.name() == "lockstep_web_request_duration_seconds"));
}

/// The description speaks the words that requests speak, and knows the fields that are only written.
#[test]
fn the_description_spells_words_and_knows_passwords() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (name, word) in [
        ("TlsMode", "start-tls"),
        ("TrackOption", "in-response"),
        ("AutoCreate", "contact"),
        ("Method", "server-side"),
        ("AuthMethod", "xoauth2"),
        ("CredentialSource", "mailbox"),
    ] {
        let words = schemas[name].to_string();
        assert!(words.contains(&format!("\"{word}\"")), "{name}: {words}");
    }
    for fields in ["MailboxFields", "ProfileFields"] {
        assert!(schemas[fields]["properties"]["password"].is_object(), "{fields} has no password");
    }
}
