//! What the description of the API says of activities: made from the list of fields, so that it cannot say anything else.

use std::borrow::Cow;

use lockstep_model::record::{Field, Kind, Shape};
use serde_json::{Value as Json, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::body::{is_appointment, writable};

/// Two types of a kind: what is written, and what is answered. They are names; the values are maps of members.
macro_rules! described {
    ($($fields:ident, $shown:ident = $kind:ident);+ $(;)?) => {$(
        pub(crate) struct $fields;
        pub(crate) struct $shown;

        impl PartialSchema for $fields {
            fn schema() -> RefOr<Schema> {
                schema_of(written(Kind::$kind), &required(Kind::$kind))
            }
        }

        impl ToSchema for $fields {
            fn name() -> Cow<'static, str> {
                stringify!($fields).into()
            }
        }

        impl PartialSchema for $shown {
            fn schema() -> RefOr<Schema> {
                schema_of(answered(Kind::$kind), &["id", "state", "version", "created_at", "updated_at"])
            }
        }

        impl ToSchema for $shown {
            fn name() -> Cow<'static, str> {
                stringify!($shown).into()
            }
        }
    )+};
}

described!(
    TaskFields, Task = Task;
    PhoneCallFields, PhoneCall = PhoneCall;
    LetterFields, Letter = Letter;
    FaxFields, Fax = Fax;
    AppointmentFields, Appointment = Appointment;
    RecurringAppointmentFields, RecurringAppointment = RecurringAppointment;
    ServiceActivityFields, ServiceActivity = ServiceActivity;
);

fn schema_of(properties: Json, required: &[&str]) -> RefOr<Schema> {
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    serde_json::from_value(schema).unwrap_or_else(|_| RefOr::T(Schema::default()))
}

fn required(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::RecurringAppointment => vec!["subject", "recurrence"],
        kind if is_appointment(kind) => vec!["subject", "time"],
        _ => vec!["subject"],
    }
}

fn written(kind: Kind) -> Json {
    let mut properties = json!({
        "source": { "type": "string", "description": "Which other system knows this record; goes with external_id." },
        "external_id": { "type": "string", "description": "Under which id that system knows it." },
        "owner_user_id": { "type": "string", "format": "uuid", "description": "Whose record it is." },
        "owner_team_id": { "type": "string", "format": "uuid",
            "description": "Or whose team's; not both. A user's new record is its own where neither is said." },
        "regarding": { "type": "object", "description": "The record it is about, in whatever system it lives.",
            "properties": { "kind": { "type": "string" }, "id": { "type": "string" } }, "required": ["kind", "id"] },
        "state": { "type": "string", "enum": ["open", "completed", "canceled"],
            "description": "Whether there is still something to do. A closed record is not changed unless it is opened again." },
    });
    if is_appointment(kind) {
        properties["draft"] =
            json!({ "type": "boolean", "description": "Nobody has been told of it, and nothing leaves the CRM." });
    }
    for field in writable(kind) {
        properties[field.name()] = field_schema(field);
    }
    properties
}

fn answered(kind: Kind) -> Json {
    let mut properties = written(kind);
    properties["id"] = json!({ "type": "string", "format": "uuid" });
    properties["version"] =
        json!({ "type": "integer", "format": "int64", "description": "The ETag without its quotes." });
    for name in ["created_at", "updated_at"] {
        properties[name] = json!({ "type": "string", "format": "date-time" });
    }
    for (name, words) in
        [("starts_at", "When it starts."), ("ends_at", "When it ends or is due; null: never, or not told.")]
    {
        properties[name] = json!({ "type": ["string", "null"], "format": "date-time", "description": words });
    }
    properties
}

fn field_schema(field: Field) -> Json {
    let people = json!({ "type": "object", "required": ["address"],
        "properties": { "address": { "type": "string", "format": "email" }, "name": { "type": "string" } } });
    let words = |words: &[&str]| json!({ "type": "string", "enum": words });
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
        Shape::Name | Shape::Place => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
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
