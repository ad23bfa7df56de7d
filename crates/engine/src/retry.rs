//! When something that failed is tried again. Waiting because the server asked for it never uses up an attempt.

use std::time::Duration;

use lockstep_model::fault::{Fault, FaultClass};

use crate::cadence::shortened;

/// However long a server asks to be left alone, nothing waits longer than this for its sake.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The wait after *slow down* from a server that does not say how long.
pub const THROTTLED_WAIT: Duration = Duration::from_secs(60);

/// A doubling series of waits between a bounded number of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The wait after the first attempt.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// So many attempts, the first one included.
    pub max_attempts: u32,
}

impl Schedule {
    /// Outgoing email: 10 attempts with waits of 5, 10, 20, 40, 80, 160, 320, 390 and 390 minutes between them. That is
    /// 23 h 35 min from first to last; jitter takes off 10 % at most, so never less than 21 h 13 min.
    pub const OUTGOING: Self =
        Self { base: Duration::from_secs(5 * 60), cap: Duration::from_secs(390 * 60), max_attempts: 10 };
}

/// The wait after the given attempt (from 1), or `None` when it was the last one.
pub fn backoff(attempt: u32, schedule: &Schedule, jitter: f64) -> Option<Duration> {
    if attempt >= schedule.max_attempts {
        return None;
    }
    let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    Some(shortened(schedule.base.saturating_mul(factor).min(schedule.cap), jitter))
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again.
    Again {
        /// After this long.
        after: Duration,
        /// Whether this attempt counts against the schedule.
        counted: bool,
    },
    /// Give up: trying again cannot help, or the attempts are used up.
    GiveUp,
}

/// What follows when the given attempt (from 1) ended with this fault, judged by its class alone. A server's wish to
/// wait is respected up to [`MAX_RETRY_AFTER`]. An unclear outcome counts as transient here: whoever did something
/// that must not be done twice asks [`crate::outgoing`] instead.
pub fn after_fault(fault: &Fault, attempt: u32, schedule: &Schedule, jitter: f64) -> Retry {
    match fault.class {
        FaultClass::Throttled => Retry::Again { after: throttled_wait(fault, jitter), counted: false },
        FaultClass::Auth | FaultClass::Refused | FaultClass::Gone => Retry::GiveUp,
        FaultClass::Transient | FaultClass::Unreachable | FaultClass::Unclear | FaultClass::Bug => {
            again(fault, attempt, schedule, jitter)
        }
    }
}

/// The next attempt of the schedule whatever the fault's class, or giving up after the last one.
pub(crate) fn again(fault: &Fault, attempt: u32, schedule: &Schedule, jitter: f64) -> Retry {
    match backoff(attempt, schedule, jitter) {
        Some(wait) => Retry::Again { after: wait.max(wish(fault).unwrap_or_default()), counted: true },
        None => Retry::GiveUp,
    }
}

/// How long to leave a server alone that asked for it: as long as it said, up to [`MAX_RETRY_AFTER`]. Without a word
/// from the server [`THROTTLED_WAIT`], which alone may be shortened by jitter. Never under a second.
pub fn throttled_wait(fault: &Fault, jitter: f64) -> Duration {
    wish(fault).unwrap_or_else(|| shortened(THROTTLED_WAIT, jitter)).max(Duration::from_secs(1))
}

/// The wait after an attempt that does not count: the schedule's first one, or as long as the server wished.
pub(crate) fn uncounted_wait(fault: &Fault, schedule: &Schedule, jitter: f64) -> Duration {
    shortened(schedule.base, jitter).max(wish(fault).unwrap_or_default())
}

fn wish(fault: &Fault) -> Option<Duration> {
    fault.retry_after.map(|wait| wait.min(MAX_RETRY_AFTER))
}
