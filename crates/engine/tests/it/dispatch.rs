//! Allowances and lost occasions.

use lockstep_engine::{
    breaker::Breaker,
    dispatch::{Load, MAX_REDISPATCH, allowance, redispatch_after},
};
use proptest::prelude::*;

use crate::values::{at, seconds};

const CLOSED: Breaker = Breaker::Closed { failures: 2 };

#[test]
fn allowances() {
    let open = Breaker::Open { until: at(60), opened_at: at(0), step: 1 };
    let half_open = open.at(at(60));
    for (caps, max_in_flight, claimed, breaker, allowed) in [
        (10, 64, 0, CLOSED, 10),
        (10, 64, 4, CLOSED, 6),
        (1_000_000, 64, 4, CLOSED, 60),
        (u64::MAX, u32::MAX, 0, CLOSED, u32::MAX),
        (10, 64, 12, CLOSED, 0),
        (0, 64, 0, CLOSED, 0),
        (10, 64, 0, open, 0),
        (10, 64, 0, open.at(at(59)), 0),
        (10, 64, 0, half_open, 1),
        (10, 64, 1, half_open, 0),
        (10, 64, 7, half_open, 0),
        (0, 64, 0, half_open, 0),
    ] {
        let load = Load { caps, max_in_flight, claimed, breaker };
        assert_eq!(allowance(&load), allowed, "{load:?}");
    }
}

#[test]
fn lost_occasions_back_off() {
    let waits: Vec<_> = [0, 1, 2, 3, 4, u32::MAX].map(redispatch_after).into();
    assert_eq!(waits, [60, 60, 120, 240, 240, 240].map(seconds));
    assert_eq!(MAX_REDISPATCH, seconds(240));
}

proptest! {
    /// What is claimed together with what may be claimed never exceeds either limit, unless it did before.
    #[test]
    fn never_more_than_the_limits(caps in 0..200_u64, max_in_flight in 0..200_u32, claimed in 0..400_u32) {
        let allowed = allowance(&Load { caps, max_in_flight, claimed, breaker: CLOSED });
        prop_assert!(allowed == 0 || u64::from(claimed + allowed) <= caps.min(u64::from(max_in_flight)));
    }
}
