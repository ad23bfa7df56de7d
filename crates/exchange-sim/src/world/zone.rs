//! Time zones by the names Windows has for them.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use windows_timezones::WindowsTimezone;

/// The zone with a Windows name; also one with a name of the IANA database, which lenient clients send.
pub fn by_name(name: &str) -> Option<Tz> {
    if matches!(name, "UTC" | "tzone://Microsoft/Utc" | "Etc/UTC") {
        return Some(Tz::UTC);
    }
    name.parse::<WindowsTimezone>().ok().map(Tz::from).or_else(|| name.parse().ok())
}

/// The point in time at which a clock in the zone shows `local`. An hour that is left out counts as the one after it, of
/// one that comes twice the first is meant.
pub fn instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => {
            let later = zone.from_local_datetime(&(local + TimeDelta::hours(1)));
            later.earliest().map_or_else(|| local.and_utc(), |at| at.to_utc())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_lead_to_zones_and_gaps_to_the_hour_after() {
        assert_eq!(by_name("W. Europe Standard Time"), Some(Tz::Europe__Berlin));
        assert_eq!(by_name("UTC"), Some(Tz::UTC));
        assert_eq!(by_name("Europe/Copenhagen"), Some(Tz::Europe__Copenhagen));
        assert_eq!(by_name("Customized Time Zone"), None);
        let at = |text: &str| instant(Tz::Europe__Berlin, text.parse().unwrap()).to_rfc3339();
        assert_eq!(at("2024-01-15T09:00:00"), "2024-01-15T08:00:00+00:00");
        assert_eq!(at("2024-03-31T02:30:00"), "2024-03-31T01:30:00+00:00");
        assert_eq!(at("2024-10-27T02:30:00"), "2024-10-27T00:30:00+00:00");
    }
}
