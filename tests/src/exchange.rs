//! Mailboxes on a simulated Exchange, in the process of whoever started it.

use std::{sync::Arc, time::Duration};

use exchange_sim::{
    auth::{Account, Accounts, Schemes},
    server::Server,
    world::{item::Item, mailbox::Mailbox},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::Cluster;

/// Longest wait for the test of a mailbox.
const TESTED_WITHIN: Duration = Duration::from_secs(60);

/// A simulated Exchange: users with mailboxes of their own, all with the password `secret`, and `service`, an account
/// that may act for them.
pub struct Exchange {
    /// The simulator.
    pub server: Arc<Server>,
    /// Where it listens, without TLS.
    pub port: u16,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Exchange").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Starts one with these mailboxes, each `NAME@exchange.test`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(names: &[&str]) -> Self {
        let mut accounts = Accounts::default();
        for name in names {
            accounts.add(Account::read(&format!("{name}:secret"), "exchange.test", false).unwrap());
        }
        accounts.add(Account::read("service:secret", "exchange.test", true).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let schemes = Schemes { basic: true, ntlm: true };
        let server = Arc::new(Server::new(accounts, schemes, format!("http://{address}"), None));
        tokio::spawn(Arc::clone(&server).run(listener));
        Self { server, port: address.port() }
    }

    /// Where its service is asked.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/EWS/Exchange.asmx", self.port)
    }

    /// Looks at somebody's mailbox, or works in it as its owner does.
    ///
    /// # Panics
    /// When nobody has this address.
    pub fn in_mailbox<T>(&self, of: &str, work: impl FnOnce(&mut Mailbox) -> T) -> T {
        let mut state = self.server.state();
        let number = state.world.find(of).unwrap();
        work(state.world.mailbox_mut(number).unwrap())
    }

    /// The items of a folder.
    pub fn items(&self, of: &str, folder: &'static str) -> Vec<Item> {
        self.in_mailbox(of, |mailbox| {
            let ids = mailbox.items_in(mailbox.home(folder));
            ids.into_iter().map(|id| mailbox.item(id).unwrap().clone()).collect()
        })
    }

    /// A server profile that leads here, or to `port` in its place.
    pub async fn profile(&self, cluster: &Cluster, port: u16, more: Value) -> Uuid {
        let endpoint = json!({ "protocol": "ews", "host": "127.0.0.1", "port": port, "tls": "plain" });
        let mut profile = json!({
            "name": format!("Exchange {} {port}", more["credentials"]), "incoming": endpoint, "outgoing": endpoint,
            "process_emails_from": "2000-01-01T00:00:00Z",
        });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        id(&cluster.api().post("/email-server-profiles", &profile).await)
    }

    /// A user, and his approved mailbox here with `mailbox` set.
    pub async fn approved(&self, cluster: &Cluster, name: &str, mailbox: Value) -> (Uuid, Uuid) {
        let user = json!({ "name": name, "address": format!("{name}@exchange.test"), "track_option": "all" });
        let user = id(&cluster.api().post("/users", &user).await);
        let found = cluster.api().list(&format!("/mailboxes?owner={user}")).await;
        let id = id(&found[0]);
        cluster.api().patch(&format!("/mailboxes/{id}"), &mailbox).await;
        cluster.api().act(&format!("/mailboxes/{id}/approve")).await;
        (user, id)
    }

    /// The same, tested and enabled.
    ///
    /// # Panics
    /// When the test does not end, or cannot be made.
    pub async fn user(&self, cluster: &Cluster, name: &str, mailbox: Value) -> (Uuid, Uuid) {
        let (user, id) = self.approved(cluster, name, mailbox).await;
        let operation = cluster.api().test_and_enable(id, TESTED_WITHIN).await;
        assert_eq!(operation["state"], "done", "{operation}");
        (user, id)
    }
}

fn id(record: &Value) -> Uuid {
    record["id"].as_str().unwrap().parse().unwrap()
}
