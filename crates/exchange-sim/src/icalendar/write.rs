//! Writing an appointment.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, Offset, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

use crate::world::{
    item::{Content, Exception, Item},
    recurrence::{DaySet, End, Nth, Pattern, Recurrence},
    value::{Answer, Body, Value},
};

/// Writes a line, folded after 70 octets or so.
fn line(out: &mut String, text: &str) {
    let mut length = 0;
    for c in text.chars() {
        if length + c.len_utf8() > 70 {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(c);
        length += c.len_utf8();
    }
    out.push_str("\r\n");
}

fn escape(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,");
    text.trim_end_matches('\n').replace('\n', "\\n")
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn day_code(day: Weekday) -> &'static str {
    ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        .get(usize::try_from(day.num_days_from_monday()).unwrap_or(0))
        .unwrap_or(&"MO")
}

fn codes(days: &DaySet) -> String {
    days.0.iter().map(|day| day_code(*day)).collect::<Vec<_>>().join(",")
}

fn place(nth: Nth) -> i32 {
    match nth {
        Nth::At(index) => i32::from(index) + 1,
        Nth::Last => -1,
    }
}

/// A rule, with its end as a point in time of the series' zone.
fn rule(recurrence: &Recurrence) -> Option<String> {
    let mut text = match &recurrence.pattern {
        Pattern::Daily { interval } => format!("FREQ=DAILY;INTERVAL={interval}"),
        Pattern::Weekly { interval, days, first } => {
            format!("FREQ=WEEKLY;INTERVAL={interval};BYDAY={};WKST={}", codes(days), day_code(*first))
        }
        Pattern::AbsoluteMonthly { interval, day } => format!("FREQ=MONTHLY;INTERVAL={interval};BYMONTHDAY={day}"),
        Pattern::RelativeMonthly { interval, days, nth } => {
            format!("FREQ=MONTHLY;INTERVAL={interval};BYDAY={};BYSETPOS={}", codes(days), place(*nth))
        }
        Pattern::AbsoluteYearly { month, day } => format!("FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}"),
        Pattern::RelativeYearly { month, days, nth } => {
            format!("FREQ=YEARLY;BYMONTH={month};BYDAY={};BYSETPOS={}", codes(days), place(*nth))
        }
        Pattern::Regeneration { .. } => return None,
    };
    match recurrence.end {
        End::Never => {}
        End::On(day) => text.push_str(&format!(";UNTIL={}T235959Z", day.format("%Y%m%d"))),
        End::After(count) => text.push_str(&format!(";COUNT={count}")),
    }
    Some(text)
}

fn hours(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
}

fn offset(zone: Tz, at: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// The changes of the clocks in the year of `near`: when, from which offset, to which.
fn changes(zone: Tz, near: DateTime<Utc>) -> Vec<(DateTime<Utc>, i32, i32)> {
    let year = near.format("%Y").to_string().parse().unwrap_or(2000);
    let Some(start) = NaiveDate::from_ymd_opt(year, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)) else {
        return Vec::new();
    };
    let mut at = start.and_utc();
    let mut found = Vec::new();
    for _ in 0..366 * 24 {
        let next = at + TimeDelta::hours(1);
        if offset(zone, at) != offset(zone, next) {
            found.push((next, offset(zone, at), offset(zone, next)));
        }
        at = next;
    }
    found
}

fn zone(out: &mut String, name: &str, zone: Tz, near: DateTime<Utc>) {
    line(out, "BEGIN:VTIMEZONE");
    line(out, &format!("TZID:{name}"));
    let changes = changes(zone, near);
    if changes.is_empty() {
        let own = hours(offset(zone, near));
        line(out, "BEGIN:STANDARD");
        line(out, "DTSTART:16010101T000000");
        line(out, &format!("TZOFFSETFROM:{own}"));
        line(out, &format!("TZOFFSETTO:{own}"));
        line(out, "END:STANDARD");
    }
    for (at, from, to) in changes {
        let kind = if to > from { "DAYLIGHT" } else { "STANDARD" };
        let local = at.naive_utc() + TimeDelta::seconds(from.into());
        let day = local.format("%d").to_string().parse::<u32>().unwrap_or(1);
        // Clocks change on the n-th or the last such day of a month.
        let nth = if day > 24 { "-1".to_owned() } else { ((day - 1) / 7 + 1).to_string() };
        let month = local.format("%m").to_string();
        let weekday = day_code(chrono::Datelike::weekday(&local));
        line(out, &format!("BEGIN:{kind}"));
        line(out, &format!("DTSTART:1601{}", local.format("%m%dT%H%M%S")));
        line(out, &format!("RRULE:FREQ=YEARLY;BYDAY={nth}{weekday};BYMONTH={}", month.trim_start_matches('0')));
        line(out, &format!("TZOFFSETFROM:{}", hours(from)));
        line(out, &format!("TZOFFSETTO:{}", hours(to)));
        line(out, &format!("END:{kind}"));
    }
    line(out, "END:VTIMEZONE");
}

/// A property that is a point in time, as a clock of the zone shows it, or a day.
fn time(out: &mut String, name: &str, at: DateTime<Utc>, content: &Content) {
    let local = at.with_timezone(&content.zone());
    if content.is("IsAllDayEvent") {
        line(out, &format!("{name};VALUE=DATE:{}", local.format("%Y%m%d")));
    } else if content.zone() == Tz::UTC {
        line(out, &format!("{name}:{}", utc(at)));
    } else {
        line(out, &format!("{name};TZID={}:{}", content.text("StartTimeZone"), local.format("%Y%m%dT%H%M%S")));
    }
}

fn people(out: &mut String, content: &Content) {
    if content.attendees().is_empty() {
        return;
    }
    if let Some(organiser) = content.person("Organizer") {
        line(out, &format!("ORGANIZER;CN=\"{}\":mailto:{}", organiser.name.replace('"', "'"), organiser.address));
    }
    for attendee in content.attendees() {
        let status = match attendee.answer {
            Answer::Accept | Answer::Organizer => "ACCEPTED",
            Answer::Tentative => "TENTATIVE",
            Answer::Decline => "DECLINED",
            Answer::Unknown | Answer::NoResponseReceived => "NEEDS-ACTION",
        };
        let name = attendee.person.name.replace('"', "'");
        line(out, &format!("ATTENDEE;PARTSTAT={status};CN=\"{name}\":mailto:{}", attendee.person.address));
    }
}

fn event(out: &mut String, item: &Item, content: &Content, original: Option<DateTime<Utc>>) {
    line(out, "BEGIN:VEVENT");
    line(out, &format!("UID:{}", content.text("UID")));
    line(out, &format!("DTSTAMP:{}", utc(item.modified_at)));
    line(out, &format!("SUMMARY:{}", escape(content.text("Subject"))));
    for (name, property) in [("DTSTART", "Start"), ("DTEND", "End")] {
        if let Some(at) = content.instant(property) {
            time(out, name, at, content);
        }
    }
    if let Some(original) = original {
        time(out, "RECURRENCE-ID", original, content);
    } else {
        if let Some(rule) = content.recurrence().and_then(rule) {
            line(out, &format!("RRULE:{rule}"));
        }
        for (original, _) in item.exceptions.iter().filter(|(_, what)| **what == Exception::Deleted) {
            time(out, "EXDATE", *original, content);
        }
    }
    if let Some(Value::Body(Body { text, html: false })) = content.values.get("Body")
        && !text.trim().is_empty()
    {
        line(out, &format!("DESCRIPTION:{}", escape(text)));
    }
    if !content.text("Location").is_empty() {
        line(out, &format!("LOCATION:{}", escape(content.text("Location"))));
    }
    if let Some(Value::Strings(list)) = content.values.get("Categories") {
        line(out, &format!("CATEGORIES:{}", list.iter().map(|one| escape(one)).collect::<Vec<_>>().join(",")));
    }
    line(out, if content.text("LegacyFreeBusyStatus") == "Free" { "TRANSP:TRANSPARENT" } else { "TRANSP:OPAQUE" });
    line(out, if content.text("Sensitivity") == "Private" { "CLASS:PRIVATE" } else { "CLASS:PUBLIC" });
    if let Some(Value::Int(number)) = content.values.get("AppointmentSequenceNumber") {
        line(out, &format!("SEQUENCE:{number}"));
    }
    people(out, content);
    if let (true, Some(Value::Int(minutes))) =
        (content.is("ReminderIsSet"), content.values.get("ReminderMinutesBeforeStart"))
    {
        for text in
            ["BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:REMINDER", &format!("TRIGGER:-PT{minutes}M"), "END:VALARM"]
        {
            line(out, text);
        }
    }
    line(out, "END:VEVENT");
}

/// Writes an appointment: a series with its occurrences that differ, or `content`, which may be one of them.
pub fn write(item: &Item, content: &Content, original: Option<DateTime<Utc>>) -> String {
    let mut out = String::new();
    let begin = content.instant("Start").unwrap_or(item.created_at);
    let _ = write!(out, "BEGIN:VCALENDAR\r\nMETHOD:PUBLISH\r\nPRODID:-//exchange-sim//EN\r\nVERSION:2.0\r\n");
    let name = content.text("StartTimeZone");
    zone(&mut out, if name.is_empty() { "UTC" } else { name }, content.zone(), begin);
    event(&mut out, item, content, original);
    if original.is_none() {
        for (original, what) in &item.exceptions {
            if let (Exception::Changed(_), Some(content)) = (what, item.occurrence_content(*original)) {
                event(&mut out, item, &content, Some(*original));
            }
        }
    }
    out.push_str("END:VCALENDAR\r\n");
    out
}
