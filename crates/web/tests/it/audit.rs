//! The audit as administrators read it.

use lockstep_store::access::Role;
use serde_json::{Value, json};

use crate::world::World;

fn told(body: &Value) -> Vec<String> {
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let items = body["items"].as_array().unwrap();
    items.iter().map(|entry| format!("{} {}", word(entry, "action"), word(entry, "record_kind"))).collect()
}

/// C8, C10: who approved and who tested is read by administrators and nobody else: by record, actor, action and
/// time, the newest first, page by page.
#[tokio::test]
async fn c8_c10_the_audit_is_read_by_administrators() {
    let world = World::new().await;
    let profile = world.profile("main").await;
    let (ann, mailbox) = world.sign_in("ann").await;
    let (_, other) = world.user("bert").await;
    let account = json!({ "profile_id": profile, "allow_credentials": true, "login": "ann", "password": "geheim-456" });
    world.patch(&format!("/mailboxes/{mailbox}"), account).await.expect(200);
    for act in ["approve", "reject", "approve"] {
        let path = format!("/mailboxes/{mailbox}/{act}");
        world.call(Some(Role::Administrator), "POST", &path, None, &[]).await.expect(200);
    }
    let path = format!("/mailboxes/{mailbox}/test-and-enable");
    world.call(Some(Role::Operator), "POST", &path, None, &[]).await.expect(202);

    let of = format!("/audit?record_kind=mailbox&record_id={mailbox}");
    let all = world.get(&of).await.expect(200).body;
    let expected = [
        "tested mailbox",
        "approved mailbox",
        "updated mailbox",
        "rejected mailbox",
        "updated mailbox",
        "approved mailbox",
        "updated mailbox",
        "updated mailbox",
        "created mailbox",
    ];
    assert_eq!(told(&all), expected, "the newest first");
    assert!(all.get("next").is_none());
    let first = &all["items"][0];
    assert!(first["actor"].as_str().unwrap().starts_with("operator ("), "{first}");
    assert_eq!(first["record_id"], json!(mailbox));
    let decided = world.get(&format!("{of}&action=approved")).await.expect(200).body;
    assert_eq!(told(&decided), ["approved mailbox"; 2]);
    assert_eq!(decided["items"][0]["detail"]["address"], "ann@example.test");
    assert_eq!(told(&world.get(&format!("{of}&actor=OPERATOR")).await.expect(200).body), ["tested mailbox"]);
    let key = first["actor"].as_str().unwrap().split(['(', ')']).nth(1).unwrap().to_owned();
    assert_eq!(told(&world.get(&format!("/audit?actor={key}")).await.expect(200).body), ["tested mailbox"]);
    let at = first["done_at"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(told(&world.get(&format!("{of}&since={at}")).await.expect(200).body), ["tested mailbox"]);
    assert_eq!(told(&world.get(&format!("{of}&before={at}")).await.expect(200).body), expected[1..]);
    let of_ann = world.get(&format!("/audit?record_kind=user&record_id={ann}")).await.body;
    assert_eq!(told(&of_ann).last().unwrap(), "created user");
    assert_eq!(
        told(&world.get(&format!("/audit?record_kind=mailbox&record_id={other}")).await.body),
        ["created mailbox"]
    );

    let (mut read, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{of}&limit=4{after}")).await.expect(200).body;
        read.extend(told(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(read, expected);

    for role in [Role::Operator, Role::Service, Role::User] {
        world.call(Some(role), "GET", "/audit", None, &[]).await.expect(403);
    }
    world.call(None, "GET", "/audit", None, &[]).await.expect(401);
    for (query, complaint) in [
        (format!("record_id={mailbox}"), ("record_kind", "required")),
        ("record_kind=".to_owned(), ("record_kind", "length")),
        (format!("action={}", "x".repeat(65)), ("action", "length")),
        (format!("actor={}", "x".repeat(201)), ("actor", "length")),
        ("since=0001-01-01T00:00:00Z".to_owned(), ("since", "range")),
        ("kind=mailbox".to_owned(), ("kind", "unknown")),
        ("after=7".to_owned(), ("after", "format")),
    ] {
        let complaints = world.get(&format!("/audit?{query}")).await.expect(422).complaints();
        assert_eq!(complaints, [(complaint.0.to_owned(), complaint.1.to_owned())], "{query}");
    }
}

/// Whatever was written with a secret, the audit tells that it was written and not what.
#[tokio::test]
async fn the_audit_holds_no_secret() {
    const SECRET: &str = "geheim-789";
    let world = World::new().await;
    let mut profile = crate::world::profile("shared");
    profile["credentials"] = json!("profile");
    profile["login"] = json!("relay");
    profile["password"] = json!(SECRET);
    let made = world.post("/email-server-profiles", profile).await;
    assert!(made.status.is_success(), "{}", made.body);
    let (user, mailbox) = world.user("ann").await;
    let account = json!({ "allow_credentials": true, "login": "ann", "password": SECRET });
    world.patch(&format!("/mailboxes/{mailbox}"), account).await.expect(200);
    let key = world.key_of(&user).await;
    let hook = json!({ "name": "h", "url": "https://hooks.example.test/x" });
    let hook = world.post("/webhook-endpoints", hook).await.expect(201).body;
    let all = world.get("/audit?limit=200").await.expect(200).body;
    let text = all.to_string();
    assert!(text.contains("password") && told(&all).contains(&"created api-key".to_owned()), "{text}");
    for secret in [SECRET, &key, hook["secret"].as_str().unwrap()] {
        assert!(!text.contains(secret), "{text}");
    }
}
