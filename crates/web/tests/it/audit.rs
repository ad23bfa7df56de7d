//! The audit as administrators read it.

use lockstep_store::{access::Role, audit};
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
        ("record_kind=".to_owned(), ("record_kind", "choice")),
        ("record_kind=mailboxes".to_owned(), ("record_kind", "choice")),
        ("action=approve".to_owned(), ("action", "choice")),
        (format!("actor={}", "x".repeat(201)), ("actor", "length")),
        ("since=0001-01-01T00:00:00Z".to_owned(), ("since", "range")),
        ("kind=mailbox".to_owned(), ("kind", "unknown")),
        ("after=7".to_owned(), ("after", "format")),
    ] {
        let complaints = world.get(&format!("/audit?{query}")).await.expect(422).complaints();
        assert_eq!(complaints, [(complaint.0.to_owned(), complaint.1.to_owned())], "{query}");
    }
}

/// A word that the audit does not have is no empty list: the refusal tells the words there are. Each of them is accepted.
#[tokio::test]
async fn words_the_audit_does_not_have_are_refused() {
    let world = World::new().await;
    let refused = world.get("/audit?action=aproved&record_kind=mail").await.expect(422).body;
    let errors = refused["errors"].as_array().unwrap();
    for (field, words) in [("action", audit::ACTIONS), ("record_kind", audit::RECORD_KINDS)] {
        let error = errors.iter().find(|error| error["field"] == field).unwrap();
        assert_eq!(error["remedy"], format!("one of: {}", words.join(", ")));
        for word in words {
            world.get(&format!("/audit?{field}={word}")).await.expect(200);
        }
    }
}

/// What a new record was given is told by the names of its fields, however it was made; what it was not given is not, and
/// the feed tells that all of it is new.
#[tokio::test]
async fn what_new_records_were_given_is_audited() {
    let world = World::new().await;
    let mut server = crate::world::profile("server");
    (server["credentials"], server["login"], server["password"]) = (json!("profile"), json!("relay"), json!("hush"));
    world.post("/email-server-profiles", server).await.expect(201);
    let ann = world.post("/users", json!({ "name": "ann", "address": "ann@example.test" })).await.expect(201).id();
    let queue = json!({ "name": "info", "address": "info@example.test", "track_option": "all", "source": null });
    world.post("/queues", queue).await.expect(201);
    world.post("/contacts", json!({ "name": "Cara", "job_title": "Head" })).await.expect(201);
    world.patch("/accounts/by-external-id/erp/7", json!({ "name": "Firm" })).await.expect(201);
    world.post("/teams", json!({ "name": "ours", "description": "" })).await.expect(201);
    world.post("/tasks", json!({ "subject": "Call", "owner_user_id": ann })).await.expect(201);
    let mail = json!({ "from": { "user_id": ann }, "to": [{ "address": "c@d.test" }], "subject": "x" });
    world.post("/emails", mail).await.expect(201);
    let hook = json!({ "name": "h", "url": "https://hooks.example.test/x" });
    world.post("/webhook-endpoints", hook).await.expect(201);
    let forward = json!({ "is_forward_mailbox": true, "name": "f", "address": "f@example.test" });
    world.post("/mailboxes", forward).await.expect(201);

    let created = world.get("/audit?action=created&limit=200").await.expect(200).body;
    let given = |kind: &str| {
        let of_kind = created["items"].as_array().unwrap().iter().rev().filter(|entry| entry["record_kind"] == kind);
        let names = |entry: &Value| {
            let mut names: Vec<_> =
                entry["detail"]["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned()).collect();
            names.sort();
            names.join(" ")
        };
        of_kind.map(names).collect::<Vec<_>>()
    };
    let server = given("email-server-profile");
    assert!(
        server[0].contains("password") && server[0].contains("login") && !server[0].contains("max_in"),
        "{server:?}"
    );
    assert_eq!(given("user"), ["address name"]);
    assert_eq!(given("queue"), ["address name track_option"]);
    assert_eq!(given("contact"), ["job_title name"]);
    assert_eq!(given("account"), ["external_id name source"]);
    assert_eq!(given("team"), ["description name"]);
    assert_eq!(given("task"), ["owner_user_id subject"]);
    assert_eq!(given("email"), ["from subject to"]);
    assert_eq!(given("webhook-endpoint"), ["name url"]);
    let with_owner = "active address incoming_method name outgoing_method";
    let mailboxes = given("mailbox");
    assert!(mailboxes[0].starts_with(with_owner) && mailboxes[1].starts_with(with_owner), "{mailboxes:?}");
    assert_eq!(mailboxes[2], "address is_forward_mailbox name");
    let told = world.count("SELECT count(*) FROM feed_entries WHERE change = 'created' AND fields <> '{}'").await;
    assert_eq!(told, 0);
}

/// D4: whoever takes over an account and whoever loses it are told apart.
#[tokio::test]
async fn d4_both_sides_of_a_takeover_are_audited() {
    let world = World::new().await;
    let server = world.post("/email-server-profiles", crate::world::profile("server")).await.expect(201).id();
    let ((_, ann), (_, bert)) = (world.user("ann").await, world.user("bert").await);
    let account = json!({ "profile_id": server, "login": "box", "password": "hush", "allow_credentials": true });
    world.patch(&format!("/mailboxes/{ann}"), account).await.expect(200);
    world.patch(&format!("/mailboxes/{bert}"), json!({ "profile_id": server })).await.expect(200);
    world.post(&format!("/mailboxes/{bert}/takeover"), json!({ "login": "box", "password": "h" })).await.expect(200);
    for (action, record, detail) in
        [("account-lost", &ann, json!({ "to_mailbox": bert })), ("taken-over", &bert, json!({ "from_mailbox": ann }))]
    {
        let entries = world.get(&format!("/audit?action={action}")).await.expect(200).body["items"].clone();
        assert_eq!(entries.as_array().unwrap().len(), 1, "{action}");
        assert_eq!((&entries[0]["record_id"], &entries[0]["detail"]), (&json!(record), &detail), "{action}");
    }
}

/// Who is not let in is audited: a name that is an administrator's is named, any other could be a password.
#[tokio::test]
async fn failed_sign_ins_are_audited() {
    let world = World::new().await;
    let hash = lockstep_web::hash_password(&"correct horse battery".to_owned().into()).unwrap();
    let mut tx = world.store.begin().await.unwrap();
    lockstep_store::access::create_administrator(&mut tx, "root", &hash, "test").await.unwrap();
    tx.commit().await.unwrap();
    for (name, password) in [("root", "geheim-1"), ("root", "geheim-2"), ("geheim-3", "geheim-4")] {
        let body = json!({ "name": name, "password": password });
        world.call(None, "POST", "/sessions", Some(&body), &[]).await.expect(401);
    }
    let right = json!({ "name": "root", "password": "correct horse battery" });
    world.call(None, "POST", "/sessions", Some(&right), &[]).await.expect(201);
    let entries = world.get("/audit?action=sign-in-failed&actor=unknown").await.expect(200).body;
    let items = entries["items"].as_array().unwrap();
    let seen: Vec<_> =
        items.iter().map(|e| (e["detail"]["administrator"].as_str(), &e["detail"]["attempts"])).collect();
    assert_eq!(seen, [(None, &json!(1)), (Some("root"), &json!(2))]);
    assert!(!entries.to_string().contains("geheim"), "{entries}");
    assert_eq!(items[0]["record_kind"], "administrator");
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
