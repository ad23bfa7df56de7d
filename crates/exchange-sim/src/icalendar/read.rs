//! Reading an appointment.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

use crate::world::{
    item::Content,
    recurrence::{DaySet, End, Nth, Pattern, Recurrence},
    value::{Answer, Attendee, Body, Person, Value},
    zone,
};

/// A property: its name, its parameters, its value.
#[derive(Debug)]
struct Line {
    name: String,
    parameters: Vec<(String, String)>,
    value: String,
}

impl Line {
    /// Reads an unfolded line. A colon inside quotes does not end the parameters.
    fn read(text: &str) -> Option<Self> {
        let mut quoted = false;
        let colon = text.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == ':' && !quoted
        })?;
        let (head, value) = (&text[..colon.0], &text[colon.0 + 1..]);
        let mut parts = head.split(';');
        let name = parts.next()?.to_ascii_uppercase();
        let parameter = |part: &str| {
            let (name, value) = part.split_once('=')?;
            Some((name.to_ascii_uppercase(), value.trim_matches('"').to_owned()))
        };
        Some(Self { name, parameters: parts.filter_map(parameter).collect(), value: value.to_owned() })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut chars = self.value.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('n' | 'N') => out.push_str("\r\n"),
                    Some(other) => out.push(other),
                    None => {}
                },
                c => out.push(c),
            }
        }
        out
    }

    fn zone(&self) -> Option<Tz> {
        self.parameter("TZID").and_then(zone::by_name)
    }

    /// A point in time; a day begins at midnight of the zone.
    fn instant(&self, otherwise: Tz) -> Option<DateTime<Utc>> {
        let value = self.value.trim();
        if let Some(utc) = value.strip_suffix('Z') {
            return NaiveDateTime::parse_from_str(utc, "%Y%m%dT%H%M%S").ok().map(|local| local.and_utc());
        }
        let zone = self.zone().unwrap_or(otherwise);
        let local = NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%S").ok();
        let day = || NaiveDate::parse_from_str(value, "%Y%m%d").ok()?.and_hms_opt(0, 0, 0);
        local.or_else(day).map(|local| zone::instant(zone, local))
    }
}

fn lines(text: &str) -> Vec<Line> {
    let text = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    text.lines().filter_map(Line::read).collect()
}

/// `-PT15M`, `P1D`: in seconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut seconds = 0_i64;
    let mut number = String::new();
    for c in rest.trim_start_matches(['+', 'P']).chars() {
        let unit = match c {
            'W' => 604_800,
            'D' => 86_400,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            'T' => continue,
            digit => {
                number.push(digit);
                continue;
            }
        };
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    Some(sign * seconds)
}

fn weekday(code: &str) -> Option<Weekday> {
    Some(match code {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    })
}

fn nth(number: i32) -> Option<Nth> {
    match number {
        -1 | 5 => Some(Nth::Last),
        1..=4 => u8::try_from(number - 1).ok().map(Nth::At),
        _ => None,
    }
}

fn rule(text: &str, start: NaiveDate, zone: Tz) -> Option<Recurrence> {
    let part = |name: &str| {
        text.split(';').filter_map(|part| part.split_once('=')).find(|(known, _)| *known == name).map(|(_, v)| v)
    };
    let number = |name: &str| part(name).and_then(|text| text.parse::<i32>().ok());
    let interval = number("INTERVAL").and_then(|number| u32::try_from(number).ok()).unwrap_or(1);
    let codes: Vec<&str> = part("BYDAY").unwrap_or_default().split(',').filter(|code| !code.is_empty()).collect();
    let letters = |code: &str| code.get(code.len().saturating_sub(2)..).and_then(weekday);
    let days = DaySet(codes.iter().filter_map(|code| letters(code)).collect());
    let counted = codes.first().and_then(|code| code.get(..code.len().saturating_sub(2))?.parse().ok());
    let which = counted.or_else(|| number("BYSETPOS")).and_then(nth);
    let day = number("BYMONTHDAY").and_then(|day| u32::try_from(day).ok()).unwrap_or(start.day());
    let month = number("BYMONTH").and_then(|month| u32::try_from(month).ok()).unwrap_or(start.month());
    let pattern = match (part("FREQ")?, which) {
        ("DAILY", _) if days.0.is_empty() => Pattern::Daily { interval },
        ("DAILY" | "WEEKLY", _) => {
            let days = if days.0.is_empty() { DaySet(vec![start.weekday()]) } else { days };
            Pattern::Weekly { interval, days, first: part("WKST").and_then(weekday).unwrap_or(Weekday::Mon) }
        }
        ("MONTHLY", Some(nth)) if !days.0.is_empty() => Pattern::RelativeMonthly { interval, days, nth },
        ("MONTHLY", _) => Pattern::AbsoluteMonthly { interval, day },
        ("YEARLY", Some(nth)) if !days.0.is_empty() => Pattern::RelativeYearly { month, days, nth },
        ("YEARLY", _) => Pattern::AbsoluteYearly { month, day },
        _ => return None,
    };
    let end = match (part("COUNT").and_then(|count| count.parse().ok()), part("UNTIL")) {
        (Some(count), _) => End::After(count),
        (None, Some(until)) => {
            let until = Line { name: String::new(), parameters: Vec::new(), value: until.to_owned() };
            End::On(until.instant(zone)?.with_timezone(&zone).date_naive())
        }
        (None, None) => End::Never,
    };
    Some(Recurrence { pattern, start, end })
}

fn person(line: &Line) -> Person {
    let address = line
        .value
        .get(..7)
        .filter(|head| head.eq_ignore_ascii_case("mailto:"))
        .map_or(line.value.as_str(), |_| &line.value[7..]);
    Person::new(line.parameter("CN").unwrap_or(address), address)
}

/// Takes a property of the event into the item.
fn take(content: &mut Content, line: &Line, own: Tz) {
    match line.name.as_str() {
        "SUMMARY" => content.set_text("Subject", line.text()),
        "LOCATION" => content.set_text("Location", line.text()),
        "UID" => content.set_text("UID", line.value.clone()),
        "DESCRIPTION" => {
            content.values.insert("Body", Value::Body(Body { html: false, text: line.text() }));
        }
        "CATEGORIES" => {
            let list = line.text().split(',').map(|one| one.trim().to_owned()).collect();
            content.values.insert("Categories", Value::Strings(list));
        }
        "TRANSP" => {
            content.set_text("LegacyFreeBusyStatus", if line.value == "TRANSPARENT" { "Free" } else { "Busy" });
        }
        "CLASS" if line.value != "PUBLIC" => content.set_text("Sensitivity", "Private"),
        "PRIORITY" => content.set_text(
            "Importance",
            match line.value.as_str() {
                "1" | "2" | "3" | "4" => "High",
                "6" | "7" | "8" | "9" => "Low",
                _ => "Normal",
            },
        ),
        "DTSTART" | "DTEND" => {
            let Some(at) = line.instant(own) else { return };
            let name = if line.name == "DTSTART" { "Start" } else { "End" };
            content.values.insert(name, Value::Instant(at));
            if line.name == "DTSTART" {
                let all_day = line.parameter("VALUE") == Some("DATE");
                content.values.insert("IsAllDayEvent", Value::Bool(all_day));
                if let Some(name) = line.parameter("TZID").filter(|_| line.zone().is_some()) {
                    content.set_text("StartTimeZone", name);
                }
            }
        }
        "ORGANIZER" => {
            content.values.insert("Organizer", Value::Person(person(line)));
        }
        "ATTENDEE" => {
            let list = if line.parameter("ROLE") == Some("OPT-PARTICIPANT") {
                "OptionalAttendees"
            } else {
                "RequiredAttendees"
            };
            let attendee = Attendee { person: person(line), answer: Answer::Unknown, answered_at: None };
            let value = content.values.entry(list).or_insert_with(|| Value::Attendees(Vec::new()));
            if let Value::Attendees(people) = value {
                people.push(attendee);
            }
        }
        _ => {}
    }
}

/// Reads the first event of a calendar into an item; false when there is none. Occurrences that differ are not read.
pub fn read(content: &mut Content, octets: &[u8]) -> bool {
    let lines = lines(&String::from_utf8_lossy(octets));
    let mut inside: Vec<&str> = Vec::new();
    let (mut recurs, mut length, mut seen) = (None, None, false);
    for line in &lines {
        match (line.name.as_str(), inside.last().copied()) {
            ("BEGIN", _) => {
                seen |= line.value == "VEVENT";
                inside.push(&line.value);
            }
            ("END", Some("VEVENT")) => break,
            ("END", _) => {
                inside.pop();
            }
            ("RRULE", Some("VEVENT")) => recurs = Some(&line.value),
            ("DURATION", Some("VEVENT")) => length = duration(&line.value),
            ("TRIGGER", Some("VALARM")) => {
                let minutes = duration(&line.value).map_or(0, |seconds| -seconds / 60);
                content.values.insert("ReminderIsSet", Value::Bool(true));
                content.values.insert("ReminderMinutesBeforeStart", Value::Int(minutes));
            }
            (_, Some("VEVENT")) => take(content, line, Tz::UTC),
            _ => {}
        }
    }
    let Some(start) = content.instant("Start").filter(|_| seen) else { return false };
    let day = content.is("IsAllDayEvent");
    let length = TimeDelta::seconds(length.unwrap_or(if day { 86_400 } else { 0 }));
    content.values.entry("End").or_insert(Value::Instant(start + length));
    let zone = content.zone();
    if let Some(found) = recurs.and_then(|text| rule(text, start.with_timezone(&zone).date_naive(), zone)) {
        content.values.insert("Recurrence", Value::Recurrence(found));
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::world::item::Class;

    fn event(body: &str) -> Content {
        let mut content = Content::new(Class::CalendarItem);
        let text = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\n{body}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n");
        assert!(read(&mut content, text.as_bytes()), "{text}");
        content
    }

    #[test]
    fn an_event_is_read() {
        let content = event(
            "SUMMARY:A\\, b\r\n c\r\nDTSTART;TZID=Europe/Berlin:20260501T100000\r\nDURATION:PT90M\r\n\
             ATTENDEE;CN=\"Bob: B\":mailto:bob@x.test\r\nBEGIN:VALARM\r\nTRIGGER:-PT15M\r\nEND:VALARM",
        );
        assert_eq!(content.text("Subject"), "A, bc");
        assert_eq!(content.instant("Start").unwrap().to_rfc3339(), "2026-05-01T08:00:00+00:00");
        assert_eq!(content.instant("End").unwrap().to_rfc3339(), "2026-05-01T09:30:00+00:00");
        assert_eq!(content.attendees()[0].person, Person::new("Bob: B", "bob@x.test"));
        assert_eq!(content.values["ReminderMinutesBeforeStart"], Value::Int(15));
    }

    #[test]
    fn rules_are_read_and_written_back() {
        let cases = [
            ("FREQ=DAILY;INTERVAL=2;COUNT=3", Pattern::Daily { interval: 2 }),
            (
                "FREQ=MONTHLY;BYDAY=-1FR",
                Pattern::RelativeMonthly { interval: 1, days: DaySet(vec![Weekday::Fri]), nth: Nth::Last },
            ),
            ("FREQ=YEARLY;UNTIL=20300101", Pattern::AbsoluteYearly { month: 5, day: 1 }),
            (
                "FREQ=WEEKLY;WKST=SU",
                Pattern::Weekly { interval: 1, days: DaySet(vec![Weekday::Fri]), first: Weekday::Sun },
            ),
        ];
        for (text, pattern) in cases {
            let content = event(&format!("DTSTART;VALUE=DATE:20260501\r\nRRULE:{text}"));
            assert_eq!(content.recurrence().unwrap().pattern, pattern, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_event() {
        for text in [
            "",
            "BEGIN:VEVENT",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:ü\nRRULE:FREQ=ü;BYDAY=ü\nATTENDEE:ü\nEND:VEVENT",
        ] {
            assert!(!read(&mut Content::new(Class::CalendarItem), text.as_bytes()), "{text}");
        }
    }
}
