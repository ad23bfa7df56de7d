//! J7, J15: series against the answers of another implementation, and what becomes of them when they are changed.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use lockstep_engine::recurrence::{
    self, MAX_PERIODS, Shift, between, cancel, change, clean, comes_on, instant, shift, shorten,
};
use lockstep_model::record::{
    Field, Fields, Patch, Value, When,
    series::{Changed, Days, End, Exception, Length, Nth, OnDay, Pattern, Rule, Series, ShortMonth},
};
use proptest::prelude::*;

fn at(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A rule as the golden files have it: the part of RFC 5545 that the model knows.
fn rule(text: &str) -> (Rule, End) {
    let parts: BTreeMap<_, _> = text.split(';').map(|part| part.split_once('=').unwrap()).collect();
    let number = |name: &str| parts.get(name).map(|text| text.parse::<i32>().unwrap());
    let weekday = |text: &str| match text {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        other => panic!("{other}"),
    };
    let days: Days = parts.get("BYDAY").into_iter().flat_map(|text| text.split(',')).map(weekday).collect();
    let on_day = || match (parts.get("BYMONTHDAY"), number("BYSETPOS")) {
        (Some(&"28,29,30"), Some(-1)) => OnDay::Absolute { day: 30, short: ShortMonth::LastDay },
        (Some(day), None) => OnDay::Absolute { day: day.parse().unwrap(), short: ShortMonth::Skipped },
        (None, Some(position)) => {
            let nth = match position {
                1 => Nth::First,
                2 => Nth::Second,
                3 => Nth::Third,
                4 => Nth::Fourth,
                -1 => Nth::Last,
                other => panic!("{other}"),
            };
            OnDay::Relative { nth, days }
        }
        other => panic!("{other:?}"),
    };
    let pattern = match parts["FREQ"] {
        "DAILY" => Pattern::Daily,
        "WEEKLY" => Pattern::Weekly { days, week_start: parts.get("WKST").map_or(Weekday::Mon, |day| weekday(day)) },
        "MONTHLY" => Pattern::Monthly(on_day()),
        "YEARLY" => Pattern::Yearly { month: number("BYMONTH").unwrap().try_into().unwrap(), day: on_day() },
        other => panic!("{other}"),
    };
    let until = parts.get("UNTIL").map(|text| End::Until(NaiveDate::parse_from_str(text, "%Y%m%d").unwrap()));
    let count = number("COUNT").map(|count| End::Count(count.try_into().unwrap()));
    let every = number("INTERVAL").unwrap_or(1).try_into().unwrap();
    (Rule { every, pattern }, until.or(count).unwrap_or(End::Never))
}

/// A series with a rule, at nine for an hour in Berlin.
fn series(start: &str, text: &str) -> Series {
    let (rule, end) = rule(text);
    let (zone, length) = (chrono_tz::Europe::Berlin, Length::Minutes(60));
    Series { zone, start: at(start), length, rule, end, exceptions: BTreeMap::new() }
}

/// One case of a golden file: the series and the window.
fn case(told: &str) -> (Series, NaiveDate, NaiveDate) {
    let mut made = series("2000-01-01T00:00", "FREQ=DAILY");
    let mut window = None;
    for line in told.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["zone", zone] => made.zone = zone.parse().unwrap(),
            ["start", start] => made.start = at(start),
            ["minutes", minutes] => made.length = Length::Minutes(minutes.parse().unwrap()),
            ["days", days] => made.length = Length::Days(days.parse().unwrap()),
            ["rule", text] => (made.rule, made.end) = rule(text),
            ["cancel", original] => {
                made.exceptions.insert(at(original), Exception::Cancelled);
            }
            ["move", original, start, length] => {
                let amount = length.parse().unwrap();
                let length = if made.is_all_day() { Length::Days(amount) } else { Length::Minutes(amount) };
                let changed = Changed { start: at(start), length, fields: Patch::default() };
                made.exceptions.insert(at(original), Exception::Changed(Box::new(changed)));
            }
            ["window", first, last] => window = Some((day(first), day(last))),
            _ => panic!("{line}"),
        }
    }
    let (first, last) = window.unwrap();
    (made, first, last)
}

fn told(series: &Series, first: NaiveDate, last: NaiveDate) -> Vec<String> {
    let expansion = between(series, first, last);
    assert!(!expansion.truncated);
    let line = |occurrence: &recurrence::Occurrence| match occurrence.when(series.zone) {
        When::AllDay { first, days } => format!("{first} {days}"),
        When::Timed { start, .. } => {
            let (starts, ends) = occurrence.instants(series.zone);
            let utc = "%Y-%m-%dT%H:%MZ";
            format!("{} {} {}", start.format("%Y-%m-%dT%H:%M"), starts.format(utc), ends.format(utc))
        }
    };
    expansion.occurrences.iter().map(line).collect()
}

fn golden(file: &str, at_least: usize) {
    let cases: Vec<_> = file.split("\n\n").skip(1).collect();
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    for text in cases {
        let (asked, expected) = text.split_once("=\n").unwrap_or_else(|| (text.trim_end_matches('='), ""));
        let (series, first, last) = case(asked.trim_end());
        assert_eq!(told(&series, first, last), expected.trim().lines().collect::<Vec<_>>(), "{asked}");
        // What an expansion says comes, comes; and taking it into the compared form changes nothing of it.
        let mut cleaned = series.clone();
        clean(&mut cleaned);
        assert_eq!(between(&cleaned, first, last).occurrences.len(), expected.trim().lines().count(), "{asked}");
        assert!(between(&series, first, last).occurrences.iter().all(|one| comes_on(&series, one.original)));
    }
}

#[test]
fn j7_rules_of_every_kind() {
    golden(include_str!("../golden/rules.txt"), 19);
}

#[test]
fn j7_moved_changed_and_cancelled_occurrences() {
    golden(include_str!("../golden/exceptions.txt"), 7);
}

#[test]
fn j15_the_edges_of_summer_time_in_three_zones() {
    golden(include_str!("../golden/summer_time.txt"), 21);
}

#[test]
fn j15_whole_days_in_three_zones() {
    golden(include_str!("../golden/all_day.txt"), 6);
}

/// Whole days are the same days wherever they are looked at.
#[test]
fn j15_a_whole_day_keeps_its_date() {
    let mut seen = Vec::new();
    for zone in [chrono_tz::Pacific::Auckland, chrono_tz::Europe::Berlin, chrono_tz::America::Los_Angeles] {
        let mut holiday = series("2026-03-26T00:00", "FREQ=DAILY;COUNT=6");
        (holiday.zone, holiday.length) = (zone, Length::Days(1));
        seen.push(told(&holiday, day("2026-01-01"), day("2026-12-31")));
    }
    assert_eq!(seen[0].len(), 6);
    assert!(seen.iter().all(|one| *one == seen[0]));
}

fn starts(series: &Series) -> Vec<String> {
    let expansion = between(series, day("2026-01-01"), day("2026-12-31"));
    expansion.occurrences.iter().map(|one| one.start.format("%m-%dT%H:%M").to_string()).collect()
}

#[test]
fn j7_single_occurrences_are_moved_edited_and_cancelled() {
    let mut weekly = series("2026-05-04T09:00", "FREQ=WEEKLY;BYDAY=MO;COUNT=4");
    assert!(cancel(&mut weekly, at("2026-05-11T09:00")));
    assert!(!cancel(&mut weekly, at("2026-05-12T09:00")), "nothing comes on a Tuesday");
    assert!(!cancel(&mut weekly, at("2026-05-11T10:00")), "nothing comes at ten");
    assert!(!cancel(&mut weekly, at("2026-06-01T09:00")), "a fifth one there is not");
    let moved = Changed { start: at("2026-05-19T14:00"), length: Length::Minutes(60), fields: Patch::default() };
    assert!(change(&mut weekly, at("2026-05-18T09:00"), moved.clone()));
    assert_eq!(starts(&weekly), ["05-04T09:00", "05-19T14:00", "05-25T09:00"]);
    // Back to where it was: no exception is left.
    let back = Changed { start: at("2026-05-18T09:00"), ..moved };
    assert!(change(&mut weekly, at("2026-05-18T09:00"), back));
    assert_eq!(weekly.exceptions.len(), 1);
    assert_eq!(starts(&weekly), ["05-04T09:00", "05-18T09:00", "05-25T09:00"]);
}

#[test]
fn j7_an_edited_occurrence_has_values_of_its_own() {
    let (mut master, mut own) = (Fields::default(), Fields::default());
    let text = |text: &str| Value::Text(text.to_owned());
    master.set(Field::Subject, text("weekly")).unwrap();
    master.set(Field::Location, text("room 1")).unwrap();
    own.set(Field::Subject, text("with guests")).unwrap();
    let mut fields = Patch::default();
    fields.take(Field::Subject, &own);
    fields.take(Field::Location, &own);
    let original = at("2026-05-11T09:00");
    let mut weekly = series("2026-05-04T09:00", "FREQ=WEEKLY;BYDAY=MO;COUNT=4");
    assert!(change(&mut weekly, original, Changed { start: original, length: Length::Minutes(60), fields }));
    assert_eq!(starts(&weekly).len(), 4);
    let Some(Exception::Changed(changed)) = weekly.exceptions.get(&original) else { panic!("it was edited") };
    assert_eq!(changed.fields(&master), own, "another subject, and no place");
}

/// J15: a day that a zone skipped, an hour that comes twice, and the ends of the calendar.
#[test]
fn j15_local_times_that_are_not_there() {
    let utc = |text: &str, zone| instant(at(text), zone).format("%Y-%m-%dT%H:%MZ").to_string();
    assert_eq!(utc("2011-12-30T10:00", chrono_tz::Pacific::Apia), "2011-12-30T20:00Z");
    assert_eq!(utc("2026-10-25T02:30", chrono_tz::Europe::Berlin), "2026-10-25T00:30Z");
    for zone in [chrono_tz::Pacific::Apia, chrono_tz::Pacific::Kiritimati, chrono_tz::UTC] {
        for extreme in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
            let mut far = series("2026-01-01T00:00", "FREQ=DAILY");
            (far.zone, far.start, far.length) = (zone, extreme, Length::Minutes(u32::MAX));
            assert_eq!(between(&far, NaiveDate::MIN, NaiveDate::MAX).occurrences, [], "{extreme}");
            let changed = Changed { start: extreme, length: far.length, fields: Patch::default() };
            let last = at("9999-12-31T23:59");
            far.start = last;
            assert!(change(&mut far, last, changed));
            let found = between(&far, NaiveDate::MIN, NaiveDate::MAX).occurrences;
            assert_eq!(found.len(), 1);
            let (starts, ends) = found[0].instants(zone);
            assert!(starts <= ends, "{starts} {ends}");
        }
    }
}

#[test]
fn j7_a_series_is_shortened() {
    let mut weekly = series("2026-05-04T09:00", "FREQ=WEEKLY;BYDAY=MO");
    cancel(&mut weekly, at("2026-05-11T09:00"));
    cancel(&mut weekly, at("2026-06-08T09:00"));
    shorten(&mut weekly, day("2026-05-25"));
    assert_eq!(starts(&weekly), ["05-04T09:00", "05-18T09:00", "05-25T09:00"]);
    assert_eq!(weekly.exceptions.len(), 1, "what was cancelled after the end is no exception any more");
    assert_eq!(recurrence::last_day(&weekly), Some(day("2026-05-25")));
}

#[test]
fn j7_a_series_is_shifted_with_its_exceptions() {
    let mut weekly = series("2026-05-04T09:00", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;UNTIL=20260614");
    cancel(&mut weekly, at("2026-05-10T09:00"));
    let (length, fields) = (Length::Minutes(60), Patch::default());
    change(&mut weekly, at("2026-05-18T09:00"), Changed { start: at("2026-05-19T08:00"), length, fields });
    let before = starts(&weekly);
    assert_eq!(before, ["05-04T09:00", "05-19T08:00", "05-24T09:00", "06-01T09:00", "06-07T09:00"]);
    assert_eq!(shift(&mut weekly, TimeDelta::hours(26)), Shift::Done);
    assert_eq!(starts(&weekly), ["05-05T11:00", "05-20T10:00", "05-25T11:00", "06-02T11:00", "06-08T11:00"]);
    assert_eq!(shift(&mut weekly, TimeDelta::hours(-26)), Shift::Done);
    assert_eq!(starts(&weekly), before);

    let mut monthly = series("2026-05-31T09:00", "FREQ=MONTHLY;BYMONTHDAY=31");
    let untouched = monthly.clone();
    assert_eq!(shift(&mut monthly, TimeDelta::days(1)), Shift::Unclear);
    assert_eq!(monthly, untouched);
    assert_eq!(shift(&mut monthly, TimeDelta::hours(2)), Shift::Done);
    monthly.length = Length::Days(1);
    assert_eq!(shift(&mut monthly, TimeDelta::hours(2)), Shift::WholeDays);
}

#[test]
fn rules_that_never_come_end() {
    for text in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;INTERVAL=400;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTHDAY=77",
        "FREQ=YEARLY;BYMONTH=13;BYMONTHDAY=1;COUNT=3",
        "FREQ=WEEKLY",
        "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=DAILY;INTERVAL=0;COUNT=0",
    ] {
        let never = series("2026-01-01T09:00", text);
        assert_eq!(between(&never, day("2026-01-01"), day("9000-12-31")).occurrences, [], "{text}");
        assert_eq!(recurrence::last_day(&never), None, "{text}");
    }
    let long = series("2000-01-01T09:00", "FREQ=DAILY;COUNT=2000000000");
    let expansion = between(&long, day("2200-01-01"), day("2200-12-31"));
    assert!(expansion.truncated && expansion.occurrences.is_empty(), "counted for at most {MAX_PERIODS} days");
    let endless = series("2000-01-01T09:00", "FREQ=DAILY");
    assert_eq!(between(&endless, day("2200-01-01"), day("2200-12-31")).occurrences.len(), 365);
    assert!(between(&endless, day("2000-01-01"), day("2200-12-31")).truncated);
}

proptest! {
    /// A window shows what a longer one shows of it, however far it is from the start.
    #[test]
    fn windows_agree(
        days in 1..128_u8,
        pick in 0..5_u8,
        every in 1..9_u16,
        start in 0..400_i64,
        from in 0..3_000_i64,
        length in 0..400_i64,
        count in proptest::option::of(1..200_u32),
    ) {
        let on: Days = (0..7).filter(|bit| days & 1 << bit != 0).filter_map(|bit| Weekday::try_from(bit).ok()).collect();
        let (nth, short) = (Nth::Last, ShortMonth::LastDay);
        let pattern = match pick {
            0 => Pattern::Daily,
            1 => Pattern::Weekly { days: on, week_start: Weekday::try_from(days % 7).unwrap() },
            2 => Pattern::Monthly(OnDay::Absolute { day: days % 31 + 1, short }),
            3 => Pattern::Monthly(OnDay::Relative { nth, days: on }),
            _ => Pattern::Yearly { month: days % 12 + 1, day: OnDay::Absolute { day: 31, short } },
        };
        let mut one = series("2020-01-01T09:00", "FREQ=DAILY");
        one.start += TimeDelta::days(start);
        (one.rule, one.end) = (Rule { every, pattern }, count.map_or(End::Never, End::Count));
        let first = one.start.date() + TimeDelta::days(from);
        let last = first + TimeDelta::days(length);
        let all = between(&one, one.start.date(), last).occurrences;
        let expected: Vec<_> = all.into_iter().filter(|other| other.start.date() >= first).collect();
        prop_assert_eq!(between(&one, first, last).occurrences, expected);
    }
}
