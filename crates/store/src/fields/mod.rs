//! Values of records as JSON: the form in which they are stored, and in which programs write and read them.
//!
//! One form for both, so that what is read back can be sent back. What comes from outside is judged here, member by
//! member, in words that a person can act on; every text, list and number has a bound.

pub(crate) mod read;
mod series;

use chrono::SecondsFormat;
use lockstep_model::{
    address::AddressKey,
    record::{
        Field, Fields, Importance, Invited, Patch, PersonName, PostalAddress, Shape, ShowAs, TaskStatus, Value, When,
    },
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use read::{At, Read, Source};

/// Longest text of one line, in characters.
pub const MAX_LINE: usize = 400;

/// Longest description, in characters.
pub const MAX_BLOCK: usize = 100_000;

/// Longest part of a person's name, in characters.
pub const MAX_NAME: usize = 100;

/// Most people in one field.
pub const MAX_PEOPLE: usize = 500;

/// Most files of one record.
pub const MAX_FILES: usize = 100;

/// A member that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which member, from the field down: `time.start`, `required_attendees.3.address`.
    pub path: String,
    /// What was expected.
    pub expected: String,
}

/// Fields as members of an object.
pub fn write(fields: &Fields) -> Map<String, Json> {
    fields.iter().map(|(field, value)| (field.name().to_owned(), write_value(value))).collect()
}

/// The fields of a request: of an object whose members are names of fields; `null` is a field without a value.
///
/// # Errors
/// Everything that is wrong.
pub fn read(members: &Map<String, Json>) -> Result<Fields, Vec<Wrong>> {
    read_from(members, Source::Request)
}

fn read_from(members: &Map<String, Json>, from: Source) -> Result<Fields, Vec<Wrong>> {
    let (mut fields, mut wrong) = (Fields::default(), Vec::new());
    for (name, json) in members {
        let Some(field) = Field::ALL.iter().copied().find(|field| field.name() == name) else {
            wrong.push(Wrong { path: name.clone(), expected: "no such member".to_owned() });
            continue;
        };
        if json.is_null() {
            continue;
        }
        match value(field, &At::new(field.name(), json, from)) {
            Ok(value) => {
                // The shape is the field's: it was read as such.
                let _ = fields.set(field, value);
            }
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() { Ok(fields) } else { Err(wrong) }
}

/// The values as far as records hold them: longer texts and lists are cut, and what cannot be held at all is left out
/// and told. For values that no person wrote in an address book or a calendar of ours.
pub fn fitted(fields: &Fields) -> (Fields, Vec<Wrong>) {
    let (mut held, mut wrong) = (Fields::default(), Vec::new());
    for (field, value) in fields.iter() {
        let value = cut(field, value);
        match read_value(field, &write_value(&value)) {
            // The shape is the field's: it was one of its values.
            Ok(value) => drop(held.set(field, value)),
            Err(error) => wrong.push(error),
        }
    }
    (held, wrong)
}

fn cut(field: Field, value: &Value) -> Value {
    let line = |text: &String, most: usize| lockstep_model::text::line(text, most);
    let block = |text: &String, most: usize| text.chars().take(most).collect::<String>();
    match value {
        Value::Text(text) if field == Field::Body => Value::Text(block(text, MAX_BLOCK)),
        Value::Text(text) => Value::Text(line(text, MAX_LINE)),
        Value::Name(name) => Value::Name(PersonName {
            first: line(&name.first, MAX_NAME),
            middle: line(&name.middle, MAX_NAME),
            last: line(&name.last, MAX_NAME),
        }),
        Value::Place(place) => Value::Place(PostalAddress {
            street: block(&place.street, MAX_LINE),
            city: line(&place.city, MAX_LINE),
            region: line(&place.region, MAX_LINE),
            postal_code: line(&place.postal_code, MAX_LINE),
            country: line(&place.country, MAX_LINE),
        }),
        Value::People(people) => {
            let mut first = Invited::default();
            people
                .iter()
                .take(MAX_PEOPLE)
                .for_each(|(address, name)| first.add(address.clone(), &line(&name.to_owned(), MAX_LINE)));
            Value::People(first)
        }
        other => other.clone(),
    }
}

/// The fields of a row.
///
/// # Errors
/// [`crate::Error::Unreadable`] with the paths alone: what a field holds is nobody's business in a log.
pub(crate) fn of_row(table: &'static str, id: Uuid, json: &Json) -> crate::Result<Fields> {
    let unreadable = |problem| crate::Error::Unreadable { table, column: "fields", row: id.to_string(), problem };
    let members = json.as_object().ok_or_else(|| unreadable("not an object".to_owned()))?;
    read_from(members, Source::Row).map_err(|wrong| {
        let paths: Vec<_> = wrong.into_iter().map(|wrong| wrong.path).collect();
        unreadable(format!("not what is expected: {}", paths.join(", ")))
    })
}

/// A patch as members of an object; a field that is cleared is `null`.
fn write_patch(patch: &Patch) -> Map<String, Json> {
    patch.iter().map(|(field, value)| (field.name().to_owned(), value.map_or(Json::Null, write_value))).collect()
}

/// One value.
pub fn write_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Percent(percent) => json!(percent),
        Value::Date(date) => json!(date),
        Value::Instant(at) => json!(at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Value::When(When::Timed { start, end, zone }) => json!({ "start": start, "end": end, "zone": zone.name() }),
        Value::When(When::AllDay { first, days }) => json!({ "first": first, "days": days }),
        Value::Importance(importance) => json!(importance.name()),
        Value::ShowAs(show_as) => json!(show_as.name()),
        Value::TaskStatus(status) => json!(status.name()),
        Value::Name(PersonName { first, middle, last }) => {
            parts([("first", first), ("middle", middle), ("last", last)])
        }
        Value::Place(PostalAddress { street, city, region, postal_code, country }) => parts([
            ("street", street),
            ("city", city),
            ("region", region),
            ("postal_code", postal_code),
            ("country", country),
        ]),
        Value::People(people) => people.iter().map(person).collect(),
        Value::Files(files) => json!(files),
        Value::Series(series) => series::write(series),
    }
}

fn person((address, name): (&AddressKey, &str)) -> Json {
    if name.is_empty() {
        return json!({ "address": address.as_str() });
    }
    json!({ "address": address.as_str(), "name": name })
}

fn parts<const N: usize>(parts: [(&str, &String); N]) -> Json {
    let filled = parts.into_iter().filter(|(_, text)| !text.is_empty());
    Json::Object(filled.map(|(name, text)| (name.to_owned(), json!(text))).collect())
}

/// The value of a field, out of a request.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read_value(field: Field, json: &Json) -> Read<Value> {
    value(field, &At::new(field.name(), json, Source::Request))
}

fn value(field: Field, at: &At<'_>) -> Read<Value> {
    Ok(match field.shape() {
        Shape::Text if field == Field::Body => Value::Text(at.block(MAX_BLOCK)?),
        Shape::Text => Value::Text(at.line(MAX_LINE)?),
        Shape::Percent => Value::Percent(u8::try_from(at.number(0, 100)?).unwrap_or(100)),
        Shape::Date => Value::Date(at.date()?),
        Shape::Instant => Value::Instant(at.instant()?),
        Shape::When => Value::When(when(at)?),
        Shape::Importance => Value::Importance(at.named(Importance::ALL, Importance::name)?),
        Shape::ShowAs => Value::ShowAs(at.named(ShowAs::ALL, ShowAs::name)?),
        Shape::TaskStatus => Value::TaskStatus(at.named(TaskStatus::ALL, TaskStatus::name)?),
        Shape::Name => Value::Name(name(at)?),
        Shape::Place => Value::Place(place(at)?),
        Shape::People => Value::People(people(at)?),
        Shape::Files => {
            Value::Files(at.list(MAX_FILES)?.into_iter().map(|file| file.line(MAX_LINE)).collect::<Result<_, _>>()?)
        }
        Shape::Series => Value::Series(Box::new(series::read(at)?)),
    })
}

/// Stored words and what they mean.
pub(crate) type Words<T> = &'static [(&'static str, T)];

pub(crate) fn word<T: PartialEq + Copy>(words: Words<T>, value: T) -> &'static str {
    words.iter().find(|(_, meant)| *meant == value).map_or("", |(word, _)| word)
}

fn when(at: &At<'_>) -> Read<When> {
    if at.has("first")? || at.has("days")? {
        at.only(&["first", "days"])?;
        let days = at.optional("days")?.map_or(Ok(1), |days| days.number(1, 3650))?;
        return Ok(When::AllDay { first: at.member("first")?.date()?, days });
    }
    at.only(&["start", "end", "zone"])?;
    let (start, end) = (at.member("start")?.local()?, at.member("end")?);
    let until = end.local()?;
    if until < start {
        return Err(end.wrong("a local time that is not before start"));
    }
    Ok(When::Timed { start, end: until, zone: at.member("zone")?.zone()? })
}

fn name(at: &At<'_>) -> Read<PersonName> {
    at.only(&["first", "middle", "last"])?;
    let part = |name| at.optional(name)?.map_or(Ok(String::new()), |part| part.line(MAX_NAME));
    Ok(PersonName { first: part("first")?, middle: part("middle")?, last: part("last")? })
}

fn place(at: &At<'_>) -> Read<PostalAddress> {
    at.only(&["street", "city", "region", "postal_code", "country"])?;
    let part = |name| at.optional(name)?.map_or(Ok(String::new()), |part| part.line(MAX_LINE));
    Ok(PostalAddress {
        street: at.optional("street")?.map_or(Ok(String::new()), |street| street.block(MAX_LINE))?,
        city: part("city")?,
        region: part("region")?,
        postal_code: part("postal_code")?,
        country: part("country")?,
    })
}

fn people(at: &At<'_>) -> Read<Invited> {
    let mut invited = Invited::default();
    for person in at.list(MAX_PEOPLE)? {
        person.only(&["address", "name"])?;
        let written = person.member("address")?;
        let address = written.address()?;
        if at.is_request() && invited.iter().any(|(other, _)| *other == address) {
            return Err(written.wrong("an address that is not in this list already"));
        }
        let name = person.optional("name")?.map_or(Ok(String::new()), |name| name.line(MAX_LINE))?;
        invited.add(address, &name);
    }
    Ok(invited)
}

#[cfg(test)]
mod tests;
