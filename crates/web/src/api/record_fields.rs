//! The fields of a record, out of a request's members: those its kind has, judged one by one.

use lockstep_model::record::{Field, Fields, Kind, Shape, Value, schema};
use lockstep_store::fields;
use serde_json::{Map, Value as Json, json};

use crate::{json, validate::Check};

/// The fields that programs write of a kind under their own names. What an activity is about, a contact's first address
/// and the names of files have other ways in.
pub(crate) fn writable(kind: Kind) -> impl Iterator<Item = Field> {
    let own = |field: &Field| !matches!(field, Field::Regarding | Field::Attachments | Field::Email1);
    schema::fields(kind).iter().map(|row| row.field).filter(own)
}

/// Members that are one value: a change says all of it.
pub(crate) fn whole(kind: Kind) -> Vec<&'static str> {
    let one = |field: &Field| matches!(field.shape(), Shape::When | Shape::Series | Shape::Name | Shape::Place);
    writable(kind).filter(one).map(Field::name).collect()
}

/// Refuses members that a record does not have, also where they are null: the fields of its kind, where it has any, and
/// `others` of another meaning are what it has.
pub(crate) fn only_known<'a>(
    check: &mut Check,
    kind: Option<Kind>,
    others: &[&'static str],
    members: impl IntoIterator<Item = &'a String>,
) {
    let own = kind.into_iter().flat_map(writable).map(Field::name);
    let known: Vec<&str> = own.chain(others.iter().copied()).collect();
    for name in members.into_iter().filter(|name| !known.contains(&name.as_str())) {
        check.refuse(&json::clip(name, 64), "unknown", format!("one of {}", json::listed(&known)));
    }
}

/// Reads the fields of a kind, over those there are; `others` are members of other meaning, told where a member is
/// unknown. What is as before was judged when it was written, or came from a mail server: it stays as it stands.
pub(crate) fn taken(
    check: &mut Check,
    kind: Kind,
    mut members: Map<String, Json>,
    others: &[&'static str],
    before: &Fields,
) -> Fields {
    only_known(check, Some(kind), others, members.keys());
    members.retain(|name, value| !value.is_null() && writable(kind).any(|field| field.name() == name));
    let stood = shown(kind, before);
    let kept: Vec<Field> = writable(kind)
        .filter(|f| stood.get(f.name()).is_some_and(|value| members.get(f.name()) == Some(value)))
        .collect();
    members.retain(|name, _| kept.iter().all(|field| field.name() != name));
    let mut taken = fields::read(&members).unwrap_or_else(|wrong| {
        for wrong in wrong {
            check.refuse(&wrong.path, "value", wrong.expected);
        }
        Fields::default()
    });
    for field in [Field::Email2, Field::Email3] {
        if let Some(Value::Text(address)) = taken.get(field) {
            let (address, _) = check.address(field.name(), address);
            // Text it stays.
            let _ = taken.set(field, Value::Text(address));
        }
    }
    for field in kept {
        taken.copy(field, before);
    }
    taken
}

/// What was written, as it is shown.
pub(crate) fn shown(kind: Kind, fields: &Fields) -> Map<String, Json> {
    let mut own = Fields::default();
    for field in writable(kind) {
        own.copy(field, fields);
    }
    fields::write(&own)
}

/// What the description of the API says of a field: made from the list of fields, so that it cannot say anything else.
pub(crate) fn described(field: Field) -> Json {
    let people = json!({ "type": "object", "required": ["address"],
        "properties": { "address": { "type": "string", "format": "email" }, "name": { "type": "string" } } });
    let words = |words: &[&str]| json!({ "type": "string", "enum": words });
    let texts = |names: &[&str]| {
        let properties = names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" })));
        json!({ "type": "object", "properties": properties.collect::<Map<_, _>>() })
    };
    let local =
        json!({ "type": "string", "description": "Local time without an offset, such as 2027-03-31T09:00:00." });
    let zone = json!({ "type": "string", "description": "Time zone of the IANA list, such as Europe/Berlin." });
    match field.shape() {
        Shape::Text => json!({ "type": "string" }),
        Shape::Percent => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
        Shape::Date => json!({ "type": "string", "format": "date" }),
        Shape::Instant => json!({ "type": "string", "format": "date-time" }),
        Shape::When => json!({ "type": "object",
            "description": "start, end and zone; or first and days for whole days, the same in every zone.",
            "properties": { "start": local, "end": local, "zone": zone,
                "first": { "type": "string", "format": "date" }, "days": { "type": "integer", "minimum": 1 } } }),
        Shape::Importance => words(&["low", "normal", "high"]),
        Shape::ShowAs => words(&["free", "tentative", "busy", "out-of-office", "working-elsewhere"]),
        Shape::TaskStatus => words(&["not-started", "in-progress", "waiting", "deferred", "completed"]),
        Shape::Name => texts(&["first", "middle", "last"]),
        Shape::Place => texts(&["street", "city", "region", "postal_code", "country"]),
        Shape::People => json!({ "type": "array", "items": people }),
        Shape::Files => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Series => json!({ "type": "object", "required": ["zone", "start", "length", "rule"],
            "description": "A series in its own zone: without count and until it has no end.",
            "properties": {
                "zone": zone, "start": local,
                "length": { "type": "object", "properties": { "minutes": { "type": "integer" }, "days": { "type": "integer" } } },
                "rule": { "type": "object", "required": ["frequency"], "properties": {
                    "frequency": words(&["daily", "weekly", "monthly", "yearly"]),
                    "every": { "type": "integer", "minimum": 1 },
                    "days": { "type": "array", "items": { "type": "string" } },
                    "week_start": { "type": "string" },
                    "month": { "type": "integer" }, "day": { "type": "integer" },
                    "short_month": words(&["skipped", "last-day"]),
                    "nth": words(&["first", "second", "third", "fourth", "last"]) } },
                "count": { "type": "integer", "minimum": 1 }, "until": { "type": "string", "format": "date" },
                "exceptions": { "type": "array", "items": { "type": "object", "required": ["original"], "properties": {
                    "original": local, "cancelled": { "type": "boolean" }, "start": local,
                    "length": { "type": "object" }, "fields": { "type": "object" } } } } } }),
    }
}
