//! What every role stands on: its pool, a clock in step with the database, readiness, heartbeats, figures, tasks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lockstep_coord::{Coord, RedisCoord, Resilient};
use lockstep_model::{
    clock::SystemClock,
    id::{OrganisationId, ReplicaId},
    settings::{Marks, Settings},
};
use lockstep_queue::{Broker as Connection, Stop};
use lockstep_service::{Context, Failure, probes::ConditionHandle};
use lockstep_store::{Store, Vault, replicas, settings, shares};
use lockstep_wire::Role;
use prometheus::{
    IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    config::{Broker, Database, Redis},
    startup::open_store,
};

/// Pause between two looks at a service.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often the clock is compared with the database's.
const STEP_EVERY: Duration = Duration::from_secs(30);
/// Pause between two heartbeats.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A replica not heard of for so long counts as gone.
const REPLICA_LIFETIME: Duration = Duration::from_secs(20);
/// Roles that open connections to mail servers. An account's cap is for all of them together.
const CONNECTING: [Role; 3] = [Role::MailboxWorker, Role::OutgoingWorker, Role::AsyncWorker];
/// While something is missing, it is said this often.
const REMIND_EVERY: Duration = Duration::from_secs(30);
/// Longest wait for a service at the end of a role.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a role stands on. Ends with [`Base::close`].
pub(super) struct Base {
    pub(super) context: Context,
    pub(super) store: Store,
    /// Figures registered here carry the role's name as a label.
    pub(super) registry: Registry,
    role: &'static str,
    capacity: u16,
    clock: Arc<SystemClock>,
    /// A pool of one connection for looks and heartbeats, so that a busy role does not look dead.
    pulse: Store,
    holds: IntGaugeVec,
    replica: ReplicaId,
    /// Replicas that share the connection caps; 0 until the first heartbeat.
    live: Arc<AtomicU32>,
    work: TaskTracker,
    /// Background tasks outlive the soft stop: handlers that still run need what they keep.
    done: CancellationToken,
    _done_at_the_end: DropGuard,
}

impl Base {
    /// Opens the pool and begins to look after the database. `/readyz` shows what the role waits for from now on.
    /// `capacity` is how many runs it does at one time, 0 where it does none.
    pub(super) fn open(
        context: &Context,
        role: &'static str,
        capacity: u16,
        database: &Database,
        vault: Vault,
    ) -> Result<Self, Failure> {
        let clock = Arc::new(SystemClock::default());
        let store = open_store(database, role, database.max_connections, Arc::clone(&clock), vault.clone())?;
        let pulse = open_store(database, &format!("{role} pulse"), 1, Arc::clone(&clock), vault)?;
        let registry = role_registry(&context.registry, role).map_err(Failure::internal)?;
        let holds = IntGaugeVec::new(
            Opts::new("lockstep_role_condition_holds", "1 while a condition of readiness holds."),
            &["condition"],
        )
        .map_err(Failure::internal)?;
        registry.register(Box::new(holds.clone())).map_err(Failure::internal)?;
        let done = CancellationToken::new();
        let base = Self {
            context: context.clone(),
            store,
            registry,
            role,
            capacity,
            clock,
            pulse,
            holds,
            replica: ReplicaId::new(),
            live: Arc::default(),
            work: TaskTracker::new(),
            _done_at_the_end: done.clone().drop_guard(),
            done,
        };
        base.watch_database();
        Ok(base)
    }

    /// A condition of readiness. Where several roles share a process, it begins with the role's name.
    pub(super) fn condition(&self, name: &str) -> Condition {
        let shared = self.context.name != self.role;
        let full = if shared { format!("{}.{name}", self.role) } else { name.to_owned() };
        let gauge = self.holds.with_label_values(&[name]);
        gauge.set(0);
        Condition { handle: self.context.readiness.condition(full), gauge }
    }

    fn watch_database(&self) {
        let condition = self.condition("postgres");
        let (pulse, clock, role) = (self.pulse.clone(), Arc::clone(&self.clock), self.role);
        let (replica, capacity, live) = (self.replica, self.capacity, Arc::clone(&self.live));
        self.background(async move {
            let (mut stepped, mut beaten) = (None::<Instant>, None::<Instant>);
            let is_due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
            loop {
                match step(&pulse, &clock, is_due(stepped, STEP_EVERY)).await {
                    Ok(true) => {
                        stepped = Some(Instant::now());
                        condition.set(true, "answers");
                    }
                    Ok(false) => condition.set(true, "answers"),
                    Err(why) => condition.set(false, why),
                }
                // Only with the database's time: a beat by a wrong clock would count wrongly.
                if stepped.is_some() && is_due(beaten, BEAT_EVERY) {
                    match timeout(ANSWER_WITHIN, beat(&pulse, replica, role, capacity)).await {
                        Ok(Ok(sharing)) => {
                            beaten = Some(Instant::now());
                            live.store(sharing, Ordering::Relaxed);
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "no heartbeat"),
                        Err(_) => tracing::debug!("no heartbeat in time"),
                    }
                }
                sleep(LOOK_EVERY).await;
            }
        });
    }

    /// Waits until the database is there, has its schema and knows the organisation; `None` when the process is asked
    /// to stop before. The clock is in step afterwards.
    pub(super) async fn organisation(&self) -> Option<OrganisationId> {
        let condition = self.condition("organisation");
        let mut told: Option<Instant> = None;
        loop {
            let missing = match self.look_for_organisation().await {
                Ok(id) => {
                    condition.set(true, "set up");
                    return Some(id);
                }
                Err(missing) => missing,
            };
            condition.set(false, missing.as_str());
            if told.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
                tracing::warn!(role = self.role, "waiting: {missing}");
                told = Some(Instant::now());
            }
            tokio::select! {
                () = self.context.lifecycle.soft.cancelled() => return None,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look_for_organisation(&self) -> Result<OrganisationId, String> {
        step(&self.pulse, &self.clock, true).await?;
        let mut tx = self.store.begin().await.map_err(|error| error.to_string())?;
        match lockstep_store::organisation_id(&mut tx).await {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err("there is no organisation yet; run `lockstep migrate --organisation NAME`".to_owned()),
            Err(error) if error.is_unavailable() => Err(error.to_string()),
            Err(error) => Err(format!("the schema is missing or of another version; run `lockstep migrate` ({error})")),
        }
    }

    /// Begins to keep the role connected to the broker.
    pub(super) fn broker(&self, broker: &Broker, role: Role) -> Result<BrokerLink, Failure> {
        let key = broker.key(role);
        let config = broker.queue(role).ok_or_else(|| Failure::config(format!("`{key}` is missing")))?;
        let metrics = lockstep_queue::Metrics::register(&self.registry).map_err(Failure::internal)?;
        let stop = CancellationToken::new();
        let connection = Connection::connect_supervised(config, role, metrics, stop.clone())
            .map_err(|error| Failure::config(format!("`{key}`: {error}")))?;
        let connected = connection.connected();
        let (condition, mut changes) = (self.condition("rabbitmq"), connected.clone());
        self.background(async move {
            loop {
                let up = *changes.borrow_and_update();
                condition.set(up, if up { "connected" } else { "not connected" });
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(BrokerLink { connection, connected, _stop_at_the_end: stop.clone().drop_guard(), stop })
    }

    /// The condition of Redis, which does not hold until [`Base::coord`] has asked. Made before the organisation is known,
    /// so that the role does not seem ready in between.
    pub(super) fn redis_condition(&self) -> Condition {
        let condition = self.condition("redis");
        condition.set(false, "not asked yet");
        condition
    }

    /// Permits and leases, which go on with less while Redis is away.
    pub(super) fn coord(
        &self,
        redis: &Redis,
        organisation: OrganisationId,
        condition: Condition,
    ) -> Result<Arc<dyn Coord>, Failure> {
        let metrics = lockstep_coord::Metrics::register(&self.registry).map_err(Failure::internal)?;
        let connection = RedisCoord::connect(&redis.coord(), organisation)
            .map_err(|error| Failure::config(format!("`redis.url`: {error}")))?;
        let coord = Arc::new(Resilient::new(connection, Arc::clone(&self.live), metrics));
        let pinged = Arc::clone(&coord);
        self.background(async move {
            loop {
                match timeout(ANSWER_WITHIN, pinged.ping()).await {
                    Ok(Ok(())) => condition.set(true, "answers"),
                    Ok(Err(error)) => condition.set(false, error.to_string()),
                    Err(_) => condition.set(false, "no answer in time"),
                }
                sleep(LOOK_EVERY).await;
            }
        });
        Ok(coord)
    }

    /// The marks that `of` finds in the settings, looked at now and then.
    pub(super) fn marks(&self, of: fn(&Settings) -> Marks) -> watch::Receiver<Marks> {
        let (moved, marks) = watch::channel(of(&Settings::default()));
        let pulse = self.pulse.clone();
        self.background(async move {
            loop {
                let read = async { settings::read(&mut pulse.begin().await?).await };
                match timeout(ANSWER_WITHIN, read).await {
                    Ok(Ok(settings)) => {
                        moved.send_if_modified(|marks| std::mem::replace(marks, of(&settings)) != of(&settings));
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "the settings cannot be read; they stay as they were"),
                    Err(_) => tracing::debug!("the settings cannot be read in time; they stay as they were"),
                }
                sleep(LOOK_EVERY).await;
            }
        });
        marks
    }

    /// How consumers of this role stop.
    pub(super) fn stop(&self) -> Stop {
        Stop { soft: self.context.lifecycle.soft.clone(), hard: self.context.lifecycle.hard.clone() }
    }

    /// A task the role cannot live without; [`Base::finished`] waits for it.
    pub(super) fn task(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.work.track_future(task);
        self.context.lifecycle.spawn_critical(format!("{}.{name}", self.role), async move {
            task.await;
            Ok::<(), Failure>(())
        });
    }

    /// Waits until every task has ended.
    pub(super) async fn finished(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// Something that is kept up until the role has ended. Not waited for.
    fn background(&self, task: impl Future<Output = ()> + Send + 'static) {
        let done = self.done.clone();
        self.context.lifecycle.tracker.spawn(async move {
            tokio::select! {
                () = done.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Says goodbye and closes the pools.
    pub(super) async fn close(self) {
        self.done.cancel();
        let goodbye = async {
            let mut tx = self.pulse.begin().await?;
            replicas::leave(&mut tx, self.replica).await?;
            tx.commit().await
        };
        match timeout(FAREWELL, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%error, "the replica could not say goodbye; it is forgotten by itself"),
            Err(_) => tracing::info!("the replica could not say goodbye in time; it is forgotten by itself"),
        }
        // Connections still in use belong to work that was cut off; they end with the process.
        let _ = timeout(FAREWELL, async { tokio::join!(self.store.close(), self.pulse.close()) }).await;
    }
}

/// A condition of readiness and its figure.
pub(super) struct Condition {
    handle: ConditionHandle,
    gauge: prometheus::IntGauge,
}

impl Condition {
    pub(super) fn set(&self, ok: bool, reason: impl Into<String>) {
        self.gauge.set(i64::from(ok));
        self.handle.set(ok, reason);
    }
}

/// A role's connection to the broker, closed by [`BrokerLink::close`] or when dropped.
pub(super) struct BrokerLink {
    pub(super) connection: Connection,
    connected: watch::Receiver<bool>,
    stop: CancellationToken,
    _stop_at_the_end: DropGuard,
}

impl BrokerLink {
    /// Closes the connection, once consumers have returned: acknowledgements need it.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        let _ = timeout(FAREWELL, self.connected.wait_for(|up| !*up)).await;
    }
}

/// Looks whether the database answers, and compares clocks with it when `adjust` is set; `true` when it did.
async fn step(store: &Store, clock: &SystemClock, adjust: bool) -> Result<bool, String> {
    let look = async {
        if !adjust {
            return store.database_now().await.map(|_| false);
        }
        let doubt = clock.keep_in_step(&store.compare_clocks(clock).await?);
        tracing::debug!(offset = %clock.offset(), doubt = ?doubt, "compared clocks with the database");
        Ok(true)
    };
    match timeout(ANSWER_WITHIN, look).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

/// Notes that this replica is alive, and counts those who share the connection caps.
async fn beat(store: &Store, replica: ReplicaId, role: &str, capacity: u16) -> lockstep_store::Result<u32> {
    let mut tx = store.begin().await?;
    replicas::beat(&mut tx, replica, role, capacity, REPLICA_LIFETIME).await?;
    let sharing = shares::live(&mut tx, &CONNECTING.map(Role::name), REPLICA_LIFETIME).await?;
    tx.commit().await?;
    Ok(sharing)
}

/// A registry whose figures carry the role's name, served with the others of the process.
fn role_registry(process: &Registry, role: &str) -> prometheus::Result<Registry> {
    let label = HashMap::from([("role".to_owned(), role.to_owned())]);
    let registry = Registry::new_custom(None, Some(label.clone()))?;
    let desc = Desc::new("lockstep_role".to_owned(), "The figures of one role".to_owned(), Vec::new(), label)?;
    process.register(Box::new(RoleMetrics { desc, registry: registry.clone() }))?;
    Ok(registry)
}

struct RoleMetrics {
    desc: Desc,
    registry: Registry,
}

impl Collector for RoleMetrics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

#[cfg(test)]
mod tests {
    use lockstep_service::{Lifecycle, probes::Readiness};
    use lockstep_test_support::{eventually, postgres::TestDatabase};

    use super::*;
    use crate::{config::*, roles::RoleSettings, startup::no_vault};

    fn open<S: RoleSettings>(database: &Database) -> Base {
        let context = Context {
            name: S::NAME,
            lifecycle: Lifecycle::new(),
            registry: Registry::new(),
            readiness: Readiness::default(),
            probes: ([127, 0, 0, 1], 0).into(),
        };
        Base::open(&context, S::NAME, 16, database, no_vault().unwrap()).unwrap()
    }

    /// B20: workers of different roles divide a cap by all of them, not by their own kind.
    #[tokio::test(flavor = "multi_thread")]
    async fn b20_replicas_of_every_role_that_connects_share_the_caps() {
        let database = TestDatabase::create().await;
        let settings: Database = serde_json::from_value(serde_json::json!({ "url": database.url() })).unwrap();
        open_store(&settings, "migrate", 1, Arc::default(), no_vault().unwrap()).unwrap().migrate().await.unwrap();
        let others = [open::<SchedulerSettings>(&settings), open::<WebSettings>(&settings)];
        let sharing = [
            open::<MailboxWorkerSettings>(&settings),
            open::<MailboxWorkerSettings>(&settings),
            open::<OutgoingWorkerSettings>(&settings),
            open::<AsyncWorkerSettings>(&settings),
        ];
        let counted = async || {
            let counts: Vec<u32> = sharing.iter().map(|base| base.live.load(Ordering::Relaxed)).collect();
            if counts.iter().all(|count| *count == 4) { Ok(()) } else { Err(counts) }
        };
        eventually(Duration::from_secs(60), counted, "every worker counts all of them").await;
        for base in sharing.into_iter().chain(others) {
            base.close().await;
        }
    }
}
