//! 5 minutes normally, 2 when busy, 12 when quiet.

use std::time::Duration;

use lockstep_engine::cadence::{Activity, Cycle, MAX_JITTER, Policy, next};
use lockstep_model::{
    mailbox::Lane,
    settings::{Group, Settings, key},
};
use proptest::prelude::*;

use crate::values::{minutes, seconds};

const NONE: Duration = Duration::ZERO;

fn cycle(items: u32) -> Cycle {
    Cycle { items, drained: true, duration: seconds(5) }
}

/// Runs one cycle after another and gives the interval after each.
fn run(mut activity: Activity, items: impl IntoIterator<Item = u32>) -> (Vec<Duration>, Activity) {
    let mut intervals = Vec::new();
    for items in items {
        let next = next(&Policy::default(), NONE, activity, cycle(items), 0.0);
        activity = next.activity;
        intervals.push(next.interval);
    }
    (intervals, activity)
}

/// A7: a mailbox with ordinary traffic is polled every 5 minutes, a new one too.
#[test]
fn a7_steady_is_five_minutes() {
    for items in 1..=5 {
        let (intervals, _) = run(Activity::default(), [items; 50]);
        assert!(intervals.iter().all(|i| *i == minutes(5)), "{items} items a cycle: {intervals:?}");
    }
    assert_eq!(run(Activity::default(), [0]).0, [minutes(5)]);
}

/// A8: a burst tightens to 2 minutes within one cycle, however quiet the mailbox was.
#[test]
fn a8_a_burst_tightens_at_once() {
    let (intervals, quiet) = run(Activity::default(), [0; 20]);
    assert!(intervals[19] > minutes(10));
    assert_eq!(run(quiet, [10]).0, [minutes(2)]);
    let unread = Cycle { items: 0, drained: false, duration: minutes(4) };
    assert_eq!(next(&Policy::default(), NONE, quiet, unread, 0.0).interval, minutes(2), "not everything was read");
}

/// A8: many messages on average do it too, though no cycle alone is a burst.
#[test]
fn a8_a_lively_mailbox_is_polled_more_often() {
    let (intervals, _) = run(Activity::default(), [8; 20]);
    let last = intervals[19];
    assert!(last > minutes(2) && last < minutes(5), "{last:?}");
}

/// A steady stream settles at one interval instead of swinging between two.
#[test]
fn a_steady_stream_settles() {
    for per_minute in [0.3, 1.0, 1.2, 1.5] {
        let (mut activity, mut interval) = (Activity::default(), minutes(5));
        let mut carry = 0.0;
        let mut seen = Vec::new();
        for _ in 0..60 {
            carry += per_minute * interval.as_secs_f64() / 60.0;
            let items = f64::floor(carry);
            carry -= items;
            let next = next(&Policy::default(), NONE, activity, cycle(items as u32), 0.0);
            (activity, interval) = (next.activity, next.interval);
            seen.push(interval.as_secs_f64());
        }
        let settled = &seen[30..];
        let (least, most) =
            (settled.iter().copied().fold(f64::MAX, f64::min), settled.iter().copied().fold(0.0, f64::max));
        assert!(most - least < 60.0, "{per_minute} a minute swings between {least} and {most} s");
    }
}

/// A9: silence relaxes over several cycles: two at 5 minutes, from the third on in steps of 1.3, up to what leaves room
/// for the cycle and one lost occasion below 12 minutes.
#[test]
fn a9_quiet_relaxes_in_steps() {
    let (intervals, _) = run(Activity::default(), [0; 12]);
    let seconds: Vec<u64> = intervals.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds[..7], [300, 300, 390, 507, 655, 655, 655]);
    assert!(intervals.iter().all(|i| *i <= minutes(12)));
}

/// A9: after a flood it takes a few cycles until the mailbox counts as ordinary, and one message ends the quiet.
#[test]
fn a9_quiet_after_a_flood_and_a_message_after_quiet() {
    let (intervals, quiet) = run(Activity::default(), [100_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(intervals[0], minutes(2));
    assert!(intervals[1] < minutes(5) && intervals[2] < minutes(5), "{intervals:?}");
    assert!(intervals[10] > minutes(10), "{intervals:?}");
    assert_eq!(run(quiet, [1]).0, [minutes(5)]);
}

/// A15: the interval runs from the end of the cycle: how long it took does not shorten it, as long as 12 minutes hold.
#[test]
fn a15_duration_does_not_eat_the_interval() {
    for duration in [0, 60, 240, 360] {
        let slow = Cycle { items: 1, drained: true, duration: seconds(duration) };
        assert_eq!(next(&Policy::default(), NONE, Activity::default(), slow, 0.0).interval, minutes(5));
    }
    let very_slow = Cycle { items: 1, drained: true, duration: minutes(7) };
    assert_eq!(next(&Policy::default(), NONE, Activity::default(), very_slow, 0.0).interval, minutes(4));
    let hopeless = Cycle { items: 1, drained: true, duration: minutes(30) };
    assert_eq!(next(&Policy::default(), NONE, Activity::default(), hopeless, 0.0).interval, minutes(2));
}

/// A17: never under the profile's minimum, which may be longer than 12 minutes.
#[test]
fn a17_the_profiles_minimum() {
    for minimum in [minutes(3), minutes(10), minutes(60)] {
        for (activity, items) in
            [(Activity::default(), 100), (Activity::default(), 1), (Activity { ewma: 0.0, empty_cycles: 99 }, 0)]
        {
            let next = next(&Policy::default(), minimum, activity, cycle(items), 1.0);
            assert!(next.interval >= minimum, "{minimum:?} {items}");
        }
    }
    assert_eq!(next(&Policy::default(), minutes(60), Activity::default(), cycle(50), 0.5).interval, minutes(60));
}

/// N7: the defaults of the settings are the policy of old.
#[test]
fn n7_default_settings_are_the_default_policy() {
    assert_eq!(Policy::of(&Settings::default().backoffs(Lane::Incoming)), Policy::default());
}

/// N7: back-offs move the interval; the promise of 12 minutes bounds it from outside, unless the setting says more.
#[test]
fn n7_back_offs_and_the_promise() {
    let mut settings = Settings::default();
    let mut put = |key, value| settings.put(Group::Email, key, value);
    put(key::ACTIVE_MINIMUM, 30);
    put(key::ACTIVE_MAXIMUM, 90);
    put(key::IDLE_MINIMUM, 120);
    put(key::IDLE_MAXIMUM, 200);
    let short = Policy::of(&settings.backoffs(Lane::Incoming));
    let interval = |policy: &Policy, activity, cycle| next(policy, NONE, activity, cycle, 0.0).interval;
    let idle = Activity { ewma: 0.0, empty_cycles: 90 };
    assert_eq!(interval(&short, Activity::default(), cycle(10)), seconds(30));
    assert_eq!(interval(&short, Activity::default(), cycle(1)), seconds(90));
    assert_eq!(interval(&short, Activity { ewma: 0.0, empty_cycles: 2 }, cycle(0)), seconds(156), "1.3 of the minimum");
    assert_eq!(interval(&short, idle, cycle(0)), seconds(200), "the maximum itself: well within 12 minutes");
    let slow = Cycle { items: 0, drained: true, duration: minutes(10) };
    assert_eq!(interval(&short, idle, slow), seconds(60), "the promise, less the cycle and one lost occasion");
    settings.put(Group::Email, key::IDLE_MAXIMUM, 3_600);
    let long = Policy::of(&settings.backoffs(Lane::Incoming));
    assert_eq!(interval(&long, idle, Cycle { duration: NONE, ..slow }), minutes(59));
}

fn any_activity() -> impl Strategy<Value = Activity> {
    (prop_oneof![0.0..100.0_f64, proptest::num::f64::ANY], any::<u32>())
        .prop_map(|(ewma, empty_cycles)| Activity { ewma, empty_cycles })
}

fn any_cycle() -> impl Strategy<Value = Cycle> {
    (prop_oneof![0..60_u32, any::<u32>()], any::<bool>(), 0..2_000_u64).prop_map(|(items, drained, secs)| Cycle {
        items,
        drained,
        duration: seconds(secs),
    })
}

proptest! {
    /// A7 A8 A9 A17: whatever was stored and whatever happened, the interval stays within its bounds.
    #[test]
    fn within_bounds(activity in any_activity(), cycle in any_cycle(), minimum in 0..7_200_u64, jitter in proptest::num::f64::ANY) {
        let minimum = seconds(minimum);
        let next = next(&Policy::default(), minimum, activity, cycle, jitter);
        prop_assert!(next.interval >= minutes(2).max(minimum));
        prop_assert!(next.interval <= minutes(12).max(minimum));
        prop_assert!(next.activity.ewma.is_finite() && next.activity.ewma >= 0.0);
    }

    /// A10: the next cycle has ended 12 minutes after this one even if it takes as long and its occasion is lost once.
    #[test]
    fn twelve_minutes_hold(activity in any_activity(), items in 0..60_u32, duration in 0..540_u64, jitter in 0.0..=1.0_f64) {
        let cycle = Cycle { items, drained: true, duration: seconds(duration) };
        let next = next(&Policy::default(), NONE, activity, cycle, jitter);
        prop_assert!(next.interval + cycle.duration + minutes(1) <= minutes(12));
    }

    /// Jitter only shortens, by a tenth at most, and changes nothing that is remembered.
    #[test]
    fn jitter_only_shortens(activity in any_activity(), cycle in any_cycle(), jitter in 0.0..=1.0_f64) {
        let plain = next(&Policy::default(), NONE, activity, cycle, 0.0);
        let jittered = next(&Policy::default(), NONE, activity, cycle, jitter);
        prop_assert!(jittered.interval <= plain.interval);
        prop_assert!(jittered.interval.as_secs_f64() >= plain.interval.as_secs_f64() * (1.0 - MAX_JITTER) - 1e-6);
        prop_assert_eq!(jittered.activity, plain.activity);
    }

    /// While nothing happens the interval never shrinks, and reaches the longest one.
    #[test]
    fn relaxation_is_monotone(ewma in 0.0..100.0_f64, empty_cycles in 0..10_u32) {
        let (intervals, _) = run(Activity { ewma, empty_cycles }, [0; 30]);
        prop_assert!(intervals.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", intervals);
        prop_assert_eq!(intervals[29], seconds(655));
    }

    /// Of two cycles that differ only in their items, the one with more is never followed by the longer wait.
    #[test]
    fn more_items_never_wait_longer(activity in any_activity(), few in 0..60_u32, more in 0..60_u32) {
        let wait = |items| next(&Policy::default(), NONE, activity, cycle(few + items), 0.0).interval;
        prop_assert!(wait(more) <= wait(0));
    }
}
