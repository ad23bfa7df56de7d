//! Which appointments remind nobody (J10).

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::record::{Field, Fields, ShowAs, Value};

use crate::recurrence;

/// An appointment that began so long ago is over and done: nobody is reminded of it.
pub const CUTOFF: TimeDelta = TimeDelta::days(7);

/// Whether an appointment with these values has a reminder: not when it is older than [`CUTOFF`], nor when its time is
/// shown as free. A single one is as old as its start, a series as the end of its last occurrence.
pub fn is_due(fields: &Fields, now: DateTime<Utc>) -> bool {
    if fields.get(Field::ShowAs) == Some(&Value::ShowAs(ShowAs::Free)) {
        return false;
    }
    let began = match (fields.get(Field::Time), fields.get(Field::Recurrence)) {
        (Some(Value::When(when)), _) => Some(recurrence::span(when).0),
        (_, Some(Value::Series(series))) => recurrence::extent(series).and_then(|(_, ends)| ends),
        _ => None,
    };
    began.is_none_or(|began| now - began <= CUTOFF)
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveDateTime};
    use chrono_tz::Tz;
    use lockstep_model::record::{
        When,
        series::{End, Length, Pattern, Rule, Series},
    };

    use super::*;

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    fn appointment(time: When, show_as: Option<ShowAs>) -> Fields {
        let mut fields = Fields::default();
        fields.set(Field::Time, Value::When(time)).unwrap();
        if let Some(show_as) = show_as {
            fields.set(Field::ShowAs, Value::ShowAs(show_as)).unwrap();
        }
        fields
    }

    fn timed(start: &str) -> When {
        let start = local(start);
        When::Timed { start, end: start + TimeDelta::hours(1), zone: Tz::Europe__Berlin }
    }

    fn daily(end: End) -> Fields {
        let series = Series {
            zone: Tz::UTC,
            start: local("2027-01-01T09:00:00"),
            length: Length::Minutes(30),
            rule: Rule { every: 1, pattern: Pattern::Daily },
            end,
            exceptions: std::collections::BTreeMap::new(),
        };
        let mut fields = Fields::default();
        fields.set(Field::Recurrence, Value::Series(Box::new(series))).unwrap();
        fields
    }

    /// J10: the seventh day still reminds, to the second; free time never does; of series the end counts.
    #[test]
    fn j10_who_is_reminded() {
        let now: DateTime<Utc> = "2027-03-10T09:00:00Z".parse().unwrap();
        let day = |day| When::AllDay { first: NaiveDate::from_ymd_opt(2027, 3, day).unwrap(), days: 1 };
        let until = |day| End::Until(NaiveDate::from_ymd_opt(2027, 3, day).unwrap());
        for (what, fields, due) in [
            ("to come", appointment(timed("2027-03-11T09:00:00"), Some(ShowAs::Busy)), true),
            ("to come, and nobody says how it is shown", appointment(timed("2027-03-11T09:00:00"), None), true),
            ("to come, free", appointment(timed("2027-03-11T09:00:00"), Some(ShowAs::Free)), false),
            ("to come, tentative", appointment(timed("2027-03-11T09:00:00"), Some(ShowAs::Tentative)), true),
            ("yesterday", appointment(timed("2027-03-09T09:00:00"), Some(ShowAs::Busy)), true),
            ("seven days ago", appointment(timed("2027-03-03T10:00:00"), Some(ShowAs::Busy)), true),
            ("a second more", appointment(timed("2027-03-03T09:59:59"), Some(ShowAs::Busy)), false),
            ("long ago", appointment(timed("2020-03-03T10:00:00"), Some(ShowAs::OutOfOffice)), false),
            ("a whole day to come", appointment(day(11), None), true),
            ("a whole day a week ago", appointment(day(4), None), true),
            ("a whole day before that", appointment(day(2), None), false),
            ("a series without an end", daily(End::Never), true),
            ("a series that goes on", daily(until(20)), true),
            ("a series that ended a week ago", daily(until(3)), true),
            ("a series that ended before that", daily(until(1)), false),
            ("nothing is known", Fields::default(), true),
        ] {
            assert_eq!(is_due(&fields, now), due, "{what}");
        }
    }
}
