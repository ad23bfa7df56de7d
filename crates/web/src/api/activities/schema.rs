//! What the description of the API says of activities: made from the list of fields, so that it cannot say anything else.

use std::borrow::Cow;

use lockstep_model::record::Kind;
use serde_json::{Value as Json, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::body::is_appointment;
use crate::api::record_fields::{described, writable};

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
        "regarding": { "type": "object", "description": "The record it is about, in whatever system it lives. Of kinds that are kept here: the id of one that may be read.",
            "properties": { "kind": { "type": "string" }, "id": { "type": "string" } }, "required": ["kind", "id"] },
        "state": { "type": "string", "enum": ["open", "completed", "canceled"],
            "description": "Whether there is still something to do. A closed record is not changed unless it is opened again." },
    });
    if is_appointment(kind) {
        properties["draft"] =
            json!({ "type": "boolean", "description": "Nobody has been told of it, and nothing leaves the CRM." });
    }
    for field in writable(kind) {
        properties[field.name()] = described(field);
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
