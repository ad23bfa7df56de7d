//! The port: who may connect, who works on a lane, and who has to wait.
//!
//! # What is promised
//!
//! * A **permit** is one connection of one account. At most `cap` permits of an account are out at a time, over all
//!   replicas. It is held by a run, lives for `permit_ttl` after the last admission or renewal, and is taken before
//!   the connect and given back after the close.
//! * A **lease** is one run at one lane of one mailbox, alive for `lease_ttl` after the last admission or renewal.
//! * A **cool-down** holds for a whole profile. It refuses newcomers, never holders: a holder that could not renew
//!   would lapse while its connection is still open, and the cap would be exceeded unseen.
//! * An admission takes everything it asks for or nothing. A refused one changes no expiry of anybody.
//! * Whoever lapsed is told so at its next renewal and is not put back; it closes its connection first and then
//!   asks again as a newcomer.
//!
//! # After everything was forgotten
//!
//! Each profile has a marker. When an admission or a renewal finds none, the memory was lost (or the profile rested
//! for [`MARKER_TTL`]), and the marker is set as *born now*. Until one permit lifetime (the asker's `permit_ttl`) has
//! passed since its birth the profile is *settling*: nothing new is granted, and a renewal by an unknown holder puts it back (its
//! permit while fewer than `cap` are out, its lease while nobody else has it), since it can only be one that was
//! admitted before the loss. An admission with `opening` set creates a missing marker as grown up: the database knows that this profile
//! has never been used, so there is nobody to wait for.
//!
//! The bound: renewals come more than once a lifetime, so every living holder is counted again before anything new
//! is granted, and a complete loss exceeds the cap by nothing. What can exceed it: a fail-over that loses the last writes but
//! not the marker, by the permits granted inside the replication delay, for at most one lifetime; and a run that
//! had lapsed before the loss and renews in the window, which is put back, but inside the cap. All users of a profile should use one
//! `permit_ttl`; with different ones the shortest decides how long settling lasts for its own askers.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use lockstep_model::{
    id::{MailboxId, ProfileId, RunId},
    mailbox::{Account, Lane},
};

use crate::error::Error;

/// A profile's marker is forgotten when the profile was not used for so long.
pub const MARKER_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// No cool-down is longer, whatever a server asks for.
pub const MAX_COOL_DOWN: Duration = Duration::from_secs(60 * 60);

/// No permit and no lease lives longer without renewal.
pub const MAX_TTL: Duration = Duration::from_secs(60 * 60);

/// Hints about when a permit may become free lie between these, except while settling: permits are mostly given
/// back long before they expire.
pub(crate) const HINT: std::ops::RangeInclusive<u64> = 50..=2_000;

/// What a run asks for, and later renews and gives back: keep the value for as long as the run lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The profile: cool-downs hold for it.
    pub profile: ProfileId,
    /// The account whose connections are counted.
    pub account: Account,
    /// Upper limit of the account's connections over all replicas.
    pub cap: u32,
    /// The lane to be worked on, when the work is on a lane.
    pub lease: Option<(MailboxId, Lane)>,
    /// Who asks. One run holds at most one permit of an account.
    pub run: RunId,
    /// How long the permit lives after the last admission or renewal (1 ms to [`MAX_TTL`]). Renew at least three
    /// times as often.
    pub permit_ttl: Duration,
    /// The same for the lease.
    pub lease_ttl: Duration,
    /// May take the account's last permit: sending and tests do, scheduled work leaves one free when `cap > 1`.
    pub reserve: bool,
    /// The database says that this profile was never used before; nobody can hold anything.
    pub opening: bool,
}

impl Admission {
    /// The number of permits out at which this admission is refused.
    pub(crate) fn limit(&self) -> u32 {
        if self.reserve || self.cap <= 1 { self.cap } else { self.cap - 1 }
    }

    pub(crate) fn permit_ttl(&self) -> Duration {
        bounded(self.permit_ttl)
    }

    pub(crate) fn lease_ttl(&self) -> Duration {
        bounded(self.lease_ttl)
    }
}

fn bounded(ttl: Duration) -> Duration {
    ttl.clamp(Duration::from_millis(1), MAX_TTL)
}

/// The answer to an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Everything asked for is held now. Also the answer to a run that asks again for what it holds.
    Granted,
    /// The server wants to be left alone for this long.
    CoolingDown {
        /// What is left of it.
        wait: Duration,
    },
    /// Too many connections are open, or the profile is settling after a loss.
    NoPermit {
        /// When asking again may help.
        hint: Duration,
    },
    /// Another run works on the lane.
    LeaseBusy,
}

impl Admitted {
    /// Short name, for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::CoolingDown { .. } => "cooling_down",
            Self::NoPermit { .. } => "no_permit",
            Self::LeaseBusy => "lease_busy",
        }
    }
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The permit is held for another `permit_ttl`. When false: close the connection now.
    pub permit_held: bool,
    /// The lease is held for another `lease_ttl`; true as well when the admission has no lease. When false: somebody else may be
    /// at work, stop.
    pub lease_held: bool,
    /// The server wants to be left alone for this long; holders may go on, newcomers are refused.
    pub cooling_down: Option<Duration>,
}

/// What was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The permit was still held.
    pub permit: bool,
    /// The lease was still held; false when the admission has none.
    pub lease: bool,
}

/// Coordination between replicas. Every call is bounded in time. Every call may be repeated: none does more the
/// second time.
#[async_trait]
pub trait Coord: Send + Sync + fmt::Debug {
    /// Asks for a permit and, where the admission names a lane, its lease: both or none. Checks in this order:
    /// cool-down, lease, permit.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers. The admission may have been granted nevertheless: release it, or let it
    /// expire.
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error>;

    /// Extends what the run holds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers; what is held lives on until it expires.
    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error>;

    /// Gives back what this run holds, and nothing of anybody else's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers; what is held expires by itself.
    async fn release(&self, admission: &Admission) -> Result<Released, Error>;

    /// Refuses newcomers of a profile for a while, at most [`MAX_COOL_DOWN`]. Never shortens a longer cool-down. Returns what is in force.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers.
    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error>;

    /// Permits of an account that are out now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers.
    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error>;

    /// Whether the service behind it answers, for readiness.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    async fn ping(&self) -> Result<(), Error>;
}

#[async_trait]
impl<C: Coord + ?Sized> Coord for Arc<C> {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        (**self).admit(admission).await
    }
    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        (**self).renew(admission).await
    }
    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        (**self).release(admission).await
    }
    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        (**self).cool_down(profile, cool_down_for).await
    }
    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        (**self).usage(profile, account).await
    }
    async fn ping(&self) -> Result<(), Error> {
        (**self).ping().await
    }
}
