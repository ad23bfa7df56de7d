//! Attempts and the waits between them.

use std::time::Duration;

use lockstep_engine::retry::{MAX_RETRY_AFTER, Retry, Schedule, THROTTLED_WAIT, after_fault, backoff, throttled_wait};
use lockstep_model::fault::{
    FaultClass::{Auth, Bug, Gone, Refused, Throttled, Transient, Unclear, Unreachable},
    FaultScope,
};
use proptest::prelude::*;

use crate::values::{fault, minutes, seconds};

/// H4: ten attempts over about a day, and the documented sums hold.
#[test]
fn h4_ten_attempts_over_about_a_day() {
    let waits = |jitter| -> Vec<Duration> { (1..=20).map_while(|n| backoff(n, &Schedule::OUTGOING, jitter)).collect() };
    assert_eq!(waits(0.0), [5, 10, 20, 40, 80, 160, 320, 390, 390].map(minutes));
    assert_eq!(waits(0.0).iter().sum::<Duration>(), minutes(23 * 60 + 35));
    let shortest: Duration = waits(1.0).iter().sum();
    assert!(shortest >= minutes(21 * 60 + 13) && shortest < minutes(21 * 60 + 14), "{shortest:?}");
}

#[test]
fn classes() {
    let first = Retry::Again { after: minutes(5), counted: true };
    for (class, expected) in [
        (Transient, first),
        (Unreachable, first),
        (Unclear, first),
        (Bug, first),
        (Throttled, Retry::Again { after: THROTTLED_WAIT, counted: false }),
        (Auth, Retry::GiveUp),
        (Refused, Retry::GiveUp),
        (Gone, Retry::GiveUp),
    ] {
        assert_eq!(after_fault(&fault(FaultScope::Item, class), 1, &Schedule::OUTGOING, 0.0), expected, "{class}");
    }
    assert_eq!(after_fault(&fault(FaultScope::Item, Transient), 10, &Schedule::OUTGOING, 0.0), Retry::GiveUp);
}

/// A server's wish is respected up to a cap, and never shortened by jitter.
#[test]
fn a_servers_wish() {
    let throttled = |wait| fault(FaultScope::Mailbox, Throttled).after(wait);
    assert_eq!(throttled_wait(&throttled(seconds(90)), 1.0), seconds(90));
    assert_eq!(throttled_wait(&throttled(Duration::MAX), 0.0), MAX_RETRY_AFTER);
    assert_eq!(throttled_wait(&throttled(Duration::ZERO), 0.0), seconds(1), "no hot loop");
    let transient = |wait| fault(FaultScope::Item, Transient).after(wait);
    let after = |wait| after_fault(&transient(wait), 1, &Schedule::OUTGOING, 1.0);
    assert_eq!(after(minutes(20)), Retry::Again { after: minutes(20), counted: true });
    assert_eq!(after(seconds(1)), Retry::Again { after: seconds(270), counted: true });
}

proptest! {
    #[test]
    fn waits_are_bounded(attempt in any::<u32>(), base in 1..10_000_u64, cap in 1..100_000_u64, max_attempts in 0..50_u32, jitter in proptest::num::f64::ANY) {
        let schedule = Schedule { base: seconds(base), cap: seconds(cap), max_attempts };
        match backoff(attempt, &schedule, jitter) {
            Some(wait) => prop_assert!(attempt < max_attempts && wait <= seconds(cap) && wait > Duration::ZERO),
            None => prop_assert!(attempt >= max_attempts),
        }
    }

    /// Being throttled never uses up an attempt, not even the last.
    #[test]
    fn throttling_is_free(attempt in any::<u32>(), wait in proptest::option::of(0..1_000_000_u64)) {
        let mut throttled = fault(FaultScope::Item, Throttled);
        throttled.retry_after = wait.map(seconds);
        let retry = after_fault(&throttled, attempt, &Schedule::OUTGOING, 0.5);
        let free = matches!(retry, Retry::Again { counted: false, after } if after <= MAX_RETRY_AFTER);
        prop_assert!(free, "{:?}", retry);
    }
}
