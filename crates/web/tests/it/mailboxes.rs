//! Mailboxes.

use lockstep_store::{
    access::Role,
    mailbox_tests::{self, Tested},
};
use serde_json::{Value, json};

use crate::world::World;

async fn act(world: &World, mailbox: &str, action: &str) -> crate::world::Answer {
    world.call(Some(Role::Administrator), "POST", &format!("/mailboxes/{mailbox}/{action}"), None, &[]).await
}

fn own_account(profile: &str, login: &str) -> Value {
    json!({ "profile_id": profile, "allow_credentials": true, "login": login, "password": "geheim-456" })
}

/// A3: a protocol without appointments, contacts and tasks refuses them, and says why. C4: so does a queue.
#[tokio::test]
async fn a3_c4_act_needs_a_protocol_that_has_it_and_a_user() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let pop = world.profile("pop").await;
    let refused = world.patch(&path, json!({ "profile_id": pop, "act_method": "server-side" })).await.expect(422);
    assert_eq!(refused.complaints(), [("act_method".into(), "capability".into())]);
    assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("pop3"));
    let mut able = crate::world::profile("able");
    (able["incoming"]["protocol"], able["outgoing"]["protocol"]) = (json!("all-in-one"), json!("all-in-one"));
    let able = world.post("/email-server-profiles", able).await.expect(201).id();
    let set = world.patch(&path, json!({ "profile_id": able, "act_method": "server-side" })).await.expect(200);
    assert_eq!(set.body["act_method"], "server-side");
    let back = world.patch(&path, json!({ "profile_id": pop })).await.expect(422);
    assert_eq!(back.complaints(), [("act_method".into(), "capability".into())]);

    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@example.test" })).await.expect(201).id();
    let queue = world.mailbox_of(&queue).await;
    let refused =
        world.patch(&format!("/mailboxes/{queue}"), json!({ "profile_id": able, "act_method": "server-side" })).await;
    assert_eq!(refused.expect(422).complaints(), [("act_method".into(), "user-only".into())]);
}

/// C5: only queues may delete on the server.
#[tokio::test]
async fn c5_deletion_is_for_queues() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let refused = world.patch(&format!("/mailboxes/{mailbox}"), json!({ "delete_after_processing": true })).await;
    assert_eq!(refused.expect(422).complaints(), [("delete_after_processing".into(), "queue-only".into())]);
    let queue = world.post("/queues", json!({ "name": "Q", "address": "q@example.test" })).await.expect(201).id();
    let queue = world.mailbox_of(&queue).await;
    world.patch(&format!("/mailboxes/{queue}"), json!({ "delete_after_processing": true })).await.expect(200);
}

/// C6, B15: an account of its own has name and password; the password is sealed and never shown.
#[tokio::test]
async fn c6_b15_own_credentials() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let profile = world.profile("pop").await;
    let refused = world.patch(&path, json!({ "allow_credentials": true })).await.expect(422);
    let required = |field: &str| (field.to_owned(), "required".to_owned());
    assert_eq!(refused.complaints(), [required("login"), required("password")]);
    let set = world.patch(&path, own_account(&profile, "ann")).await.expect(200).body;
    assert_eq!(set["password_set"], true);
    let sealed: Vec<u8> =
        sqlx::query_scalar("SELECT sealed_secret FROM mailboxes").fetch_one(world.database.pool()).await.unwrap();
    assert!(!sealed.windows(6).any(|w| w == b"geheim"));
    let vault = world.store.vault();
    let opened = vault.open(&format!("mailbox/{mailbox}"), &sealed).unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), "geheim-456");
    for text in [set.to_string(), world.get("/mailboxes").await.body.to_string()] {
        assert!(!text.contains("geheim") && !text.contains("\"password\""), "{text}");
    }
}

/// D2, D3: one account on a server belongs to one mailbox; the conflict names who has it.
#[tokio::test]
async fn d2_d3_an_account_has_one_mailbox() {
    let world = World::new().await;
    let profile = world.profile("pop").await;
    let ((_, ann), (_, bob)) = (world.user("ann").await, world.user("bob").await);
    world.patch(&format!("/mailboxes/{ann}"), own_account(&profile, "shared")).await.expect(200);
    let taken = world.patch(&format!("/mailboxes/{bob}"), own_account(&profile, "SHARED")).await.expect(409);
    assert_eq!(taken.body["holder"]["mailbox_id"], json!(ann));
    assert!(taken.body["detail"].as_str().unwrap().contains("account"));
    // On another server it is another account, until that server becomes the same.
    let mut elsewhere = crate::world::profile("elsewhere");
    elsewhere["incoming"]["host"] = json!("other.example.test");
    let elsewhere = world.post("/email-server-profiles", elsewhere).await.expect(201).id();
    world.patch(&format!("/mailboxes/{bob}"), own_account(&elsewhere, "shared")).await.expect(200);
    let moved = json!({ "incoming": { "host": "POP.example.test." } });
    world.patch(&format!("/email-server-profiles/{elsewhere}"), moved).await.expect(409);
}

/// C10: who asked for a test last stands at the mailbox with the wish itself, who tested and enabled it with the result;
/// nobody writes it.
#[tokio::test]
async fn c10_who_tested_is_kept_at_the_mailbox() {
    let world = World::new().await;
    let profile = world.profile("main").await;
    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let version = world.patch(&path, json!({ "profile_id": profile })).await.expect(200).body["version"].clone();
    let figures = [
        "test_attempted_by",
        "test_attempted_at",
        "tested_by",
        "tested_at",
        "incoming_tested_at",
        "outgoing_tested_at",
        "enabled_by",
        "enabled_at",
    ];
    let before = world.get(&path).await.body;
    assert!(figures.iter().all(|name| before[*name].is_null()), "{before}");
    let test = format!("{path}/test-and-enable");
    world.call(Some(Role::Operator), "POST", &test, None, &[]).await.expect(202);
    let asked = world.get(&path).await.body;
    assert!(asked["test_attempted_by"].as_str().unwrap().starts_with("operator ("), "{asked}");
    assert!(asked["test_attempted_at"].is_string() && asked["tested_by"].is_null());
    assert_eq!(asked["version"], version, "a figure, and no change of the record");
    let mut tx = world.store.begin().await.unwrap();
    let id = lockstep_model::id::MailboxId(mailbox.parse().unwrap());
    mailbox_tests::record(&mut tx, id, "bert", &Tested::Works, &Tested::NotConfigured).await.unwrap();
    tx.commit().await.unwrap();
    world.call(Some(Role::Administrator), "POST", &test, None, &[]).await.expect(202);
    world.call(Some(Role::Administrator), "POST", &format!("{path}/reject"), None, &[]).await.expect(200);
    let now = world.get(&path).await.body;
    assert!(now["test_attempted_by"].as_str().unwrap().starts_with("administrator ("), "{now}");
    assert_eq!((&now["tested_by"], &now["enabled_by"]), (&json!("bert"), &json!("bert")));
    assert!(now["tested_at"].is_string() && now["tested_at"] == now["incoming_tested_at"], "{now}");
    assert!(now["outgoing_tested_at"].is_null() && now["enabled_at"] == now["tested_at"], "{now}");
    for name in figures {
        let refused = world.patch(&path, json!({ name: "2026-01-01T00:00:00Z" })).await.expect(422);
        assert_eq!(refused.complaints()[0].0, name);
    }
}

/// C10: approval and rejection, by whom and when; rejecting clears the pair.
#[tokio::test]
async fn c10_approval() {
    let world = World::new().await;
    let (_, mailbox) = world.user("ann").await;
    let approved = act(&world, &mailbox, "approve").await.expect(200);
    assert!(approved.body["approved_by"].as_str().unwrap().starts_with("administrator"));
    let again = act(&world, &mailbox, "approve").await.expect(200);
    assert_eq!(again.etag(), approved.etag(), "the same decision is no write");
    let rejected = act(&world, &mailbox, "reject").await.expect(200).body;
    assert_eq!(rejected["address_status"], "rejected");
    assert!(rejected["approved_by"].is_null() && rejected["approved_at"].is_null());
    // It takes the privilege.
    for role in [Role::Operator, Role::Service] {
        let refused =
            world.call(Some(role), "POST", &format!("/mailboxes/{mailbox}/approve"), None, &[]).await.expect(403);
        assert!(refused.body["detail"].as_str().unwrap().contains("administrator"));
    }
    act(&world, "00000000-0000-0000-0000-000000000000", "approve").await.expect(404);
}

/// Whoever is at work with old settings is fenced, whatever is queued is stale; another account is tested again.
#[tokio::test]
async fn changes_realign_the_lane() {
    let world = World::new().await;
    let profile = world.profile("pop").await;
    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    world.patch(&path, own_account(&profile, "ann")).await.expect(200);
    let enable = "UPDATE mailboxes SET incoming_enabled = true, outgoing_enabled = true, incoming_test = 'success'";
    sqlx::query(enable).execute(world.database.pool()).await.unwrap();
    let lane = "SELECT l.version * 1000 + s.generation FROM lanes l JOIN lane_schedules s USING (mailbox_id, lane)";
    let before = world.count(lane).await;
    let approved = act(&world, &mailbox, "approve").await.expect(200).body;
    assert_eq!((approved["state"].as_str(), approved["lanes"][0]["enabled"].as_bool()), (Some("healthy"), Some(true)));
    assert_eq!(world.count(lane).await, before + 1001);
    world.patch(&format!("/email-server-profiles/{profile}"), json!({ "request_timeout_ms": 5000 })).await.expect(200);
    assert_eq!(world.count(lane).await, before + 2002);
    let other = world.patch(&path, json!({ "password": "geheim-789" })).await.expect(200).body;
    assert_eq!((other["state"].as_str(), other["incoming_test"].as_str()), (Some("untested"), Some("not-run")));
    assert_eq!(other["lanes"][0]["enabled"], false);
    assert_eq!(world.count(lane).await, before + 3003);
}

/// C9: the requirement of approval can be switched off for each kind of owner.
#[tokio::test]
async fn c9_approval_can_be_switched_off() {
    let world = World::new().await;
    let profile = world.profile("pop").await;
    let (_, mailbox) = world.user("ann").await;
    world.patch(&format!("/mailboxes/{mailbox}"), own_account(&profile, "ann")).await.expect(200);
    let enable = "UPDATE mailboxes SET incoming_enabled = true, outgoing_enabled = true";
    sqlx::query(enable).execute(world.database.pool()).await.unwrap();
    world.patch("/organisation", json!({ "approve_queues": false })).await.expect(200);
    assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["state"], "unapproved");
    world.patch("/organisation", json!({ "approve_users": false })).await.expect(200);
    let free = world.get(&format!("/mailboxes/{mailbox}")).await.body;
    assert_eq!((free["state"].as_str(), free["lanes"][0]["enabled"].as_bool()), (Some("healthy"), Some(true)));
    assert_eq!(world.get("/mailboxes?state=healthy").await.body["items"].as_array().unwrap().len(), 1);
    world.get("/mailboxes?state=happy").await.expect(422);
}

#[tokio::test]
async fn test_and_enable_is_an_operation() {
    let world = World::new().await;
    let profile = world.profile("pop").await;
    let (_, mailbox) = world.user("ann").await;
    act(&world, &mailbox, "test-and-enable").await.expect(409);
    world.patch(&format!("/mailboxes/{mailbox}"), own_account(&profile, "ann")).await.expect(200);
    let started = act(&world, &mailbox, "test-and-enable").await.expect(202);
    let location = started.headers["location"].to_str().unwrap().trim_start_matches("/api/v1").to_owned();
    let operation = world.get(&location).await.expect(200).body;
    assert_eq!(
        (operation["kind"].as_str(), operation["state"].as_str()),
        (Some("test-and-enable-mailbox"), Some("pending"))
    );
    assert_eq!(operation["arguments"], json!({ "mailbox": mailbox }));
}

/// C16, B19: a mailbox starts not before its profile and not further back than the deployment allows; the profile
/// likewise. B18: on another profile it starts anew.
#[tokio::test]
async fn b19_c16_starts_have_bounds() {
    let world = World::new().await;
    world.patch("/settings/email", json!({ "process_email_since_maximum_days_allowed": 30 })).await.expect(200);
    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    let now = world.store.clock().now();
    let days_ago = |days| (now - chrono::Duration::days(days)).to_rfc3339();
    let mut early = crate::world::profile("early");
    early["process_emails_from"] = json!(days_ago(31));
    let refused = world.post("/email-server-profiles", early.clone()).await.expect(422).complaints();
    assert_eq!(refused, [("process_emails_from".into(), "too-far-back".into())]);
    early["process_emails_from"] = json!(days_ago(20));
    let early = world.post("/email-server-profiles", early).await.expect(201).id();
    world.patch(&path, json!({ "profile_id": early })).await.expect(200);
    let complaint = async |days| {
        let refused = world.patch(&path, json!({ "process_email_from": days_ago(days) })).await.expect(422);
        refused.complaints()
    };
    assert_eq!(complaint(21).await, [("process_email_from".into(), "before-profile".into())]);
    let start = days_ago(19);
    world.patch(&path, json!({ "process_email_from": start })).await.expect(200);
    let later = world.post("/email-server-profiles", crate::world::profile("later")).await.expect(201).id();
    let moved = world.patch(&path, json!({ "profile_id": later })).await.expect(200);
    assert!(moved.body["process_email_from"].is_null(), "it starts with its next test");
    assert_eq!(complaint(31).await, [("process_email_from".into(), "too-far-back".into())]);
}

fn outcomes(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

/// C8, C11, C17: many at once, each with its own result; the mailboxes of a whole profile; the defaults, tested unless
/// that is not wanted.
#[tokio::test]
async fn c8_c11_c17_many_mailboxes_at_once() {
    let world = World::new().await;
    let mut default = crate::world::profile("default");
    default["is_default"] = json!(true);
    let profile = world.post("/email-server-profiles", default).await.expect(201).id();
    let (_, ann) = world.user("ann").await;
    let (_, bert) = world.user("bert").await;
    let nobody = uuid::Uuid::now_v7();
    let act =
        async |body: Value| world.call(Some(Role::Administrator), "POST", "/mailboxes/actions", Some(&body), &[]).await;
    let done = act(json!({ "action": "approve", "mailbox_ids": [ann, nobody, bert, ann] })).await.expect(200).body;
    assert_eq!(outcomes(&done), ["done", "refused", "done"], "each once, by itself");
    assert!(done["results"][1]["detail"].as_str().unwrap().contains("mailbox"));
    for mailbox in [&ann, &bert] {
        assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["address_status"], "approved");
    }
    let tested = act(json!({ "action": "test-and-enable", "profile_id": profile })).await.expect(200).body;
    assert_eq!(outcomes(&tested), ["done", "done"]);
    assert!(tested["next"].is_null());
    let operation = tested["results"][0]["operation_id"].as_str().unwrap();
    world.get(&format!("/operations/{operation}")).await.expect(200);

    world.patch(&format!("/mailboxes/{ann}"), json!({ "incoming_method": "none", "outgoing_method": "none" })).await;
    let refused = act(json!({ "action": "test-and-enable", "mailbox_ids": [ann, bert] })).await.expect(200).body;
    assert_eq!(outcomes(&refused), ["refused", "done"]);
    let defaults = json!({ "action": "apply-defaults", "mailbox_ids": [ann], "test": false });
    let applied = act(defaults).await.expect(200).body;
    assert_eq!(outcomes(&applied), ["done"]);
    assert!(applied["results"][0]["operation_id"].is_null());
    let mailbox = world.get(&format!("/mailboxes/{ann}")).await.body;
    assert_eq!((&mailbox["incoming_method"], &mailbox["profile_id"]), (&json!("server-side"), &json!(profile)));
    let applied = act(json!({ "action": "apply-defaults", "mailbox_ids": [ann] })).await.expect(200).body;
    assert!(applied["results"][0]["operation_id"].is_string(), "tested unless unticked");

    for (body, field) in [
        (json!({ "action": "approve" }), "mailbox_ids"),
        (json!({ "action": "approve", "mailbox_ids": [ann], "profile_id": profile }), "mailbox_ids"),
        (json!({ "action": "approve", "mailbox_ids": vec![nobody; 201] }), "mailbox_ids"),
        (json!({ "action": "approve", "profile_id": nobody }), "profile_id"),
        (json!({ "action": "approve", "mailbox_ids": [ann], "after": ann }), "after"),
        (json!({ "action": "explode", "mailbox_ids": [ann] }), "action"),
        (json!({ "action": "edit", "mailbox_ids": [ann] }), "changes"),
        (json!({ "action": "edit", "mailbox_ids": [ann], "changes": {} }), "changes"),
        (json!({ "action": "approve", "mailbox_ids": [ann], "changes": { "outgoing_method": "none" } }), "changes"),
        (json!({ "action": "edit", "mailbox_ids": [ann], "changes": { "password": "x" } }), "changes.password"),
    ] {
        assert_eq!(act(body).await.expect(422).complaints()[0].0, field);
    }
    let operator = world.call(Some(Role::Operator), "POST", "/mailboxes/actions", Some(&json!({})), &[]).await;
    operator.expect(403);
}

/// C18: profile and methods of several mailboxes in one action, each by itself and with its own result; nothing is tested.
#[tokio::test]
async fn c18_many_are_edited_in_one_action() {
    let world = World::new().await;
    let profile = world.profile("new").await;
    let mut mailboxes = Vec::new();
    for name in ["ann", "bert", "carl"] {
        mailboxes.push(world.user(name).await.1);
    }
    let act =
        async |body: Value| world.call(Some(Role::Administrator), "POST", "/mailboxes/actions", Some(&body), &[]).await;
    let changes = json!({ "profile_id": profile, "outgoing_method": "none" });
    let mut named = mailboxes[..2].to_vec();
    named.push(uuid::Uuid::now_v7().to_string());
    let done = act(json!({ "action": "edit", "mailbox_ids": named, "changes": changes })).await.expect(200).body;
    assert_eq!(outcomes(&done), ["done", "done", "refused"]);
    for (mailbox, changed) in mailboxes.iter().zip([true, true, false]) {
        let now = world.get(&format!("/mailboxes/{mailbox}")).await.body;
        assert_eq!(
            (now["profile_id"] == json!(profile), now["outgoing_method"] == "none"),
            (changed, changed),
            "{now}"
        );
        assert_eq!(now["incoming_method"], "server-side", "what is not said stays");
    }
    assert_eq!(world.count("SELECT count(*) FROM operations").await, 0, "nothing is tested");
    let noted = "SELECT count(*) FROM audit_entries WHERE object_kind = 'mailbox' AND action = 'updated'
         AND detail->'fields' ? 'outgoing_method'";
    assert_eq!(world.count(noted).await, 2);
    let bad = json!({ "action": "edit", "mailbox_ids": [mailboxes[0]], "changes": { "act_method": "server-side" } });
    let refused = act(bad).await.expect(200).body;
    assert_eq!(outcomes(&refused), ["refused"], "POP3 has email only: {refused}");
    let again = json!({ "action": "edit", "profile_id": profile, "changes": { "outgoing_method": "server-side" } });
    assert_eq!(outcomes(&act(again).await.expect(200).body), ["done", "done"], "of a whole profile");
}
