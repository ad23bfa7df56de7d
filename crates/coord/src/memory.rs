//! The twin in memory: the same promises inside one process, for role tests and the simulation.
//!
//! Time is tokio's, so that a test with paused time moves it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lockstep_model::{
    id::{MailboxId, ProfileId, RunId},
    mailbox::{Account, Lane},
};
use tokio::time::Instant;

use crate::{
    error::Error,
    port::{Admission, Admitted, Coord, HINT, MARKER_TTL, MAX_COOL_DOWN, Released, Renewed},
};

/// Coordination inside one process.
#[derive(Debug, Default)]
pub struct MemoryCoord {
    profiles: Mutex<HashMap<ProfileId, Slot>>,
    always_opened: bool,
}

#[derive(Debug, Default)]
struct Slot {
    marker: Option<Marker>,
    cool_until: Option<Instant>,
    permits: HashMap<Account, HashMap<RunId, Instant>>,
    leases: HashMap<(MailboxId, Lane), (RunId, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Marker {
    /// `None`: grown up from the beginning.
    born_at: Option<Instant>,
    expires_at: Instant,
}

impl MemoryCoord {
    /// A twin that knows no profile: as with a new Redis, a profile is settling at first unless the admission says
    /// that it is opening.
    pub fn new() -> Self {
        Self::default()
    }

    /// A twin in which every profile is grown up from the beginning, for tests that are about something else.
    pub fn opened() -> Self {
        Self { always_opened: true, ..Self::default() }
    }

    /// Forgets everything, as a flushed Redis does.
    pub fn flush(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProfileId, Slot>> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn expire(&mut self, now: Instant) {
        self.marker = self.marker.filter(|marker| marker.expires_at > now);
        self.cool_until = self.cool_until.filter(|until| *until > now);
        self.leases.retain(|_, (_, expires_at)| *expires_at > now);
        self.permits.retain(|_, holders| {
            holders.retain(|_, expires_at| *expires_at > now);
            !holders.is_empty()
        });
    }

    fn settling_for(&mut self, now: Instant, lifetime: Duration, opening: bool) -> Duration {
        let born_at = match self.marker {
            Some(marker) => marker.born_at,
            None => (!opening).then_some(now),
        };
        self.marker = Some(Marker { born_at, expires_at: now + MARKER_TTL });
        born_at.map_or(Duration::ZERO, |born_at| (born_at + lifetime).saturating_duration_since(now))
    }

    fn holds_permit(&self, admission: &Admission) -> bool {
        self.permits.get(&admission.account).is_some_and(|holders| holders.contains_key(&admission.run))
    }

    fn permits_out(&self, account: &Account) -> u32 {
        self.permits.get(account).map_or(0, |holders| u32::try_from(holders.len()).unwrap_or(u32::MAX))
    }

    fn hold_permit(&mut self, admission: &Admission, now: Instant) {
        let until = now + admission.permit_ttl();
        let holders = self.permits.entry(admission.account.clone()).or_default();
        let expires_at = holders.entry(admission.run).or_insert(until);
        *expires_at = until.max(*expires_at);
    }

    fn hold_lease(&mut self, admission: &Admission, now: Instant) {
        if let Some(lane) = admission.lease {
            let until = now + admission.lease_ttl();
            let lease = self.leases.entry(lane).or_insert((admission.run, until));
            *lease = (admission.run, until.max(lease.1));
        }
    }

    fn admit(&mut self, admission: &Admission, now: Instant, opening: bool) -> Admitted {
        let settling = self.settling_for(now, admission.permit_ttl(), opening);
        let has_permit = self.holds_permit(admission);
        let owner = admission.lease.and_then(|lane| self.leases.get(&lane)).map(|(owner, _)| *owner);
        let has_lease = admission.lease.is_none() || owner == Some(admission.run);
        if !(has_permit && has_lease) {
            if let Some(until) = self.cool_until {
                return Admitted::CoolingDown { wait: until - now };
            }
            if owner.is_some_and(|owner| owner != admission.run) {
                return Admitted::LeaseBusy;
            }
            if settling > Duration::ZERO {
                return Admitted::NoPermit { hint: settling };
            }
            if !has_permit && self.permits_out(&admission.account) >= admission.limit() {
                return Admitted::NoPermit { hint: self.hint(&admission.account, now) };
            }
        }
        self.hold_permit(admission, now);
        self.hold_lease(admission, now);
        Admitted::Granted
    }

    fn hint(&self, account: &Account, now: Instant) -> Duration {
        let first = self.permits.get(account).and_then(|holders| holders.values().min());
        let wait = first.map_or(1_000, |at| u64::try_from((*at - now).as_millis()).unwrap_or(u64::MAX));
        Duration::from_millis(wait.clamp(*HINT.start(), *HINT.end()))
    }

    fn renew(&mut self, admission: &Admission, now: Instant, opened: bool) -> Renewed {
        let settling = self.settling_for(now, admission.permit_ttl(), opened) > Duration::ZERO;
        let permit_held =
            self.holds_permit(admission) || (settling && self.permits_out(&admission.account) < admission.cap);
        if permit_held {
            self.hold_permit(admission, now);
        }
        let lease_held = match admission.lease.map(|lane| self.leases.get(&lane)) {
            None => true,
            Some(Some((owner, _))) => *owner == admission.run,
            Some(None) => settling && permit_held,
        };
        if lease_held {
            self.hold_lease(admission, now);
        }
        Renewed { permit_held, lease_held, cooling_down: self.cool_until.map(|until| until - now) }
    }

    fn release(&mut self, admission: &Admission) -> Released {
        let permit =
            self.permits.get_mut(&admission.account).is_some_and(|holders| holders.remove(&admission.run).is_some());
        let lease = admission.lease.is_some_and(|lane| {
            let mine = self.leases.get(&lane).is_some_and(|(owner, _)| *owner == admission.run);
            if mine {
                self.leases.remove(&lane);
            }
            mine
        });
        Released { permit, lease }
    }
}

#[async_trait]
impl Coord for MemoryCoord {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        let now = Instant::now();
        let mut profiles = self.lock();
        let slot = profiles.entry(admission.profile).or_default();
        slot.expire(now);
        Ok(slot.admit(admission, now, admission.opening || self.always_opened))
    }

    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        let now = Instant::now();
        let mut profiles = self.lock();
        let slot = profiles.entry(admission.profile).or_default();
        slot.expire(now);
        Ok(slot.renew(admission, now, self.always_opened))
    }

    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        let mut profiles = self.lock();
        let Some(slot) = profiles.get_mut(&admission.profile) else {
            return Ok(Released { permit: false, lease: false });
        };
        slot.expire(Instant::now());
        Ok(slot.release(admission))
    }

    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        let now = Instant::now();
        let mut profiles = self.lock();
        let slot = profiles.entry(profile).or_default();
        slot.expire(now);
        let wanted = now + cool_down_for.clamp(Duration::from_millis(1), MAX_COOL_DOWN);
        let until = slot.cool_until.map_or(wanted, |until| until.max(wanted));
        slot.cool_until = Some(until);
        Ok(until - now)
    }

    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        let mut profiles = self.lock();
        let Some(slot) = profiles.get_mut(&profile) else { return Ok(0) };
        slot.expire(Instant::now());
        Ok(slot.permits_out(account))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
