//! Mailboxes on an Exchange server: the same email, over another protocol.

use std::{sync::Arc, time::Duration};

use exchange_sim::{
    auth::{Account, Accounts, Schemes},
    clock, mime,
    server::Server,
};
use lockstep_e2e::Cluster;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

pub(crate) fn id(record: &Value) -> Uuid {
    record["id"].as_str().unwrap().parse().unwrap()
}

/// A simulated Exchange in this process: users with mailboxes of their own, and an account that may act for them.
pub(crate) struct Exchange {
    pub(crate) server: Arc<Server>,
    port: u16,
}

impl Exchange {
    pub(crate) async fn start() -> Self {
        let mut accounts = Accounts::default();
        for name in ["ann", "bob", "customer"] {
            accounts.add(Account::read(&format!("{name}:secret"), "exchange.test", false).unwrap());
        }
        accounts.add(Account::read("service:secret", "exchange.test", true).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let schemes = Schemes { basic: true, ntlm: true };
        let server = Arc::new(Server::new(accounts, schemes, format!("http://{address}"), None));
        tokio::spawn(Arc::clone(&server).run(listener));
        Self::over(server, address.port())
    }

    /// One that runs already.
    pub(crate) fn over(server: Arc<Server>, port: u16) -> Self {
        Self { server, port }
    }

    /// Lays a message from outside into somebody's inbox; tells its id.
    pub(crate) fn deliver(&self, to: &str, number: usize) -> String {
        let id = format!("letter-{number}@customer.test");
        let message = format!(
            "From: Customer <customer@exchange.test>\r\nTo: {to}\r\nSubject: Letter {number}\r\nMessage-ID: <{id}>\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nText {number}\r\n"
        );
        let mut state = self.server.state();
        let account = state.world.find(to).unwrap();
        let mailbox = state.world.mailbox_mut(account).unwrap();
        let (inbox, now) = (mailbox.home("inbox"), clock::now());
        mailbox.receive(inbox, mime::read(message.as_bytes(), now), now).unwrap();
        id
    }

    /// The messages in somebody's inbox, as they travel.
    pub(crate) fn inbox(&self, of: &str) -> Vec<String> {
        let state = self.server.state();
        let mailbox = state.world.mailbox(state.world.find(of).unwrap()).unwrap();
        let messages = mailbox.items_in(mailbox.home("inbox")).into_iter();
        let messages = messages.filter_map(|id| mailbox.items.get(&id)?.content.mime.clone());
        messages.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    pub(crate) async fn profile(&self, cluster: &Cluster, more: Value) -> Uuid {
        let endpoint = json!({ "protocol": "ews", "host": "127.0.0.1", "port": self.port, "tls": "plain" });
        let mut profile = json!({
            "name": format!("Exchange {}", more["credentials"]), "incoming": endpoint, "outgoing": endpoint,
            "process_emails_from": "2000-01-01T00:00:00Z",
        });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        id(&cluster.api().post("/email-server-profiles", &profile).await)
    }

    /// A user whose enabled mailbox is on this server.
    pub(crate) async fn user(&self, cluster: &Cluster, name: &str, mailbox: Value) -> (Uuid, Uuid) {
        let address = format!("{name}@exchange.test");
        let user = json!({ "name": name, "address": address, "track_option": "all" });
        let user = id(&cluster.api().post("/users", &user).await);
        let found = cluster.api().list(&format!("/mailboxes?owner={user}")).await;
        let id = id(&found[0]);
        let mut fields = json!({
            "incoming_method": "server-side", "outgoing_method": "server-side", "process_email_from": "2000-01-01T00:00:00Z",
        });
        fields.as_object_mut().unwrap().extend(mailbox.as_object().unwrap().clone());
        cluster.api().patch(&format!("/mailboxes/{id}"), &fields).await;
        cluster.api().act(&format!("/mailboxes/{id}/approve")).await;
        let operation = cluster.api().test_and_enable(id, Duration::from_secs(60)).await;
        assert_eq!(operation["state"], "done", "{operation}");
        (user, id)
    }
}

/// A1, A2, A5, B9, B10: with accounts of their own and with one that acts for them, mailboxes on Exchange are tested, read and
/// sent from like any others; each message is one record, and an email arrives once.
#[tokio::test]
async fn a1_a5_email_comes_and_goes_over_exchange() {
    let exchange = Exchange::start().await;
    let cluster = Cluster::builder().start().await;
    let own = exchange.profile(&cluster, json!({ "credentials": "mailbox" })).await;
    let service = json!({ "credentials": "profile", "login": "service@exchange.test", "password": "secret" });
    let service = exchange.profile(&cluster, service).await;
    let account = json!({
        "profile_id": own, "allow_credentials": true, "login": "ann@exchange.test", "password": "secret",
    });
    let (ann, _) = exchange.user(&cluster, "ann", account).await;
    let (bob, _) = exchange.user(&cluster, "bob", json!({ "profile_id": service })).await;

    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(exchange.deliver(if number % 2 == 0 { "ann@exchange.test" } else { "bob@exchange.test" }, number));
    }
    cluster.wait_received(ids.len(), 60).await;
    cluster.assert_each_once(&ids).await;

    let customer = "customer@exchange.test";
    for (user, subject) in [(ann, "From Ann"), (bob, "From Bob")] {
        let email = cluster.api().create_and_send(user, &[customer], subject, json!({})).await;
        cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    }
    let arrived = exchange.inbox(customer);
    for (name, subject) in [("ann", "From Ann"), ("bob", "From Bob")] {
        let alike: Vec<_> = arrived.iter().filter(|message| message.contains(&format!("Subject: {subject}"))).collect();
        assert_eq!(alike.len(), 1, "{arrived:?}");
        assert!(
            alike[0].contains(&format!("<{name}@exchange.test>"))
                || alike[0].contains(&format!("{name}@exchange.test"))
        );
    }
    assert!(exchange.inbox("service@exchange.test").is_empty(), "the account's own mailbox is left alone");
    assert_eq!(cluster.received_emails().await, 20, "nothing came twice");
}
