//! What makes Lockstep stop and ask, or tell somebody.

use lockstep_engine::{
    guard::{Limits, Verdict, judge},
    outage,
};

/// B24: more than half, so 6 of 10, not 5 of 10.
#[test]
fn b24_more_than_half_alarms() {
    assert!(outage::alarms(6, 10));
    assert!(!outage::alarms(5, 10));
    assert!(outage::alarms(1, 1));
    assert!(!outage::alarms(0, 0));
    assert!(!outage::alarms(3, 0), "of mailboxes that are gone, nothing is said");
}

#[test]
fn an_emptied_side_is_held_back_and_a_tidy_person_is_not() {
    // deletions, known
    for (changing, known, expected) in [
        (10, 10, Verdict::Go),
        (11, 11, Verdict::Hold),
        (20, 100, Verdict::Go),
        (21, 100, Verdict::Hold),
        (2_000, 10_000, Verdict::Go),
        (10_000, 10_000, Verdict::Hold),
        (u64::MAX, u64::MAX, Verdict::Hold),
    ] {
        assert_eq!(judge(changing, known, Limits::DELETES), expected, "{changing} of {known}");
    }
    for (changing, known, expected) in [
        (1_000, 0, Verdict::Go),
        (1_001, 10, Verdict::Hold),
        (5_000, 2_500, Verdict::Go),
        (5_001, 2_500, Verdict::Hold),
    ] {
        assert_eq!(judge(changing, known, Limits::IMPORTS), expected, "{changing} beside {known}");
    }
}
