//! A lack of capacity is told before a mailbox waits longer than promised.

use std::{cmp::Reverse, collections::BinaryHeap};

use lockstep_engine::capacity::{CLEAR_BELOW, Demand, Limit, Supply, assess, share_of_a_server};

use crate::values::seconds;

#[test]
fn so_many_runs_are_under_way() {
    let cases = [
        ("nothing to do", 0, 0.0, 10, 0.0),
        ("sixty lanes every five minutes, ten seconds each", 60, 60.0 / 300.0, 10, 2.0),
        ("the same every two minutes", 60, 60.0 / 120.0, 10, 5.0),
        ("never measured", 60, 60.0 / 300.0, 0, 0.0),
        ("runs longer than the interval: one a lane", 3, 3.0 / 120.0, 600, 3.0),
    ];
    for (case, lanes, starts_per_second, cycle, busy) in cases {
        let demand = Demand { lanes, starts_per_second, mean_cycle: seconds(cycle) };
        assert!((demand.busy() - busy).abs() < 1e-9, "{case}: {}", demand.busy());
    }
}

#[test]
fn the_narrowest_bound_counts() {
    let supply =
        |accounts, connections, max_in_flight, workers| Supply { accounts, connections, max_in_flight, workers };
    let cases = [
        ("one account, its last connection kept free", supply(1, 10, 64, None), (9, Limit::Connections)),
        ("one connection is used", supply(1, 1, 64, None), (1, Limit::Connections)),
        ("an account a mailbox", supply(200, 1, 64, Some(512)), (64, Limit::InFlight)),
        ("few workers", supply(200, 10, 64, Some(8)), (8, Limit::Workers)),
        ("no worker", supply(1, 10, 64, Some(0)), (0, Limit::Workers)),
        ("no account", supply(0, 10, 64, Some(8)), (0, Limit::Connections)),
    ];
    for (case, supply, slots) in cases {
        assert_eq!(supply.slots(), slots, "{case}");
    }
    assert_eq!([1, 2, 3, 16].map(share_of_a_server), [1, 1, 1, 8]);
}

#[test]
fn a_shortage_begins_high_and_ends_low() {
    let cases = [
        ("idle", 0.0, 0, false, false),
        ("at the upper mark", 8.5, 10, false, false),
        ("above it", 8.6, 10, false, true),
        ("between the marks, not short before", 8.0, 10, false, false),
        ("between the marks, short before", 8.0, 10, true, true),
        ("at the lower mark", 7.0, 10, true, true),
        ("below it", 6.9, 10, true, false),
        ("more than there is", 30.0, 10, true, true),
        ("nobody to do it", 0.1, 0, false, true),
        ("nothing to do", 0.0, 10, true, false),
    ];
    for (case, busy, slots, before, short) in cases {
        let found = assess(busy, slots, before);
        assert_eq!(found.short, short, "{case}: {found:?}");
        assert!(busy / f64::from(found.needed) < CLEAR_BELOW, "{case}: enough to end it: {found:?}");
        let one_less = found.needed - 1;
        assert!(one_less == 0 || busy / f64::from(one_less) >= CLEAR_BELOW, "{case}: not more than enough: {found:?}");
    }
}

/// The longest time between two starts of a lane, once it has settled; every lane is due `interval` after its end,
/// the longest overdue first.
fn longest_gap(lanes: usize, slots: usize, cycle: u64, interval: u64) -> u64 {
    let mut free: BinaryHeap<_> = (0..slots).map(|_| Reverse(0_u64)).collect();
    let mut due: BinaryHeap<_> = (0..lanes).map(|lane| Reverse((0_u64, lane))).collect();
    let (mut last, mut longest) = (vec![None::<u64>; lanes], 0);
    for _ in 0..lanes * 8 {
        let (Some(Reverse(slot)), Some(Reverse((at, lane)))) = (free.pop(), due.pop()) else { return longest };
        let start = slot.max(at);
        if let Some(before) = last[lane].replace(start) {
            longest = longest.max(start - before);
        }
        free.push(Reverse(start + cycle));
        due.push(Reverse((start + cycle + interval, lane)));
    }
    longest
}

/// As long as nothing is told, every lane starts every twelve minutes; and there are shortages, all of them told.
#[test]
fn the_promise_does_not_break_before_it_is_told() {
    let (mut kept, mut broken) = (0, 0);
    for slots in [1_usize, 3, 8] {
        for (interval, cycle) in [(120, 5), (120, 60), (300, 10), (300, 90), (600, 20), (600, 60)] {
            for percent in (10..400).step_by(15) {
                let lanes = (percent * slots * interval / cycle / 100).max(1);
                let demand = Demand {
                    lanes: u32::try_from(lanes).unwrap(),
                    starts_per_second: lanes as f64 / interval as f64,
                    mean_cycle: seconds(cycle as u64),
                };
                let told = assess(demand.busy(), u32::try_from(slots).unwrap(), false).short;
                let gap = longest_gap(lanes, slots, cycle as u64, interval as u64);
                assert!(told || gap <= 720, "{lanes} lanes, {slots} slots, {cycle} s every {interval} s: {gap} s");
                if gap > 720 { broken += 1 } else { kept += 1 }
            }
        }
    }
    assert!(kept > 100 && broken > 50, "{kept} {broken}");
}
