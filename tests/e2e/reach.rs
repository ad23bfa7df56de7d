//! How Exchange is found and signed in at: Autodiscover, the ways of passwords, and an application's tokens.

use std::{sync::Arc, time::Duration};

use exchange_sim::{
    auth::{
        Account, Accounts, Schemes,
        bearer::{Application, Issuer},
    },
    moods::Rule,
    server::Server,
    tls::Tls,
};
use lockstep_e2e::{Cluster, Role};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::exchange::{Exchange, id};

const WITHIN: Duration = Duration::from_secs(60);

/// An Exchange with TLS, Autodiscover and an issuer of tokens, and a deployment that trusts it.
struct Place {
    exchange: Exchange,
    server: Arc<Server>,
    origin: String,
    cluster: Cluster,
    _authority: TempDir,
}

impl Place {
    async fn start(names: &[&str], schemes: Schemes) -> Self {
        let mut accounts = Accounts::default();
        for name in names.iter().chain(&["customer"]) {
            accounts.add(Account::read(&format!("{name}:secret"), "exchange.test", false).unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Tls::new(address.ip()).unwrap();
        let authority = tempfile::tempdir().unwrap();
        let file = authority.path().join("authority.pem");
        std::fs::write(&file, &tls.authority_pem).unwrap();
        let issuer = Issuer::new(vec![Application::read("app-1:s3cret").unwrap()], Duration::from_secs(3_600));
        let origin = format!("https://{address}");
        let server = Server::new(accounts, schemes, origin.clone(), Some(tls));
        let server = Arc::new(server.with_negotiate(true).with_issuer(issuer));
        tokio::spawn(Arc::clone(&server).run(listener));
        let file = file.display().to_string();
        let cluster = Cluster::builder().all_in_one().environment(Role::All, "LOCKSTEP__NETWORK__CA_FILE", &file);
        let cluster = cluster.start().await;
        let exchange = Exchange::over(Arc::clone(&server), address.port());
        Self { exchange, server, origin, cluster, _authority: authority }
    }

    /// A profile whose servers are asked for, or named by `more`.
    async fn profile(&self, name: &str, more: Value) -> Uuid {
        let side = json!({ "protocol": "ews" });
        let mut profile = json!({
            "name": name, "incoming": side, "outgoing": side, "use_autodiscover": true,
            "autodiscover_location": self.origin, "credentials": "mailbox",
            "process_emails_from": "2000-01-01T00:00:00Z",
        });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        id(&self.cluster.api().post("/email-server-profiles", &profile).await)
    }

    /// What an application is known by here.
    fn application(&self, secret: &str) -> Value {
        json!({
            "credentials": "server-to-server", "client_id": "app-1", "client_secret": secret,
            "token_endpoint": format!("{}/tenant/oauth2/v2.0/token", self.origin),
        })
    }

    async fn tested(&self, profile: Uuid) -> Value {
        let operation = self.cluster.api().act(&format!("/email-server-profiles/{profile}/test-connection")).await;
        self.cluster.api().operation_ended(id(&operation), WITHIN).await
    }

    fn moods(&self, rules: &str) {
        self.server.state().moods.set(serde_json::from_str::<Vec<Rule>>(rules).unwrap());
    }
}

fn own(profile: Uuid, name: &str) -> Value {
    let login = format!("{name}@exchange.test");
    json!({ "profile_id": profile, "allow_credentials": true, "login": login, "password": "secret" })
}

/// B3, B8, B12: three mailboxes of one Exchange: one found by Autodiscover and opened by Negotiate, one opened by an
/// application at a location that is a URL, one found and opened by an application. All are tested, read and sent from; no
/// password of anybody's is stored for the latter two.
#[tokio::test]
async fn b3_b8_b12_exchange_is_connected_three_ways() {
    let place = Place::start(&["ann", "bob", "cid"], Schemes { basic: false, ntlm: false }).await;
    let Place { exchange, cluster, .. } = &place;
    let negotiate = json!({ "protocol": "ews", "auth": "negotiate" });
    let found = place.profile("found", json!({ "incoming": negotiate, "outgoing": negotiate })).await;
    let url = json!({ "protocol": "ews", "host": format!("{}/EWS/Exchange.asmx", place.origin) });
    let mut named = place.application("s3cret");
    named.as_object_mut().unwrap().extend(
        json!({ "use_autodiscover": false, "autodiscover_location": null, "incoming": url, "outgoing": url })
            .as_object()
            .unwrap()
            .clone(),
    );
    let named = place.profile("named", named).await;
    let both = place.profile("both", place.application("s3cret")).await;
    let users = [
        exchange.user(cluster, "ann", own(found, "ann")).await.0,
        exchange.user(cluster, "bob", json!({ "profile_id": named })).await.0,
        exchange.user(cluster, "cid", json!({ "profile_id": both })).await.0,
    ];
    let mut ids = Vec::new();
    for (number, to) in ["ann", "bob", "cid"].iter().cycle().take(9).enumerate() {
        ids.push(exchange.deliver(&format!("{to}@exchange.test"), number));
    }
    cluster.wait_received(ids.len(), 60).await;
    cluster.assert_each_once(&ids).await;
    for (user, subject) in users.into_iter().zip(["From Ann", "From Bob", "From Cid"]) {
        let email = cluster.api().create_and_send(user, &["customer@exchange.test"], subject, json!({})).await;
        cluster.api().wait_status(email, "sent", WITHIN).await;
        let arrived = exchange.inbox("customer@exchange.test");
        let alike = arrived.iter().filter(|message| message.contains(&format!("Subject: {subject}"))).count();
        assert_eq!(alike, 1, "{subject}");
    }
    let secrets = "SELECT count(*) FROM mailboxes WHERE sealed_secret IS NOT NULL";
    assert_eq!(cluster.number(secrets).await, 1, "of Ann alone");
    let issued = place.server.issuer.issued();
    assert!((1..=4).contains(&issued), "{issued} tokens for two profiles: they are kept");

    // Tokens that are refused are fetched again.
    place.server.issuer.forget();
    let next = exchange.deliver("bob@exchange.test", 100);
    cluster.wait_received(ids.len() + 1, 60).await;
    cluster.assert_each_once(ids.iter().chain([&next])).await;
    assert!(place.server.issuer.issued() > issued);
    for (profile, location) in [(found, "not-run"), (named, "success"), (both, "success")] {
        let operation = place.tested(profile).await;
        assert_eq!(operation["state"], "done", "{operation}");
        assert_eq!(operation["result"]["incoming"]["location"]["status"], location, "{operation}");
        assert_eq!(operation["result"]["outgoing"]["authorisation"]["status"], location, "{operation}");
    }
}

/// B3: Autodiscover that goes round in a circle is told by its code, and the alert ends when it leads somewhere.
#[tokio::test]
async fn b3_a_redirect_loop_is_told_and_ends() {
    let place = Place::start(&["ann"], Schemes { basic: true, ntlm: true }).await;
    let api = place.cluster.api();
    let profile = place.profile("circle", json!({})).await;
    let user = json!({ "name": "ann", "address": "ann@exchange.test", "track_option": "all" });
    let user = id(&api.post("/users", &user).await);
    let mailbox = id(&api.list(&format!("/mailboxes?owner={user}")).await[0]);
    let mut fields = own(profile, "ann");
    fields["incoming_method"] = json!("server-side");
    api.patch(&format!("/mailboxes/{mailbox}"), &fields).await;
    api.act(&format!("/mailboxes/{mailbox}/approve")).await;
    place.moods(r#"[{"mood":"redirect_loop"}]"#);
    let operation = api.test_and_enable(mailbox, WITHIN).await;
    assert_eq!(operation["state"], "failed", "{operation}");
    assert!(operation["result"].to_string().contains("RedirectLoop"), "{operation}");
    assert!(api.alert_codes().await.contains(&"RedirectLoop".to_owned()), "{:?}", api.alert_codes().await);
    place.moods("[]");
    let operation = api.test_and_enable(mailbox, WITHIN).await;
    assert_eq!(operation["state"], "done", "{operation}");
    let codes = api.alert_codes().await;
    assert!(!codes.contains(&"RedirectLoop".to_owned()), "{codes:?}");
}

/// B12: a wrong secret of the application is told as what it is, where the profile and where a mailbox is tested, and ends
/// when it is right.
#[tokio::test]
async fn b12_a_wrong_secret_is_told_and_ends() {
    let place = Place::start(&["bob"], Schemes { basic: true, ntlm: true }).await;
    let api = place.cluster.api();
    let profile = place.profile("tokens", place.application("wr0ng")).await;
    let operation = place.tested(profile).await;
    assert_eq!(operation["state"], "failed", "{operation}");
    let user = json!({ "name": "bob", "address": "bob@exchange.test", "track_option": "all" });
    let user = id(&api.post("/users", &user).await);
    let mailbox = id(&api.list(&format!("/mailboxes?owner={user}")).await[0]);
    let fields = json!({ "profile_id": profile, "incoming_method": "server-side" });
    api.patch(&format!("/mailboxes/{mailbox}"), &fields).await;
    api.act(&format!("/mailboxes/{mailbox}/approve")).await;
    let operation = place.tested(profile).await;
    let told = &operation["result"]["incoming"]["authorisation"];
    assert_eq!((&told["status"], &told["code"]), (&json!("failure"), &json!("Unauthorized")), "{operation}");
    let operation = api.test_and_enable(mailbox, WITHIN).await;
    assert_eq!(operation["state"], "failed", "{operation}");
    assert!(!operation.to_string().contains("wr0ng"), "{operation}");
    let alerts = api.alerts().await;
    let told = alerts.iter().find(|alert| alert["code"] == "Unauthorized").unwrap_or_else(|| panic!("{alerts:?}"));
    assert!(told.to_string().contains("invalid_client"), "{told}");
    api.patch(&format!("/email-server-profiles/{profile}"), &json!({ "client_secret": "s3cret" })).await;
    let operation = api.test_and_enable(mailbox, WITHIN).await;
    assert_eq!(operation["state"], "done", "{operation}");
    assert!(!api.alert_codes().await.contains(&"Unauthorized".to_owned()));
    assert_eq!(place.tested(profile).await["state"], "done");
}
