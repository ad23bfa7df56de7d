//! A worker on a database of its own, with a scripted server.

use std::sync::Arc;

use lockstep_connector::{AddressRules, Connector, Registry, TlsTrust};
use lockstep_coord::{Admission, Admitted, Coord, MemoryCoord};
use lockstep_model::{
    clock::{Clock, TimeScale},
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId, MessageId, OperationId, ProfileId, RunId},
    mailbox::{Account, Lane, Owner, TrackOption},
};
use lockstep_queue::{DeliveryInfo, Handler as Handles, MemoryBroker, Metrics as QueueMetrics, Outcome as Settled};
use lockstep_wire::{CycleReport, Envelope, Message, Outcome, Queue, RunOperation, SendEmail, SyncLane};
use lockstep_workers::{
    Config, Context, Metrics, mailbox, operations, outgoing,
    webhooks::{Limits, Webhooks},
};
use prometheus::Registry as Figures;

use crate::{seed::World, server::Server};

pub(crate) const ANNA: &str = "anna@muster.example";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) server: Server,
    pub(crate) coord: Arc<MemoryCoord>,
    pub(crate) broker: MemoryBroker,
    pub(crate) context: Context,
    pub(crate) profile: ProfileId,
}

impl Stage {
    /// Servers here allow two connections an account.
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let profile = world.profile(2).await;
        let server = Server::default();
        let coord = Arc::new(MemoryCoord::opened());
        let broker = MemoryBroker::new(QueueMetrics::new().unwrap());
        let context = Context {
            store: world.store.clone(),
            publisher: Arc::new(broker.clone()),
            coord: coord.clone(),
            connectors: Registry::of([Arc::new(server.clone()) as Arc<dyn Connector>]),
            organisation: world.organisation,
            config: Config::default(),
            host: "worker-1".into(),
            scale: TimeScale::REAL,
            webhooks: webhooks(Limits::default()),
            metrics: Metrics::register(&Figures::new()).unwrap(),
        };
        Self { world, server, coord, broker, context, profile }
    }

    /// Anna, who tracks everything.
    pub(crate) async fn with_anna() -> (Self, MailboxId) {
        let stage = Self::new().await;
        let anna = stage.user("anna", TrackOption::All).await;
        (stage, anna)
    }

    pub(crate) async fn user(&self, name: &str, track: TrackOption) -> MailboxId {
        let user = self.world.user(name, track).await;
        self.world.mailbox(self.profile, Owner::User(user)).await
    }

    pub(crate) fn envelope<M: Message>(&self, body: M) -> Envelope<M> {
        Envelope {
            id: MessageId::new(),
            organisation: self.world.organisation,
            issued_at: self.world.clock.now(),
            traceparent: None,
            body,
        }
    }

    pub(crate) async fn hint(&self, mailbox: MailboxId) -> SyncLane {
        let (_, generation) = self.world.lane(mailbox).await;
        SyncLane { mailbox, lane: Lane::Incoming, generation }
    }

    /// Handles a hint as a consumer does: in a task of its own, so that a panic ends only that.
    pub(crate) async fn handle(&self, hint: SyncLane) -> Result<Settled, tokio::task::JoinError> {
        let handler = mailbox::Handler::new(self.context.clone());
        let envelope = self.envelope(hint);
        tokio::spawn(async move { handler.handle(envelope, DeliveryInfo::default()).await }).await
    }

    /// One run at the mailbox's lane; its report.
    pub(crate) async fn run(&self, mailbox: MailboxId) -> CycleReport {
        let settled = self.handle(self.hint(mailbox).await).await.unwrap();
        assert_eq!(settled, Settled::Done);
        self.assert_free(mailbox).await;
        // A run that takes long gives signs of life first.
        let mut reports = self.reports();
        let last = reports.pop().unwrap();
        assert!(reports.iter().all(|report| report.outcome == Outcome::Running), "{reports:?}");
        last
    }

    pub(crate) fn reports(&self) -> Vec<CycleReport> {
        let taken = self.broker.drain(Queue::SchedulerReport);
        taken.iter().map(|bytes| Envelope::<CycleReport>::decode(bytes).unwrap().body).collect()
    }

    pub(crate) async fn send(&self, email: EmailId, attempt: i32) -> Settled {
        let handler = outgoing::Handler::new(self.context.clone());
        let settled = handler.handle(self.envelope(SendEmail { email, attempt }), DeliveryInfo::default()).await;
        assert_eq!(self.server.connections(), 0, "every connection is closed");
        settled
    }

    pub(crate) async fn operate(&self, operation: OperationId, generation: i64) -> Settled {
        let handler = operations::Handler::new(self.context.clone());
        let hint = RunOperation { operation, generation };
        handler.handle(self.envelope(hint), DeliveryInfo::default()).await
    }

    pub(crate) fn admission(&self, mailbox: MailboxId, with_lease: bool) -> Admission {
        Admission {
            profile: self.profile,
            account: Account::of_mailbox(mailbox),
            cap: 2,
            lease: with_lease.then_some((mailbox, Lane::Incoming)),
            run: RunId::new(),
            permit_ttl: std::time::Duration::from_secs(60),
            lease_ttl: std::time::Duration::from_secs(60),
            reserve: true,
            opening: false,
        }
    }

    /// Nothing is held any more: no permit, no lease, no connection.
    pub(crate) async fn assert_free(&self, mailbox: MailboxId) {
        assert_eq!(self.server.connections(), 0, "every connection is closed");
        assert_eq!(self.coord.usage(self.profile, &Account::of_mailbox(mailbox)).await.unwrap(), 0, "permits out");
        let next = self.admission(mailbox, true);
        assert_eq!(self.coord.admit(&next).await.unwrap(), Admitted::Granted, "the lease is free");
        self.coord.release(&next).await.unwrap();
    }

    /// The items of a mailbox as `key disposition reason`, sorted.
    pub(crate) async fn items(&self, mailbox: MailboxId) -> Vec<String> {
        self.world
            .texts(&format!(
                "SELECT concat_ws(' ', convert_from(remote_key, 'UTF8'), disposition, reason) FROM remote_items
                 WHERE mailbox_id = '{mailbox}' ORDER BY 1"
            ))
            .await
    }

    pub(crate) async fn emails(&self) -> i64 {
        self.world.number("SELECT count(*) FROM emails").await
    }

    pub(crate) async fn has_cursor(&self, mailbox: MailboxId) -> bool {
        self.world.number(&format!("SELECT length(cursor) FROM lanes WHERE mailbox_id = '{mailbox}'")).await > 0
    }
}

/// Connections to receivers on this machine.
pub(crate) fn webhooks(limits: Limits) -> Webhooks {
    let trust = TlsTrust::load(None).unwrap();
    Webhooks::new(&trust, AddressRules { allow_private: true }, limits, 4).unwrap()
}

/// A plain message.
pub(crate) fn mail(id: &str, from: &str, to: &str, more: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "Received: from x by y; Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{id}@kunde.example>\r\n\
         Date: Mon, 23 Nov 2026 07:59:00 +0000\r\nFrom: {from}\r\nTo: {to}\r\nSubject: Anfrage {id}\r\n{more}"
    );
    format!("{head}\r\n{body}\r\n").into_bytes()
}

/// A message from a stranger to Anna.
pub(crate) fn plain(id: &str) -> Vec<u8> {
    mail(id, "stranger@kunde.example", ANNA, "", &format!("Guten Tag, hier ist {id}."))
}

pub(crate) fn lost() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "ConnectionLost", "closed by the server")
}

pub(crate) fn item_fault() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Transient, "ItemUnavailable", "-ERR cannot read this one")
}
