//! J9: what stands in the way of an appointment, and what does not.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use lockstep_engine::scheduling_conflict::{Booking, first_clash};
use lockstep_model::record::{
    Field, Fields, Kind, ShowAs, State, Value, When,
    series::{End, Exception, Length, Pattern, Rule, Series},
};

fn at(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
}

fn now() -> DateTime<Utc> {
    "2027-03-01T08:00:00Z".parse().unwrap()
}

fn with(field: Field, value: Value, shown: Option<ShowAs>) -> Fields {
    let mut fields = Fields::default();
    fields.set(field, value).unwrap();
    if let Some(shown) = shown {
        fields.set(Field::ShowAs, Value::ShowAs(shown)).unwrap();
    }
    fields
}

fn timed_in(start: &str, end: &str, zone: Tz, shown: Option<ShowAs>) -> Fields {
    with(Field::Time, Value::When(When::Timed { start: at(start), end: at(end), zone }), shown)
}

/// In Berlin, an hour ahead of UTC.
fn timed(start: &str, end: &str) -> Fields {
    timed_in(start, end, Tz::Europe__Berlin, Some(ShowAs::Busy))
}

fn whole(first: &str, days: u32, shown: ShowAs) -> Fields {
    with(Field::Time, Value::When(When::AllDay { first: first.parse().unwrap(), days }), Some(shown))
}

fn daily(start: &str, minutes: u32, count: u32, cancelled: &[&str]) -> Fields {
    let exceptions: BTreeMap<_, _> = cancelled.iter().map(|day| (at(day), Exception::Cancelled)).collect();
    let series = Series {
        zone: Tz::Europe__Berlin,
        start: at(start),
        length: Length::Minutes(minutes),
        rule: Rule { every: 1, pattern: Pattern::Daily },
        end: End::Count(count),
        exceptions,
    };
    with(Field::Recurrence, Value::Series(Box::new(series)), None)
}

fn booking(kind: Kind, fields: &Fields) -> Booking<'_> {
    Booking { kind, state: State::Open, draft: false, fields }
}

fn kind_of(fields: &Fields) -> Kind {
    if fields.get(Field::Recurrence).is_some() { Kind::RecurringAppointment } else { Kind::Appointment }
}

fn clash(new: &Fields, taken: &Fields) -> Option<String> {
    let clash = first_clash(booking(kind_of(new), new), booking(kind_of(taken), taken), now());
    clash.map(|at| at.format("%d %H:%M").to_string())
}

/// J9: time is taken where both overlap, in whatever zones, as whole days or in a series.
#[test]
fn j9_what_overlaps_clashes() {
    let nine = timed("2027-03-02T09:00", "2027-03-02T10:00");
    let tokyo = |start, end| timed_in(start, end, Tz::Asia__Tokyo, Some(ShowAs::Busy));
    let rows: &[(&str, Fields, Fields, Option<&str>)] = &[
        ("the same time", nine.clone(), nine.clone(), Some("02 08:00")),
        ("half of it", nine.clone(), timed("2027-03-02T09:30", "2027-03-02T11:00"), Some("02 08:00")),
        ("inside", nine.clone(), timed("2027-03-02T09:20", "2027-03-02T09:30"), Some("02 08:00")),
        ("ends meet", nine.clone(), timed("2027-03-02T10:00", "2027-03-02T11:00"), None),
        ("starts meet ends", nine.clone(), timed("2027-03-02T08:00", "2027-03-02T09:00"), None),
        ("another day", nine.clone(), timed("2027-03-03T09:00", "2027-03-03T10:00"), None),
        ("another zone, the same time", nine.clone(), tokyo("2027-03-02T17:00", "2027-03-02T18:00"), Some("02 08:00")),
        ("another zone, another time", nine.clone(), tokyo("2027-03-02T09:00", "2027-03-02T10:00"), None),
        ("a moment takes no time", nine.clone(), timed("2027-03-02T09:30", "2027-03-02T09:30"), None),
        (
            "over already",
            timed("2027-02-02T09:00", "2027-02-02T10:00"),
            timed("2027-02-02T09:00", "2027-02-02T10:00"),
            None,
        ),
        (
            "under way",
            timed("2027-03-01T08:30", "2027-03-01T10:00"),
            timed("2027-03-01T08:00", "2027-03-01T11:00"),
            Some("01 07:30"),
        ),
        ("a whole day", nine.clone(), whole("2027-03-02", 1, ShowAs::OutOfOffice), Some("02 08:00")),
        ("the whole day before", nine.clone(), whole("2027-03-01", 1, ShowAs::Busy), None),
        // In Tokyo the second of March begins while it is the first in Greenwich.
        (
            "a whole day is one where the clock is",
            tokyo("2027-03-02T01:00", "2027-03-02T02:00"),
            whole("2027-03-02", 1, ShowAs::Busy),
            Some("01 16:00"),
        ),
        ("a free whole day", nine.clone(), whole("2027-03-02", 1, ShowAs::Free), None),
        (
            "two whole days",
            whole("2027-03-02", 2, ShowAs::Busy),
            whole("2027-03-03", 1, ShowAs::Busy),
            Some("02 00:00"),
        ),
        ("whole days side by side", whole("2027-03-02", 1, ShowAs::Busy), whole("2027-03-03", 1, ShowAs::Busy), None),
        ("an occurrence", nine.clone(), daily("2027-02-01T09:30", 60, 60, &[]), Some("02 08:00")),
        ("a cancelled occurrence", nine.clone(), daily("2027-02-01T09:30", 60, 60, &["2027-03-02T09:30"]), None),
        ("a series that is over", nine.clone(), daily("2027-02-01T09:30", 60, 5, &[]), None),
        (
            "one of a series",
            daily("2027-03-01T09:30", 60, 60, &[]),
            timed("2027-03-05T10:00", "2027-03-05T10:15"),
            Some("05 08:30"),
        ),
        (
            "two series",
            daily("2027-03-01T09:30", 60, 60, &[]),
            daily("2027-03-04T10:00", 60, 60, &[]),
            Some("04 08:30"),
        ),
        (
            "long ones that overlap themselves",
            timed("2027-03-04T08:00", "2027-03-04T08:30"),
            daily("2027-03-01T09:00", 48 * 60, 2, &[]),
            Some("04 07:00"),
        ),
    ];
    for (what, new, taken, expected) in rows {
        assert_eq!(clash(new, taken).as_deref(), *expected, "{what}");
    }
}

/// J9: a series that overlaps itself is alone, and clashes with nothing.
#[test]
fn j9_a_series_does_not_stand_in_its_own_way() {
    let series = daily("2027-03-01T09:00", 30 * 60, 10, &[]);
    assert_eq!(clash(&series, &timed("2027-05-01T09:00", "2027-05-01T10:00")), None);
}

/// J9: what is closed, a draft, free, tentative or no appointment takes no time, on either side.
#[test]
fn j9_only_what_is_open_and_busy_takes_time() {
    let shown = |shown| timed_in("2027-03-02T09:00", "2027-03-02T10:00", Tz::UTC, shown);
    let busy = shown(Some(ShowAs::Busy));
    for (show_as, takes) in [
        (None, true),
        (Some(ShowAs::Busy), true),
        (Some(ShowAs::OutOfOffice), true),
        (Some(ShowAs::Tentative), false),
        (Some(ShowAs::WorkingElsewhere), false),
        (Some(ShowAs::Free), false),
    ] {
        let fields = shown(show_as);
        assert_eq!(clash(&busy, &fields).is_some(), takes, "{show_as:?}");
        assert_eq!(clash(&fields, &busy).is_some(), takes, "{show_as:?}");
    }
    let open = booking(Kind::Appointment, &busy);
    for (kind, state, draft, takes) in [
        (Kind::Appointment, State::Open, false, true),
        (Kind::ServiceActivity, State::Open, false, true),
        (Kind::Appointment, State::Open, true, false),
        (Kind::Appointment, State::Completed, false, false),
        (Kind::Appointment, State::Canceled, false, false),
        (Kind::PhoneCall, State::Open, false, false),
    ] {
        let other = Booking { kind, state, draft, fields: &busy };
        assert_eq!(first_clash(open, other, now()).is_some(), takes, "{kind:?} {state:?} {draft}");
    }
}
