//! How long a lane waits until its next cycle: 5 minutes normally, 2 when many messages come, 12 when nothing happens.
//!
//! Every interval runs from the *end* of a cycle. The caller stores [`Activity`] beside the lane and applies the time
//! scale where the interval becomes an instant. A cycle that stopped at its budget with more to do is due at once;
//! that is the caller's business too, and the activity still learns from it here.

use std::time::Duration;

use lockstep_model::settings::{Backoffs, PROMISE};

/// The largest part by which jitter shortens a wait.
pub const MAX_JITTER: f64 = 0.10;

/// The numbers the cadence is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Interval of a mailbox with ordinary traffic.
    pub normal: Duration,
    /// Shortest interval, for a mailbox that receives many messages.
    pub busy: Duration,
    /// Where the intervals of an idle mailbox begin to grow.
    pub idle: Duration,
    /// Longest interval of an idle mailbox. The next cycle has been done within this or [`PROMISE`], whichever is longer,
    /// from the end of the one before, unless the profile asks for more.
    pub quiet: Duration,
    /// Kept free below that for one occasion that is lost and handed out again.
    pub redispatch: Duration,
    /// So many items in one cycle, or on average, make a mailbox busy.
    pub busy_items: u32,
    /// Up to this average a mailbox is ordinary; from here to `busy_items` the interval shrinks in proportion, which
    /// keeps a steady stream from swinging between two intervals.
    pub steady_items: u32,
    /// Weight of the newest cycle in the average, above 0 and at most 1.
    pub smoothing: f64,
    /// So many empty cycles in a row make a mailbox idle.
    pub idle_after: u32,
    /// Factor by which each further empty cycle of an idle mailbox lengthens the interval.
    pub relaxation: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            normal: minutes(5),
            busy: minutes(2),
            idle: minutes(5),
            quiet: minutes(12),
            redispatch: minutes(1),
            busy_items: 10,
            steady_items: 5,
            smoothing: 0.4,
            idle_after: 3,
            relaxation: 1.3,
        }
    }
}

impl Policy {
    /// The policy with the deployment's back-offs (N7).
    pub fn of(backoffs: &Backoffs) -> Self {
        let (busy, normal) = backoffs.active;
        let (idle, quiet) = backoffs.idle;
        Self { normal, busy, idle, quiet, ..Self::default() }
    }
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// A single cycle weighs at most so many times `busy_items` in the average, so that one flood is forgotten in a few
/// cycles.
const FLOOD: f64 = 4.0;

/// What is remembered of a lane's past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Exponentially weighted average of items per cycle.
    pub ewma: f64,
    /// Empty cycles in a row, counted from where the average has come down to ordinary.
    pub empty_cycles: u32,
}

/// How the cycle went that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// New items it saw.
    pub items: u32,
    /// Whether it read everything there was.
    pub drained: bool,
    /// How long it took.
    pub duration: Duration,
}

/// What follows from a cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Next {
    /// Wait this long from the end of the cycle.
    pub interval: Duration,
    /// To be stored, and given back after the next cycle.
    pub activity: Activity,
}

/// The interval after a cycle. `min_polling_interval` is the profile's and always kept, even above `policy.quiet`.
pub fn next(policy: &Policy, min_polling_interval: Duration, activity: Activity, cycle: Cycle, jitter: f64) -> Next {
    let activity = learn(policy, activity, cycle);
    let wanted =
        if !cycle.drained || cycle.items >= policy.busy_items { policy.busy } else { by_average(policy, activity) };
    let floor = policy.busy.max(min_polling_interval);
    let latest = policy.quiet.max(PROMISE).saturating_sub(cycle.duration).saturating_sub(policy.redispatch);
    let planned = wanted.min(latest).max(floor);
    Next { interval: shortened(planned, jitter).max(floor), activity }
}

/// A wait shortened by jitter: by nothing at 0, by [`MAX_JITTER`] at 1. A jitter outside that range counts as its
/// nearest end.
pub(crate) fn shortened(wait: Duration, jitter: f64) -> Duration {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    wait.mul_f64(1.0 - MAX_JITTER * jitter)
}

fn learn(policy: &Policy, before: Activity, cycle: Cycle) -> Activity {
    let most = f64::from(policy.busy_items) * FLOOD;
    let known = if before.ewma.is_finite() { before.ewma.clamp(0.0, most) } else { 0.0 };
    // A cycle that could not read everything saw at least "many", whatever it managed to count.
    let seen = if cycle.drained { cycle.items } else { cycle.items.max(policy.busy_items) };
    let ewma = known + policy.smoothing * (f64::from(seen).min(most) - known);
    let empty_cycles = match seen {
        0 if ewma <= f64::from(policy.steady_items) => before.empty_cycles.saturating_add(1),
        _ => 0,
    };
    Activity { ewma, empty_cycles }
}

fn by_average(policy: &Policy, activity: Activity) -> Duration {
    if activity.empty_cycles >= policy.idle_after {
        let steps = activity.empty_cycles.saturating_add(1).saturating_sub(policy.idle_after).min(64);
        let seconds = policy.idle.as_secs_f64() * policy.relaxation.powf(f64::from(steps));
        return Duration::from_secs_f64(seconds.min(policy.quiet.as_secs_f64()));
    }
    let steady = f64::from(policy.steady_items);
    let span = f64::from(policy.busy_items.saturating_sub(policy.steady_items)).max(1.0);
    let pressure = ((activity.ewma - steady) / span).clamp(0.0, 1.0);
    policy.normal.saturating_sub(policy.normal.saturating_sub(policy.busy).mul_f64(pressure))
}
