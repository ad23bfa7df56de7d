//! The twin in memory: the same promises inside one process, for role tests and the simulation.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lockstep_wire::Queue;
use tokio::sync::watch;

use crate::{
    error::{Error, PublishError},
    metrics::Metrics,
    port::{DeliveryInfo, RawDelivery, Settle, Source, Subscription},
    publish::{Publisher, RawMessage},
    topology::DELIVERY_LIMIT,
};

/// As in the default settings of a real broker.
const MAX_LENGTH: usize = 100_000;

/// A broker inside one process. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts changes, so that whoever waits looks again.
    changes: watch::Sender<u64>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<Queue, Line>,
    dead: HashMap<Queue, VecDeque<Vec<u8>>>,
    subscriptions: u64,
}

#[derive(Debug, Default)]
struct Line {
    ready: VecDeque<Waiting>,
    /// Unsettled deliveries by subscription and tag.
    unsettled: BTreeMap<(u64, u64), Waiting>,
    tags: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    bytes: Vec<u8>,
    given_back: u32,
}

impl MemoryBroker {
    /// A broker with every queue, all empty.
    pub fn new(metrics: Metrics) -> Self {
        let queues = Queue::ALL.iter().map(|queue| (*queue, Line::default())).collect();
        let state = State { queues, ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changes: watch::Sender::new(0), metrics }) }
    }

    /// Deletes a queue with its messages, under its consumers' feet. The next subscription makes it again; until
    /// then messages for it are returned.
    pub fn delete_queue(&self, queue: Queue) {
        self.shared.change(|state| state.queues.remove(&queue));
    }

    /// Messages in a queue: ready ones and unsettled ones.
    pub fn depth(&self, queue: Queue) -> (usize, usize) {
        let state = self.shared.lock();
        state.queues.get(&queue).map_or((0, 0), |line| (line.ready.len(), line.unsettled.len()))
    }

    /// What is ready in a queue, without taking it.
    pub fn ready(&self, queue: Queue) -> Vec<Vec<u8>> {
        let state = self.shared.lock();
        state.queues.get(&queue).map_or_else(Vec::new, |line| line.ready.iter().map(|m| m.bytes.clone()).collect())
    }

    /// Takes everything that is ready in a queue, as a consumer would that acknowledges at once.
    pub fn drain(&self, queue: Queue) -> Vec<Vec<u8>> {
        self.shared.change(|state| {
            state.queues.get_mut(&queue).map_or_else(Vec::new, |line| line.ready.drain(..).map(|m| m.bytes).collect())
        })
    }

    /// Messages that ended in the dead-letter queue.
    pub fn dead(&self, queue: Queue) -> Vec<Vec<u8>> {
        self.shared.lock().dead.get(&queue).cloned().unwrap_or_default().into()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        result
    }
}

impl State {
    fn bury(&mut self, queue: Queue, bytes: Vec<u8>) {
        let dead = self.dead.entry(queue).or_default();
        if dead.len() >= MAX_LENGTH {
            dead.pop_front();
        }
        dead.push_back(bytes);
    }

    fn give_back(&mut self, queue: Queue, key: (u64, u64)) {
        let Some(line) = self.queues.get_mut(&queue) else { return };
        let Some(mut message) = line.unsettled.remove(&key) else { return };
        message.given_back += 1;
        if message.given_back > DELIVERY_LIMIT {
            self.bury(queue, message.bytes);
        } else {
            line.ready.push_front(message);
        }
    }
}

#[async_trait]
impl Publisher for MemoryBroker {
    async fn publish_raw(&self, queue: Queue, message: RawMessage) -> Result<(), PublishError> {
        let result = self.shared.change(|state| {
            let line = state.queues.get_mut(&queue).ok_or(PublishError::Returned)?;
            if line.ready.len() >= MAX_LENGTH {
                return Err(PublishError::Nacked);
            }
            line.ready.push_back(Waiting { bytes: message.bytes, given_back: 0 });
            Ok(())
        });
        let outcome = result.as_ref().err().map_or("confirmed", PublishError::name);
        self.shared.metrics.published.with_label_values(&[queue.name(), outcome]).inc();
        result
    }
}

#[async_trait]
impl Source for MemoryBroker {
    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        let id = self.shared.change(|state| {
            state.queues.entry(queue).or_default();
            state.subscriptions += 1;
            state.subscriptions
        });
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(MemorySubscription { shared, queue, id, prefetch: prefetch.max(1).into(), cancelled: false }))
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

struct MemorySubscription {
    shared: Arc<Shared>,
    queue: Queue,
    id: u64,
    prefetch: usize,
    cancelled: bool,
}

impl MemorySubscription {
    /// The next delivery; `Ok(None)`: nothing now; `Err`: the queue is gone.
    fn poll(&self) -> Result<Option<RawDelivery>, ()> {
        let mut state = self.shared.lock();
        let line = state.queues.get_mut(&self.queue).ok_or(())?;
        let out = line.unsettled.range((self.id, 0)..=(self.id, u64::MAX)).count();
        if out >= self.prefetch {
            return Ok(None);
        }
        let Some(message) = line.ready.pop_front() else { return Ok(None) };
        line.tags += 1;
        let key = (self.id, line.tags);
        line.unsettled.insert(key, message.clone());
        Ok(Some(RawDelivery {
            bytes: message.bytes,
            info: DeliveryInfo { redelivered: message.given_back > 0, delivery_count: message.given_back },
            settle: Box::new(MemorySettle { shared: Arc::clone(&self.shared), queue: self.queue, key }),
        }))
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Option<RawDelivery> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            if self.cancelled {
                return None;
            }
            changes.borrow_and_update();
            match self.poll() {
                Ok(Some(delivery)) => return Some(delivery),
                Ok(None) => changes.changed().await.ok()?,
                Err(()) => return None,
            }
        }
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
    }
}

#[derive(Debug)]
struct MemorySettle {
    shared: Arc<Shared>,
    queue: Queue,
    key: (u64, u64),
}

impl MemorySettle {
    /// The queue was deleted: as with a broker, the delivery is nobody's.
    fn gone() -> Error {
        Error::Unavailable("the queue was deleted".to_owned())
    }
}

#[async_trait]
impl Settle for MemorySettle {
    async fn ack(self: Box<Self>, and_earlier: bool) -> Result<(), Error> {
        self.shared.change(|state| {
            let line = state.queues.get_mut(&self.queue).ok_or_else(Self::gone)?;
            let first = if and_earlier { (self.key.0, 0) } else { self.key };
            line.unsettled.retain(|key, _| *key < first || *key > self.key);
            Ok(())
        })
    }

    async fn reject(self: Box<Self>) -> Result<(), Error> {
        self.shared.change(|state| {
            let line = state.queues.get_mut(&self.queue).ok_or_else(Self::gone)?;
            if let Some(message) = line.unsettled.remove(&self.key) {
                state.bury(self.queue, message.bytes);
            }
            Ok(())
        })
    }

    async fn requeue(self: Box<Self>) -> Result<(), Error> {
        self.shared.change(|state| state.give_back(self.queue, self.key));
        Ok(())
    }
}

impl Drop for MemorySettle {
    /// A delivery that nobody settled comes again, as after a lost connection.
    fn drop(&mut self) {
        self.shared.change(|state| state.give_back(self.queue, self.key));
    }
}
