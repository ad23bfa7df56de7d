//! Points in time as the server writes them, and as requests do.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// Writes a point in time: UTC, whole seconds.
pub fn write(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads a point in time, with an offset or, as UTC, without; fractions of a second are dropped.
pub fn read(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    let plain = || text.parse::<NaiveDateTime>().ok().map(|local| local.and_utc());
    let at = zoned.or_else(plain).or_else(|| day(text)?.and_hms_opt(0, 0, 0).map(|local| local.and_utc()))?;
    DateTime::from_timestamp(at.timestamp(), 0)
}

/// Reads a day, whatever offset or time follows it.
pub fn day(text: &str) -> Option<NaiveDate> {
    text.trim().get(..10)?.parse().ok()
}
