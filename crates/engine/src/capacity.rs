//! Whether servers and workers keep up with the intervals that are wanted. Said before mailboxes wait too long.
//!
//! By Little's law so many runs are under way on average as begin in a second, times the seconds that one takes. Runs
//! begin a little less often than their intervals say, which are counted from the end of the run before: the prediction
//! errs on the early side.

use std::time::Duration;

/// A load above this is told of.
pub const RAISE_ABOVE: f64 = 0.85;

/// And taken back when it has fallen below this.
pub const CLEAR_BELOW: f64 = 0.70;

/// What the lanes of a server ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Enabled lanes.
    pub lanes: u32,
    /// Runs that should begin in a second: the sum of one divided by each lane's interval, as it passes.
    pub starts_per_second: f64,
    /// What a run takes, averaged over the lanes.
    pub mean_cycle: Duration,
}

impl Demand {
    /// Runs under way at a time, on average. A lane has one at most.
    pub fn busy(&self) -> f64 {
        (self.starts_per_second * self.mean_cycle.as_secs_f64()).min(f64::from(self.lanes))
    }
}

/// What bounds the runs of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Accounts its mailboxes log in with: one where the profile has the credentials.
    pub accounts: u32,
    /// Connections at once to each of them.
    pub connections: u32,
    /// The profile's limit of occasions handed out.
    pub max_in_flight: u32,
    /// The workers' slots that one server may take, where they are known.
    pub workers: Option<u32>,
}

/// Which of the bounds is the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections at once to an account.
    Connections,
    /// Occasions handed out.
    InFlight,
    /// Slots of the workers.
    Workers,
}

impl Supply {
    /// Runs that can be under way at a time, and what bounds them. An account's last connection is kept for sending and
    /// for tests.
    pub fn slots(&self) -> (u32, Limit) {
        let account = if self.connections > 1 { self.connections - 1 } else { self.connections };
        let bounds = [
            (self.accounts.saturating_mul(account), Limit::Connections),
            (self.max_in_flight, Limit::InFlight),
            (self.workers.unwrap_or(u32::MAX), Limit::Workers),
        ];
        bounds.into_iter().min_by_key(|(slots, _)| *slots).unwrap_or((0, Limit::Connections))
    }
}

/// How many of a worker's slots one server may take: half of them.
pub fn share_of_a_server(concurrency: u32) -> u32 {
    (concurrency / 2).max(1)
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    /// Runs under way on average, as a part of what can be; infinite where nothing can.
    pub load: f64,
    /// Whether that is too much. Between the two marks it stays as it was.
    pub short: bool,
    /// Slots with which the load would fall below [`CLEAR_BELOW`].
    pub needed: u32,
}

/// Judges a load, knowing how it was judged before.
pub fn assess(busy: f64, slots: u32, was_short: bool) -> Assessment {
    let load = if busy > 0.0 { busy / f64::from(slots) } else { 0.0 };
    let short = if was_short { load >= CLEAR_BELOW } else { load > RAISE_ABOVE };
    Assessment { load, short, needed: (busy / CLEAR_BELOW) as u32 + 1 }
}
