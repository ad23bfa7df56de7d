//! The days a rule comes on, in order and within bounds.

use std::collections::{BTreeSet, VecDeque};

use chrono::{Datelike, Days as Span, Months, NaiveDate, NaiveDateTime};
use lockstep_model::record::series::{Days, End, Nth, OnDay, Pattern, Series, ShortMonth};

use super::{MAX_PERIODS, YEARS};

/// The days of a rule, from its first one or from a later day on.
pub(super) struct Dates<'a> {
    series: &'a Series,
    /// The period to look at next: its first day.
    period: Option<NaiveDate>,
    /// Days of the last period that are still to be told.
    ready: VecDeque<NaiveDate>,
    /// How many occurrences the rule may still have.
    left: u32,
    looked_at: usize,
}

impl<'a> Dates<'a> {
    /// The days from the first of `from`'s period on, where the rule allows to start there: one that is numbered is
    /// counted from its first day.
    pub(super) fn from(series: &'a Series, from: NaiveDate) -> Self {
        let start = series.start.date();
        let mut period = YEARS.contains(&start.year()).then(|| first_day(&series.rule.pattern, start));
        if let (Some(first), false) = (period, matches!(series.end, End::Count(_))) {
            period = ahead(&series.rule.pattern, every(series), first, from.max(start));
        }
        let left = if let End::Count(count) = series.end { count } else { u32::MAX };
        Self { series, period, ready: VecDeque::new(), left, looked_at: 0 }
    }

    /// Whether a bound was reached before the rule's end.
    pub(super) fn gave_up(&self) -> bool {
        self.looked_at >= MAX_PERIODS
    }
}

impl Iterator for Dates<'_> {
    type Item = NaiveDate;

    fn next(&mut self) -> Option<NaiveDate> {
        let last = if let End::Until(last) = self.series.end { last } else { NaiveDate::MAX };
        while self.ready.is_empty() {
            let first = self.period.filter(|first| *first <= last && self.left > 0 && !self.gave_up())?;
            self.looked_at += 1;
            let days = days_of(&self.series.rule.pattern, first);
            self.ready.extend(days.into_iter().filter(|day| *day >= self.series.start.date()));
            self.period = step(&self.series.rule.pattern, first, every(self.series));
        }
        let day = self.ready.pop_front().filter(|day| *day <= last && self.left > 0)?;
        if self.left != u32::MAX {
            self.left -= 1;
        }
        Some(day)
    }
}

/// Whether the rule gives an occurrence that starts then.
pub(super) fn comes_on(series: &Series, original: NaiveDateTime) -> bool {
    let day = original.date();
    original.time() == series.start.time()
        && Dates::from(series, day).take_while(|other| *other <= day).any(|other| other == day)
}

/// The exceptions that have an occurrence, found in one pass.
pub(super) fn of_exceptions(series: &Series) -> BTreeSet<NaiveDateTime> {
    let (Some((first, _)), Some((last, _))) = (series.exceptions.first_key_value(), series.exceptions.last_key_value())
    else {
        return BTreeSet::new();
    };
    let time = series.start.time();
    let dates = Dates::from(series, first.date()).take_while(|day| *day <= last.date());
    dates.map(|day| day.and_time(time)).filter(|original| series.exceptions.contains_key(original)).collect()
}

fn every(series: &Series) -> u32 {
    u32::from(series.rule.every.max(1))
}

/// The first day of the period a day is in.
fn first_day(pattern: &Pattern, day: NaiveDate) -> NaiveDate {
    let first = match pattern {
        Pattern::Daily => Some(day),
        Pattern::Weekly { week_start, .. } => {
            let into = (7 + day.weekday().num_days_from_monday() - week_start.num_days_from_monday()) % 7;
            day.checked_sub_days(Span::new(u64::from(into)))
        }
        Pattern::Monthly(_) => day.with_day(1),
        Pattern::Yearly { .. } => NaiveDate::from_ymd_opt(day.year(), 1, 1),
    };
    first.unwrap_or(day)
}

/// So many periods later. `None` at the end of the calendar.
fn step(pattern: &Pattern, first: NaiveDate, periods: u32) -> Option<NaiveDate> {
    let later = match pattern {
        Pattern::Daily => first.checked_add_days(Span::new(u64::from(periods))),
        Pattern::Weekly { .. } => first.checked_add_days(Span::new(7 * u64::from(periods))),
        Pattern::Monthly(_) => first.checked_add_months(Months::new(periods)),
        Pattern::Yearly { .. } => first.checked_add_months(Months::new(periods.checked_mul(12)?)),
    };
    later.filter(|day| YEARS.contains(&day.year()))
}

/// The last period of the rule that begins no later than `from`, found by arithmetic.
fn ahead(pattern: &Pattern, every: u32, first: NaiveDate, from: NaiveDate) -> Option<NaiveDate> {
    let days = u32::try_from((from - first).num_days().max(0)).ok()?;
    let months = u32::try_from((from.year() - first.year()).max(0)).ok()?.checked_mul(12)? + from.month0();
    let periods = match pattern {
        Pattern::Daily => days,
        Pattern::Weekly { .. } => days / 7,
        Pattern::Monthly(_) => months.saturating_sub(first.month0()),
        Pattern::Yearly { .. } => months / 12,
    };
    step(pattern, first, periods / every * every)
}

/// The days of one period, in order.
fn days_of(pattern: &Pattern, first: NaiveDate) -> Vec<NaiveDate> {
    match pattern {
        Pattern::Daily => vec![first],
        Pattern::Weekly { days, .. } => first.iter_days().take(7).filter(|day| days.contains(day.weekday())).collect(),
        Pattern::Monthly(day) => day_in(first, *day).into_iter().collect(),
        Pattern::Yearly { month, day } => {
            first.with_month(u32::from(*month)).and_then(|first| day_in(first, *day)).into_iter().collect()
        }
    }
}

/// The day of a month, if it has it.
fn day_in(first: NaiveDate, day: OnDay) -> Option<NaiveDate> {
    match day {
        OnDay::Absolute { day, short } => first
            .with_day(u32::from(day))
            .or_else(|| (short == ShortMonth::LastDay && (29..=31).contains(&day)).then(|| last_of(first)).flatten()),
        OnDay::Relative { nth, days } => nth_of(first, nth, days),
    }
}

fn last_of(first: NaiveDate) -> Option<NaiveDate> {
    first.checked_add_months(Months::new(1))?.pred_opt()
}

fn nth_of(first: NaiveDate, nth: Nth, days: Days) -> Option<NaiveDate> {
    let in_month = |day: &NaiveDate| day.month() == first.month();
    let mut matching = first.iter_days().take_while(in_month).filter(|day| days.contains(day.weekday()));
    match nth {
        Nth::First => matching.next(),
        Nth::Second => matching.nth(1),
        Nth::Third => matching.nth(2),
        Nth::Fourth => matching.nth(3),
        Nth::Last => matching.last(),
    }
}
