//! Recurring series: which occurrences a series has, and what remains of it when it is changed.
//!
//! A rule is expanded in the series' own zone, in local time; only then do instants follow. So a meeting at nine stays
//! at nine when summer time begins. Everything is bounded: a rule that never comes ends after [`MAX_PERIODS`].

mod dates;
mod edit;
mod zone;

use std::ops::RangeInclusive;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use lockstep_model::record::{
    When,
    series::{End, Exception, Length, Series},
};

pub use edit::{Shift, cancel, change, clean, shift, shorten};
pub use zone::instant;

/// The years in which a series may start and come.
pub const YEARS: RangeInclusive<i32> = 1..=9_999;

/// Most days, weeks, months or years of a rule that are looked at in one go.
pub const MAX_PERIODS: usize = 20_000;

/// Most occurrences that are returned in one go.
pub const MAX_OCCURRENCES: usize = 5_000;

/// A series that does not come within so long is none.
const COMES_WITHIN: Days = Days::new(3660);

/// One occurrence of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The local start its rule gives it: its name.
    pub original: NaiveDateTime,
    /// Its local start.
    pub start: NaiveDateTime,
    /// How long it is.
    pub length: Length,
    /// Whether it differs from the rule.
    pub changed: bool,
}

impl Occurrence {
    /// When it starts and ends. Whole days are from midnight to midnight in the given zone.
    pub fn instants(&self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        let starts = instant(self.start, zone);
        let ends = match self.length {
            Length::Minutes(minutes) => {
                starts.checked_add_signed(TimeDelta::minutes(i64::from(minutes))).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
            Length::Days(days) => {
                let end = self.start.date().checked_add_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MAX);
                instant(end.and_time(NaiveTime::MIN), zone)
            }
        };
        (starts, ends)
    }

    /// As the time of a single appointment.
    pub fn when(&self, zone: Tz) -> When {
        match self.length {
            Length::Minutes(_) => {
                let end = self.instants(zone).1.with_timezone(&zone).naive_local();
                When::Timed { start: self.start, end, zone }
            }
            Length::Days(days) => When::AllDay { first: self.start.date(), days },
        }
    }
}

/// The occurrences in a window.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Expansion {
    /// By local start.
    pub occurrences: Vec<Occurrence>,
    /// A bound was reached: later occurrences may be missing.
    pub truncated: bool,
}

/// The occurrences that start on one of these local days, both included, by their own start and not the original one.
pub fn between(series: &Series, first: NaiveDate, last: NaiveDate) -> Expansion {
    let mut expansion = Expansion::default();
    let within = |start: &NaiveDateTime| (first..=last).contains(&start.date());
    for original in dates::of_exceptions(series) {
        if let Some(Exception::Changed(changed)) = series.exceptions.get(&original)
            && within(&changed.start)
        {
            let (start, length) = (changed.start, changed.length);
            expansion.occurrences.push(Occurrence { original, start, length, changed: true });
        }
    }
    let (mut dates, time) = (dates::Dates::from(series, first), series.start.time());
    for date in dates.by_ref().take_while(|date| *date <= last) {
        let original = date.and_time(time);
        if expansion.occurrences.len() >= MAX_OCCURRENCES {
            expansion.truncated = true;
            break;
        }
        if within(&original) && !series.exceptions.contains_key(&original) {
            let length = series.length;
            expansion.occurrences.push(Occurrence { original, start: original, length, changed: false });
        }
    }
    expansion.truncated |= dates.gave_up();
    expansion.occurrences.sort_by_key(|occurrence| (occurrence.start, occurrence.original));
    expansion
}

/// Whether the rule gives the series an occurrence that starts then, be it cancelled or changed.
pub fn comes_on(series: &Series, original: NaiveDateTime) -> bool {
    dates::comes_on(series, original)
}

/// The last day the rule comes on. `None`: it has no end, or never comes, or a bound was reached first.
pub fn last_day(series: &Series) -> Option<NaiveDate> {
    if series.end == End::Never {
        return None;
    }
    let mut dates = dates::Dates::from(series, series.start.date());
    let last = dates.by_ref().last();
    if dates.gave_up() { None } else { last }
}

/// When a single appointment starts and ends. Whole days are from midnight to midnight in UTC.
pub fn span(when: &When) -> (DateTime<Utc>, DateTime<Utc>) {
    match when {
        When::Timed { start, end, zone } => (instant(*start, *zone), instant(*end, *zone)),
        When::AllDay { first, days } => {
            let end = first.checked_add_days(Days::new(u64::from(*days))).unwrap_or(NaiveDate::MAX);
            (first.and_time(NaiveTime::MIN).and_utc(), end.and_time(NaiveTime::MIN).and_utc())
        }
    }
}

/// When the first occurrence that a series' rule gives starts, if it comes within ten years, and the end of the day of
/// the last one; `None`: it has no end.
pub fn extent(series: &Series) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
    let first = series.start.date();
    let mut whole = series.clone();
    whole.exceptions.clear();
    let within = first.checked_add_days(COMES_WITHIN).unwrap_or(NaiveDate::MAX);
    let starts = between(&whole, first, within).occurrences.first()?.instants(series.zone).0;
    let ends = last_day(&whole).and_then(|day| day.succ_opt());
    Some((starts, ends.map(|day| instant(day.and_time(NaiveTime::MIN), series.zone))))
}
