//! Whose address an email bears, whose account sends it, and tests of the servers that do.

use lockstep_store::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World, profile};

async fn call(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    world.call(Some(Role::User), method, path, body.as_ref(), &[]).await
}

/// Gives a user a role with these privileges: kind, privilege, depth.
async fn grant(world: &World, user: &str, privileges: &[(&str, &str, &str)]) {
    let privileges: Vec<_> = privileges
        .iter()
        .map(|(kind, privilege, depth)| json!({ "record_kind": kind, "privilege": privilege, "depth": depth }))
        .collect();
    let body = json!({ "name": Uuid::new_v4(), "privileges": privileges });
    let role = world.post("/security-roles", body).await.expect(201).id();
    let path = format!("/users/{user}/security-roles/{role}");
    world.call(Some(Role::Administrator), "PUT", &path, None, &[]).await.expect(204);
}

fn draft(from: &Value) -> Value {
    json!({ "from": from, "to": [{ "address": "cara@customer.test" }], "subject": "Offer" })
}

const OWN_EMAILS: &[(&str, &str, &str)] =
    &[("email", "read", "own"), ("email", "create", "own"), ("email", "write", "own")];

/// H7, E14: the privilege and the consent, each there or not: only both let Ann send as Bert. The email belongs to Ann,
/// Bert's mailbox sends it, and the record says who sent.
#[tokio::test]
async fn h7_e14_privilege_and_consent_are_both_needed() {
    for (privileged, consents) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new().await;
        let (ann, _) = world.sign_in("ann").await;
        let (bert, mailbox) = world.user("bert").await;
        grant(&world, &ann, OWN_EMAILS).await;
        if privileged {
            grant(&world, &ann, &[("user", "send-as-another", "all")]).await;
        }
        let consent = json!({ "allow_send_on_behalf": consents });
        let key = world.key_of(&bert).await;
        grant(&world, &bert, &[("user", "read", "own"), ("user", "write", "own")]).await;
        world.call_with(Some(&key), "PATCH", &format!("/users/{bert}"), Some(&consent), &[]).await.expect(200);
        let made = call(&world, "POST", "/emails", Some(draft(&json!({ "user_id": bert })))).await;
        let case = format!("privilege {privileged}, consent {consents}");
        if !(privileged && consents) {
            assert_eq!(made.status.as_u16(), 403, "{case}: {}", made.body);
            assert_eq!(made.complaints()[0].0, "from.user_id");
            assert_eq!(world.count("SELECT count(*) FROM emails").await, 0);
            continue;
        }
        let made = made.expect(201);
        assert_eq!(made.body["from_mailbox_id"], json!(mailbox));
        let sent = call(&world, "POST", &format!("/emails/{}/send", made.id()), None).await.expect(202).body;
        assert_eq!((&sent["sender_user_id"], &sent["owner_user_id"]), (&json!(ann), &json!(ann)));
        assert_eq!(world.count("SELECT count(*) FROM deliveries d JOIN mailboxes m ON m.id = d.mailbox_id WHERE m.name LIKE 'bert%'").await, 1);
    }
}

/// H7: consent that is withdrawn before the email is sent stops it; what is one's own needs nothing.
#[tokio::test]
async fn h7_consent_counts_when_it_is_sent() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let (bert, _) = world.user("bert").await;
    grant(&world, &ann, OWN_EMAILS).await;
    grant(&world, &ann, &[("user", "send-as-another", "all")]).await;
    let consent = |consents: bool| {
        let world = &world;
        async move {
            sqlx::query("UPDATE users SET allow_send_on_behalf = $1")
                .bind(consents)
                .execute(world.database.pool())
                .await
        }
    };
    consent(true).await.unwrap();
    let email = call(&world, "POST", "/emails", Some(draft(&json!({ "user_id": bert })))).await.expect(201).id();
    consent(false).await.unwrap();
    call(&world, "POST", &format!("/emails/{email}/send"), None).await.expect(403);
    let own = call(&world, "POST", "/emails", Some(draft(&json!({ "user_id": ann })))).await.expect(201).id();
    let sent = call(&world, "POST", &format!("/emails/{own}/send"), None).await.expect(202).body;
    assert_eq!(sent["sender_user_id"], Value::Null);
    let named = json!({ "from": { "user_id": ann }, "sender_user_id": bert });
    let refused = call(&world, "POST", "/emails", Some(named)).await.expect(403);
    assert_eq!(refused.complaints()[0].0, "sender_user_id");
}

/// H7: a program that says for whom it writes is held to that user's rights; one that does not answers for it itself. A
/// queue needs that it may be read.
#[tokio::test]
async fn h7_a_program_writes_for_a_user() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let (bert, _) = world.user("bert").await;
    let queue = world.post("/queues", json!({ "name": "Help", "address": "help@example.test" })).await.expect(201).id();
    let service = Some(Role::Service);
    for (from, grants) in [
        (json!({ "user_id": bert }), &[("user", "send-as-another", "all")][..]),
        (json!({ "queue_id": queue }), &[("queue", "read", "all")]),
    ] {
        let alone = world.call(service, "POST", "/emails", Some(&draft(&from)), &[]).await.expect(201);
        world.call(service, "POST", &format!("/emails/{}/send", alone.id()), None, &[]).await.expect(202);
        let mut wanted = draft(&from);
        wanted["sender_user_id"] = json!(ann);
        let email = world.call(service, "POST", "/emails", Some(&wanted), &[]).await.expect(201).id();
        let path = format!("/emails/{email}/send");
        world.call(service, "POST", &path, None, &[]).await.expect(403);
        grant(&world, &ann, grants).await;
        sqlx::query("UPDATE users SET allow_send_on_behalf = true").execute(world.database.pool()).await.unwrap();
        let sent = world.call(service, "POST", &path, None, &[]).await.expect(202).body;
        assert_eq!(sent["sender_user_id"], json!(ann));
    }
    let nobody = json!({ "from": { "user_id": bert }, "sender_user_id": Uuid::now_v7() });
    let refused = world.call(service, "POST", "/emails", Some(&nobody), &[]).await.expect(422);
    assert_eq!(refused.complaints()[0].0, "sender_user_id");
}

/// B14: yes by default; no needs a login and a password of its own, which is never shown, and yes takes them away.
#[tokio::test]
async fn b14_the_account_that_sends() {
    let world = World::new().await;
    let id = world.profile("a").await;
    let path = format!("/email-server-profiles/{id}");
    let before = world.get(&path).await.body;
    assert_eq!(
        (&before["same_settings_for_outgoing"], &before["outgoing_password_set"]),
        (&json!(true), &json!(false))
    );
    let refused = world.patch(&path, json!({ "same_settings_for_outgoing": false })).await.expect(422);
    let fields: Vec<_> = refused.complaints().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["outgoing_login", "outgoing_password"]);
    let refused = world.patch(&path, json!({ "outgoing_password": "s3cret-relay" })).await.expect(422);
    assert_eq!(refused.complaints()[0], ("outgoing_password".to_owned(), "not-used".to_owned()));
    let own =
        json!({ "same_settings_for_outgoing": false, "outgoing_login": "relay", "outgoing_password": "s3cret-relay" });
    let set = world.patch(&path, own).await.expect(200);
    assert_eq!((&set.body["outgoing_login"], &set.body["outgoing_password_set"]), (&json!("relay"), &json!(true)));
    assert!(!String::from_utf8_lossy(&set.bytes).contains("s3cret"));
    let sealed = "SELECT count(*) FROM email_server_profiles WHERE position('s3cret' IN encode(sealed_outgoing_secret, 'escape')) = 0";
    assert_eq!(world.count(sealed).await, 1, "it is there, and not as it was written");
    world.patch(&path, json!({ "outgoing_login": "other" })).await.expect(200);
    assert_eq!(world.count("SELECT count(sealed_outgoing_secret) FROM email_server_profiles").await, 1, "it stays");
    let back = world.patch(&path, json!({ "same_settings_for_outgoing": true })).await.expect(200).body;
    assert_eq!((&back["outgoing_login"], &back["outgoing_password_set"]), (&Value::Null, &json!(false)));
    assert_eq!(world.count("SELECT count(sealed_outgoing_secret) FROM email_server_profiles").await, 0);
}

/// B14: a name or password that would never be used is refused, and named; what an answer shows may be sent back.
#[tokio::test]
async fn b14_an_account_that_is_not_used_is_refused() {
    let world = World::new().await;
    let one = |field: &str| vec![(field.to_owned(), "not-used".to_owned())];
    let own = world.profile("own").await;
    let path = format!("/email-server-profiles/{own}");
    for field in ["login", "password", "outgoing_login", "outgoing_password"] {
        let given = json!({ field: "x" });
        assert_eq!(world.patch(&path, given.clone()).await.expect(422).complaints(), one(field));
        let mut new = profile("new");
        new[field] = json!("x");
        let refused = world.post("/email-server-profiles", new).await.expect(422);
        assert_eq!(refused.complaints(), one(field));
        assert!(!refused.body["errors"][0]["remedy"].as_str().unwrap().is_empty());
        world.patch(&path, json!({ field: null })).await.expect(200);
    }
    let mut shared = profile("shared");
    (shared["credentials"], shared["login"], shared["password"]) = (json!("profile"), json!("l"), json!("p"));
    let shared = world.post("/email-server-profiles", shared).await.expect(201).id();

    let (_, mailbox) = world.user("ann").await;
    let path = format!("/mailboxes/{mailbox}");
    world.patch(&path, json!({ "profile_id": own })).await.expect(200);
    world.patch(&path, json!({ "login": "ann", "password": "p", "allow_credentials": true })).await.expect(200);
    let moved = world.patch(&path, json!({ "profile_id": shared })).await.expect(200).body;
    assert_eq!(moved["login"], "ann", "from before");
    let names = [
        "name",
        "address",
        "profile_id",
        "incoming_method",
        "outgoing_method",
        "act_method",
        "allow_credentials",
        "login",
        "delete_after_processing",
        "verbose_logging",
        "active",
    ];
    let back: Value =
        names.iter().map(|name| ((*name).to_owned(), moved[*name].clone())).collect::<serde_json::Map<_, _>>().into();
    world.patch(&path, back).await.expect(200);
    assert_eq!(world.patch(&path, json!({ "login": "eve" })).await.expect(422).complaints(), one("login"));
    assert_eq!(world.patch(&path, json!({ "password": "p" })).await.expect(422).complaints(), one("password"));
    world.patch(&path, json!({ "allow_credentials": false, "login": null })).await.expect(200);
    let on = json!({ "allow_credentials": true, "login": "ann", "password": "p" });
    let refused = world.patch(&path, on).await.expect(422);
    let fields: Vec<_> = refused.complaints().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["allow_credentials", "login", "password"]);
    let forward = json!({
        "is_forward_mailbox": true, "name": "f", "address": "f@x.test", "profile_id": shared, "login": "f",
    });
    assert_eq!(world.post("/mailboxes", forward).await.expect(422).complaints(), one("login"));
}

/// B24, H10: who answers for a profile, whether they get an email, and whether a lost outcome is sent again: all off by
/// default, and each is checked.
#[tokio::test]
async fn b24_h10_a_profile_has_an_owner_and_a_policy() {
    let world = World::new().await;
    let id = world.profile("a").await;
    let (ann, _) = world.user("ann").await;
    let path = format!("/email-server-profiles/{id}");
    let before = world.get(&path).await.body;
    assert_eq!((&before["send_alert_email"], &before["resend_unknown"]), (&json!(false), &json!(false)));
    let refused = world.patch(&path, json!({ "send_alert_email": true })).await.expect(422);
    assert_eq!(refused.complaints()[0], ("send_alert_email".to_owned(), "no-owner".to_owned()));
    let refused = world.patch(&path, json!({ "owner_user_id": Uuid::now_v7() })).await.expect(422);
    assert_eq!(refused.complaints()[0].0, "owner_user_id");
    let fields = json!({ "owner_user_id": ann, "send_alert_email": true, "resend_unknown": true });
    let now = world.patch(&path, fields.clone()).await.expect(200).body;
    for (field, value) in fields.as_object().unwrap() {
        assert_eq!(now[field], *value);
    }
    let refused = world.patch("/organisation", json!({ "notification_queue_id": Uuid::now_v7() })).await.expect(422);
    assert_eq!(refused.complaints()[0].0, "notification_queue_id");
    let queue = world.post("/queues", json!({ "name": "Help", "address": "help@example.test" })).await.expect(201).id();
    world.patch("/organisation", json!({ "notification_queue_id": queue })).await.expect(200);
}

/// B25: a test of the servers is an operation, asked for once with an Idempotency-Key, for operators too.
#[tokio::test]
async fn b25_a_test_of_the_servers_is_asked_for() {
    let world = World::new().await;
    let id = world.profile("a").await;
    let path = format!("/email-server-profiles/{id}/test-connection");
    assert_eq!(world.get(&format!("/email-server-profiles/{id}")).await.body["last_test"], Value::Null);
    let once = [("idempotency-key", "k1")];
    let asked = world.call(Some(Role::Operator), "POST", &path, None, &once).await.expect(202);
    assert_eq!(
        (asked.body["kind"].as_str(), asked.body["state"].as_str()),
        (Some("test-profile-connection"), Some("pending"))
    );
    let again = world.call(Some(Role::Operator), "POST", &path, None, &once).await.expect(202);
    assert_eq!(asked.body["id"], again.body["id"]);
    world.call(Some(Role::Service), "POST", &path, None, &[]).await.expect(403);
    let nowhere = format!("/email-server-profiles/{}/test-connection", Uuid::now_v7());
    world.call(Some(Role::Operator), "POST", &nowhere, None, &[]).await.expect(404);
}

/// B4: email is read from one host and sent through another. B2: only what a protocol can do is taken, and no field that
/// a profile does not have. B1: several profiles; one that is used is not removed.
#[tokio::test]
async fn b1_b2_b4_profiles_are_kept() {
    let world = World::new().await;
    let first = world.profile("a").await;
    let second = world.profile("b").await;
    let kept = world.get(&format!("/email-server-profiles/{first}")).await.body;
    assert_eq!(
        (&kept["incoming"]["host"], &kept["outgoing"]["host"]),
        (&json!("pop.example.test"), &json!("smtp.example.test"))
    );
    assert_eq!((&kept["incoming"]["tls"], &kept["outgoing"]["tls"]), (&json!("implicit"), &json!("implicit")), "B6");
    let mut wrong = profile("c");
    wrong["incoming"]["protocol"] = json!("smtp");
    let refused = world.post("/email-server-profiles", wrong).await.expect(422);
    assert_eq!(refused.complaints()[0], ("incoming.protocol".to_owned(), "capability".to_owned()));
    let mut wrong = profile("c");
    wrong["incoming"]["autodiscover"] = json!(true);
    world.post("/email-server-profiles", wrong).await.expect(422);
    let (_, mailbox) = world.user("ann").await;
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": first })).await.expect(200);
    world.delete(&format!("/email-server-profiles/{first}")).await.expect(409);
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": second })).await.expect(200);
    world.delete(&format!("/email-server-profiles/{first}")).await.expect(204);
}

/// B26: one default at most; a new user's mailbox gets it.
#[tokio::test]
async fn b26_new_mailboxes_get_the_default() {
    let world = World::new().await;
    let (first, second) = (world.profile("a").await, world.profile("b").await);
    for id in [&first, &second] {
        world.patch(&format!("/email-server-profiles/{id}"), json!({ "is_default": true })).await.expect(200);
    }
    assert_eq!(world.count("SELECT count(*) FROM email_server_profiles WHERE is_default").await, 1);
    let (_, mailbox) = world.user("ann").await;
    assert_eq!(world.get(&format!("/mailboxes/{mailbox}")).await.body["profile_id"], json!(second));
    // A profile that does nothing is no default, and a default one is not switched off.
    let off = world.patch(&format!("/email-server-profiles/{second}"), json!({ "active": false })).await.expect(422);
    assert_eq!(off.complaints(), [("is_default".into(), "inactive".into())]);
    world.patch(&format!("/email-server-profiles/{first}"), json!({ "active": false })).await.expect(200);
    world.patch(&format!("/email-server-profiles/{first}"), json!({ "is_default": true })).await.expect(422);
}
