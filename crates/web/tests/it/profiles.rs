//! Email server profiles.

use lockstep_store::{Vault, access::Role};
use lockstep_web::WebConfig;
use serde_json::{Value, json};

use crate::world::{World, profile};

/// B5: a profile without ports gets the protocol's; they can be changed.
#[tokio::test]
async fn b5_ports_are_filled_in_and_can_be_changed() {
    let world = World::new().await;
    let made = world.post("/email-server-profiles", profile("one")).await.expect(201);
    assert_eq!(
        (made.body["incoming"]["port"].as_u64(), made.body["outgoing"]["port"].as_u64()),
        (Some(995), Some(465))
    );
    // TLS is on unless said otherwise.
    assert_eq!(
        (made.body["incoming"]["tls"].as_str(), made.body["outgoing"]["tls"].as_str()),
        (Some("implicit"), Some("implicit"))
    );
    let path = format!("/email-server-profiles/{}", made.id());
    let other = json!({ "incoming": { "tls": "start-tls", "port": null }, "outgoing": { "port": 2465 } });
    let changed = world.patch(&path, other).await.expect(200).body;
    assert_eq!((changed["incoming"]["port"].as_u64(), changed["outgoing"]["port"].as_u64()), (Some(110), Some(2465)));
    assert_eq!(changed["incoming"]["host"], "pop.example.test", "the rest stays");
}

/// B5: a port that nobody has chosen follows a change of the TLS choice or the protocol; one that was chosen stays.
#[tokio::test]
async fn b5_ports_nobody_chose_follow() {
    let world = World::new().await;
    let made = world.post("/email-server-profiles", profile("one")).await.expect(201);
    let path = format!("/email-server-profiles/{}", made.id());
    let ports = async |patch: Value| {
        let body = world.patch(&path, patch).await.expect(200).body;
        (body["incoming"]["port"].as_u64().unwrap(), body["outgoing"]["port"].as_u64().unwrap())
    };
    let tls = |tls: &str| json!({ "incoming": { "tls": tls }, "outgoing": { "tls": tls } });
    assert_eq!(ports(tls("start-tls")).await, (110, 587));
    assert_eq!(ports(tls("implicit")).await, (995, 465));
    assert_eq!(ports(json!({ "incoming": { "protocol": "all-in-one" } })).await, (443, 465));
    assert_eq!(ports(json!({ "incoming": { "protocol": "pop3", "port": null } })).await, (995, 465));
    assert_eq!(ports(json!({ "incoming": { "port": 2995 } })).await, (2995, 465));
    assert_eq!(ports(tls("start-tls")).await, (2995, 587), "2995 was chosen");
    let chosen = json!({ "outgoing": { "tls": "implicit", "port": 587 } });
    assert_eq!(ports(chosen).await, (2995, 587), "named in the same request");
    assert_eq!(ports(json!({ "description": "x" })).await, (2995, 587));
}

/// B7: connections without TLS are refused until the deployment allows them.
#[tokio::test]
async fn b7_plain_needs_the_deployment() {
    let world = World::new().await;
    let mut plain = profile("plain");
    plain["incoming"]["tls"] = json!("plain");
    let refused = world.post("/email-server-profiles", plain.clone()).await.expect(422);
    assert_eq!(refused.complaints(), [("incoming.tls".into(), "plain-not-allowed".into())]);
    let world = World::with(&WebConfig { allow_plain_connections: true, ..WebConfig::default() }).await;
    assert_eq!(world.post("/email-server-profiles", plain).await.expect(201).body["incoming"]["port"], 110);
}

/// B13: nobody is anonymous.
#[tokio::test]
async fn b13_credentials_of_the_profile_must_be_there() {
    let world = World::new().await;
    let mut shared = profile("shared");
    shared["credentials"] = json!("profile");
    let refused = world.post("/email-server-profiles", shared.clone()).await.expect(422);
    let required = |field: &str| (field.to_owned(), "required".to_owned());
    assert_eq!(refused.complaints(), [required("login"), required("password")]);
    shared["credentials"] = json!("anonymous");
    assert_eq!(world.post("/email-server-profiles", shared).await.expect(422).complaints()[0].0, "credentials");
}

/// B15: a password is never shown, and stored as ciphertext bound to its profile.
#[tokio::test]
async fn b15_passwords_are_write_only_and_sealed() {
    let world = World::new().await;
    let mut shared = profile("shared");
    (shared["credentials"], shared["login"], shared["password"]) =
        (json!("profile"), json!("sync"), json!("geheim-123"));
    let key: &[(&str, &str)] = &[("idempotency-key", "k")];
    let made =
        world.call(Some(Role::Administrator), "POST", "/email-server-profiles", Some(&shared), key).await.expect(201);
    let path = format!("/email-server-profiles/{}", made.id());
    assert_eq!(made.body["password_set"], true);
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed_secret FROM email_server_profiles")
        .fetch_one(world.database.pool())
        .await
        .unwrap();
    assert!(!sealed.windows(6).any(|w| w == b"geheim"));
    let vault = Vault::new([("test".to_owned(), vec![7; 32])]).unwrap();
    let identity = format!("email-server-profile/{}", made.id());
    assert_eq!(secrecy::ExposeSecret::expose_secret(&vault.open(&identity, &sealed).unwrap()), "geheim-123");

    // Kept by a change of something else, gone with the account.
    assert_eq!(world.patch(&path, json!({ "description": "x" })).await.expect(200).body["password_set"], true);
    let own = world.patch(&path, json!({ "credentials": "mailbox" })).await.expect(200).body;
    assert_eq!(own["password_set"], false);
    assert!(own.get("login").is_none());
    assert_eq!(world.count("SELECT count(*) FROM email_server_profiles WHERE sealed_secret IS NOT NULL").await, 0);
    for answer in [made.body, own, world.get("/email-server-profiles").await.body] {
        let text = answer.to_string();
        assert!(!text.contains("geheim") && !text.contains("\"password\""), "{text}");
    }
    let stored = "SELECT count(*) FROM idempotency_keys WHERE body::text LIKE '%geheim%'";
    assert_eq!(world.count(stored).await, 0);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let cases: &[(&str, Value, &str, &str)] = &[
        ("/name", json!(""), "name", "length"),
        ("/name", json!("x".repeat(101)), "name", "length"),
        ("/name", json!("a\nb"), "name", "characters"),
        ("/incoming/host", json!("https://x"), "incoming.host", "host"),
        ("/incoming/host", json!("169.254.169.254"), "incoming.host", "host"),
        ("/outgoing/host", json!("0.0.0.0"), "outgoing.host", "host"),
        ("/incoming/protocol", json!("gopher"), "incoming.protocol", "choice"),
        ("/incoming/protocol", json!("smtp"), "incoming.protocol", "capability"),
        ("/incoming/port", json!(0), "incoming.port", "range"),
        ("/incoming/port", json!(70000), "incoming.port", "type"),
        ("/incoming/tls", json!("none"), "incoming.tls", "choice"),
        ("/max_connections", json!(0), "max_connections", "range"),
        ("/max_connections", json!(65537), "max_connections", "range"),
        ("/max_in_flight", json!(0), "max_in_flight", "range"),
        ("/request_timeout_ms", json!(100_001), "request_timeout_ms", "range"),
        ("/min_polling_minutes", json!(1441), "min_polling_minutes", "range"),
        ("/process_emails_from", json!("0001-01-01T00:00:00Z"), "process_emails_from", "range"),
        ("/process_emails_from", json!("yesterday"), "process_emails_from", "type"),
        ("/credentials", json!("anonymous"), "credentials", "choice"),
        ("/move_undeliverable", json!(true), "move_undeliverable", "capability"),
    ];
    for (pointer, value, field, rule) in cases {
        let mut body = profile("p");
        (body["max_connections"], body["max_in_flight"], body["request_timeout_ms"]) =
            (json!(1), json!(1), json!(1000));
        (body["min_polling_minutes"], body["process_emails_from"]) = (json!(0), json!(null));
        for side in ["incoming", "outgoing"] {
            (body[side]["port"], body[side]["tls"]) = (json!(1), json!("implicit"));
        }
        body["move_undeliverable"] = json!(false);
        *body.pointer_mut(pointer).unwrap() = value.clone();
        let refused = world.post("/email-server-profiles", body).await.expect(422);
        assert_eq!(refused.complaints(), [((*field).to_owned(), (*rule).to_owned())], "{pointer} = {value}");
    }
    let mut unknown = profile("p");
    unknown["colour"] = json!("red");
    assert_eq!(
        world.post("/email-server-profiles", unknown).await.expect(422).complaints(),
        [("colour".into(), "unknown".into())]
    );
    let known = world.post("/email-server-profiles", json!({ "name": "x" })).await.expect(422).complaints();
    assert_eq!(known, [("incoming".into(), "required".into())]);
}

#[tokio::test]
async fn one_default_and_no_deletion_in_use() {
    let world = World::new().await;
    let (first, second) = (world.profile("first").await, world.profile("second").await);
    world.patch(&format!("/email-server-profiles/{first}"), json!({ "is_default": true })).await.expect(200);
    world.patch(&format!("/email-server-profiles/{second}"), json!({ "is_default": true })).await.expect(200);
    let former = world.get(&format!("/email-server-profiles/{first}")).await;
    assert_eq!((former.body["is_default"].as_bool(), former.etag().as_str()), (Some(false), "\"3\""));
    world.user("ann").await;
    let refused = world.delete(&format!("/email-server-profiles/{second}")).await.expect(409);
    assert_eq!(
        (refused.body["type"].as_str(), refused.body["mailboxes"].as_u64()),
        (Some("/problems/in-use"), Some(1))
    );
    world.delete(&format!("/email-server-profiles/{first}")).await.expect(204);
    let taken = world.post("/email-server-profiles", profile("second")).await.expect(409);
    assert!(taken.body["detail"].as_str().unwrap().contains("name"));
}

/// B27: an encoding that nobody can decode is refused by name; a known one is kept, and may be taken away again.
#[tokio::test]
async fn b27_an_encoding_is_one_that_can_be_decoded() {
    let world = World::new().await;
    let mut odd = profile("odd");
    odd["encoding_code_page"] = json!("klingon");
    let refused = world.post("/email-server-profiles", odd.clone()).await.expect(422).complaints();
    assert_eq!(refused, [("encoding_code_page".into(), "unknown".into())]);
    odd["encoding_code_page"] = json!("windows-1251");
    let made = world.post("/email-server-profiles", odd).await.expect(201);
    assert_eq!(made.body["encoding_code_page"], "windows-1251");
    let path = format!("/email-server-profiles/{}", made.id());
    world.patch(&path, json!({ "encoding_code_page": "" })).await.expect(200);
}

/// B23: where a mailbox has folders, mail that was given up may be moved to one; the choice is off until somebody makes it,
/// and cannot be taken along to a protocol without folders.
#[tokio::test]
async fn b23_moving_needs_folders() {
    let world = World::new().await;
    let mut exchange = profile("exchange");
    for side in ["incoming", "outgoing"] {
        exchange[side]["protocol"] = json!("ews");
    }
    let made = world.post("/email-server-profiles", exchange).await.expect(201);
    assert_eq!(made.body["move_undeliverable"], false);
    let path = format!("/email-server-profiles/{}", made.id());
    let on = world.patch(&path, json!({ "move_undeliverable": true })).await.expect(200);
    assert_eq!(on.body["move_undeliverable"], true);
    assert_eq!(world.get(&path).await.body["move_undeliverable"], true);
    let pop3 = json!({ "incoming": { "protocol": "pop3" } });
    let refused = world.patch(&path, pop3).await.expect(422).complaints();
    assert_eq!(refused, [("move_undeliverable".into(), "capability".into())]);
    let both = json!({ "incoming": { "protocol": "pop3" }, "move_undeliverable": false });
    world.patch(&path, both).await.expect(200);
}
