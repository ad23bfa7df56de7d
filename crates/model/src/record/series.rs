//! A recurring series, one model for every protocol: a master with its rule, changed and cancelled occurrences, all in
//! the series' own zone.
//!
//! An occurrence is named by its *original* local start, the one the rule gives it, however far it is moved. Extra
//! dates beside the rule (`RDATE`) and rules by the hour are not part of the model.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use chrono_tz::Tz;

use super::{Fields, Patch};

/// Most exceptions a series carries; more are not taken over from a server.
pub const MAX_EXCEPTIONS: usize = 1_000;

/// A series of appointments.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The zone in which the rule and all local times are meant.
    pub zone: Tz,
    /// When the first occurrence would start. With [`Length::Days`] the time of day is midnight.
    pub start: NaiveDateTime,
    /// How long each occurrence is.
    pub length: Length,
    /// When it comes again.
    pub rule: Rule,
    /// Until when.
    pub end: End,
    /// What differs from the rule, by original start.
    pub exceptions: BTreeMap<NaiveDateTime, Exception>,
}

impl Series {
    /// Whether its occurrences are whole days.
    pub const fn is_all_day(&self) -> bool {
        matches!(self.length, Length::Days(_))
    }

    /// Brings into the form in which series are compared: whole days start at midnight, and are of no zone unless an
    /// occurrence has a time of the day; what becomes of a short month is not asked where none is too short; and a
    /// changed occurrence that changes nothing is none.
    pub fn tidy(&mut self) {
        let timed = |exception: &Exception| match exception {
            Exception::Cancelled => false,
            Exception::Changed(changed) => matches!(changed.length, Length::Minutes(_)),
        };
        if self.is_all_day() {
            self.start = self.start.date().and_time(NaiveTime::MIN);
            if !self.exceptions.values().any(timed) {
                self.zone = Tz::UTC;
            }
        }
        self.rule.tidy();
        let length = self.length;
        self.exceptions.retain(|original, exception| match exception {
            Exception::Cancelled => true,
            Exception::Changed(changed) => {
                changed.start != *original || changed.length != length || !changed.fields.is_empty()
            }
        });
    }
}

/// How long an occurrence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many minutes of elapsed time.
    Minutes(u32),
    /// So many whole days, at least 1.
    Days(u32),
}

/// When a series comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Every so many days, weeks, months or years; 0 is taken as 1.
    pub every: u16,
    /// On which days.
    pub pattern: Pattern,
}

impl Rule {
    fn tidy(&mut self) {
        let (on, month) = match &mut self.pattern {
            Pattern::Monthly(on) => (on, None),
            Pattern::Yearly { month, day } => (day, Some(*month)),
            Pattern::Daily | Pattern::Weekly { .. } => return,
        };
        if let OnDay::Absolute { day, short } = on
            && *day <= days_always(month)
        {
            *short = ShortMonth::Skipped;
        }
    }
}

/// How many days a month has in every year; without one, any month.
pub const fn days_always(month: Option<u8>) -> u8 {
    match month {
        Some(1 | 3 | 5 | 7 | 8 | 10 | 12) => 31,
        Some(4 | 6 | 9 | 11) => 30,
        _ => 28,
    }
}

/// On which days a series comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every day.
    Daily,
    /// On these days of the week.
    Weekly {
        /// The days.
        days: Days,
        /// The day a week starts with; it matters when not every week counts.
        week_start: Weekday,
    },
    /// On one day of the month.
    Monthly(OnDay),
    /// On one day of one month.
    Yearly {
        /// 1 to 12.
        month: u8,
        /// Which day of it.
        day: OnDay,
    },
}

/// One day of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDay {
    /// By number.
    Absolute {
        /// 1 to 31.
        day: u8,
        /// What happens in a month that is too short.
        short: ShortMonth,
    },
    /// The first to fourth, or the last, of some days of the week.
    Relative {
        /// Which one.
        nth: Nth,
        /// Of which days: one (Tuesday), several (working days) or all.
        days: Days,
    },
}

/// What becomes of the 31st in a month of 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortMonth {
    /// Nothing in that month (RFC 5545 §3.3.10).
    Skipped,
    /// It is on the last day (Exchange).
    LastDay,
}

/// Which of several days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nth {
    /// The first.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
    /// The fourth.
    Fourth,
    /// The last.
    Last,
}

/// A set of days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Days(u8);

impl Days {
    /// Monday to Friday.
    pub const WORKING: Self = Self(0b001_1111);
    /// Saturday and Sunday.
    pub const WEEKEND: Self = Self(0b110_0000);
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// With one day more.
    #[must_use]
    pub fn with(self, day: Weekday) -> Self {
        Self(self.0 | 1 << day.num_days_from_monday())
    }

    /// Whether a day is in it.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & 1 << day.num_days_from_monday() != 0
    }

    /// Whether no day is in it: such a rule never comes.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Weekday> for Days {
    fn from_iter<T: IntoIterator<Item = Weekday>>(days: T) -> Self {
        days.into_iter().fold(Self::default(), Self::with)
    }
}

/// Until when a series comes. The days it comes are counted as the rule gives them, cancelled ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without end.
    Never,
    /// After so many occurrences.
    Count(u32),
    /// With this local day, included.
    Until(NaiveDate),
}

/// What differs from the rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Exception {
    /// It does not take place.
    Cancelled,
    /// It takes place otherwise.
    Changed(Box<Changed>),
}

/// One changed occurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Its own local start.
    pub start: NaiveDateTime,
    /// Its own length.
    pub length: Length,
    /// Fields that differ from the master's; a cleared one has no value here and one there.
    pub fields: Patch,
}

impl Changed {
    /// The occurrence's values, given its master's.
    pub fn fields(&self, master: &Fields) -> Fields {
        let mut fields = master.clone();
        fields.apply(&self.fields);
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidied(pattern: Pattern, length: Length, zone: Tz) -> Series {
        let start = NaiveDate::from_ymd_opt(2027, 3, 15).unwrap().and_hms_opt(9, 0, 0).unwrap();
        let rule = Rule { every: 1, pattern };
        let mut series = Series { zone, start, length, rule, end: End::Never, exceptions: BTreeMap::new() };
        series.tidy();
        series
    }

    #[test]
    fn short_months_matter_only_where_one_is_too_short() {
        let same = |pattern: fn(OnDay) -> Pattern, day| {
            let [one, other] = [ShortMonth::Skipped, ShortMonth::LastDay]
                .map(|short| tidied(pattern(OnDay::Absolute { day, short }), Length::Minutes(30), Tz::UTC));
            one == other
        };
        assert!(same(Pattern::Monthly, 28) && !same(Pattern::Monthly, 29));
        assert!(same(|day| Pattern::Yearly { month: 12, day }, 31));
        assert!(
            same(|day| Pattern::Yearly { month: 4, day }, 30) && !same(|day| Pattern::Yearly { month: 4, day }, 31)
        );
        assert!(!same(|day| Pattern::Yearly { month: 2, day }, 29));
    }

    #[test]
    fn whole_days_are_the_same_in_every_zone() {
        let [here, there] = [Tz::Europe__Berlin, Tz::America__New_York];
        assert_eq!(tidied(Pattern::Daily, Length::Days(1), here), tidied(Pattern::Daily, Length::Days(1), there));
        let timed = |zone| tidied(Pattern::Daily, Length::Minutes(60), zone);
        assert_ne!(timed(here), timed(there));
        let with_a_time = |zone| {
            let mut series = tidied(Pattern::Daily, Length::Days(1), zone);
            series.zone = zone;
            let changed = Changed { start: series.start, length: Length::Minutes(60), fields: Patch::default() };
            series.exceptions.insert(series.start, Exception::Changed(Box::new(changed)));
            series.tidy();
            series
        };
        assert_ne!(with_a_time(here), with_a_time(there), "a time of the day is of a zone");
    }
}
