//! A stage whose mail server is a simulated Exchange in this process.

use std::sync::Arc;

use exchange_sim::{
    auth::{Account, Accounts, Schemes},
    clock, mime,
    moods::Rule,
    server::Server,
    world::mailbox::Mailbox,
};
use lockstep_connector::{Connector, Registry, TlsTrust};
use lockstep_ews::Ews;
use lockstep_model::{id::MailboxId, mailbox::TrackOption};
use lockstep_wire::{CycleReport, Outcome};
use tokio::net::TcpListener;

use crate::stage::Stage;

pub(crate) struct Exchange {
    pub(crate) stage: Stage,
    server: Arc<Server>,
}

impl Exchange {
    /// Mailboxes there are of anna, bert, support and the customer carla.
    pub(crate) async fn start() -> Self {
        let mut accounts = Accounts::default();
        for name in ["anna", "bert", "support", "carla"] {
            accounts.add(Account::read(&format!("{name}:geheim"), "muster.example", false).unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let schemes = Schemes { basic: true, ntlm: true };
        let server = Arc::new(Server::new(accounts, schemes, format!("http://{address}"), None));
        tokio::spawn(Arc::clone(&server).run(listener));
        let mut stage = Stage::new().await;
        let ews = Ews::new(TlsTrust::load(None).unwrap());
        stage.context.connectors = Registry::of([Arc::new(ews) as Arc<dyn Connector>]);
        let port = address.port();
        let side = |side: &str| {
            format!("{side}_protocol = 'ews', {side}_host = '127.0.0.1', {side}_port = {port}, {side}_tls = 'plain'")
        };
        let sql = format!("UPDATE email_server_profiles SET {}, {}", side("incoming"), side("outgoing"));
        stage.world.sql(&sql).await;
        Self { stage, server }
    }

    /// The same, with Anna's mailbox.
    pub(crate) async fn with_anna(track: TrackOption) -> (Self, MailboxId) {
        let exchange = Self::start().await;
        let anna = exchange.stage.user("anna", track).await;
        (exchange, anna)
    }

    /// One run, which must end well.
    pub(crate) async fn run(&self, mailbox: MailboxId) -> CycleReport {
        let report = self.stage.run(mailbox).await;
        assert!(matches!(report.outcome, Outcome::Completed | Outcome::Yielded), "{report:?}");
        report
    }

    /// Changes what is in somebody's mailbox.
    pub(crate) fn in_mailbox<T>(&self, of: &str, change: impl FnOnce(&mut Mailbox) -> T) -> T {
        let mut state = self.server.state();
        let number = state.world.find(&format!("{of}@muster.example")).unwrap();
        change(state.world.mailbox_mut(number).unwrap())
    }

    /// Lays a message into a folder.
    pub(crate) fn lay(&self, of: &str, folder: &'static str, message: &[u8]) {
        self.in_mailbox(of, |mailbox| {
            let (folder, now) = (mailbox.home(folder), clock::now());
            mailbox.receive(folder, mime::read(message, now), now).unwrap();
        });
    }

    /// Lays a message into a folder of this name that lies in the inbox.
    pub(crate) fn lay_below(&self, of: &str, name: &str, message: &[u8]) {
        self.in_mailbox(of, |mailbox| {
            let (inbox, now) = (mailbox.home("inbox"), clock::now());
            let folder = mailbox.create_folder(inbox, name, "IPF.Note", now).unwrap();
            mailbox.receive(folder, mime::read(message, now), now).unwrap();
        });
    }

    /// Moves everything from one folder to another, as a person does.
    pub(crate) fn drag(&self, of: &str, from: &str, to: &str) {
        self.in_mailbox(of, |mailbox| {
            let named = |name: &str| {
                let own = mailbox.folders.values().find(|folder| folder.name == name).map(|folder| folder.id);
                own.or_else(|| mailbox.distinguished(name)).unwrap()
            };
            let (from, to, now) = (named(from), named(to), clock::now());
            for item in mailbox.items_in(from) {
                mailbox.move_item(item, to, now).unwrap();
            }
        });
    }

    /// Subjects of what lies in a folder, by its own or its distinguished name; empty where there is none.
    pub(crate) fn subjects(&self, of: &str, name: &str) -> Vec<String> {
        self.in_mailbox(of, |mailbox| {
            let own = mailbox.folders.values().find(|folder| folder.name == name).map(|folder| folder.id);
            let Some(folder) = own.or_else(|| mailbox.distinguished(name)) else { return Vec::new() };
            let items = mailbox.items_in(folder).into_iter();
            let bytes = items.filter_map(|id| mailbox.items.get(&id)?.content.mime.clone());
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let subject =
                |text: String| text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned);
            text.filter_map(subject).collect()
        })
    }

    /// Switches faults on, as `/sim/moods` does.
    pub(crate) fn moods(&self, rules: &str) {
        let rules: Vec<Rule> = serde_json::from_str(rules).unwrap();
        self.server.state().moods.set(rules);
    }

    /// The emails as `direction status subject`, sorted.
    pub(crate) async fn emails(&self) -> Vec<String> {
        self.stage.world.texts("SELECT concat_ws(' ', direction, status, subject) FROM emails ORDER BY 1").await
    }

    /// What was decided of items that are no records, as `disposition reason folder`, sorted.
    pub(crate) async fn refused(&self) -> Vec<String> {
        let sql = "SELECT concat_ws(' ', disposition, reason, folder) FROM remote_items WHERE disposition <> 'tracked' ORDER BY 1";
        self.stage.world.texts(sql).await
    }

    /// Chooses something for the organisation.
    pub(crate) async fn choose(&self, setting: &str) {
        self.stage.world.sql(&format!("UPDATE organisations SET {setting}")).await;
    }
}
