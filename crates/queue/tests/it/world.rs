//! A broker, real or in memory, with a scheduler that publishes and a mailbox worker that consumes.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;
use lockstep_model::{
    id::{MailboxId, MessageId, OrganisationId, RunId},
    mailbox::Lane,
    settings::Marks,
};
use lockstep_queue::{
    Broker, Config, ConsumeOptions, DeliveryInfo, Handler, MemoryBroker, Metrics, Outcome, Publisher, PublisherExt,
    Source, Stop, consume, consume_within, topology,
};
use lockstep_test_support::{chaos::ChaosProxy, eventually, rabbitmq::TestVhost};
use lockstep_wire::{Counts, CycleReport, Envelope, Message, Queue, Role, SyncLane};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Longest wait for something that has to happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Both sides of the queues `mailbox.sync` and `scheduler.report`.
pub(crate) enum World {
    Memory(MemoryBroker),
    Real(Box<RealWorld>),
}

pub(crate) struct RealWorld {
    pub(crate) vhost: TestVhost,
    pub(crate) scheduler: Broker,
    pub(crate) worker: Broker,
    /// Both roles are connected through it.
    pub(crate) proxy: ChaosProxy,
    cancellation: CancellationToken,
}

impl Drop for RealWorld {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new().unwrap()
}

/// The address of a user with exactly the rights of a role.
pub(crate) async fn user(vhost: &TestVhost, role: Role) -> String {
    let rights = topology::permissions(role);
    vhost.user(role.name(), &rights.configure, &rights.write, &rights.read).await
}

/// A role connected with its own rights.
pub(crate) async fn connect(vhost: &TestVhost, role: Role, cancellation: &CancellationToken) -> Broker {
    let config = Config::new(user(vhost, role).await.parse().unwrap());
    let broker = Broker::connect_supervised(config, role, metrics(), cancellation.clone()).unwrap();
    connected(&broker).await;
    broker
}

pub(crate) async fn connected(broker: &Broker) {
    let mut state = broker.connected();
    tokio::time::timeout(SOON, state.wait_for(|up| *up)).await.unwrap().unwrap();
}

impl World {
    pub(crate) fn memory() -> Self {
        Self::Memory(MemoryBroker::new(metrics()))
    }

    pub(crate) async fn real() -> Self {
        let vhost = TestVhost::create().await;
        let cancellation = CancellationToken::new();
        let (proxy, _) = ChaosProxy::in_front_of_url(vhost.admin_url(), 5672).await;
        let through = async |role| {
            let mut url: Url = user(&vhost, role).await.parse().unwrap();
            url.set_host(Some("127.0.0.1")).unwrap();
            url.set_port(Some(proxy.port())).unwrap();
            let config = Config::new(url.as_str().parse().unwrap());
            let broker = Broker::connect_supervised(config, role, metrics(), cancellation.clone()).unwrap();
            connected(&broker).await;
            broker
        };
        let (scheduler, worker) = (through(Role::Scheduler).await, through(Role::MailboxWorker).await);
        Self::Real(Box::new(RealWorld { vhost, scheduler, worker, proxy, cancellation }))
    }

    /// The scheduler's side of publishing.
    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::Real(real) => Arc::new(real.scheduler.clone()),
        }
    }

    /// The mailbox worker's side of publishing.
    pub(crate) fn worker_publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::Real(real) => Arc::new(real.worker.clone()),
        }
    }

    pub(crate) fn source(&self, role: Role) -> Arc<dyn Source> {
        match (self, role) {
            (Self::Memory(broker), _) => Arc::new(broker.clone()),
            (Self::Real(real), Role::Scheduler) => Arc::new(real.scheduler.clone()),
            (Self::Real(real), _) => Arc::new(real.worker.clone()),
        }
    }

    pub(crate) async fn delete_queue(&self, queue: Queue) {
        match self {
            Self::Memory(broker) => broker.delete_queue(queue),
            Self::Real(real) => assert!(real.vhost.delete_queue(queue.name()).await),
        }
    }

    /// Messages in a queue: ready ones and unsettled ones.
    pub(crate) async fn depth(&self, queue: Queue) -> (u64, u64) {
        match self {
            Self::Memory(broker) => {
                let (ready, unsettled) = broker.depth(queue);
                (ready as u64, unsettled as u64)
            }
            Self::Real(real) => {
                let depth = real.vhost.queue_depth(queue.name()).await.unwrap();
                (depth.ready, depth.unacknowledged)
            }
        }
    }

    pub(crate) async fn dead(&self, queue: Queue) -> u64 {
        match self {
            Self::Memory(broker) => broker.dead(queue).len() as u64,
            Self::Real(real) => real.vhost.queue_depth(&queue.dead()).await.unwrap().ready,
        }
    }

    pub(crate) async fn until_dead(&self, queue: Queue, number: u64) {
        let reached = async || match (self.dead(queue).await, self.depth(queue).await) {
            (dead, (0, 0)) if dead == number => Ok(()),
            state => Err(state),
        };
        eventually(SOON, reached, "the dead-letter queue holds them and the queue is empty").await;
    }

    pub(crate) async fn until_empty(&self, queue: Queue) {
        let reached = async || match self.depth(queue).await {
            (0, 0) => Ok(()),
            state => Err(state),
        };
        eventually(SOON, reached, "the queue is empty").await;
    }

    /// Consumes `mailbox.sync` as the mailbox worker, between two marks.
    pub(crate) fn consume_within(
        &self,
        handler: &Arc<Recorder>,
        options: ConsumeOptions,
        marks: watch::Receiver<Marks>,
    ) -> Consuming {
        let (source, handler, stop) = (self.source(Role::MailboxWorker), Arc::clone(handler), Stop::default());
        let task = tokio::spawn(consume_within::<SyncLane>(source, handler, options, marks, stop.clone()));
        Consuming { stop, task }
    }

    /// Consumes `mailbox.sync` as the mailbox worker.
    pub(crate) fn consume(&self, handler: &Arc<Recorder>, options: ConsumeOptions) -> Consuming {
        let (source, handler, stop) = (self.source(Role::MailboxWorker), Arc::clone(handler), Stop::default());
        let task = tokio::spawn(consume::<SyncLane>(source, handler, options, stop.clone()));
        Consuming { stop, task }
    }

    pub(crate) async fn publish(&self, count: i64) -> Vec<Envelope<SyncLane>> {
        let envelopes: Vec<_> = (0..count).map(hint).collect();
        for result in self.publisher().publish_all(&envelopes).await {
            result.unwrap();
        }
        envelopes
    }
}

pub(crate) struct Consuming {
    pub(crate) stop: Stop,
    pub(crate) task: JoinHandle<()>,
}

impl Consuming {
    /// Stops softly and waits for the end.
    pub(crate) async fn stop(self) {
        self.stop.soft.cancel();
        tokio::time::timeout(SOON, self.task).await.unwrap().unwrap();
    }
}

pub(crate) fn options(concurrency: u16) -> ConsumeOptions {
    ConsumeOptions {
        concurrency,
        handler_timeout: SOON * 2,
        pause: (Duration::from_millis(50), Duration::from_millis(200)),
    }
}

pub(crate) fn envelope<M: Message>(body: M) -> Envelope<M> {
    Envelope {
        id: MessageId::new(),
        organisation: OrganisationId::new(),
        issued_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        traceparent: None,
        body,
    }
}

/// A hint; its generation tells the handler what to do with it.
pub(crate) fn hint(generation: i64) -> Envelope<SyncLane> {
    envelope(SyncLane { mailbox: MailboxId::new(), lane: Lane::Incoming, generation })
}

pub(crate) fn report(generation: i64) -> Envelope<CycleReport> {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    envelope(CycleReport {
        mailbox: MailboxId::new(),
        lane: Lane::Incoming,
        generation,
        run: RunId::new(),
        outcome: lockstep_wire::Outcome::Completed,
        counts: Counts::default(),
        fault: None,
        worker: None,
        started_at: at,
        ended_at: at,
        wait: None,
    })
}

pub(crate) const REFUSE: i64 = -1;
pub(crate) const PANIC: i64 = -2;
pub(crate) const UNAVAILABLE: i64 = -3;
pub(crate) const UNAVAILABLE_ONCE: i64 = -4;
pub(crate) const HANG: i64 = -5;

/// Notes what it sees, and does what the generation says. Each handling takes a permit of `gate` for good.
pub(crate) struct Recorder {
    pub(crate) seen: Mutex<BTreeMap<MessageId, Vec<DeliveryInfo>>>,
    pub(crate) generations: Mutex<HashSet<i64>>,
    pub(crate) gate: Semaphore,
    pub(crate) running: AtomicUsize,
    pub(crate) most_running: AtomicUsize,
    pub(crate) finished: AtomicUsize,
}

impl Recorder {
    pub(crate) fn open() -> Arc<Self> {
        Self::with_gate(Semaphore::MAX_PERMITS)
    }

    /// Lets `permits` handlings through; add more to the gate.
    pub(crate) fn with_gate(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            generations: Mutex::default(),
            gate: Semaphore::new(permits),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
        })
    }

    pub(crate) fn deliveries(&self, id: MessageId) -> Vec<DeliveryInfo> {
        self.seen.lock().unwrap().get(&id).cloned().unwrap_or_default()
    }

    pub(crate) async fn until_finished(&self, number: usize) {
        let reached = async || match self.finished.load(Ordering::SeqCst) {
            finished if finished >= number => Ok(()),
            finished => Err(finished),
        };
        eventually(SOON, reached, "handlers finish").await;
    }

    pub(crate) async fn until_running(&self, number: usize) {
        let reached = async || match self.running.load(Ordering::SeqCst) {
            running if running == number => Ok(()),
            running => Err(running),
        };
        eventually(SOON, reached, "handlers run").await;
    }
}

#[async_trait]
impl Handler<SyncLane> for Recorder {
    async fn handle(&self, envelope: Envelope<SyncLane>, delivery: DeliveryInfo) -> Outcome {
        let first = {
            let mut seen = self.seen.lock().unwrap();
            let deliveries = seen.entry(envelope.id).or_default();
            deliveries.push(delivery);
            deliveries.len() == 1
        };
        self.generations.lock().unwrap().insert(envelope.body.generation);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        let outcome = match envelope.body.generation {
            REFUSE => Outcome::Refused { reason: "a test".to_owned() },
            PANIC => panic!("a handler's mistake, on purpose"),
            UNAVAILABLE => Outcome::Unavailable,
            UNAVAILABLE_ONCE if first => Outcome::Unavailable,
            HANG => std::future::pending().await,
            _ => Outcome::Done,
        };
        self.finished.fetch_add(1, Ordering::SeqCst);
        outcome
    }
}
