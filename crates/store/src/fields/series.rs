//! Recurring series as JSON.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, NaiveTime, Weekday};
use lockstep_model::record::{
    Field, Patch,
    series::{Changed, Days, End, Exception, Length, MAX_EXCEPTIONS, Nth, OnDay, Pattern, Rule, Series, ShortMonth},
};
use serde_json::{Map, Value as Json, json};

use super::{
    Words,
    read::{At, Read},
    word, write_patch,
};

/// Most occurrences of a series that ends after so many, as Exchange has it.
const MAX_COUNT: u32 = 999;

/// Longest occurrence, in minutes: 31 days.
const MAX_MINUTES: u32 = 44_640;

/// What an occurrence may have of its own.
pub(super) const OF_OCCURRENCES: &[Field] = &[
    Field::Subject,
    Field::Body,
    Field::Location,
    Field::Importance,
    Field::ShowAs,
    Field::RequiredAttendees,
    Field::OptionalAttendees,
];

const WEEKDAYS: Words<Weekday> = &[
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

const NTH: Words<Nth> = &[
    ("first", Nth::First),
    ("second", Nth::Second),
    ("third", Nth::Third),
    ("fourth", Nth::Fourth),
    ("last", Nth::Last),
];

const SHORT_MONTH: Words<ShortMonth> = &[("skipped", ShortMonth::Skipped), ("last-day", ShortMonth::LastDay)];

#[derive(Clone, Copy, PartialEq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

const FREQUENCY: Words<Frequency> = &[
    ("daily", Frequency::Daily),
    ("weekly", Frequency::Weekly),
    ("monthly", Frequency::Monthly),
    ("yearly", Frequency::Yearly),
];

pub(super) fn write(series: &Series) -> Json {
    let mut written = json!({
        "zone": series.zone.name(),
        "start": series.start,
        "length": length(series.length),
        "rule": rule(&series.rule),
    });
    let Some(members) = written.as_object_mut() else { return written };
    match series.end {
        End::Never => {}
        End::Count(count) => drop(members.insert("count".to_owned(), json!(count))),
        End::Until(last) => drop(members.insert("until".to_owned(), json!(last))),
    }
    if !series.exceptions.is_empty() {
        let exceptions = series.exceptions.iter().map(|(original, exception)| one(*original, exception));
        members.insert("exceptions".to_owned(), exceptions.collect());
    }
    written
}

fn one(original: NaiveDateTime, exception: &Exception) -> Json {
    match exception {
        Exception::Cancelled => json!({ "original": original, "cancelled": true }),
        Exception::Changed(changed) => json!({
            "original": original,
            "start": changed.start,
            "length": length(changed.length),
            "fields": write_patch(&changed.fields),
        }),
    }
}

fn length(length: Length) -> Json {
    match length {
        Length::Minutes(minutes) => json!({ "minutes": minutes }),
        Length::Days(days) => json!({ "days": days }),
    }
}

fn rule(rule: &Rule) -> Json {
    let mut written = Map::new();
    let mut put = |name: &str, value: Json| drop(written.insert(name.to_owned(), value));
    put("every", json!(rule.every.max(1)));
    let (frequency, on) = match &rule.pattern {
        Pattern::Daily => (Frequency::Daily, None),
        Pattern::Weekly { days, week_start } => {
            put("days", weekdays(*days));
            put("week_start", json!(word(WEEKDAYS, *week_start)));
            (Frequency::Weekly, None)
        }
        Pattern::Monthly(on) => (Frequency::Monthly, Some(on)),
        Pattern::Yearly { month, day } => {
            put("month", json!(month));
            (Frequency::Yearly, Some(day))
        }
    };
    put("frequency", json!(word(FREQUENCY, frequency)));
    match on {
        None => {}
        Some(OnDay::Absolute { day, short }) => {
            put("day", json!(day));
            put("short_month", json!(word(SHORT_MONTH, *short)));
        }
        Some(OnDay::Relative { nth, days }) => {
            put("nth", json!(word(NTH, *nth)));
            put("days", weekdays(*days));
        }
    }
    Json::Object(written)
}

fn weekdays(days: Days) -> Json {
    WEEKDAYS.iter().filter(|(_, day)| days.contains(*day)).map(|(word, _)| *word).collect()
}

pub(super) fn read(at: &At<'_>) -> Read<Series> {
    at.only(&["zone", "start", "length", "rule", "count", "until", "exceptions"])?;
    let zone = at.member("zone")?.zone()?;
    let length = read_length(&at.member("length")?)?;
    let mut start = at.member("start")?.local()?;
    if matches!(length, Length::Days(_)) {
        start = start.date().and_time(NaiveTime::MIN);
    }
    let rule = read_rule(&at.member("rule")?)?;
    let end = match (at.optional("count")?, at.optional("until")?) {
        (None, None) => End::Never,
        (Some(count), None) => End::Count(count.number(1, MAX_COUNT)?),
        (None, Some(until)) => {
            let last = until.date()?;
            if last < start.date() {
                return Err(until.wrong("a date that is not before start"));
            }
            End::Until(last)
        }
        (Some(_), Some(until)) => return Err(until.wrong("nothing: a series ends by count or by until, not by both")),
    };
    let mut exceptions = BTreeMap::new();
    if let Some(list) = at.optional("exceptions")? {
        for exception in list.list(MAX_EXCEPTIONS)? {
            let (original, read) = read_one(&exception, length)?;
            if exceptions.insert(original, read).is_some() {
                return Err(exception.wrong("an occurrence that is not in the list already"));
            }
        }
    }
    Ok(Series { zone, start, length, rule, end, exceptions })
}

fn read_one(at: &At<'_>, usual: Length) -> Read<(NaiveDateTime, Exception)> {
    at.only(&["original", "cancelled", "start", "length", "fields"])?;
    let original = at.member("original")?.local()?;
    if at.optional("cancelled")?.map_or(Ok(false), |cancelled| cancelled.truth())? {
        at.only(&["original", "cancelled"])?;
        return Ok((original, Exception::Cancelled));
    }
    let start = at.optional("start")?.map_or(Ok(original), |start| start.local())?;
    let length = at.optional("length")?.map_or(Ok(usual), |length| read_length(&length))?;
    let mut fields = Patch::default();
    if let Some(own) = at.optional("fields")? {
        for (name, value) in own.members()? {
            let Some(field) = OF_OCCURRENCES.iter().copied().find(|field| field.name() == name) else {
                let known: Vec<_> = OF_OCCURRENCES.iter().map(|field| field.name()).collect();
                return Err(value.wrong(format!("no such member; an occurrence has {} of its own", known.join(", "))));
            };
            let mut source = lockstep_model::record::Fields::default();
            if !value.json().is_null() {
                let _ = source.set(field, super::value(field, &value)?);
            }
            fields.take(field, &source);
        }
    }
    Ok((original, Exception::Changed(Box::new(Changed { start, length, fields }))))
}

fn read_length(at: &At<'_>) -> Read<Length> {
    at.only(&["minutes", "days"])?;
    match (at.optional("minutes")?, at.optional("days")?) {
        (Some(minutes), None) => Ok(Length::Minutes(minutes.number(0, MAX_MINUTES)?)),
        (None, Some(days)) => Ok(Length::Days(days.number(1, 366)?)),
        _ => Err(at.wrong("either minutes or days")),
    }
}

fn read_rule(at: &At<'_>) -> Read<Rule> {
    let every = at.optional("every")?.map_or(Ok(1), |every| every.number(1, 999))?;
    let pattern = match at.member("frequency")?.word(FREQUENCY)? {
        Frequency::Daily => {
            at.only(&["frequency", "every"])?;
            Pattern::Daily
        }
        Frequency::Weekly => {
            at.only(&["frequency", "every", "days", "week_start"])?;
            let week_start = at.optional("week_start")?.map_or(Ok(Weekday::Mon), |day| day.word(WEEKDAYS))?;
            Pattern::Weekly { days: read_days(&at.member("days")?)?, week_start }
        }
        Frequency::Monthly => {
            at.only(&["frequency", "every", "day", "short_month", "nth", "days"])?;
            Pattern::Monthly(read_day(at)?)
        }
        Frequency::Yearly => {
            at.only(&["frequency", "every", "month", "day", "short_month", "nth", "days"])?;
            let month = u8::try_from(at.member("month")?.number(1, 12)?).unwrap_or(1);
            Pattern::Yearly { month, day: read_day(at)? }
        }
    };
    Ok(Rule { every: u16::try_from(every).unwrap_or(1), pattern })
}

fn read_day(at: &At<'_>) -> Read<OnDay> {
    if let Some(nth) = at.optional("nth")? {
        if let Some(day) = at.optional("day")?.or(at.optional("short_month")?) {
            return Err(day.wrong("nothing: the day is told by nth and days"));
        }
        return Ok(OnDay::Relative { nth: nth.word(NTH)?, days: read_days(&at.member("days")?)? });
    }
    if let Some(days) = at.optional("days")? {
        return Err(days.wrong("nothing without nth: the day is told by day"));
    }
    let day = u8::try_from(at.member("day")?.number(1, 31)?).unwrap_or(1);
    let short = at.optional("short_month")?.map_or(Ok(ShortMonth::LastDay), |short| short.word(SHORT_MONTH))?;
    Ok(OnDay::Absolute { day, short })
}

fn read_days(at: &At<'_>) -> Read<Days> {
    let days = at.list(7)?.into_iter().map(|day| day.word(WEEKDAYS)).collect::<Read<Days>>()?;
    if days.is_empty() {
        return Err(at.wrong("at least one day of the week"));
    }
    Ok(days)
}
