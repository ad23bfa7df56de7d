//! The one place that looks at the clock.

use chrono::{DateTime, Utc};

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "this crate has no other clock; everything else takes the time as an argument"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
