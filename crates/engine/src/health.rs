//! What a fault does to one lane of one mailbox: nothing, a pause, or the end until a person acts.

use std::time::Duration;

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    mailbox::Lane,
    settings,
};

use crate::{cadence::shortened, retry};

/// The numbers lanes are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many transient faults in a row disable the lane.
    pub max_transient: u32,
    /// Pause after a transient fault.
    pub backoff: Duration,
    /// Pause after a server did not answer in time.
    pub on_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let pause = Duration::from_secs(5 * 60);
        Self { max_transient: 10, backoff: pause, on_timeout: pause }
    }
}

/// The code of a fault that means that a server did not answer a request in time.
pub const TIMED_OUT: &str = "TimedOut";

impl Settings {
    /// The numbers the deployment has set (N8).
    pub fn of(settings: &settings::Settings, lane: Lane) -> Self {
        let backoffs = settings.backoffs(lane);
        Self {
            max_transient: settings.max_transient_failures(),
            backoff: backoffs.on_transient_error,
            on_timeout: backoffs.on_timeout,
        }
    }
}

/// What is remembered of a lane's faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Transient faults of the mailbox itself, in a row.
    pub transient_failures: u32,
}

/// What becomes of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; earlier faults are forgotten. The cadence says when.
    Healthy,
    /// It goes on after a pause.
    Postpone {
        /// Length of the pause, from the end of the cycle.
        after: Duration,
        /// The new count of transient faults in a row, to be stored.
        failures: u32,
    },
    /// It stops, with an error alert under the fault's own code, until a person has mended the cause. Where the fault
    /// may heal ([`Fault::may_heal`]), it was the last of too many.
    Disable,
}

/// Judges a finished cycle. `fault` is what ended it, if anything did; a fault of a single item ends no cycle.
///
/// A fault of the profile never counts against its mailboxes: one outage must not disable ten thousand of them. It goes
/// to the [breaker](crate::breaker). A server that asks for less is obeyed, which is no fault of the mailbox either.
pub fn judge(fault: Option<&Fault>, health: Health, settings: &Settings, jitter: f64) -> Verdict {
    let Some(fault) = fault else { return Verdict::Healthy };
    let unchanged = |after| Verdict::Postpone { after, failures: health.transient_failures };
    match (fault.scope, fault.class) {
        (FaultScope::Item, _) => Verdict::Healthy,
        (_, FaultClass::Throttled) => unchanged(retry::throttled_wait(fault, jitter)),
        (FaultScope::Profile, _) => unchanged(shortened(settings.backoff, jitter)),
        (FaultScope::Mailbox, FaultClass::Auth | FaultClass::Refused | FaultClass::Gone) => Verdict::Disable,
        (FaultScope::Mailbox, _) => {
            let failures = health.transient_failures.saturating_add(1);
            if failures >= settings.max_transient {
                return Verdict::Disable;
            }
            let wish = fault.retry_after.unwrap_or_default().min(retry::MAX_RETRY_AFTER);
            let pause = if fault.code == TIMED_OUT { settings.on_timeout } else { settings.backoff };
            // To the second, as it was set: mailboxes fail one by one, so nothing has to be spread.
            Verdict::Postpone { after: pause.max(wish), failures }
        }
    }
}
