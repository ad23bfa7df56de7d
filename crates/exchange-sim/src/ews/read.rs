//! Reading values of properties, and whole items.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc, Weekday};

use super::{
    answer::{Fault, code},
    attachments, extended,
    schema::{self, Field, Kind},
    time, write,
    xml::Element,
};
use crate::{
    icalendar, mime,
    world::{
        item::{AttachmentId, Class, Content},
        mailbox::Mailbox,
        recurrence::{DaySet, End, Nth, Pattern, Recurrence},
        value::{Answer, Attendee, Body, Person, Value},
    },
};

fn wrong(field: &str) -> Fault {
    Fault::schema(format!("The element '{field}' has an invalid value."))
}

/// Reads a mailbox; one of this world's people gets the name they have here.
pub fn mailbox(element: &Element) -> Option<Person> {
    let element = if element.name == "Mailbox" { element } else { element.child("Mailbox")? };
    let address = element.text_of("EmailAddress").unwrap_or_default();
    let name = element.text_of("Name").unwrap_or_default();
    let empty = address.is_empty() && name.is_empty();
    (!empty).then(|| Person::new(if name.is_empty() { address } else { name }, address))
}

fn attendee(element: &Element) -> Option<Attendee> {
    let answer = match element.text_of("ResponseType") {
        Some("Accept") => Answer::Accept,
        Some("Tentative") => Answer::Tentative,
        Some("Decline") => Answer::Decline,
        Some("Organizer") => Answer::Organizer,
        Some("NoResponseReceived") => Answer::NoResponseReceived,
        _ => Answer::Unknown,
    };
    let answered_at = element.text_of("LastResponseTime").and_then(time::read);
    mailbox(element).map(|person| Attendee { person, answer, answered_at })
}

fn weekdays(words: &str) -> DaySet {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    let mut found = Vec::new();
    for word in words.split_whitespace() {
        match word {
            "Day" => found.extend([Mon, Tue, Wed, Thu, Fri, Sat, Sun]),
            "Weekday" => found.extend([Mon, Tue, Wed, Thu, Fri]),
            "WeekendDay" => found.extend([Sat, Sun]),
            _ => found.extend([Mon, Tue, Wed, Thu, Fri, Sat, Sun].into_iter().find(|day| write::weekday(*day) == word)),
        }
    }
    DaySet(found)
}

fn recurrence(element: &Element) -> Option<Recurrence> {
    let (rule, range) = (element.children.first()?, element.children.get(1)?);
    let number = |name| rule.text_of(name).and_then(|text| text.parse::<u32>().ok());
    let interval = number("Interval").unwrap_or(1);
    let days = weekdays(rule.text_of("DaysOfWeek").unwrap_or_default());
    let nth = || {
        Some(match rule.text_of("DayOfWeekIndex")? {
            "First" => Nth::At(0),
            "Second" => Nth::At(1),
            "Third" => Nth::At(2),
            "Fourth" => Nth::At(3),
            "Last" => Nth::Last,
            _ => return None,
        })
    };
    let month = || {
        let place = write::MONTHS.iter().position(|month| Some(*month) == rule.text_of("Month"))?;
        u32::try_from(place + 1).ok()
    };
    let pattern = match rule.name.as_str() {
        "DailyRecurrence" => Pattern::Daily { interval },
        "WeeklyRecurrence" => {
            let first = weekdays(rule.text_of("FirstDayOfWeek").unwrap_or("Sunday"));
            Pattern::Weekly { interval, days, first: *first.0.first()? }
        }
        "AbsoluteMonthlyRecurrence" => Pattern::AbsoluteMonthly { interval, day: number("DayOfMonth")? },
        "RelativeMonthlyRecurrence" => Pattern::RelativeMonthly { interval, days, nth: nth()? },
        "AbsoluteYearlyRecurrence" => Pattern::AbsoluteYearly { month: month()?, day: number("DayOfMonth")? },
        "RelativeYearlyRecurrence" => Pattern::RelativeYearly { month: month()?, days, nth: nth()? },
        "DailyRegeneration" => Pattern::Regeneration { unit: "Daily", interval },
        "WeeklyRegeneration" => Pattern::Regeneration { unit: "Weekly", interval },
        "MonthlyRegeneration" => Pattern::Regeneration { unit: "Monthly", interval },
        "YearlyRegeneration" => Pattern::Regeneration { unit: "Yearly", interval },
        _ => return None,
    };
    let start = time::day(range.text_of("StartDate")?)?;
    let end = match range.name.as_str() {
        "NoEndRecurrence" => End::Never,
        "EndDateRecurrence" => End::On(time::day(range.text_of("EndDate")?)?),
        "NumberedRecurrence" => End::After(range.text_of("NumberOfOccurrences")?.parse().ok()?),
        _ => return None,
    };
    Some(Recurrence { pattern, start, end })
}

fn key(element: &Element) -> Option<String> {
    element.attribute("Key").map(str::to_owned)
}

/// Reads a property's element.
///
/// # Errors
/// `ErrorSchemaValidation` for what does not fit, `ErrorInvalidPropertySet` for what cannot be set.
pub fn value(field: &Field, element: &Element) -> Result<Value, Fault> {
    let text = element.text.trim();
    let found = match field.kind {
        Kind::Text => Some(Value::Text(element.text.clone())),
        Kind::Bool => match text {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Int => text.parse().ok().map(Value::Int),
        Kind::Double => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Double),
        Kind::Instant => time::read(text).map(Value::Instant),
        Kind::Bytes => STANDARD.decode(text).ok().map(Value::Bytes),
        Kind::Strings => Some(Value::Strings(element.children.iter().map(|child| child.text.clone()).collect())),
        Kind::Body => {
            let html = element.attribute("BodyType") == Some("HTML");
            Some(Value::Body(Body { html, text: element.text.clone() }))
        }
        Kind::Person => mailbox(element).map(Value::Person),
        Kind::People | Kind::Members => Some(Value::People(element.children.iter().filter_map(mailbox).collect())),
        Kind::Attendees => Some(Value::Attendees(element.children.iter().filter_map(attendee).collect())),
        Kind::Entries => {
            let entry = |child: &Element| key(child).map(|key| (key, child.text.clone()));
            Some(Value::Entries(element.children.iter().filter_map(entry).collect()))
        }
        Kind::Places => {
            let parts = |child: &Element| -> BTreeMap<String, String> {
                child.children.iter().map(|part| (part.name.clone(), part.text.clone())).collect()
            };
            let entry = |child: &Element| key(child).map(|key| (key, parts(child)));
            Some(Value::Places(element.children.iter().filter_map(entry).collect()))
        }
        Kind::Recurrence => recurrence(element).map(Value::Recurrence),
        Kind::Zone => {
            let id = element.attribute("Id").or(element.attribute("TimeZoneName")).or(element.attribute("Name"));
            id.map(|id| Value::Text(id.to_owned()))
        }
        Kind::Special => {
            return Err(Fault::new(code::INVALID_PROPERTY_SET, format!("{} cannot be set.", field.name)));
        }
    };
    found.ok_or_else(|| wrong(field.name))
}

/// Keys of entries and parts of addresses that are empty mean: none.
fn tidy(value: Value) -> Value {
    match value {
        Value::Entries(mut entries) => {
            entries.retain(|_, text| !text.is_empty());
            Value::Entries(entries)
        }
        other => other,
    }
}

/// Reads an item as a client wants it made.
///
/// # Errors
/// What does not fit the schema or cannot be set.
pub fn item(element: &Element, mailbox: &mut Mailbox, now: DateTime<Utc>) -> Result<Content, Fault> {
    let class = schema::class(&element.name).ok_or_else(|| Fault::schema(format!("{} is no item", element.name)))?;
    let class = if class == Class::Item { Class::Message } else { class };
    let mut content = Content::new(class);
    if let Some(text) = element.text_of("MimeContent") {
        let packed: String = text.split_whitespace().collect();
        let octets = STANDARD.decode(packed).map_err(|_| wrong("MimeContent"))?;
        if class.is_mail() {
            content = mime::read(&octets, now);
            content.class = class;
            content.attachments.iter_mut().for_each(|one| one.id = mailbox.fresh_attachment());
        } else if class != Class::CalendarItem || !icalendar::read(&mut content, &octets) {
            return Err(Fault::new("ErrorUnsupportedMimeConversion", "The content cannot be converted."));
        }
    }
    for child in &element.children {
        match child.name.as_str() {
            "MimeContent" | "ItemId" | "ParentFolderId" => {}
            "ExtendedProperty" => {
                let (path, value) = extended::read(child)?;
                extended::set(&mut content, path, value);
            }
            "Attachments" => {
                for one in &child.children {
                    let id: AttachmentId = mailbox.fresh_attachment();
                    content.attachments.push(attachments::read(one, id, mailbox, now)?);
                }
            }
            name => {
                let field = schema::by_element(class, name);
                let field = field.ok_or_else(|| Fault::schema(format!("{name} is no property of {}", element.name)))?;
                content.values.insert(field.name, tidy(value(field, child)?));
            }
        }
    }
    if class == Class::Task {
        settle_task(&mut content, now);
    }
    Ok(content)
}

/// Makes a task's status, share done and day of completion agree.
pub fn settle_task(content: &mut Content, now: DateTime<Utc>) {
    let done = matches!(content.values.get("PercentComplete"), Some(Value::Double(share)) if *share >= 100.0);
    if content.text("Status") == "Completed" || done || content.values.contains_key("CompleteDate") {
        content.set_text("Status", "Completed");
        content.values.insert("PercentComplete", Value::Double(100.0));
        content.values.entry("CompleteDate").or_insert(Value::Instant(now));
    }
}
