//! Points in time and days as the dialect writes them: UTC, no fractions.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// Writes a point in time.
pub fn write(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads a point in time; without an offset it is UTC. Fractions of a second are dropped.
pub fn read(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let plain = || text.parse::<NaiveDateTime>().map(|local| local.and_utc());
    let at = at.or_else(|_| plain()).ok();
    let at = at.or_else(|| day(text).and_then(|day| day.and_hms_opt(0, 0, 0)).map(|local| local.and_utc()))?;
    DateTime::from_timestamp(at.timestamp(), 0)
}

/// Reads a day, whatever offset follows it.
pub fn day(text: &str) -> Option<NaiveDate> {
    text.trim().get(..10)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_spellings_are_read() {
        for text in [
            "2024-05-01T10:00:00Z",
            "2024-05-01T12:00:00+02:00",
            "2024-05-01T10:00:00",
            "2024-05-01T10:00:00.123456789Z",
        ] {
            assert_eq!(read(text).map(write).as_deref(), Some("2024-05-01T10:00:00Z"), "{text}");
        }
        assert_eq!(read("2024-05-01Z").map(write).as_deref(), Some("2024-05-01T00:00:00Z"));
        assert!(read("yesterday").is_none() && read("ü024-05-01").is_none());
    }
}
