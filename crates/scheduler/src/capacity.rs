//! Whether servers and workers keep up; a person is told before mailboxes wait longer than promised.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::capacity::{Assessment, Demand, Limit, Supply, assess, share_of_a_server};
use lockstep_store::{
    Tx,
    alerts::{self, Severity, Subject},
    capacity::{self, ProfileDemand},
};
use lockstep_wire::Role;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Context;

/// A server that cannot keep up.
const SERVER_SHORT: &str = "CapacityShort";
/// Workers that cannot.
const WORKERS_SHORT: &str = "WorkerCapacityShort";
/// Pause between two looks, before scaling.
const EVERY: Duration = Duration::from_secs(60);
/// The shortest pause, however time is scaled.
const AT_LEAST: Duration = Duration::from_secs(1);
/// A replica not heard of for so long counts as gone; several heartbeats may be late.
const REPLICA_LIFETIME: Duration = Duration::from_secs(20);
/// Workers may all be away for so long, as when they are replaced.
const ABSENT_FOR: TimeDelta = TimeDelta::minutes(2);

/// Looks once a minute, until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    let mut watch = Watch::new(context);
    let pause = watch.context.scale.apply(EVERY).max(AT_LEAST);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = watch.look() => if let Err(error) = looked {
                tracing::warn!(%error, "whether capacity suffices is not known");
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Looks at the load, and remembers since when there has been no worker.
pub struct Watch {
    context: Context,
    absent_since: Option<DateTime<Utc>>,
}

/// The living mailbox workers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fleet {
    /// One at least does not say how much it does: it is of an older version.
    Unknown,
    /// There are none, but that may be a change of shifts.
    Away,
    /// So many runs at one time, and so many of them at one server.
    Known { slots: u32, per_server: u32, replicas: u32 },
}

impl Watch {
    /// Looks through this context.
    pub fn new(context: Context) -> Self {
        Self { context, absent_since: None }
    }

    /// One look: figures, and alerts where the verdict has changed.
    ///
    /// # Errors
    /// When the database is away; alerts stay as they were.
    pub async fn look(&mut self) -> lockstep_store::Result<()> {
        let mut tx = self.context.store.begin().await?;
        let fleet = self.fleet(&mut tx).await?;
        let profiles = capacity::profiles(&mut tx, SERVER_SHORT).await?;
        let mut busy = 0.0;
        self.context.metrics.capacity_load.reset();
        for profile in profiles.iter().filter(|profile| profile.lanes > 0 || profile.alerted) {
            busy += self.server(&mut tx, profile, fleet).await?;
        }
        self.workers(&mut tx, busy, profiles.iter().any(|profile| profile.lanes > 0), fleet).await?;
        tx.commit().await
    }

    async fn fleet(&mut self, tx: &mut Tx) -> lockstep_store::Result<Fleet> {
        let replicas = capacity::replicas(tx, Role::MailboxWorker.name(), REPLICA_LIFETIME).await?;
        if replicas.is_empty() {
            let since = *self.absent_since.get_or_insert(tx.now());
            if tx.now() - since < ABSENT_FOR {
                return Ok(Fleet::Away);
            }
        } else {
            self.absent_since = None;
        }
        if replicas.contains(&0) {
            return Ok(Fleet::Unknown);
        }
        Ok(Fleet::Known {
            slots: replicas.iter().sum(),
            per_server: replicas.iter().copied().map(share_of_a_server).sum(),
            replicas: u32::try_from(replicas.len()).unwrap_or(u32::MAX),
        })
    }

    /// Judges one server; returns how many runs it has under way on average.
    async fn server(&self, tx: &mut Tx, profile: &ProfileDemand, fleet: Fleet) -> lockstep_store::Result<f64> {
        let demand = Demand {
            lanes: profile.lanes,
            starts_per_second: profile.starts_per_second
                / self.context.scale.apply(Duration::from_secs(1)).as_secs_f64(),
            mean_cycle: profile.mean_cycle,
        };
        let supply = Supply {
            accounts: profile.accounts,
            connections: profile.max_connections,
            max_in_flight: profile.max_in_flight,
            workers: match fleet {
                Fleet::Known { per_server, replicas, .. } if replicas > 0 => Some(per_server),
                _ => None,
            },
        };
        let ((slots, limit), busy) = (supply.slots(), demand.busy());
        let found = assess(busy, slots, profile.alerted);
        self.context.metrics.capacity_load.with_label_values(&[&profile.name]).set(found.load);
        let limit = match limit {
            Limit::Connections => "its maximum of concurrent connections to an account",
            Limit::InFlight => "its maximum of runs under way",
            Limit::Workers => "the mailbox workers, of whose slots one server takes half at most",
        };
        let mut parameters = numbers(busy, slots, &found);
        parameters["profile"] = json!(profile.name);
        parameters["limit"] = json!(limit);
        tell(tx, SERVER_SHORT, Subject::Profile(profile.profile), profile.alerted, &found, parameters).await?;
        Ok(busy)
    }

    /// Judges the mailbox workers together.
    async fn workers(&self, tx: &mut Tx, busy: f64, wanted: bool, fleet: Fleet) -> lockstep_store::Result<()> {
        let Fleet::Known { slots, replicas, .. } = fleet else { return Ok(()) };
        let subject = Subject::Organisation;
        let alerted = alerts::is_open(tx, WORKERS_SHORT, subject).await?;
        // Without workers nothing is measured, but something is wanted.
        let busy = if slots == 0 && wanted { busy.max(f64::MIN_POSITIVE) } else { busy };
        let found = assess(busy, slots, alerted);
        self.context.metrics.capacity_worker_load.set(found.load);
        let each = slots.checked_div(replicas).unwrap_or(0).max(1);
        let mut parameters = numbers(busy, slots, &found);
        parameters["replicas"] = json!(replicas);
        parameters["replicas_needed"] = json!(if slots == 0 { 1 } else { found.needed.div_ceil(each) });
        tell(tx, WORKERS_SHORT, subject, alerted, &found, parameters).await
    }
}

/// The numbers an alert shows.
fn numbers(busy: f64, slots: u32, found: &Assessment) -> Value {
    let percent = if found.load.is_finite() { format!("{:.0}", found.load * 100.0) } else { "over 100".to_owned() };
    json!({ "load": percent, "busy": format!("{busy:.1}"), "slots": slots, "needed": found.needed })
}

async fn tell(
    tx: &mut Tx,
    code: &str,
    subject: Subject<'_>,
    alerted: bool,
    found: &Assessment,
    parameters: Value,
) -> lockstep_store::Result<()> {
    if found.short && !alerted {
        alerts::raise(tx, code, Severity::Warning, subject, parameters).await?;
    } else if alerted && !found.short {
        alerts::resolve(tx, code, subject).await?;
    }
    Ok(())
}
