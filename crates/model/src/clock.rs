//! Time is a parameter. Only this file asks the operating system for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the current instant. Wall-clock time decides *when something is due*; deadlines use monotonic time instead.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current instant, in the database's opinion where the clock is kept in step with one.
    fn now(&self) -> DateTime<Utc>;
}

/// A clock shared by the parts of one process.
pub type SharedClock = Arc<dyn Clock>;

/// One question to the database for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was asked, by the machine's own clock.
    pub asked: DateTime<Utc>,
    /// From the question to the answer.
    pub took: Duration,
    /// What it said.
    pub answer: DateTime<Utc>,
}

/// How far the database's clock is ahead of the machine's (negative: behind), give or take `doubt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The best guess.
    pub ahead: TimeDelta,
    /// The truth is no farther away than this.
    pub doubt: TimeDelta,
}

/// Two clocks drift apart by at most so many millionths: what is known grows old.
const DRIFT_PPM: i32 = 100;

impl Offset {
    /// Cristian's algorithm: the database looked at its clock at some moment between the question and the answer, and
    /// the shortest exchange says most precisely when. `None` without samples.
    pub fn measured(samples: &[Sample]) -> Option<Self> {
        let best = samples.iter().min_by_key(|sample| sample.took)?;
        let half = TimeDelta::from_std(best.took / 2).unwrap_or(TimeDelta::MAX);
        Some(Self { ahead: best.answer - best.asked - half, doubt: half })
    }

    /// What is still known after `age`.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        Self { doubt: self.doubt + age / 1_000_000 * DRIFT_PPM, ..self }
    }

    /// What is known after one more measurement: the offsets that agree with both. A measurement that leaves more
    /// doubt than there was moves nothing; one that contradicts (a clock was set) replaces what was believed.
    #[must_use]
    pub fn refined(self, measured: Self) -> Self {
        let low = (self.ahead - self.doubt).max(measured.ahead - measured.doubt);
        let high = (self.ahead + self.doubt).min(measured.ahead + measured.doubt);
        if low > high {
            return measured;
        }
        let doubt = (high - low) / 2;
        if doubt >= self.doubt { self } else { Self { ahead: low + doubt, doubt } }
    }
}

/// The machine's clock plus an offset that keeps it in step with the database's clock, so that replicas on machines
/// with different clocks agree on what is due.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_micros: AtomicI64,
    known: Mutex<Option<(Offset, Instant)>>,
}

impl SystemClock {
    /// Takes over what these exchanges with the database tell, as far as it is better than what is known. Returns the
    /// doubt that is left, or `None` when nothing is known at all.
    pub fn keep_in_step(&self, samples: &[Sample]) -> Option<TimeDelta> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let aged = known.map(|(offset, at)| offset.aged(at.elapsed()));
        let offset = match (aged, Offset::measured(samples)) {
            (Some(known), Some(measured)) => known.refined(measured),
            (known, measured) => measured.or(known)?,
        };
        *known = Some((offset, Instant::now()));
        self.offset_micros.store(offset.ahead.num_microseconds().unwrap_or(0), Ordering::Relaxed);
        Some(offset.doubt)
    }

    /// How far the database's clock is ahead of the machine's (negative: behind).
    pub fn offset(&self) -> TimeDelta {
        TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed))
    }

    /// The machine's own clock, for samples.
    pub fn uncorrected(&self) -> DateTime<Utc> {
        machine_now()
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

    fn millis(n: i64) -> TimeDelta {
        TimeDelta::milliseconds(n)
    }

    fn offset(ahead: i64, doubt: i64) -> Offset {
        Offset { ahead: millis(ahead), doubt: millis(doubt) }
    }

    /// Of a machine whose clock the database's is `ahead` of: the question and the answer travelled so long.
    fn sample(ahead: i64, there: u64, back: u64) -> Sample {
        let asked = DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default();
        let there_and_back = Duration::from_millis(there + back);
        Sample { asked, took: there_and_back, answer: asked + Duration::from_millis(there) + millis(ahead) }
    }

    #[test]
    fn the_shortest_exchange_tells_the_offset() {
        let cases: [(&str, &[Sample], Option<Offset>); 6] = [
            ("nobody answered", &[], None),
            ("as long there as back", &[sample(70, 5, 5)], Some(offset(70, 5))),
            ("behind", &[sample(-4_000, 1, 1)], Some(offset(-4_000, 1))),
            ("held up on the way there", &[sample(70, 900, 2)], Some(offset(70 + 449, 451))),
            ("held up on the way back", &[sample(70, 2, 900)], Some(offset(70 - 449, 451))),
            (
                "one of several was quick",
                &[sample(70, 400, 0), sample(70, 1, 1), sample(70, 0, 90), sample(70, 3, 3)],
                Some(offset(70, 1)),
            ),
        ];
        for (case, samples, expected) in cases {
            let measured = Offset::measured(samples);
            assert_eq!(measured, expected, "{case}");
        }
    }

    #[test]
    fn a_measurement_counts_as_far_as_it_is_precise() {
        let cases = [
            ("a better one narrows it down", offset(10, 8), offset(12, 1), offset(12, 1)),
            ("a slow one moves nothing", offset(10, 1), offset(400, 500), offset(10, 1)),
            ("an equal one moves nothing", offset(10, 1), offset(10, 1), offset(10, 1)),
            ("both are right", offset(10, 4), offset(16, 4), offset(13, 1)),
            ("a clock was set", offset(10, 1), offset(5_000, 400), offset(5_000, 400)),
            ("a clock was set back", offset(10, 1), offset(-90, 3), offset(-90, 3)),
        ];
        for (case, known, measured, expected) in cases {
            assert_eq!(known.refined(measured), expected, "{case}");
        }
        assert_eq!(offset(10, 1).aged(Duration::from_secs(30)), offset(10, 4));
    }

    #[test]
    fn the_system_clock_follows_the_database() {
        let clock = SystemClock::default();
        assert_eq!(clock.keep_in_step(&[]), None);
        let asked = clock.uncorrected();
        let exchange = |ahead, took| Sample {
            asked,
            took: Duration::from_millis(took),
            answer: asked + Duration::from_millis(took) / 2 + ahead,
        };
        assert_eq!(clock.keep_in_step(&[exchange(TimeDelta::minutes(10), 4)]), Some(millis(2)));
        assert_eq!(clock.offset(), TimeDelta::minutes(10));
        // A busy machine gets its answers late and learns nothing from them.
        for late in [900, 400, 100] {
            clock.keep_in_step(&[exchange(TimeDelta::minutes(10) + millis(late / 3), late.unsigned_abs())]);
        }
        assert_eq!(clock.offset(), TimeDelta::minutes(10));
        assert!((clock.now() - asked - TimeDelta::minutes(10)).num_seconds().abs() < 5);
    }

    #[test]
    fn a_scale_is_between_nought_and_one() {
        assert!(TimeScale::new(0.0).is_none() && TimeScale::new(2.0).is_none() && TimeScale::new(f64::NAN).is_none());
        assert_eq!(TimeScale::new(0.01).map(|s| s.apply(Duration::from_secs(300))), Some(Duration::from_secs(3)));
    }
}
