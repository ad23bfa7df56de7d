//! The breaker of a profile: when its server fails, everybody waits, one probe at a time finds out whether it is back,
//! and a person is told once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::{cadence::shortened, retry::MAX_RETRY_AFTER};

/// The numbers of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many faults of the profile in a row open it.
    pub threshold: u32,
    /// How long it stays open at first; doubles with every probe that fails.
    pub base: Duration,
    /// The longest it stays open without a probe.
    pub cap: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 3, base: Duration::from_secs(30), cap: Duration::from_secs(10 * 60) }
    }
}

/// The state of a breaker. Only `Closed` and `Open` need storing: an open one whose time is over *is* half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// Everything passes.
    Closed {
        /// Faults of the profile in a row.
        failures: u32,
    },
    /// Nothing passes.
    Open {
        /// When a probe may go.
        until: DateTime<Utc>,
        /// Since when the server has been failing for us.
        opened_at: DateTime<Utc>,
        /// How many probes have failed.
        step: u32,
    },
    /// One probe at a time passes.
    HalfOpen {
        /// Since when the server has been failing for us.
        opened_at: DateTime<Utc>,
        /// How many probes have failed.
        step: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// What a person is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    None,
    /// The server has failed: raise one alert.
    Opened,
    /// The server is back: clear the alert.
    Closed,
}

impl Breaker {
    /// The breaker as it stands at this moment: an open one whose time is over is half open.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        match self {
            Self::Open { until, opened_at, step } if until <= now => Self::HalfOpen { opened_at, step },
            same => same,
        }
    }

    /// Folds in how a run at the profile ended. What came up on our own side says nothing. Of the rest, whatever is not
    /// a fault of the profile shows that its server answers, and so does its asking for less.
    #[must_use]
    pub fn observe(
        self,
        fault: Option<&Fault>,
        now: DateTime<Utc>,
        settings: &Settings,
        jitter: f64,
    ) -> (Self, Transition) {
        match fault {
            Some(fault) if fault.local => (self, Transition::None),
            Some(fault) if fault.scope == FaultScope::Profile && fault.class != FaultClass::Throttled => {
                self.on_failure(now, fault.retry_after, settings, jitter)
            }
            _ => self.on_success(),
        }
    }

    /// A fault of the profile. While the breaker is open it changes nothing: that run began before. `retry_after` is
    /// the server's wish, respected up to [`MAX_RETRY_AFTER`].
    #[must_use]
    pub fn on_failure(
        self,
        now: DateTime<Utc>,
        retry_after: Option<Duration>,
        settings: &Settings,
        jitter: f64,
    ) -> (Self, Transition) {
        let open = |opened_at, step| {
            let wish = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
            let wait = shortened(open_time(step, settings), jitter).max(wish);
            Self::Open { until: now + wait, opened_at, step }
        };
        match self.at(now) {
            Self::Closed { failures } => {
                let failures = failures.saturating_add(1);
                if failures < settings.threshold {
                    (Self::Closed { failures }, Transition::None)
                } else {
                    (open(now, 0), Transition::Opened)
                }
            }
            Self::HalfOpen { opened_at, step } => (open(opened_at, step.saturating_add(1)), Transition::None),
            still_open @ Self::Open { .. } => (still_open, Transition::None),
        }
    }

    /// The server has answered.
    #[must_use]
    pub fn on_success(self) -> (Self, Transition) {
        let transition = match self {
            Self::Closed { .. } => Transition::None,
            Self::Open { .. } | Self::HalfOpen { .. } => Transition::Closed,
        };
        (Self::default(), transition)
    }
}

fn open_time(step: u32, settings: &Settings) -> Duration {
    let factor = 1_u32.checked_shl(step).unwrap_or(u32::MAX);
    settings.base.saturating_mul(factor).min(settings.cap)
}
