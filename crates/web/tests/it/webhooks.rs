//! Webhook endpoints: what may be written, what is shown, and what never is.

use lockstep_connector::AddressRules;
use lockstep_store::access::Role;
use lockstep_web::WebConfig;
use serde_json::{Value, json};

use crate::world::World;

const PATH: &str = "/webhook-endpoints";

fn endpoint(name: &str) -> Value {
    json!({ "name": name, "url": "https://crm.example.com/hooks?for=us" })
}

async fn numbered(world: &World) -> Value {
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::feed::number(&mut tx, 1000).await.unwrap();
    tx.commit().await.unwrap();
    world.get("/changes?limit=200").await.expect(200).body
}

#[tokio::test]
async fn an_endpoint_begins_now_and_shows_its_secret_once() {
    let world = World::new().await;
    world.user("ann").await;
    let feed = numbered(&world).await;
    let made = world.post(PATH, endpoint("crm")).await.expect(201);
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "32 bytes in base64");
    assert_eq!((&made.body["position"], &made.body["epoch"]), (&feed["next"], &feed["epoch"]));
    assert_eq!((made.body["state"].as_str(), &made.body["record_kinds"]), (Some("healthy"), &json!([])));
    assert_eq!(made.etag(), "\"1\"");
    assert_eq!(made.headers["location"].to_str().unwrap(), format!("/api/v1{PATH}/{}", made.id()));
    let path = format!("{PATH}/{}", made.id());
    let read = world.get(&path).await.expect(200);
    assert_eq!(read.etag(), "\"1\"");
    let shown = [read.body.to_string(), world.get(PATH).await.expect(200).body.to_string()].concat();
    assert!(!shown.contains("whsec_") && !shown.contains("\"secret\""), "{shown}");

    // Rotated: another one, the old one valid for a day.
    let rotated = world.call(Some(Role::Administrator), "POST", &format!("{path}/rotate-secret"), None, &[]).await;
    let rotated = rotated.expect(200);
    let newer = rotated.body["secret"].as_str().unwrap().to_owned();
    assert!(newer.starts_with("whsec_") && newer != secret);
    assert!(rotated.body["previous_secret_until"].is_string());
    assert_eq!(rotated.etag(), "\"2\"");
    let stale = world
        .call(Some(Role::Administrator), "POST", &format!("{path}/rotate-secret"), None, &[("if-match", "\"1\"")])
        .await;
    stale.expect(412);

    for text in [&secret, &newer] {
        let needle = text.trim_start_matches("whsec_");
        for table in ["webhook_endpoints", "operations", "audit_entries", "feed_entries", "idempotency_keys"] {
            let query = format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%' || $1 || '%'");
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .bind(needle)
                .fetch_one(world.database.pool())
                .await
                .unwrap();
            assert_eq!(rows, 0, "{table} holds a secret in the clear");
        }
    }
    let sealed = "SELECT count(*) FROM webhook_endpoints WHERE sealed_secret IS NOT NULL
                  AND previous_sealed_secret IS NOT NULL AND sealed_secret <> previous_sealed_secret";
    assert_eq!(world.count(sealed).await, 1);
}

/// A repetition has no second effect, and does not show the secret: nothing keeps it.
#[tokio::test]
async fn a_repetition_makes_no_second_endpoint() {
    let world = World::new().await;
    let once = [("idempotency-key", "k1")];
    let first = world.call(Some(Role::Administrator), "POST", PATH, Some(&endpoint("crm")), &once).await.expect(201);
    let again = world.call(Some(Role::Administrator), "POST", PATH, Some(&endpoint("crm")), &once).await.expect(201);
    assert_eq!(first.id(), again.id());
    assert!(first.body["secret"].is_string() && again.body.get("secret").is_none());
    world.call(Some(Role::Administrator), "POST", PATH, Some(&endpoint("other")), &once).await.expect(409);
    assert_eq!(world.count("SELECT count(*) FROM webhook_endpoints").await, 1);
    let taken = world.post(PATH, endpoint("crm")).await.expect(409);
    assert!(taken.body["detail"].as_str().unwrap().contains("name"));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let long = format!("https://crm.example.com/{}", "x".repeat(2000));
    let cases: &[(&str, Value, &str, &str)] = &[
        ("name", json!(""), "name", "length"),
        ("name", json!("x".repeat(101)), "name", "length"),
        ("name", json!("a\nb"), "name", "characters"),
        ("description", json!("x".repeat(2001)), "description", "length"),
        ("url", json!(""), "url", "url"),
        ("url", json!("crm.example.com"), "url", "url"),
        ("url", json!("/hooks"), "url", "url"),
        ("url", json!("ftp://crm.example.com/"), "url", "url"),
        ("url", json!("file:///etc/passwd"), "url", "url"),
        ("url", json!("https://crm.example.com/a\nb"), "url", "url"),
        ("url", json!("https://"), "url", "url"),
        ("url", json!("https://crm.example.com:70000/"), "url", "url"),
        ("url", json!("https://crm.example.com:0/"), "url", "range"),
        ("url", json!(long), "url", "length"),
        ("url", json!("http://crm.example.com/"), "url", "plain-not-allowed"),
        ("url", json!("https://ann:geheim@crm.example.com/"), "url", "credentials"),
        ("url", json!("https://ann@crm.example.com/"), "url", "credentials"),
        ("url", json!("https://crm.example.com/#x"), "url", "fragment"),
        ("url", json!("https://169.254.169.254/"), "url", "host"),
        ("url", json!("https://2852039166/"), "url", "host"),
        ("url", json!("https://[fe80::1]/"), "url", "host"),
        ("url", json!("https://metadata.google.internal/"), "url", "host"),
        ("url", json!(5), "url", "type"),
        ("record_kinds", json!(["email", "invoice"]), "record_kinds.1", "choice"),
        ("record_kinds", json!("email"), "record_kinds", "type"),
        ("active", json!("yes"), "active", "type"),
        ("colour", json!("red"), "colour", "unknown"),
        ("secret", json!("whsec_AAAA"), "secret", "unknown"),
        ("position", json!(5), "position", "unknown"),
        ("after", json!(0), "epoch", "required"),
        ("epoch", json!("00000000-0000-0000-0000-000000000000"), "after", "required"),
    ];
    let made = world.post(PATH, endpoint("kept")).await.expect(201);
    for (field, value, complained, rule) in cases {
        let mut body = endpoint("p");
        body[*field] = value.clone();
        let refused = world.post(PATH, body).await.expect(422);
        assert_eq!(refused.complaints(), [((*complained).to_owned(), (*rule).to_owned())], "{field} = {value}");
        assert!(!refused.body.to_string().contains("geheim"));
        if !matches!(*field, "after" | "epoch") {
            world.patch(&format!("{PATH}/{}", made.id()), json!({ *field: value })).await.expect(422);
        }
    }
    let missing = world.post(PATH, json!({ "name": "x" })).await.expect(422).complaints();
    assert_eq!(missing, [("url".into(), "required".into())]);
    assert_eq!(world.count("SELECT count(*) FROM webhook_endpoints").await, 1);
    let plain = World::with(&WebConfig { allow_plain_connections: true, ..WebConfig::default() }).await;
    plain.post(PATH, json!({ "name": "x", "url": "http://127.0.0.1:8/" })).await.expect(201);
}

/// A receiver that is seen to be private is refused at once where no webhook would be sent there.
#[tokio::test]
async fn private_receivers_are_refused_where_they_may_not_be() {
    let world = World::sending_to(&WebConfig::default(), AddressRules { allow_private: false }).await;
    for host in ["10.1.2.3", "localhost", "[::1]"] {
        let refused = world.post(PATH, json!({ "name": "x", "url": format!("https://{host}/") })).await.expect(422);
        assert_eq!(refused.complaints(), [("url".into(), "host".into())], "{host}");
        assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("network.private_webhooks"));
    }
    let made = world.post(PATH, endpoint("public")).await.expect(201);
    let moved = json!({ "url": "https://127.0.0.1/" });
    world.patch(&format!("{PATH}/{}", made.id()), moved).await.expect(422);
}

#[tokio::test]
async fn changes_are_audited_and_tell_who_was_faster() {
    let world = World::new().await;
    let made = world.post(PATH, endpoint("crm")).await.expect(201);
    let path = format!("{PATH}/{}", made.id());
    let kinds = json!({ "record_kinds": ["email", "contact", "email"], "description": "the CRM" });
    let changed = world.patch(&path, kinds).await.expect(200);
    assert_eq!((&changed.body["record_kinds"], changed.etag()), (&json!(["contact", "email"]), "\"2\"".to_owned()));
    assert_eq!(world.patch(&path, json!({ "name": "crm" })).await.expect(200).etag(), "\"2\"", "nothing changed");
    let role = Some(Role::Administrator);
    let body = json!({ "active": false });
    world.call(role, "PATCH", &path, Some(&body), &[("if-match", "\"1\"")]).await.expect(412);
    let changed = world.call(role, "PATCH", &path, Some(&body), &[("if-match", "\"2\"")]).await.expect(200);
    assert_eq!(changed.body["state"], "inactive");
    world.call(role, "DELETE", &path, None, &[("if-match", "\"1\"")]).await.expect(412);
    world.delete(&path).await.expect(204);
    world.get(&path).await.expect(404);
    world.delete(&path).await.expect(404);
    for (table, column) in [("audit_entries", "action"), ("feed_entries", "change")] {
        let kind = if table == "audit_entries" { "object_kind" } else { "record_kind" };
        let order = if table == "audit_entries" { "id" } else { "sequence" };
        let query =
            format!("SELECT string_agg({column}, ' ' ORDER BY {order}) FROM {table} WHERE {kind} = 'webhook-endpoint'");
        let told: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(world.database.pool()).await.unwrap();
        assert_eq!(told, "created updated updated deleted", "{table}");
    }
    assert_eq!(world.count("SELECT count(*) FROM operations").await, 0, "its operation is gone too");
}

#[tokio::test]
async fn it_goes_on_where_it_is_told_to() {
    let world = World::new().await;
    world.user("ann").await;
    let feed = numbered(&world).await;
    let (epoch, last) = (feed["epoch"].clone(), feed["next"].as_i64().unwrap());
    let mut from = endpoint("from the beginning");
    (from["after"], from["epoch"]) = (json!(0), epoch.clone());
    let made = world.post(PATH, from.clone()).await.expect(201);
    assert_eq!(made.body["position"], 0);
    for (after, epoch) in [(last + 1000, epoch.clone()), (-1, epoch.clone()), (0, json!(uuid::Uuid::nil()))] {
        (from["after"], from["epoch"], from["name"]) = (json!(after), epoch, json!("other"));
        let gone = world.post(PATH, from.clone()).await.expect(410);
        assert!(gone.body["detail"].as_str().unwrap().contains("from_now"));
    }
    // Disabled because its place was lost: only a new place helps.
    let disable = "UPDATE webhook_endpoints SET disabled_code = 'cursor-lost', disabled_at = now(), failures = 3,
                   epoch = gen_random_uuid()";
    sqlx::raw_sql(disable).execute(world.database.pool()).await.unwrap();
    let path = format!("{PATH}/{}", made.id());
    let read = world.get(&path).await.expect(200).body;
    assert_eq!((read["state"].as_str(), read["disabled_code"].as_str()), (Some("disabled"), Some("cursor-lost")));
    let resume = format!("{path}/resume");
    world.post(&resume, json!({})).await.expect(410);
    let wrong = world.post(&resume, json!({ "after": 1, "epoch": epoch, "from_now": true })).await.expect(422);
    assert_eq!(wrong.complaints(), [("from_now".into(), "not-used".into())]);
    let unknown = world.post(&resume, json!({ "colour": 1 })).await.expect(422);
    assert_eq!(unknown.complaints(), [("colour".into(), "unknown".into())]);
    let resumed = world.post(&resume, json!({ "after": 1, "epoch": epoch })).await.expect(200).body;
    assert_eq!((resumed["state"].as_str(), &resumed["position"]), (Some("healthy"), &json!(1)));
    let resumed = world.post(&resume, json!({ "from_now": true })).await.expect(200).body;
    assert_eq!(resumed["position"], json!(last));
    assert_eq!(world.post(&resume, json!({})).await.expect(200).body["position"], json!(last), "where it stood");
    world.post(&format!("{PATH}/{}/resume", uuid::Uuid::now_v7()), json!({})).await.expect(404);
}

#[tokio::test]
async fn a_test_is_an_operation() {
    let world = World::new().await;
    let made = world.post(PATH, endpoint("crm")).await.expect(201);
    let path = format!("{PATH}/{}/test", made.id());
    let asked = world.call(Some(Role::Operator), "POST", &path, None, &[]).await.expect(202);
    assert_eq!(asked.body["kind"], "test-webhook-endpoint");
    let location = asked.headers["location"].to_str().unwrap().trim_start_matches("/api/v1").to_owned();
    assert_eq!(world.get(&location).await.expect(200).body["state"], "pending");
    world.post(&format!("{PATH}/{}/test", uuid::Uuid::now_v7()), json!({})).await.expect(404);
    world.call(Some(Role::Service), "GET", PATH, None, &[]).await.expect(403);
}
