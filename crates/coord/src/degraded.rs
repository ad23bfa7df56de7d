//! What one process may do by itself while Redis is away.
//!
//! The rule: for one permit lifetime after Redis was lost nothing new is granted, so that whatever other replicas hold is either
//! renewed by them under this same rule or has lapsed. After that a process keeps to `floor(cap / live replicas)` permits of an
//! account, where the live replicas are those of every role that opens connections: roles share accounts. Whoever held a permit before the loss keeps it as long as the share has room for it; holders beyond
//! the share may renew only during the first two thirds of the lifetime, so that, renewing at least three times a lifetime, they
//! have learned of their loss when the others begin to use their shares.
//!
//! The bound: the shares of replicas that all lost Redis together never add up to more than the cap, but for a `live` that
//! is too small for one heartbeat period. While it is not known (0), a share is nothing. A replica that alone lost Redis adds at most its share to what the others hold.
//! When Redis is back, local holders ask it again at their next renewal; until then newcomers elsewhere may be granted what
//! they occupy, for at most one renewal interval.
//!
//! Leases are granted within the process only; the fence in the database protects against the others.

use std::{collections::HashMap, time::Duration};

use lockstep_model::{
    id::{MailboxId, ProfileId, RunId},
    mailbox::{Account, Lane},
};
use tokio::time::Instant;

use crate::port::{Admission, Admitted, MAX_COOL_DOWN, Released, Renewed};

#[derive(Debug)]
struct Held {
    run: RunId,
    expires_at: Instant,
    /// Granted or renewed here while Redis was away, so that Redis may know nothing of it.
    local: bool,
}

/// What this process holds, whoever granted it. Time is an argument.
#[derive(Debug, Default)]
pub struct DegradedShare {
    /// In the order of admission: the oldest keep their permits when the share is too small for all.
    permits: HashMap<(ProfileId, Account), Vec<Held>>,
    leases: HashMap<(MailboxId, Lane), (RunId, Instant)>,
    cool_until: HashMap<ProfileId, Instant>,
}

impl DegradedShare {
    /// Notes that Redis granted or renewed what the run asked for.
    pub fn note(&mut self, admission: &Admission, now: Instant) {
        self.expire(now);
        self.hold_permit(admission, now, false);
        self.hold_lease(admission, now);
    }

    /// Forgets what the run holds.
    pub fn release(&mut self, admission: &Admission, now: Instant) -> Released {
        self.expire(now);
        let permit = self.held(admission).is_some();
        let lease = self.lease_owner(admission) == Some(admission.run);
        self.drop_permit(admission);
        if let (true, Some(lane)) = (lease, admission.lease) {
            self.leases.remove(&lane);
        }
        Released { permit, lease }
    }

    /// Whether the run holds a permit that was granted or renewed here while Redis was away.
    pub fn holds_locally(&mut self, admission: &Admission, now: Instant) -> bool {
        self.expire(now);
        self.held(admission).is_some_and(|(_, held)| held.local)
    }

    /// Notes a cool-down, so that it holds here as well. Returns what is in force.
    pub fn cool_down(&mut self, profile: ProfileId, cool_down_for: Duration, now: Instant) -> Duration {
        self.expire(now);
        let wanted = now + cool_down_for.min(MAX_COOL_DOWN);
        let until = self.cool_until.entry(profile).or_insert(wanted);
        *until = wanted.max(*until);
        *until - now
    }

    /// An admission while Redis has been away since `lost_at` and `live` replicas share the caps.
    pub fn admit(&mut self, admission: &Admission, lost_at: Instant, live: u32, now: Instant) -> Admitted {
        self.expire(now);
        let has_permit = self.held(admission).is_some();
        let owner = self.lease_owner(admission);
        let has_lease = admission.lease.is_none() || owner == Some(admission.run);
        if !(has_permit && has_lease) {
            if let Some(until) = self.cool_until.get(&admission.profile) {
                return Admitted::CoolingDown { wait: *until - now };
            }
            if owner.is_some_and(|owner| owner != admission.run) {
                return Admitted::LeaseBusy;
            }
            let waiting = (lost_at + admission.permit_ttl()).saturating_duration_since(now);
            if waiting > Duration::ZERO {
                return Admitted::NoPermit { hint: waiting };
            }
            if !has_permit && self.permits_out(&admission.profile, &admission.account) >= share(admission.limit(), live)
            {
                return Admitted::NoPermit { hint: Duration::from_secs(2) };
            }
        }
        self.hold_permit(admission, now, true);
        self.hold_lease(admission, now);
        Admitted::Granted
    }

    /// A renewal while Redis has been away since `lost_at` and `live` replicas share the caps.
    pub fn renew(&mut self, admission: &Admission, lost_at: Instant, live: u32, now: Instant) -> Renewed {
        self.expire(now);
        let rank = self.held(admission).map(|(rank, _)| rank);
        let in_share = |rank| u32::try_from(rank).is_ok_and(|rank| rank < share(admission.cap, live));
        let grace_until = lost_at + admission.permit_ttl() * 2 / 3;
        let permit_held = rank.is_some_and(|rank| in_share(rank) || now < grace_until);
        let lease_held = admission.lease.is_none() || self.lease_owner(admission) == Some(admission.run);
        if permit_held {
            self.hold_permit(admission, now, true);
        } else {
            self.drop_permit(admission);
        }
        if lease_held {
            self.hold_lease(admission, now);
        }
        let cooling_down = self.cool_until.get(&admission.profile).map(|until| *until - now);
        Renewed { permit_held, lease_held, cooling_down }
    }

    /// Permits of an account that this process holds.
    pub fn permits_out(&self, profile: &ProfileId, account: &Account) -> u32 {
        let holders = self.permits.get(&(*profile, account.clone()));
        holders.map_or(0, |holders| u32::try_from(holders.len()).unwrap_or(u32::MAX))
    }

    /// The run's permit and its rank by age.
    fn held(&self, admission: &Admission) -> Option<(usize, &Held)> {
        let holders = self.permits.get(&(admission.profile, admission.account.clone()))?;
        holders.iter().enumerate().find(|(_, held)| held.run == admission.run)
    }

    fn hold_permit(&mut self, admission: &Admission, now: Instant, local: bool) {
        let expires_at = now + admission.permit_ttl();
        let holders = self.permits.entry((admission.profile, admission.account.clone())).or_default();
        match holders.iter_mut().find(|held| held.run == admission.run) {
            Some(held) => (held.expires_at, held.local) = (expires_at, local),
            None => holders.push(Held { run: admission.run, expires_at, local }),
        }
    }

    fn hold_lease(&mut self, admission: &Admission, now: Instant) {
        if let Some(lane) = admission.lease {
            self.leases.insert(lane, (admission.run, now + admission.lease_ttl()));
        }
    }

    fn drop_permit(&mut self, admission: &Admission) {
        if let Some(holders) = self.permits.get_mut(&(admission.profile, admission.account.clone())) {
            holders.retain(|held| held.run != admission.run);
        }
    }

    fn lease_owner(&self, admission: &Admission) -> Option<RunId> {
        admission.lease.and_then(|lane| self.leases.get(&lane)).map(|(owner, _)| *owner)
    }

    fn expire(&mut self, now: Instant) {
        self.cool_until.retain(|_, until| *until > now);
        self.leases.retain(|_, (_, expires_at)| *expires_at > now);
        self.permits.retain(|_, holders| {
            holders.retain(|held| held.expires_at > now);
            !holders.is_empty()
        });
    }
}

/// One replica's part of a limit.
fn share(limit: u32, live: u32) -> u32 {
    limit.checked_div(live).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn admission(profile: ProfileId, cap: u32) -> Admission {
        Admission {
            profile,
            account: Account::of_profile(),
            cap,
            lease: None,
            run: RunId::new(),
            permit_ttl: TTL,
            lease_ttl: TTL,
            reserve: true,
            opening: false,
        }
    }

    /// N3: without Redis nothing new for one lifetime, then the local share.
    #[test]
    fn n3_after_one_lifetime_the_share_and_no_more() {
        let (profile, lost_at) = (ProfileId::new(), Instant::now());
        let mut share = DegradedShare::default();
        let early = share.admit(&admission(profile, 7), lost_at, 2, lost_at + TTL / 2);
        assert_eq!(early, Admitted::NoPermit { hint: TTL / 2 });
        let granted = (0..10)
            .filter(|_| share.admit(&admission(profile, 7), lost_at, 2, lost_at + TTL) == Admitted::Granted)
            .count();
        assert_eq!(granted, 3);
    }

    #[test]
    fn holders_beyond_the_share_learn_it_before_others_begin() {
        let (profile, lost_at) = (ProfileId::new(), Instant::now());
        let mut share = DegradedShare::default();
        let holders: Vec<_> = (0..4).map(|_| admission(profile, 4)).collect();
        for holder in &holders {
            share.note(holder, lost_at);
        }
        let held = |share: &mut DegradedShare, at| -> Vec<bool> {
            holders.iter().map(|holder| share.renew(holder, lost_at, 2, at).permit_held).collect()
        };
        assert_eq!(held(&mut share, lost_at + TTL / 3), [true; 4]);
        assert_eq!(held(&mut share, lost_at + TTL * 2 / 3), [true, true, false, false]);
        assert_eq!(share.permits_out(&profile, &Account::of_profile()), 2);
    }

    #[test]
    fn a_run_that_was_never_admitted_cannot_renew() {
        let (profile, now) = (ProfileId::new(), Instant::now());
        let mut share = DegradedShare::default();
        assert!(!share.renew(&admission(profile, 4), now, 1, now).permit_held);
    }
}
