//! Coordination that goes on, with less, while Redis is away.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lockstep_model::{id::ProfileId, mailbox::Account};
use tokio::time::Instant;

use crate::{
    degraded::DegradedShare,
    error::Error,
    metrics::Metrics,
    port::{Admission, Admitted, Coord, Released, Renewed},
};

/// While Redis is away, one call in this time tries it; the others are answered locally at once.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Wraps a coordination service: when it cannot be reached, answers come from this process's share of the permits (see
/// [`crate::degraded`]), until it answers again. Counts.
pub struct Resilient<C> {
    inner: C,
    live_replicas: Arc<AtomicU32>,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away: Option<Away>,
    share: DegradedShare,
}

#[derive(Clone, Copy)]
struct Away {
    lost_at: Instant,
    probe_at: Instant,
}

impl<C: fmt::Debug> fmt::Debug for Resilient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resilient").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<C: Coord> Resilient<C> {
    /// Wraps `inner`. The caller keeps `live_replicas` up to date from the heartbeats in the database; it counts all who
    /// share the caps, whatever their role, and this process too. 0 as long as it is not known.
    pub fn new(inner: C, live_replicas: Arc<AtomicU32>, metrics: Metrics) -> Self {
        Self { inner, live_replicas, metrics, state: Mutex::default() }
    }

    /// Whether answers are local at the moment.
    pub fn is_degraded(&self) -> bool {
        self.lock().away.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> u32 {
        self.live_replicas.load(Ordering::Relaxed)
    }

    /// Whether this call goes to the service: always while it is there, once in a while when it is not.
    fn asks_service(&self, now: Instant) -> bool {
        match &mut self.lock().away {
            None => true,
            Some(away) if now >= away.probe_at => {
                away.probe_at = now + PROBE_EVERY;
                true
            }
            Some(_) => false,
        }
    }

    /// Calls the service; `None` when it is away and the answer has to be local.
    async fn service<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Error> {
        let asked_at = Instant::now();
        if !self.asks_service(asked_at) {
            return Ok(None);
        }
        match call.await {
            Ok(answer) => {
                if self.lock().away.take().is_some() {
                    self.metrics.degraded.set(0);
                    tracing::info!("redis answers again; permits are counted over all replicas");
                }
                Ok(Some(answer))
            }
            Err(error) if error.is_unavailable() => {
                let now = Instant::now();
                let mut state = self.lock();
                if state.away.is_none() {
                    state.away = Some(Away { lost_at: now, probe_at: now + PROBE_EVERY });
                    self.metrics.degraded.set(1);
                    tracing::warn!(%error, "redis is away; nothing new for one permit lifetime, then a local share");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn locally<T>(&self, answer: impl FnOnce(&mut DegradedShare, Instant, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.lock();
        // Somebody else may have found the service again in between; then this answer is the strictest there is.
        let lost_at = state.away.map_or(now, |away| away.lost_at);
        answer(&mut state.share, lost_at, now)
    }

    /// A renewal that the service refused to a run which this process admitted while the service was away: it asks as a
    /// newcomer, with the right to the last permit, since its connection is already open.
    async fn rejoin(&self, admission: &Admission, refused: Renewed) -> Result<Renewed, Error> {
        let asked = Admission { reserve: true, opening: false, ..admission.clone() };
        match self.service(self.inner.admit(&asked)).await? {
            Some(Admitted::Granted) => Ok(Renewed { permit_held: true, lease_held: true, ..refused }),
            _ => Ok(refused),
        }
    }
}

#[async_trait]
impl<C: Coord> Coord for Resilient<C> {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        let admitted = match self.service(self.inner.admit(admission)).await {
            Ok(Some(admitted)) => {
                if admitted == Admitted::Granted {
                    self.lock().share.note(admission, Instant::now());
                }
                admitted
            }
            Ok(None) => {
                let live = self.live();
                self.locally(|share, lost_at, now| share.admit(admission, lost_at, live, now))
            }
            Err(error) => {
                self.metrics.admissions.with_label_values(&["error"]).inc();
                return Err(error);
            }
        };
        self.metrics.admissions.with_label_values(&[admitted.name()]).inc();
        Ok(admitted)
    }

    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        let renewed = match self.service(self.inner.renew(admission)).await? {
            Some(renewed) => {
                let held_locally = self.lock().share.holds_locally(admission, Instant::now());
                let lost = !renewed.permit_held || !renewed.lease_held;
                let renewed = if lost && held_locally { self.rejoin(admission, renewed).await? } else { renewed };
                if renewed.permit_held {
                    self.lock().share.note(admission, Instant::now());
                } else {
                    self.lock().share.release(admission, Instant::now());
                }
                renewed
            }
            None => {
                let live = self.live();
                self.locally(|share, lost_at, now| share.renew(admission, lost_at, live, now))
            }
        };
        if !renewed.permit_held {
            self.metrics.permits_lost.inc();
        }
        if !renewed.lease_held {
            self.metrics.leases_lost.inc();
        }
        Ok(renewed)
    }

    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        let local = self.locally(|share, _, now| share.release(admission, now));
        Ok(self.service(self.inner.release(admission)).await?.unwrap_or(local))
    }

    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        let local = self.locally(|share, _, now| share.cool_down(profile, cool_down_for, now));
        Ok(self.service(self.inner.cool_down(profile, cool_down_for)).await?.unwrap_or(local))
    }

    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        match self.service(self.inner.usage(profile, account)).await? {
            Some(usage) => Ok(usage),
            None => Ok(self.locally(|share, _, _| share.permits_out(&profile, account))),
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }
}
