//! From a local time to an instant, over the edges of summer time.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The longest gap that is looked over: Samoa once skipped a day.
const LONGEST_GAP_QUARTERS: i32 = 26 * 4;

/// The instant of a local time. One that comes twice is the first of the two; one that is skipped is read with the
/// offset from before the gap, so that 2:30 becomes 3:30 (RFC 5545 §3.3.5).
pub fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            let before = (1..=LONGEST_GAP_QUARTERS).find_map(|quarters| {
                let earlier = local.checked_sub_signed(TimeDelta::minutes(15) * quarters)?;
                zone.from_local_datetime(&earlier).latest()
            });
            let offset = before.map_or(0, |at| at.offset().fix().local_minus_utc());
            local.checked_sub_signed(TimeDelta::seconds(i64::from(offset))).unwrap_or(local).and_utc()
        }
    }
}
