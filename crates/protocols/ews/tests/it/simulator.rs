//! The simulated Exchange, in this process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use exchange_sim::{
    auth::{Account, Accounts, Schemes},
    clock, mime,
    moods::Rule,
    server::Server,
    tls::Tls,
};
use lockstep_connector::{Credentials, Deadline, Target, TlsTrust};
use lockstep_ews::{Ews, client::Client};
use lockstep_model::profile::{AuthMethod, Endpoint, TlsMode};
use tokio::net::TcpListener;

/// How many mailboxes there are.
const MAILBOXES: usize = 40;

/// A running simulation with a trust that fits. It ends with the test's runtime.
pub(crate) struct Sim {
    pub(crate) server: Arc<Server>,
    pub(crate) trust: TlsTrust,
    port: u16,
    tls: TlsMode,
    next: AtomicUsize,
}

pub(crate) fn deadline() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

impl Sim {
    pub(crate) async fn start() -> Self {
        Self::with(Schemes { basic: true, ntlm: true }, false).await
    }

    pub(crate) async fn with(schemes: Schemes, tls: bool) -> Self {
        Self::built(schemes, tls, |server| server).await
    }

    /// One with more than the usual.
    pub(crate) async fn built(schemes: Schemes, tls: bool, more: impl FnOnce(Server) -> Server) -> Self {
        let mut accounts = Accounts::default();
        for number in 0..MAILBOXES {
            accounts.add(Account::read(&format!("user{number}:secret"), "example.test", false).unwrap());
        }
        accounts.add(Account::read("robot:secret", "example.test", true).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls.then(|| Tls::new(address.ip()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let authority = tls.as_ref().map(|tls| {
            let path = folder.path().join("authority.pem");
            std::fs::write(&path, &tls.authority_pem).unwrap();
            path
        });
        let trust = TlsTrust::load(authority.as_deref()).unwrap();
        let mode = if tls.is_some() { TlsMode::Implicit } else { TlsMode::Plain };
        let origin = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let server = Arc::new(more(Server::new(accounts, schemes, origin, tls)));
        tokio::spawn(Arc::clone(&server).run(listener));
        Self { server, trust, port: address.port(), tls: mode, next: AtomicUsize::new(0) }
    }

    pub(crate) fn connector(&self) -> Ews {
        Ews::new(self.trust.clone())
    }

    /// An empty mailbox that nobody used before.
    pub(crate) fn fresh(&self) -> (String, Target) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(number < MAILBOXES, "there are not so many mailboxes");
        let address = format!("user{number}@example.test");
        let target = self.target(&address);
        (address, target)
    }

    pub(crate) fn target(&self, user: &str) -> Target {
        target(self.port, self.tls, user)
    }

    pub(crate) async fn client(&self) -> (String, Client) {
        let (address, target) = self.fresh();
        let client = Client::open(self.connector().options(&target), &deadline()).await.unwrap();
        (address, client)
    }

    /// Lays messages from outside into an inbox.
    pub(crate) fn deliver(&self, address: &str, messages: &[Vec<u8>]) {
        self.lay(address, "inbox", messages);
    }

    /// Lays messages into a folder.
    pub(crate) fn lay(&self, address: &str, folder: &'static str, messages: &[Vec<u8>]) {
        let mut state = self.server.state();
        let number = state.world.find(address).unwrap();
        let mailbox = state.world.mailbox_mut(number).unwrap();
        let folder = mailbox.home(folder);
        for message in messages {
            let now = clock::now();
            mailbox.receive(folder, mime::read(message, now), now).unwrap();
        }
    }

    /// The messages in a folder of somebody's, as they travel.
    pub(crate) fn messages(&self, address: &str, folder: &'static str) -> Vec<Vec<u8>> {
        let state = self.server.state();
        let number = state.world.find(address).unwrap();
        let mailbox = state.world.mailbox(number).unwrap();
        let items = mailbox.items_in(mailbox.home(folder));
        items.into_iter().filter_map(|id| mailbox.items.get(&id)?.content.mime.clone()).collect()
    }

    /// The messages in a folder at the top of a mailbox that has this name, as they travel.
    pub(crate) fn filed(&self, address: &str, name: &str) -> Vec<Vec<u8>> {
        let state = self.server.state();
        let mailbox = state.world.mailbox(state.world.find(address).unwrap()).unwrap();
        let top = Some(mailbox.home("msgfolderroot"));
        let folder = mailbox.folders.values().find(|folder| folder.parent == top && folder.name == name);
        let items = folder.map(|folder| mailbox.items_in(folder.id)).unwrap_or_default();
        items.into_iter().filter_map(|id| mailbox.items.get(&id)?.content.mime.clone()).collect()
    }

    /// Switches faults on, as `/sim/moods` does.
    pub(crate) fn moods(&self, rules: &str) {
        let rules: Vec<Rule> = serde_json::from_str(rules).unwrap();
        self.server.state().moods.set(rules);
    }

    /// Loses every sync state that was given out.
    pub(crate) fn forget_states(&self) {
        self.server.state().world.mailboxes_mut().for_each(exchange_sim::world::mailbox::Mailbox::forget_states);
    }
}

pub(crate) fn target(port: u16, tls: TlsMode, user: &str) -> Target {
    Target {
        endpoint: Endpoint {
            protocol: "ews".parse().unwrap(),
            host: "127.0.0.1".to_owned(),
            port,
            tls,
            auth: AuthMethod::Auto,
            path: None,
        },
        credentials: Credentials::new(user, "secret".to_owned().into()),
        request_timeout: Duration::from_secs(10),
        search: None,
        application: None,
        mailbox: None,
    }
}

/// A message of a few lines.
pub(crate) fn letter(number: usize) -> Vec<u8> {
    format!(
        "From: a@example.test\r\nTo: b@example.test\r\nSubject: letter {number}\r\nMessage-ID: <{number}@letters.test>\r\n\
         \r\nbody {number}\r\n"
    )
    .into_bytes()
}
