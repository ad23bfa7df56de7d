//! One alert, one probe at a time, longer and longer pauses.

use std::time::Duration;

use lockstep_engine::breaker::{Breaker, Settings, Transition};
use lockstep_model::fault::{FaultClass, FaultScope};
use proptest::prelude::*;

use crate::values::{at, fault, minutes, seconds};

fn fail(breaker: Breaker, second: i64) -> (Breaker, Transition) {
    breaker.on_failure(at(second), None, &Settings::default(), 0.0)
}

#[test]
fn the_third_fault_in_a_row_opens_it_with_one_alert() {
    let (breaker, first) = fail(Breaker::default(), 0);
    let (breaker, second) = fail(breaker, 1);
    assert_eq!((breaker, first, second), (Breaker::Closed { failures: 2 }, Transition::None, Transition::None));
    assert_eq!(breaker.on_success(), (Breaker::default(), Transition::None), "in a row");
    let (breaker, third) = fail(breaker, 2);
    assert_eq!(breaker, Breaker::Open { until: at(32), opened_at: at(2), step: 0 });
    assert_eq!(third, Transition::Opened);
    assert_eq!(fail(breaker, 3), (breaker, Transition::None), "a run that began before");
}

#[test]
fn probes_double_the_pause_up_to_ten_minutes() {
    let mut breaker = Breaker::Open { until: at(30), opened_at: at(0), step: 0 };
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Breaker::Open { until, .. } = breaker else { panic!("{breaker:?}") };
        assert_eq!(breaker.at(until - Duration::from_secs(1)), breaker, "not yet");
        assert!(matches!(breaker.at(until), Breaker::HalfOpen { .. }));
        let (next, transition) = breaker.at(until).on_failure(until, None, &Settings::default(), 0.0);
        assert_eq!(transition, Transition::None, "the person knows");
        let Breaker::Open { until: later, opened_at, .. } = next else { panic!("{next:?}") };
        assert_eq!(opened_at, at(0), "since when is kept");
        pauses.push((later - until).num_seconds());
        breaker = next;
    }
    assert_eq!(pauses, [60, 120, 240, 480, 600, 600, 600, 600]);
}

#[test]
fn the_first_answer_closes_it() {
    let open = Breaker::Open { until: at(30), opened_at: at(0), step: 4 };
    for breaker in [open, open.at(at(30))] {
        assert_eq!(breaker.on_success(), (Breaker::default(), Transition::Closed));
    }
}

#[test]
fn a_servers_wish_is_kept_up_to_an_hour() {
    let ready = Breaker::Closed { failures: 2 };
    for (wish, until) in [(seconds(1), 30), (minutes(5), 300), (Duration::MAX, 3600)] {
        let (breaker, _) = ready.on_failure(at(0), Some(wish), &Settings::default(), 0.0);
        assert_eq!(breaker, Breaker::Open { until: at(until), opened_at: at(0), step: 0 });
    }
}

/// Only what lies with the server opens it; a bad password or a bad message shows that the server answers.
#[test]
fn what_counts_as_the_servers_fault() {
    let ready = Breaker::Closed { failures: 2 };
    for scope in FaultScope::ALL {
        for class in FaultClass::ALL {
            let (_, transition) = ready.observe(Some(&fault(*scope, *class)), at(0), &Settings::default(), 0.0);
            let opens = *scope == FaultScope::Profile && *class != FaultClass::Throttled;
            assert_eq!(transition == Transition::Opened, opens, "{scope} {class}");
        }
    }
    for (scope, class) in FaultScope::ALL.iter().flat_map(|s| FaultClass::ALL.iter().map(move |c| (*s, *c))) {
        for breaker in [ready, Breaker::Open { until: at(0), opened_at: at(0), step: 3 }.at(at(0))] {
            let (after, transition) =
                breaker.observe(Some(&fault(scope, class).local()), at(0), &Settings::default(), 0.0);
            assert_eq!((after, transition), (breaker, Transition::None), "our own {scope} {class} says nothing");
        }
    }
    assert_eq!(ready.observe(None, at(0), &Settings::default(), 0.0), (Breaker::default(), Transition::None));
}

proptest! {
    /// Over any history of failures and answers: opened and closed alternate, and a pause is at most ten minutes.
    #[test]
    fn alerts_alternate(history in proptest::collection::vec((any::<bool>(), 0..900_i64, 0.0..=1.0_f64), 0..200)) {
        let (mut breaker, mut now, mut raised) = (Breaker::default(), 0, false);
        for (failed, pause, jitter) in history {
            now += pause;
            let (next, transition) = if failed {
                breaker.on_failure(at(now), None, &Settings::default(), jitter)
            } else {
                breaker.on_success()
            };
            match transition {
                Transition::Opened => { prop_assert!(!raised); raised = true; }
                Transition::Closed => { prop_assert!(raised); raised = false; }
                Transition::None => {}
            }
            breaker = next;
            let closed = matches!(breaker, Breaker::Closed { .. });
            prop_assert_eq!(raised, !closed);
            if let Breaker::Open { until, .. } = breaker {
                prop_assert!((until - at(now)).num_seconds() <= 600);
            }
        }
    }
}
