//! Instants, lengths of time and numbers, as people read them.

use chrono::{DateTime, TimeDelta, Utc};

/// `2026-11-23 12:05:03 UTC (in 3 min)`.
pub(super) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let apart = at - now;
    let apart =
        if apart >= TimeDelta::zero() { format!("in {}", length(apart)) } else { format!("{} ago", length(-apart)) };
    format!("{} UTC ({apart})", at.format("%Y-%m-%d %H:%M:%S"))
}

/// A length of time in the largest unit that keeps it readable.
pub(super) fn length(span: TimeDelta) -> String {
    let seconds = span.num_seconds();
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 item is`, `2 items are`.
pub(super) fn count(number: impl TryInto<i64>, one: &str, many: &str) -> String {
    match number.try_into().unwrap_or(i64::MAX) {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// What a server said, on one line and not too long.
pub(super) fn said(text: &str) -> String {
    lockstep_model::text::line(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_instants() {
        let now = DateTime::from_timestamp(1_795_424_400, 0).unwrap();
        assert_eq!(when(now, now), "2026-11-23 09:00:00 UTC (in 0 s)");
        assert_eq!(when(now - TimeDelta::seconds(61), now), "2026-11-23 08:58:59 UTC (61 s ago)");
        for (seconds, text) in [(119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 days")]
        {
            assert_eq!(length(TimeDelta::seconds(seconds)), text);
        }
        assert_eq!((count(1, "is", "are"), count(0_i64, "is", "are")), ("1 is".into(), "0 are".into()));
    }
}
