//! Time is a parameter. Only this file asks the operating system for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the current instant. Wall-clock time decides *when something is due*; deadlines use monotonic time instead.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current instant, in the database's opinion where the clock is kept in step with one.
    fn now(&self) -> DateTime<Utc>;
}

/// A clock shared by the parts of one process.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock plus an offset that keeps it in step with the database's clock, so that replicas on machines
/// with different clocks agree on what is due.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_micros: AtomicI64,
}

impl SystemClock {
    /// Notes what the database said the time was, measured against this machine's own clock at the same moment.
    pub fn keep_in_step(&self, database_now: DateTime<Utc>) {
        let offset = database_now - machine_now();
        self.offset_micros.store(offset.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }

    /// How far the database's clock is ahead of the machine's (negative: behind).
    pub fn offset(&self) -> TimeDelta {
        TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        machine_now() + self.offset()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn machine_now() -> DateTime<Utc> {
    Utc::now()
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<DateTime<Utc>>,
}

impl ManualClock {
    /// A clock standing at `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Multiplies *policy* durations (polling intervals, back-off) where they become instants, so that a demonstration
/// shows in a minute what takes an hour in production. Time-outs, leases and permits never scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeScale(f64);

impl TimeScale {
    /// Real time.
    pub const REAL: Self = Self(1.0);

    /// A scale: 0.01 makes five minutes three seconds. Returns `None` unless `0 < factor <= 1`.
    pub fn new(factor: f64) -> Option<Self> {
        (factor > 0.0 && factor <= 1.0).then_some(Self(factor))
    }

    /// The duration as it passes under this scale.
    pub fn apply(self, duration: Duration) -> Duration {
        duration.mul_f64(self.0)
    }
}

impl Default for TimeScale {
    fn default() -> Self {
        Self::REAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default();
        let clock = ManualClock::at(start);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now() - start, TimeDelta::seconds(90));
    }

    #[test]
    fn the_system_clock_follows_the_database() {
        let clock = SystemClock::default();
        clock.keep_in_step(clock.now() + TimeDelta::minutes(10));
        assert!((clock.offset() - TimeDelta::minutes(10)).num_seconds().abs() < 2);
    }

    #[test]
    fn a_scale_is_between_nought_and_one() {
        assert!(TimeScale::new(0.0).is_none() && TimeScale::new(2.0).is_none() && TimeScale::new(f64::NAN).is_none());
        assert_eq!(TimeScale::new(0.01).map(|s| s.apply(Duration::from_secs(300))), Some(Duration::from_secs(3)));
    }
}
