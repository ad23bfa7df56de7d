//! How a profile finds its servers and signs in.

use lockstep_store::Vault;
use serde_json::{Value, json};

use crate::world::{World, profile};

const PATH: &str = "/email-server-profiles";

/// A profile of Exchange servers without locations, and this besides.
fn exchange(name: &str, more: &Value) -> Value {
    let mut body = json!({
        "name": name, "incoming": { "protocol": "ews" }, "outgoing": { "protocol": "ews" }, "credentials": "mailbox",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn complaint(field: &str, rule: &str) -> (String, String) {
    (field.to_owned(), rule.to_owned())
}

/// B3: without Autodiscover both locations are mandatory; with it there are none, and only Exchange has it.
#[tokio::test]
async fn b3_locations_are_given_or_asked_for() {
    let world = World::new().await;
    let refused = world.post(PATH, exchange("none", &json!({}))).await.expect(422);
    assert_eq!(refused.complaints(), [complaint("incoming.host", "required"), complaint("outgoing.host", "required")]);
    assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("use_autodiscover"));
    let found = world.post(PATH, exchange("found", &json!({ "use_autodiscover": true }))).await.expect(201);
    assert_eq!((&found.body["incoming"]["host"], &found.body["incoming"]["port"]), (&json!(""), &json!(443)));
    let host = json!({ "protocol": "ews", "host": "mail.example.test" });
    let both = exchange("both", &json!({ "use_autodiscover": true, "incoming": host, "outgoing": host }));
    let refused = world.post(PATH, both).await.expect(422);
    assert_eq!(refused.complaints(), [complaint("incoming.host", "not-used"), complaint("outgoing.host", "not-used")]);
    let mut other = profile("other");
    other["use_autodiscover"] = json!(true);
    assert_eq!(world.post(PATH, other).await.expect(422).complaints()[0], complaint("use_autodiscover", "protocol"));

    // What is left over of the other way goes with the change; there and back again the locations are mandatory.
    let named = world.post(PATH, exchange("named", &json!({ "incoming": host, "outgoing": host }))).await.expect(201);
    let path = format!("{PATH}/{}", named.id());
    let now = world.patch(&path, json!({ "use_autodiscover": true })).await.expect(200).body;
    assert_eq!((&now["incoming"]["host"], &now["outgoing"]["host"]), (&json!(""), &json!("")));
    let back = world.patch(&path, json!({ "use_autodiscover": false })).await.expect(422);
    assert_eq!(back.complaints()[0], complaint("incoming.host", "required"));
    let tls = json!({ "incoming": { "tls": "start-tls" } });
    assert_eq!(world.patch(&path, tls).await.expect(422).complaints(), [complaint("incoming.tls", "autodiscover")]);
}

/// B3: where Autodiscover begins is a protected place that may be connected to.
#[tokio::test]
async fn b3_the_beginning_of_a_search_is_protected() {
    let world = World::new().await;
    let begins = |at: &str| exchange(at, &json!({ "use_autodiscover": true, "autodiscover_location": at }));
    for good in ["https://mail.example.test/autodiscover/autodiscover.xml", "autodiscover.example.test", "10.0.0.1"] {
        let made = world.post(PATH, begins(good)).await.expect(201);
        assert_eq!(made.body["autodiscover_location"], good);
    }
    for bad in [
        "http://mail.example.test/",
        "https://169.254.169.254/",
        "169.254.169.254",
        "https://a:b@mail.example.test/",
        "mail.example.test/x",
        "https://mail.example.test/?a=b",
        "ftp://mail.example.test",
        "",
    ] {
        let mut body = begins(bad);
        body["name"] = json!("bad");
        assert_eq!(
            world.post(PATH, body).await.expect(422).complaints(),
            [complaint("autodiscover_location", "host")],
            "{bad}"
        );
    }
    let unused = json!({ "autodiscover_location": "mail.example.test" });
    let refused = world.post(PATH, exchange("unused", &unused)).await.expect(422).complaints();
    assert!(refused.contains(&complaint("autodiscover_location", "not-used")), "{refused:?}");
}

/// B3: a location is a host or the whole URL of an endpoint.
#[tokio::test]
async fn b3_a_location_may_be_a_url() {
    let world = World::new().await;
    let at = |host: &str| json!({ "protocol": "ews", "host": host });
    let whole = at("https://mail.example.test:8443/EWS/Other.asmx");
    let made =
        world.post(PATH, exchange("url", &json!({ "incoming": whole, "outgoing": at("mail.example.test") }))).await;
    let made = made.expect(201);
    let incoming = &made.body["incoming"];
    assert_eq!(
        (&incoming["host"], &incoming["port"], &incoming["path"], &incoming["tls"]),
        (&json!("mail.example.test"), &json!(8443), &json!("/EWS/Other.asmx"), &json!("implicit"))
    );
    assert!(made.body["outgoing"].get("path").is_none(), "the usual one");
    let path = format!("{PATH}/{}", made.id());
    let moved = json!({ "incoming": { "host": "https://new.example.test/EWS/Exchange.asmx" } });
    let moved = world.patch(&path, moved).await.expect(200).body;
    assert_eq!((&moved["incoming"]["host"], &moved["incoming"]["port"]), (&json!("new.example.test"), &json!(443)));
    for bad in
        ["http://mail.example.test/EWS/Exchange.asmx", "https://169.254.169.254/EWS", "https://u:p@a.test/", "https://"]
    {
        let refused = world.patch(&path, json!({ "incoming": { "host": bad } })).await.expect(422);
        assert_eq!(refused.complaints(), [complaint("incoming.host", "host")], "{bad}");
    }
    for bad in ["EWS", "/a b", "/a?b", "/a#b"] {
        let refused = world.patch(&path, json!({ "incoming": { "path": bad } })).await.expect(422);
        assert_eq!(refused.complaints(), [complaint("incoming.path", "path")], "{bad}");
    }
    let mut pop3 = profile("pop3");
    pop3["incoming"]["path"] = json!("/x");
    assert_eq!(world.post(PATH, pop3).await.expect(422).complaints(), [complaint("incoming.path", "protocol")]);
}

/// B8: each value is stored for the servers that have it, and refused for others.
#[tokio::test]
async fn b8_ways_to_log_in_are_those_of_the_server() {
    let world = World::new().await;
    let found = json!({ "use_autodiscover": true });
    let made = world.post(PATH, exchange("exchange", &found)).await.expect(201);
    assert_eq!(made.body["incoming"]["auth"], "auto");
    let path = format!("{PATH}/{}", made.id());
    for auth in ["negotiate", "ntlm", "basic", "xoauth2", "auto"] {
        let body = json!({ "incoming": { "auth": auth }, "outgoing": { "auth": auth } });
        let now = world.patch(&path, body).await.expect(200).body;
        assert_eq!((&now["incoming"]["auth"], &now["outgoing"]["auth"]), (&json!(auth), &json!(auth)));
    }
    for auth in ["login", "plain"] {
        let refused = world.patch(&path, json!({ "outgoing": { "auth": auth } })).await.expect(422);
        assert_eq!(refused.complaints(), [complaint("outgoing.auth", "protocol")]);
        assert!(refused.body["errors"][0]["remedy"].as_str().unwrap().contains("ntlm"));
    }
    for auth in ["negotiate", "ntlm", "basic"] {
        let mut other = profile("other");
        other["incoming"]["auth"] = json!(auth);
        assert_eq!(world.post(PATH, other).await.expect(422).complaints(), [complaint("incoming.auth", "protocol")]);
    }
}

/// B12: an application has an id, a secret and an issuer, and nobody's password; its secret is sealed and never shown.
#[tokio::test]
async fn b12_an_application_signs_in_and_no_password_is_stored() {
    let world = World::new().await;
    let with = |more: Value| {
        let mut body = exchange("tokens", &json!({ "use_autodiscover": true, "credentials": "server-to-server" }));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let required = ["client_id", "client_secret", "tenant_id"].map(|field| complaint(field, "required"));
    assert_eq!(world.post(PATH, with(json!({}))).await.expect(422).complaints(), required);
    let whole = json!({ "client_id": "app-1", "client_secret": "geheim-9", "tenant_id": "contoso.onmicrosoft.com" });
    let password = json!({ "login": "ann", "password": "x", "client_id": "a", "client_secret": "b", "tenant_id": "c" });
    let refused = world.post(PATH, with(password)).await.expect(422).complaints();
    assert_eq!(refused, [complaint("login", "not-used"), complaint("password", "not-used")]);
    for (field, bad, rule) in [
        ("tenant_id", json!("a/b"), "tenant"),
        ("token_endpoint", json!("http://login.example.test/token"), "url"),
        ("token_endpoint", json!("https://169.254.169.254/token"), "url"),
        ("same_settings_for_outgoing", json!(false), "server-to-server"),
        ("incoming", json!({ "protocol": "ews", "auth": "ntlm" }), "not-used"),
    ] {
        let mut body = with(whole.clone());
        body[field] = bad;
        let field = if field == "incoming" { "incoming.auth" } else { field };
        let refused = world.post(PATH, body).await.expect(422).complaints();
        assert!(refused.contains(&complaint(field, rule)), "{field}: {refused:?}");
    }
    let mut pop3 = profile("pop3");
    pop3.as_object_mut().unwrap().extend(whole.as_object().unwrap().clone());
    pop3["credentials"] = json!("server-to-server");
    assert_eq!(world.post(PATH, pop3.clone()).await.expect(422).complaints(), [complaint("credentials", "protocol")]);
    pop3["credentials"] = json!("mailbox");
    let unused = ["tenant_id", "client_id", "client_secret"].map(|field| complaint(field, "not-used"));
    assert_eq!(world.post(PATH, pop3).await.expect(422).complaints(), unused);

    let made = world.post(PATH, with(whole)).await.expect(201);
    assert_eq!((&made.body["client_secret_set"], &made.body["password_set"]), (&json!(true), &json!(false)));
    assert_eq!(made.body["token_scope"], "https://outlook.office365.com/.default");
    let text = made.body.to_string();
    assert!(!text.contains("geheim") && !text.contains("\"client_secret\""), "{text}");
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed_secret FROM email_server_profiles")
        .fetch_one(world.database.pool())
        .await
        .unwrap();
    let vault = Vault::new([("test".to_owned(), vec![7; 32])]).unwrap();
    let identity = format!("email-server-profile/{}", made.id());
    assert_eq!(secrecy::ExposeSecret::expose_secret(&vault.open(&identity, &sealed).unwrap()), "geheim-9");

    // A mailbox has no account of its own beside it, and the secret is not taken for a password.
    let (_, mailbox) = world.user("ann").await;
    let own = json!({ "profile_id": made.id(), "allow_credentials": true, "login": "ann", "password": "x" });
    let refused = world.patch(&format!("/mailboxes/{mailbox}"), own).await.expect(422).complaints();
    assert!(refused.contains(&complaint("login", "not-used")), "{refused:?}");
    let path = format!("{PATH}/{}", made.id());
    let other = world.patch(&path, json!({ "credentials": "profile", "login": "service" })).await.expect(422);
    assert_eq!(other.complaints(), [complaint("password", "required")]);
    let cleared = world.patch(&path, json!({ "client_secret": null })).await.expect(422);
    assert_eq!(cleared.complaints(), [complaint("client_secret", "required")]);
    let kept =
        world.patch(&path, json!({ "token_endpoint": "https://login.example.test/token" })).await.expect(200).body;
    assert_eq!(kept["client_secret_set"], true);
    let own = world.patch(&path, json!({ "credentials": "mailbox" })).await.expect(200).body;
    assert_eq!(own["client_secret_set"], false);
    assert!(["client_id", "tenant_id", "token_endpoint", "token_scope"].iter().all(|field| own.get(field).is_none()));
    assert_eq!(world.count("SELECT count(*) FROM email_server_profiles WHERE sealed_secret IS NOT NULL").await, 0);
}

/// B3, D3: one account has one mailbox, whether its server was named or found.
#[tokio::test]
async fn b3_an_account_has_one_mailbox_wherever_its_server_was_found() {
    let world = World::new().await;
    let host = json!({ "protocol": "ews", "host": "mail.example.test" });
    let named =
        world.post(PATH, exchange("named", &json!({ "incoming": host, "outgoing": host }))).await.expect(201).id();
    let found = json!({ "use_autodiscover": true });
    let one = world.post(PATH, exchange("one", &found)).await.expect(201).id();
    let two = world.post(PATH, exchange("two", &found)).await.expect(201).id();
    let (_, ann) = world.user("ann").await;
    let (_, bob) = world.user("bob").await;
    let with = |profile: &str, login: &str| json!({ "profile_id": profile, "allow_credentials": true, "login": login, "password": "geheim" });
    let (ann, bob) = (format!("/mailboxes/{ann}"), format!("/mailboxes/{bob}"));
    for profile in [&named, &one] {
        world.patch(&ann, with(profile, "box@example.test")).await.expect(200);
        for other in [&named, &one, &two] {
            let taken = world.patch(&bob, with(other, "BOX@example.test")).await.expect(409);
            assert!(taken.body["holder"]["mailbox_id"].is_string(), "{}", taken.body);
        }
    }
    world.patch(&ann, with(&one, "box")).await.expect(200);
    world.patch(&bob, with(&two, "Box")).await.expect(409);
    world.patch(&bob, with(&named, "box")).await.expect(200);
    // Once its server is found the same way, it is the same account.
    world.patch(&format!("{PATH}/{named}"), found).await.expect(409);
}
