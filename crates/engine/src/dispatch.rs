//! How many occasions of one server are handed out at a time, and when a lost one is handed out again.

use std::time::Duration;

use crate::breaker::Breaker;

/// How long a claimed occasion belongs to its hint. A worker that is still busy reports so and extends it.
pub const CLAIM_LIFETIME: Duration = Duration::from_secs(60);

/// Longest wait before an occasion nobody consumed is handed out again.
pub const MAX_REDISPATCH: Duration = Duration::from_secs(4 * 60);

/// What is known of a profile when occasions are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sum of the connection caps of all accounts used through the profile.
    pub caps: u64,
    /// The profile's limit of claimed occasions.
    pub max_in_flight: u32,
    /// Occasions claimed now.
    pub claimed: u32,
    /// The profile's breaker, as [`Breaker::at`] gives it for this moment.
    pub breaker: Breaker,
}

/// How many more occasions of the profile may be claimed now. The backlog stays in the database, where it can be put
/// in order; the queue holds only what can start.
pub fn allowance(load: &Load) -> u32 {
    let most = match load.breaker {
        Breaker::Open { .. } => 0,
        Breaker::HalfOpen { .. } => 1,
        Breaker::Closed { .. } => load.max_in_flight,
    };
    let by_caps = u32::try_from(load.caps).unwrap_or(u32::MAX);
    most.min(load.max_in_flight).min(by_caps).saturating_sub(load.claimed)
}

/// How long after it was handed out an occasion is handed out again, with the same generation, if nobody reports on
/// it: 1, 2, then 4 minutes. `claim_count` is how often it has been handed out so far, from 1.
pub fn redispatch_after(claim_count: u32) -> Duration {
    let doublings = claim_count.saturating_sub(1).min(2);
    (CLAIM_LIFETIME * (1 << doublings)).min(MAX_REDISPATCH)
}
