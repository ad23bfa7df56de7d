//! What is said of a change: which record, which version, which fields. Never what is in them.

use chrono::{DateTime, SecondsFormat, Utc};
use lockstep_model::id::{OperationId, WebhookEndpointId};
use lockstep_store::feed::Entry;
use serde_json::{Value, json};
use uuid::Uuid;

/// One event, the same bytes and the same id at every attempt.
pub(crate) struct Event {
    /// Names it for ever: a receiver that has seen it may drop it.
    pub(crate) id: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The event of a change.
pub(crate) fn of_entry(epoch: Uuid, entry: &Entry) -> Event {
    let data = json!({
        "id": entry.record_id,
        "version": entry.record_version,
        "fields": entry.fields,
        "position": entry.position,
        "epoch": epoch,
    });
    let id = format!("evt_{}_{}", epoch.simple(), entry.position);
    event(id, &format!("{}.{}", entry.record_kind, entry.change), entry.changed_at, &data)
}

/// The event of a test.
pub(crate) fn ping(endpoint: WebhookEndpointId, operation: OperationId, asked_at: DateTime<Utc>) -> Event {
    let id = format!("evt_ping_{}", operation.0.simple());
    event(id, "ping", asked_at, &json!({ "id": endpoint }))
}

fn event(id: String, kind: &str, at: DateTime<Utc>, data: &Value) -> Event {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let body = json!({ "type": kind, "timestamp": at, "data": data }).to_string().into_bytes();
    Event { id, body }
}
