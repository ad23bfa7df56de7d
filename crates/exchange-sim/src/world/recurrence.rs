//! How something recurs, and on which days. Dates are of the series' own time zone.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

/// No series is followed further than this many occurrences.
pub const LIMIT: usize = 5_000;
/// Nor for longer than this many periods, however rare its days are.
const PERIODS: u32 = 20_000;

/// A set of days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DaySet(pub Vec<Weekday>);

impl DaySet {
    fn has(&self, date: NaiveDate) -> bool {
        self.0.contains(&date.weekday())
    }
}

/// Which of a month's days of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// The first, second, third or fourth: 0 to 3.
    At(u8),
    /// The last.
    Last,
}

/// The rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the rule's own words")]
pub enum Pattern {
    /// Each so many days.
    Daily { interval: u32 },
    /// On days of each so many weeks.
    Weekly { interval: u32, days: DaySet, first: Weekday },
    /// On a day of each so many months; the last day where a month is shorter.
    AbsoluteMonthly { interval: u32, day: u32 },
    /// On the n-th of some days of each so many months.
    RelativeMonthly { interval: u32, days: DaySet, nth: Nth },
    /// On a day of a month each year.
    AbsoluteYearly { month: u32, day: u32 },
    /// On the n-th of some days of a month each year.
    RelativeYearly { month: u32, days: DaySet, nth: Nth },
    /// A task that comes again when it is done: the name of the unit, and how many of them.
    Regeneration { unit: &'static str, interval: u32 },
}

/// How long it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// For ever.
    Never,
    /// Up to a day, included.
    On(NaiveDate),
    /// So many times.
    After(u32),
}

/// How something recurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// The rule.
    pub pattern: Pattern,
    /// The first day.
    pub start: NaiveDate,
    /// The end.
    pub end: End,
}

fn last_day(year: i32, month: u32) -> u32 {
    let next =
        if month == 12 { NaiveDate::from_ymd_opt(year + 1, 1, 1) } else { NaiveDate::from_ymd_opt(year, month + 1, 1) };
    next.and_then(|first| first.pred_opt()).map_or(28, |last| last.day())
}

fn absolute(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day.min(last_day(year, month)).max(1))
}

fn relative(year: i32, month: u32, days: &DaySet, nth: Nth) -> Option<NaiveDate> {
    let mut matching = (1..=last_day(year, month))
        .filter_map(|day| NaiveDate::from_ymd_opt(year, month, day))
        .filter(|date| days.has(*date));
    match nth {
        Nth::At(index) => matching.nth(usize::from(index)),
        Nth::Last => matching.next_back(),
    }
}

impl Recurrence {
    /// The days of period number `n`, in order.
    fn period(&self, n: u32) -> Option<Vec<NaiveDate>> {
        let month = |interval: u32| {
            let first = self.start.with_day(1)?;
            first
                .checked_add_months(Months::new(n.checked_mul(interval.max(1))?))
                .map(|date| (date.year(), date.month()))
        };
        let year = self.start.year().checked_add(i32::try_from(n).ok()?)?;
        let days = |count: u64| self.start.checked_add_days(Days::new(count));
        Some(match &self.pattern {
            Pattern::Daily { interval } => vec![days(u64::from(n) * u64::from((*interval).max(1)))?],
            Pattern::Weekly { interval, days: set, first } => {
                let into_week = (self.start.weekday().days_since(*first)).into();
                let week = self
                    .start
                    .checked_sub_days(Days::new(into_week))?
                    .checked_add_days(Days::new(u64::from(n) * u64::from((*interval).max(1)) * 7))?;
                let all = (0..7).filter_map(|day| week.checked_add_days(Days::new(day)));
                all.filter(|date| set.has(*date)).collect()
            }
            Pattern::AbsoluteMonthly { interval, day } => {
                let (year, month) = month(*interval)?;
                absolute(year, month, *day).into_iter().collect()
            }
            Pattern::RelativeMonthly { interval, days, nth } => {
                let (year, month) = month(*interval)?;
                relative(year, month, days, *nth).into_iter().collect()
            }
            Pattern::AbsoluteYearly { month, day } => absolute(year, *month, *day).into_iter().collect(),
            Pattern::RelativeYearly { month, days, nth } => relative(year, *month, days, *nth).into_iter().collect(),
            // What comes after depends on when this one is done.
            Pattern::Regeneration { .. } if n == 0 => vec![self.start],
            Pattern::Regeneration { .. } => return None,
        })
    }

    /// The days up to and including `until`, at most [`LIMIT`].
    pub fn days(&self, until: NaiveDate) -> Vec<NaiveDate> {
        let until = match self.end {
            End::On(last) => last.min(until),
            _ => until,
        };
        let count = match self.end {
            End::After(count) => usize::try_from(count).unwrap_or(LIMIT).min(LIMIT),
            _ => LIMIT,
        };
        let mut found = Vec::new();
        for period in (0..PERIODS).map_while(|n| self.period(n)) {
            for day in period {
                if found.len() == count || day > until {
                    return found;
                }
                if day >= self.start {
                    found.push(day);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn each_pattern_gives_its_days() {
        use Weekday::{Fri, Mon, Sun, Thu, Tue, Wed};
        let weekdays = DaySet(vec![Mon, Tue, Wed, Thu, Fri]);
        let cases: Vec<(Pattern, &str, End, &[&str])> = vec![
            (Pattern::Daily { interval: 2 }, "2024-02-28", End::After(3), &["2024-02-28", "2024-03-01", "2024-03-03"]),
            (
                Pattern::Weekly { interval: 2, days: DaySet(vec![Mon, Wed]), first: Mon },
                "2024-05-01",
                End::After(4),
                &["2024-05-01", "2024-05-13", "2024-05-15", "2024-05-27"],
            ),
            (
                // The week begins on Sunday: the Sunday after the first Wednesday belongs to the week that is left out.
                Pattern::Weekly { interval: 2, days: DaySet(vec![Sun, Wed]), first: Sun },
                "2024-05-01",
                End::After(3),
                &["2024-05-01", "2024-05-12", "2024-05-15"],
            ),
            (
                Pattern::AbsoluteMonthly { interval: 1, day: 31 },
                "2023-01-31",
                End::After(4),
                &["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"],
            ),
            (
                Pattern::RelativeMonthly { interval: 3, days: weekdays.clone(), nth: Nth::Last },
                "2024-01-01",
                End::On(day("2024-07-31")),
                &["2024-01-31", "2024-04-30", "2024-07-31"],
            ),
            (
                Pattern::RelativeMonthly { interval: 1, days: DaySet(vec![Tue]), nth: Nth::At(1) },
                "2024-01-10",
                End::After(2),
                &["2024-02-13", "2024-03-12"],
            ),
            (
                Pattern::AbsoluteYearly { month: 2, day: 29 },
                "2024-02-29",
                End::After(3),
                &["2024-02-29", "2025-02-28", "2026-02-28"],
            ),
            (
                Pattern::RelativeYearly { month: 11, days: DaySet(vec![Thu]), nth: Nth::At(3) },
                "2024-01-01",
                End::After(2),
                &["2024-11-28", "2025-11-27"],
            ),
            (Pattern::Regeneration { unit: "Daily", interval: 1 }, "2024-01-01", End::Never, &["2024-01-01"]),
        ];
        for (pattern, start, end, expected) in cases {
            let found = Recurrence { pattern: pattern.clone(), start: day(start), end }.days(day("2040-01-01"));
            assert_eq!(found, expected.iter().map(|text| day(text)).collect::<Vec<_>>(), "{pattern:?}");
        }
    }

    #[test]
    fn what_never_comes_and_what_never_ends_are_bounded() {
        let never = Pattern::Weekly { interval: 1, days: DaySet::default(), first: Weekday::Mon };
        let far = NaiveDate::MAX;
        assert!(Recurrence { pattern: never, start: day("2024-01-01"), end: End::Never }.days(far).is_empty());
        let daily = Recurrence { pattern: Pattern::Daily { interval: 0 }, start: day("2024-01-01"), end: End::Never };
        assert_eq!(daily.days(far).len(), LIMIT);
        let huge = Pattern::AbsoluteMonthly { interval: u32::MAX, day: 99 };
        assert_eq!(Recurrence { pattern: huge, start: day("2024-01-01"), end: End::Never }.days(far).len(), 1);
    }
}
