//! Changes to a series and to single occurrences.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use lockstep_model::record::series::{Changed, Days, End, Exception, Length, MAX_EXCEPTIONS, OnDay, Pattern, Series};

use super::dates::{comes_on, of_exceptions};

/// Cancels one occurrence. Returns whether there is one to cancel.
pub fn cancel(series: &mut Series, original: NaiveDateTime) -> bool {
    except(series, original, Exception::Cancelled)
}

/// Moves or edits one occurrence; back to what the rule says, too. Returns whether there is one.
pub fn change(series: &mut Series, original: NaiveDateTime, changed: Changed) -> bool {
    let done = except(series, original, Exception::Changed(Box::new(changed)));
    series.tidy();
    done
}

fn except(series: &mut Series, original: NaiveDateTime, exception: Exception) -> bool {
    let room = series.exceptions.len() < MAX_EXCEPTIONS || series.exceptions.contains_key(&original);
    let found = room && comes_on(series, original);
    if found {
        series.exceptions.insert(original, exception);
    }
    found
}

/// Lets the series end with a day; exceptions that come later go with their occurrences.
pub fn shorten(series: &mut Series, last: NaiveDate) {
    series.end = End::Until(last);
    clean(series);
}

/// Brings a series into the form in which two are compared: no exception that changes nothing, none without an
/// occurrence.
pub fn clean(series: &mut Series) {
    series.tidy();
    let coming = of_exceptions(series);
    series.exceptions.retain(|original, _| coming.contains(original));
}

/// Why a series was not shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// It was, exceptions and all.
    Done,
    /// By days, and its rule names days of the month: which days are meant then, only a person knows.
    Unclear,
    /// Whole days cannot be shifted by hours.
    WholeDays,
    /// Beyond the calendar.
    OutOfRange,
}

/// Shifts the whole series by so much local time: its occurrences, the days its rule names, its end, and its
/// exceptions with it. Nothing is changed unless it is [`Shift::Done`].
pub fn shift(series: &mut Series, by: TimeDelta) -> Shift {
    if matches!(series.length, Length::Days(_)) && by.num_seconds() % 86_400 != 0 {
        return Shift::WholeDays;
    }
    let Some(start) = series.start.checked_add_signed(by) else { return Shift::OutOfRange };
    let days = (start.date() - series.start.date()).num_days();
    let pattern = match (&series.rule.pattern, days) {
        (pattern, 0) => pattern.clone(),
        (Pattern::Daily, _) => Pattern::Daily,
        (Pattern::Weekly { days: on, week_start }, _) => {
            let turn = |day: Weekday| (0..days.rem_euclid(7)).fold(day, |day, _| day.succ());
            let all = (0..7).filter_map(|number| Weekday::try_from(number).ok());
            let on: Days = all.filter(|day| on.contains(*day)).map(turn).collect();
            // A week that starts elsewhere keeps together what was one week.
            Pattern::Weekly { days: on, week_start: turn(*week_start) }
        }
        (Pattern::Monthly(OnDay::Absolute { .. } | OnDay::Relative { .. }) | Pattern::Yearly { .. }, _) => {
            return Shift::Unclear;
        }
    };
    let end = match series.end {
        End::Until(last) => match last.checked_add_signed(TimeDelta::days(days)) {
            Some(last) => End::Until(last),
            None => return Shift::OutOfRange,
        },
        end => end,
    };
    let mut exceptions = BTreeMap::new();
    for (original, exception) in &series.exceptions {
        let (Some(original), mut exception) = (original.checked_add_signed(by), exception.clone()) else {
            return Shift::OutOfRange;
        };
        if let Exception::Changed(changed) = &mut exception {
            let Some(start) = changed.start.checked_add_signed(by) else { return Shift::OutOfRange };
            changed.start = start;
        }
        exceptions.insert(original, exception);
    }
    series.rule.pattern = pattern;
    (series.start, series.end, series.exceptions) = (start, end, exceptions);
    Shift::Done
}
