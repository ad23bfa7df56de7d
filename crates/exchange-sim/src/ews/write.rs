//! Writing values of properties.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Weekday;

use super::{
    schema::{Field, Kind},
    time,
    xml::Writer,
};
use crate::world::{
    recurrence::{DaySet, End, Nth, Pattern, Recurrence},
    value::{Answer, Attendee, Person, Value},
};

/// Writes a mailbox.
pub fn mailbox(w: &mut Writer, person: &Person) {
    w.element("t:Mailbox", &[], |w| {
        if !person.name.is_empty() {
            w.leaf("t:Name", &person.name);
        }
        w.leaf("t:EmailAddress", &person.address);
        w.leaf("t:RoutingType", "SMTP");
        w.leaf("t:MailboxType", "Mailbox");
    });
}

/// The word for an answer.
pub fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Unknown => "Unknown",
        Answer::Organizer => "Organizer",
        Answer::Tentative => "Tentative",
        Answer::Accept => "Accept",
        Answer::Decline => "Decline",
        Answer::NoResponseReceived => "NoResponseReceived",
    }
}

fn attendee(w: &mut Writer, one: &Attendee) {
    w.element("t:Attendee", &[], |w| {
        mailbox(w, &one.person);
        w.leaf("t:ResponseType", answer(one.answer));
        if let Some(at) = one.answered_at {
            w.leaf("t:LastResponseTime", &time::write(at));
        }
    });
}

/// The English name of a day.
pub fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

fn days(set: &DaySet) -> String {
    set.0.iter().map(|day| weekday(*day)).collect::<Vec<_>>().join(" ")
}

/// For rules that take one word for several days.
fn day_word(set: &DaySet) -> &'static str {
    match set.0.len() {
        7 => "Day",
        5 => "Weekday",
        2 => "WeekendDay",
        _ => set.0.first().map_or("Day", |day| weekday(*day)),
    }
}

fn nth(nth: Nth) -> &'static str {
    match nth {
        Nth::At(0) => "First",
        Nth::At(1) => "Second",
        Nth::At(2) => "Third",
        Nth::At(_) => "Fourth",
        Nth::Last => "Last",
    }
}

/// The months' names.
pub const MONTHS: &[&str] = &[
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

fn month(number: u32) -> &'static str {
    usize::try_from(number).ok().and_then(|number| MONTHS.get(number.wrapping_sub(1))).unwrap_or(&"January")
}

fn recurrence(w: &mut Writer, recurrence: &Recurrence) {
    let every = |w: &mut Writer, interval: &u32| w.leaf("t:Interval", &interval.to_string());
    match &recurrence.pattern {
        Pattern::Daily { interval } => w.element("t:DailyRecurrence", &[], |w| every(w, interval)),
        Pattern::Weekly { interval, days: set, first } => w.element("t:WeeklyRecurrence", &[], |w| {
            every(w, interval);
            w.leaf("t:DaysOfWeek", &days(set));
            w.leaf("t:FirstDayOfWeek", weekday(*first));
        }),
        Pattern::AbsoluteMonthly { interval, day } => w.element("t:AbsoluteMonthlyRecurrence", &[], |w| {
            every(w, interval);
            w.leaf("t:DayOfMonth", &day.to_string());
        }),
        Pattern::RelativeMonthly { interval, days: set, nth: which } => {
            w.element("t:RelativeMonthlyRecurrence", &[], |w| {
                every(w, interval);
                w.leaf("t:DaysOfWeek", day_word(set));
                w.leaf("t:DayOfWeekIndex", nth(*which));
            });
        }
        Pattern::AbsoluteYearly { month: number, day } => w.element("t:AbsoluteYearlyRecurrence", &[], |w| {
            w.leaf("t:DayOfMonth", &day.to_string());
            w.leaf("t:Month", month(*number));
        }),
        Pattern::RelativeYearly { month: number, days: set, nth: which } => {
            w.element("t:RelativeYearlyRecurrence", &[], |w| {
                w.leaf("t:DaysOfWeek", day_word(set));
                w.leaf("t:DayOfWeekIndex", nth(*which));
                w.leaf("t:Month", month(*number));
            });
        }
        Pattern::Regeneration { unit, interval } => {
            w.element(&format!("t:{unit}Regeneration"), &[], |w| every(w, interval));
        }
    }
    let start = recurrence.start.to_string();
    match recurrence.end {
        End::Never => w.element("t:NoEndRecurrence", &[], |w| w.leaf("t:StartDate", &start)),
        End::On(day) => w.element("t:EndDateRecurrence", &[], |w| {
            w.leaf("t:StartDate", &start);
            w.leaf("t:EndDate", &day.to_string());
        }),
        End::After(count) => w.element("t:NumberedRecurrence", &[], |w| {
            w.leaf("t:StartDate", &start);
            w.leaf("t:NumberOfOccurrences", &count.to_string());
        }),
    }
}

/// Writes a property. What is empty or does not fit its kind is left out.
pub fn property(w: &mut Writer, field: &Field, value: &Value) {
    let name = format!("t:{}", field.name);
    match (field.kind, value) {
        (Kind::Zone, Value::Text(id)) => w.empty(&name, &[("Id", id), ("Name", id)]),
        (_, Value::Text(text)) => w.leaf(&name, text),
        (_, Value::Bool(truth)) => w.leaf(&name, if *truth { "true" } else { "false" }),
        (_, Value::Int(number)) => w.leaf(&name, &number.to_string()),
        (_, Value::Double(number)) => w.leaf(&name, &number.to_string()),
        (_, Value::Instant(at)) => w.leaf(&name, &time::write(*at)),
        (_, Value::Bytes(octets)) => w.leaf(&name, &STANDARD.encode(octets)),
        (_, Value::Strings(list)) if !list.is_empty() => {
            w.element(&name, &[], |w| list.iter().for_each(|text| w.leaf("t:String", text)));
        }
        (_, Value::Person(person)) => w.element(&name, &[], |w| mailbox(w, person)),
        (Kind::Members, Value::People(list)) => w.element(&name, &[], |w| {
            for person in list {
                w.element("t:Member", &[], |w| {
                    mailbox(w, person);
                    w.leaf("t:Status", "Normal");
                });
            }
        }),
        (_, Value::People(list)) if !list.is_empty() => {
            w.element(&name, &[], |w| list.iter().for_each(|person| mailbox(w, person)));
        }
        (_, Value::Attendees(list)) if !list.is_empty() => {
            w.element(&name, &[], |w| list.iter().for_each(|one| attendee(w, one)));
        }
        (_, Value::Entries(entries)) if !entries.is_empty() => w.element(&name, &[], |w| {
            for (key, text) in entries {
                w.leaf_with("t:Entry", &[("Key", key)], text);
            }
        }),
        (_, Value::Places(places)) if !places.is_empty() => w.element(&name, &[], |w| {
            for (key, place) in places {
                w.element("t:Entry", &[("Key", key)], |w| {
                    for part in PLACE {
                        if let Some(text) = place.get(*part) {
                            w.leaf(&format!("t:{part}"), text);
                        }
                    }
                });
            }
        }),
        (_, Value::Recurrence(rule)) => w.element(&name, &[], |w| recurrence(w, rule)),
        _ => {}
    }
}

/// The parts of a postal address, in order.
pub const PLACE: &[&str] = &["Street", "City", "State", "CountryOrRegion", "PostalCode"];
