//! Short forms of the values the tables are made of.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::fault::{Fault, FaultClass, FaultScope};

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// An instant, in seconds after some morning.
pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

pub(crate) fn fault(scope: FaultScope, class: FaultClass) -> Fault {
    Fault::new(scope, class, "TestFault", "the server's words")
}
