//! What faults do to a lane.

use lockstep_engine::health::{Health, Settings, Verdict, judge};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};

use crate::values::{fault, minutes, seconds};

fn after(failures: u32) -> Health {
    Health { transient_failures: failures }
}

/// The whole table: every scope with every class, at a lane with four failures behind it.
#[test]
fn every_scope_and_class() {
    for scope in FaultScope::ALL {
        for class in FaultClass::ALL {
            let postpone = |after, failures| Verdict::Postpone { after, failures };
            let expected = match (scope, class) {
                (FaultScope::Item, _) => Verdict::Healthy,
                (_, FaultClass::Throttled) => postpone(minutes(1), 4),
                (FaultScope::Profile, _) => postpone(minutes(5), 4),
                (FaultScope::Mailbox, FaultClass::Auth | FaultClass::Refused | FaultClass::Gone) => Verdict::Disable,
                (FaultScope::Mailbox, _) => postpone(minutes(5), 5),
            };
            let judged = judge(Some(&fault(*scope, *class)), after(4), &Settings::default(), 0.0);
            assert_eq!(judged, expected, "{scope} {class}");
        }
    }
    assert_eq!(judge(None, after(9), &Settings::default(), 0.0), Verdict::Healthy);
}

/// Ten transient faults in a row, five minutes apart; the tenth disables the lane.
#[test]
fn ten_times_five_minutes() {
    let transient = fault(FaultScope::Mailbox, FaultClass::Transient);
    let mut health = Health::default();
    for attempt in 1..10 {
        let verdict = judge(Some(&transient), health, &Settings::default(), 0.0);
        assert_eq!(verdict, Verdict::Postpone { after: minutes(5), failures: attempt });
        health = after(attempt);
    }
    assert_eq!(judge(Some(&transient), health, &Settings::default(), 0.0), Verdict::Disable);
    assert!(transient.may_heal(), "which tells the caller that it was the last of too many");
}

/// An outage of any length disables no mailbox, not even one that was a step from it.
#[test]
fn an_outage_counts_against_nobody() {
    for class in FaultClass::ALL {
        let verdict = judge(Some(&fault(FaultScope::Profile, *class)), after(9), &Settings::default(), 1.0);
        assert!(matches!(verdict, Verdict::Postpone { failures: 9, .. }), "{class}: {verdict:?}");
    }
}

#[test]
fn a_servers_wish_lengthens_the_pause() {
    let transient = fault(FaultScope::Mailbox, FaultClass::Transient).after(minutes(30));
    let expected = Verdict::Postpone { after: minutes(30), failures: 1 };
    assert_eq!(judge(Some(&transient), Health::default(), &Settings::default(), 1.0), expected);
    let throttled = fault(FaultScope::Profile, FaultClass::Throttled).after(seconds(20));
    let expected = Verdict::Postpone { after: seconds(20), failures: 0 };
    assert_eq!(judge(Some(&throttled), Health::default(), &Settings::default(), 1.0), expected);
}

/// N8: a time-out and another transient fault have their own pauses, exact and without jitter; an outage of the server is
/// spread.
#[test]
fn n8_pauses_are_as_set() {
    let settings = Settings { max_transient: 10, backoff: seconds(33), on_timeout: seconds(77) };
    let postponed = |fault: &Fault, jitter| match judge(Some(fault), Health::default(), &settings, jitter) {
        Verdict::Postpone { after, .. } => after,
        verdict => panic!("{verdict:?}"),
    };
    let slow = Fault::new(FaultScope::Mailbox, FaultClass::Transient, "TimedOut", "no answer");
    let busy = fault(FaultScope::Mailbox, FaultClass::Transient);
    for jitter in [0.0, 0.5, 1.0] {
        assert_eq!(postponed(&slow, jitter), seconds(77));
        assert_eq!(postponed(&busy, jitter), seconds(33));
    }
    let outage = fault(FaultScope::Profile, FaultClass::Unreachable);
    assert!(postponed(&outage, 1.0) < seconds(33));
}
