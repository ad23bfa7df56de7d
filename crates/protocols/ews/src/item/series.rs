//! Series of appointments: rules, their ends, and what differs from them.
//!
//! The server knows no month that is skipped for being too short: there a rule means the last day. Where no month is too
//! short both mean the same, and the rule is read as one that skips.

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use lockstep_model::record::{
    Field, Fields, Patch, Value,
    series::{
        Changed, Days, End, Exception, Length, MAX_EXCEPTIONS, Nth, OnDay, Pattern, Rule, Series, ShortMonth,
        days_always,
    },
};

use super::{
    Unwritable,
    appointment::{self, Times, days_between, nearest_day, read_shared, zone_of},
    put,
};
use crate::{
    codec::{id::ItemId, time, update_item::Update},
    xml::{Element, Writer},
    zone,
};

const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Sun, "Sunday"),
    (Weekday::Mon, "Monday"),
    (Weekday::Tue, "Tuesday"),
    (Weekday::Wed, "Wednesday"),
    (Weekday::Thu, "Thursday"),
    (Weekday::Fri, "Friday"),
    (Weekday::Sat, "Saturday"),
];

const NTH: [(Nth, &str); 5] = [
    (Nth::First, "First"),
    (Nth::Second, "Second"),
    (Nth::Third, "Third"),
    (Nth::Fourth, "Fourth"),
    (Nth::Last, "Last"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The server's longest intervals: days, and weeks or months.
const MAX_DAYS: u16 = 999;
const MAX_OTHERS: u16 = 99;
/// Longest series by number of occurrences.
const MAX_COUNT: u32 = 999;

const fn unwritable(why: &'static str) -> Unwritable {
    Unwritable { field: Field::Recurrence, why }
}

fn word(day: Weekday) -> &'static str {
    WEEK.iter().find(|(known, _)| *known == day).map_or("Sunday", |(_, word)| word)
}

fn weekday(word: &str) -> Option<Weekday> {
    WEEK.iter().find(|(_, known)| *known == word).map(|(day, _)| *day)
}

/// Days from words, those for several days included.
fn days(words: &str) -> Days {
    let mut days = Days::default();
    let all = WEEK.map(|(day, _)| day);
    for word in words.split_whitespace() {
        let named: Vec<Weekday> = match word {
            "Day" => all.to_vec(),
            "Weekday" => all[1..6].to_vec(),
            "WeekendDay" => vec![Weekday::Sat, Weekday::Sun],
            _ => weekday(word).into_iter().collect(),
        };
        days = named.iter().fold(days, |days, day| days.with(*day));
    }
    days
}

/// The one word for several days, where the schema has it.
fn day_word(days: Days) -> Result<&'static str, Unwritable> {
    if days == Days::ALL {
        return Ok("Day");
    }
    if days == Days::WORKING {
        return Ok("Weekday");
    }
    if days == Days::WEEKEND {
        return Ok("WeekendDay");
    }
    let mut named = WEEK.iter().filter(|(day, _)| days.contains(*day));
    match (named.next(), named.next()) {
        (Some((_, word)), None) => Ok(word),
        _ => Err(unwritable("a rule by month takes one day of the week, working days, weekend days or all days")),
    }
}

fn on_day(number: u8) -> OnDay {
    let short = if number > days_always(None) { ShortMonth::LastDay } else { ShortMonth::Skipped };
    OnDay::Absolute { day: number, short }
}

fn relative(rule: &Element) -> Option<OnDay> {
    let nth = NTH.iter().find(|(_, word)| Some(*word) == rule.text_of("DayOfWeekIndex")).map(|(nth, _)| *nth)?;
    let days = days(rule.text_of("DaysOfWeek")?);
    (!days.is_empty()).then_some(OnDay::Relative { nth, days })
}

fn absolute(rule: &Element) -> Option<OnDay> {
    rule.number_of::<u8>("DayOfMonth").filter(|day| (1..=31).contains(day)).map(on_day)
}

fn month(rule: &Element) -> Option<u8> {
    let at = MONTHS.iter().position(|month| Some(*month) == rule.text_of("Month"))?;
    u8::try_from(at + 1).ok()
}

/// Every 24, 36, … months is how a rule of several years is written.
fn monthly(every: u16, on: OnDay, start: NaiveDateTime) -> Rule {
    match u8::try_from(start.month()) {
        Ok(month) if every >= 24 && every.is_multiple_of(12) => {
            Rule { every: every / 12, pattern: Pattern::Yearly { month, day: on } }
        }
        _ => Rule { every, pattern: Pattern::Monthly(on) },
    }
}

/// Reads the rule and its end out of a `Recurrence` element.
pub fn read_rule(recurrence: &Element, start: NaiveDateTime) -> Option<(Rule, End)> {
    let mut rule = None;
    let mut end = End::Never;
    for part in &recurrence.children {
        let every = part.number_of::<u16>("Interval").unwrap_or(1).max(1);
        match part.name.as_str() {
            "DailyRecurrence" => rule = Some(Rule { every, pattern: Pattern::Daily }),
            "WeeklyRecurrence" => {
                let days = days(part.text_of("DaysOfWeek")?);
                let week_start = part.text_of("FirstDayOfWeek").and_then(weekday).unwrap_or(Weekday::Sun);
                rule = Some(Rule { every, pattern: Pattern::Weekly { days, week_start } });
            }
            "AbsoluteMonthlyRecurrence" => rule = Some(monthly(every, absolute(part)?, start)),
            "RelativeMonthlyRecurrence" => rule = Some(monthly(every, relative(part)?, start)),
            "AbsoluteYearlyRecurrence" => {
                rule = Some(Rule { every: 1, pattern: Pattern::Yearly { month: month(part)?, day: absolute(part)? } });
            }
            "RelativeYearlyRecurrence" => {
                rule = Some(Rule { every: 1, pattern: Pattern::Yearly { month: month(part)?, day: relative(part)? } });
            }
            "EndDateRecurrence" => end = End::Until(time::day(part.text_of("EndDate")?)?),
            "NumberedRecurrence" => end = End::Count(part.number_of("NumberOfOccurrences")?),
            _ => {}
        }
    }
    rule.map(|rule| (rule, end))
}

fn interval(every: u16, most: u16) -> Result<String, Unwritable> {
    let every = every.max(1);
    if every > most {
        Err(unwritable("its interval is longer than the server's longest"))
    } else {
        Ok(every.to_string())
    }
}

/// The `Recurrence` element of a series.
///
/// # Errors
/// What the protocol cannot say.
pub fn rule(series: &Series) -> Result<String, Unwritable> {
    let mut w = Writer::default();
    w.open("t:Recurrence", &[]);
    let every = series.rule.every;
    match &series.rule.pattern {
        Pattern::Daily => {
            let every = interval(every, MAX_DAYS)?;
            w.element("t:DailyRecurrence", &[], |w| w.leaf("t:Interval", &every));
        }
        Pattern::Weekly { days, week_start } => {
            let every = interval(every, MAX_OTHERS)?;
            if days.is_empty() {
                return Err(unwritable("a rule by week needs a day"));
            }
            let words: Vec<_> = WEEK.iter().filter(|(day, _)| days.contains(*day)).map(|(_, word)| *word).collect();
            w.element("t:WeeklyRecurrence", &[], |w| {
                w.leaf("t:Interval", &every);
                w.leaf("t:DaysOfWeek", &words.join(" "));
                w.leaf("t:FirstDayOfWeek", word(*week_start));
            });
        }
        Pattern::Monthly(on) => by_month(&mut w, every, *on, None)?,
        Pattern::Yearly { month, day } if every <= 1 => by_year(&mut w, *month, *day)?,
        Pattern::Yearly { month, day } => {
            if u32::from(*month) != series.start.month() {
                return Err(unwritable("a rule of several years has to begin in its month"));
            }
            by_month(&mut w, every.saturating_mul(12), *day, Some(*month))?;
        }
    }
    let start = series.start.date().to_string();
    match series.end {
        End::Never => w.element("t:NoEndRecurrence", &[], |w| w.leaf("t:StartDate", &start)),
        End::Until(day) => w.element("t:EndDateRecurrence", &[], |w| {
            w.leaf("t:StartDate", &start);
            w.leaf("t:EndDate", &day.to_string());
        }),
        End::Count(count) if (1..=MAX_COUNT).contains(&count) => w.element("t:NumberedRecurrence", &[], |w| {
            w.leaf("t:StartDate", &start);
            w.leaf("t:NumberOfOccurrences", &count.to_string());
        }),
        End::Count(_) => return Err(unwritable("it has no occurrence, or more than the server takes")),
    }
    w.close("t:Recurrence");
    Ok(w.finish())
}

fn number(on: OnDay, month: Option<u8>) -> Result<Option<u8>, Unwritable> {
    match on {
        OnDay::Absolute { day, short } => {
            if day > days_always(month) && short == ShortMonth::Skipped {
                return Err(unwritable("the server knows no month that is skipped because it is too short"));
            }
            if (1..=31).contains(&day) { Ok(Some(day)) } else { Err(unwritable("no month has such a day")) }
        }
        OnDay::Relative { .. } => Ok(None),
    }
}

fn nth_word(nth: Nth) -> &'static str {
    NTH.iter().find(|(known, _)| *known == nth).map_or("Last", |(_, word)| word)
}

fn by_month(w: &mut Writer, every: u16, on: OnDay, month: Option<u8>) -> Result<(), Unwritable> {
    let every = interval(every, MAX_OTHERS)?;
    match (on, number(on, month)?) {
        (OnDay::Relative { nth, days }, _) => {
            let day = day_word(days)?;
            w.element("t:RelativeMonthlyRecurrence", &[], |w| {
                w.leaf("t:Interval", &every);
                w.leaf("t:DaysOfWeek", day);
                w.leaf("t:DayOfWeekIndex", nth_word(nth));
            });
        }
        (OnDay::Absolute { day, .. }, _) => w.element("t:AbsoluteMonthlyRecurrence", &[], |w| {
            w.leaf("t:Interval", &every);
            w.leaf("t:DayOfMonth", &day.to_string());
        }),
    }
    Ok(())
}

fn by_year(w: &mut Writer, month: u8, on: OnDay) -> Result<(), Unwritable> {
    let day_of = number(on, Some(month))?;
    let month = usize::from(month).checked_sub(1).and_then(|at| MONTHS.get(at));
    let month = month.ok_or(unwritable("no year has such a month"))?;
    match (on, day_of) {
        (OnDay::Relative { nth, days }, _) => {
            let day = day_word(days)?;
            w.element("t:RelativeYearlyRecurrence", &[], |w| {
                w.leaf("t:DaysOfWeek", day);
                w.leaf("t:DayOfWeekIndex", nth_word(nth));
                w.leaf("t:Month", month);
            });
        }
        (OnDay::Absolute { day, .. }, _) => w.element("t:AbsoluteYearlyRecurrence", &[], |w| {
            w.leaf("t:DayOfMonth", &day.to_string());
            w.leaf("t:Month", month);
        }),
    }
    Ok(())
}

/// The zone in which the times of a series are written: its own, or for whole days the mailbox's.
fn written_zone(series: &Series, home: Tz) -> Tz {
    if series.is_all_day() { home } else { series.zone }
}

/// The instant at which the occurrence with an original local start would begin on the server.
pub fn original_instant(series: &Series, original: NaiveDateTime, home: Tz) -> DateTime<Utc> {
    zone::instant(original, written_zone(series, home))
}

/// The original local start of the occurrence that would begin at an instant on the server.
pub(crate) fn original_of(series: &Series, at: DateTime<Utc>, home: Tz) -> NaiveDateTime {
    let local = zone::local(at, written_zone(series, home));
    if series.is_all_day() { nearest_day(local).and_time(NaiveTime::MIN) } else { local }
}

/// When an occurrence begins and ends on the server; `None` beyond all calendars.
pub(crate) fn span_of(series: &Series, changed: &Changed, home: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    // A time of the day is of the series' zone also where its whole days are written in another.
    let zone = if matches!(changed.length, Length::Minutes(_)) { series.zone } else { written_zone(series, home) };
    span(changed.start, changed.length, zone)
}

fn span(start: NaiveDateTime, length: Length, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let begin = zone::instant(start, zone);
    let end = match length {
        Length::Minutes(minutes) => begin.checked_add_signed(chrono::TimeDelta::minutes(i64::from(minutes)))?,
        Length::Days(days) => {
            let last = start.date().checked_add_days(chrono::Days::new(u64::from(days.max(1))))?;
            zone::instant(last.and_time(NaiveTime::MIN), zone)
        }
    };
    Some((begin, end))
}

/// The times of a master.
pub(super) fn times(series: &Series, home: Tz) -> Result<Times, Unwritable> {
    let zone = written_zone(series, home);
    let name = zone::to_windows(zone).ok_or(unwritable("its zone has no name in Windows"))?;
    let (start, end) = span(series.start, series.length, zone).ok_or(unwritable("it ends beyond all calendars"))?;
    Ok(Times { start: time::write(start), end: time::write(end), all_day: series.is_all_day(), zone: name })
}

/// An occurrence that differs, as its master lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Its id.
    pub id: ItemId,
    /// When it was to begin by the rule.
    pub original: DateTime<Utc>,
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When it ends.
    pub end: DateTime<Utc>,
}

/// The occurrences that differ, as a master lists them; at most [`MAX_EXCEPTIONS`].
pub fn modified(master: &Element) -> Vec<Occurrence> {
    let read = |element: &Element| {
        let at = |name| element.text_of(name).and_then(time::read);
        Some(Occurrence {
            id: ItemId::of_item(element)?,
            original: at("OriginalStart")?,
            start: at("Start")?,
            end: at("End")?,
        })
    };
    master.list("ModifiedOccurrences").iter().filter_map(read).take(MAX_EXCEPTIONS).collect()
}

/// The original starts of the occurrences that do not take place; at most [`MAX_EXCEPTIONS`].
pub fn deleted(master: &Element) -> Vec<DateTime<Utc>> {
    let starts = master.list("DeletedOccurrences").iter();
    starts.filter_map(|element| element.text_of("Start").and_then(time::read)).take(MAX_EXCEPTIONS).collect()
}

/// What an occurrence may have of its own.
pub(crate) const OWN: [Field; 7] = [
    Field::Subject,
    Field::Body,
    Field::Location,
    Field::Importance,
    Field::ShowAs,
    Field::RequiredAttendees,
    Field::OptionalAttendees,
];

/// Reads the master of a series, with the elements of the occurrences that differ. One whose element is not given differs
/// in its times only. `None` when it is no series.
pub fn read(master: &Element, occurrences: &[(Occurrence, Option<Element>)], home: Tz) -> Option<Fields> {
    let mut fields = read_shared(master);
    let zone = zone_of(master, home);
    let (start, end, all_day) = appointment::times(master, zone)?;
    let start = if all_day { nearest_day(start).and_time(NaiveTime::MIN) } else { start };
    let (rule, until) = read_rule(master.child("Recurrence")?, start)?;
    let length = length(start, end, all_day, zone);
    let named = |at: DateTime<Utc>| {
        let local = zone::local(at, zone);
        if all_day { nearest_day(local).and_time(NaiveTime::MIN) } else { local }
    };
    let mut exceptions = std::collections::BTreeMap::new();
    for original in deleted(master) {
        exceptions.insert(named(original), Exception::Cancelled);
    }
    for (occurrence, element) in occurrences {
        let (begin, finish) = (zone::local(occurrence.start, zone), zone::local(occurrence.end, zone));
        let own_all_day = element.as_ref().and_then(|element| element.bool_of("IsAllDayEvent")).unwrap_or(all_day);
        let begin = if own_all_day { nearest_day(begin).and_time(NaiveTime::MIN) } else { begin };
        let mut patch = Patch::default();
        if let Some(element) = element {
            let own = read_shared(element);
            for field in OWN {
                if own.get(field) != fields.get(field) {
                    patch.take(field, &own);
                }
            }
        }
        let changed = Changed { start: begin, length: self::length(begin, finish, own_all_day, zone), fields: patch };
        exceptions.insert(named(occurrence.original), Exception::Changed(Box::new(changed)));
    }
    let series = Series { zone, start, length, rule, end: until, exceptions };
    put(&mut fields, Field::Recurrence, Value::Series(Box::new(series)));
    Some(fields)
}

fn length(start: NaiveDateTime, end: NaiveDateTime, all_day: bool, zone: Tz) -> Length {
    if all_day {
        return Length::Days(days_between(start, end));
    }
    let minutes = (zone::instant(end, zone) - zone::instant(start, zone)).num_minutes();
    Length::Minutes(u32::try_from(minutes).unwrap_or(0))
}

/// The changes that make an occurrence what it is to be; `all_day` is whether it is whole days now.
///
/// # Errors
/// What the protocol cannot say.
pub fn exception_updates(
    series: &Series,
    changed: &Changed,
    all_day: bool,
    home: Tz,
) -> Result<Vec<Update>, Unwritable> {
    let mut updates = appointment::updates(&changed.fields, home)?;
    let (start, end) = span_of(series, changed, home).ok_or(unwritable("it ends beyond all calendars"))?;
    let mut times = super::Updates::new(super::Class::Appointment);
    let to_be = matches!(changed.length, Length::Days(_));
    if to_be != all_day {
        times.text("calendar:IsAllDayEvent", "t:IsAllDayEvent", Some(if to_be { "true" } else { "false" }));
    }
    times.text("calendar:Start", "t:Start", Some(&time::write(start)));
    times.text("calendar:End", "t:End", Some(&time::write(end)));
    updates.extend(times.list);
    Ok(updates)
}
