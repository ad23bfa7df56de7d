//! Intents: steps on a mail server, written down before they are done and cleared with their receipts.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, RunId},
    record::{Field, Fields, Kind, LinkId, Patch, RecordId, RemoteVersion, Value},
    remote::RemoteKey,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, fields,
    links::{field_of, kind_of},
};

/// What is to be done on the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// An item with these values.
    Create(Fields),
    /// This change of an item in this state.
    Update(RemoteKey, RemoteVersion, Patch),
    /// The deletion of an item in this state.
    Delete(RemoteKey, RemoteVersion),
}

/// An intent as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The step's own mark.
    pub id: Uuid,
    /// The run that means to do it.
    pub run: RunId,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
    /// The link; `None` for an item that is being created.
    pub link: Option<LinkId>,
    /// What the record is.
    pub kind: Kind,
    /// The record.
    pub record: RecordId,
    /// The step.
    pub planned: Planned,
    /// The server's values that give way to it.
    pub lost: Vec<(Field, Option<Value>)>,
}

/// The intents that wait in a mailbox.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn of(tx: &mut Tx, mailbox: MailboxId) -> Result<Vec<Intent>> {
    let rows = sqlx::query!(
        "/* intents::of */ SELECT id, run, stored_at, link_id, record_kind, record_id, step, remote_key, expected, planned,
             lost
         FROM intents WHERE mailbox_id = $1 ORDER BY stored_at, id",
        mailbox.0,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let unreadable = |column, problem: &str| Error::unreadable("intents", column, row.id, problem);
            let remote = row.remote_key.and_then(RemoteKey::new).zip(row.expected.map(RemoteVersion));
            let planned = match (row.step.as_str(), remote) {
                ("create", _) => Planned::Create(fields::of_row("intents", row.id, &row.planned)?),
                ("update", Some((key, expected))) => Planned::Update(key, expected, read_patch(row.id, &row.planned)?),
                ("delete", Some((key, expected))) => Planned::Delete(key, expected),
                _ => return Err(unreadable("step", &row.step)),
            };
            let lost = row.lost.as_array().map(Vec::as_slice).unwrap_or_default();
            let lost = lost.iter().filter_map(|one| {
                let field = field_of(one.get("field")?.as_str()?)?;
                let value = one.get("value").filter(|json| !json.is_null());
                Some((field, value.and_then(|json| fields::read_value(field, json).ok())))
            });
            Ok(Intent {
                id: row.id,
                run: RunId(row.run),
                stored_at: row.stored_at,
                link: row.link_id.map(LinkId),
                kind: kind_of("intents", row.id, &row.record_kind)?,
                record: RecordId(row.record_id),
                planned,
                lost: lost.collect(),
            })
        })
        .collect()
}

/// Stores intents, in the transaction that fences the page they belong to.
///
/// # Errors
/// [`Error::Conflict`] where an intent for one of the records waits already.
pub async fn store(tx: &mut Tx, mailbox: MailboxId, intents: &[Intent]) -> Result<()> {
    if intents.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = intents.iter().map(|intent| intent.id).collect();
    let runs: Vec<_> = intents.iter().map(|intent| intent.run.0).collect();
    let stored: Vec<_> = intents.iter().map(|intent| intent.stored_at).collect();
    let links: Vec<_> = intents.iter().map(|intent| intent.link.map(|link| link.0)).collect();
    let kinds: Vec<_> = intents.iter().map(|intent| intent.kind.name().to_owned()).collect();
    let records: Vec<_> = intents.iter().map(|intent| intent.record.0).collect();
    let (mut steps, mut remotes, mut expected, mut planned) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for intent in intents {
        let (step, remote, values) = match &intent.planned {
            Planned::Create(values) => ("create", None, Json::Object(fields::write(values))),
            Planned::Update(key, version, patch) => ("update", Some((key, version)), write_patch(patch)),
            Planned::Delete(key, version) => ("delete", Some((key, version)), json!({})),
        };
        steps.push(step.to_owned());
        remotes.push(remote.map(|(key, _)| key.as_bytes().to_vec()));
        expected.push(remote.map(|(_, version)| version.0.clone()));
        planned.push(values);
    }
    let lost: Vec<Json> = intents
        .iter()
        .map(|intent| {
            let lost = intent.lost.iter();
            lost.map(
                |(field, value)| json!({ "field": field.name(), "value": value.as_ref().map(fields::write_value) }),
            )
            .collect()
        })
        .collect();
    sqlx::query!(
        "/* intents::store */ INSERT INTO intents (mailbox_id, id, run, stored_at, link_id, record_kind, record_id, step,
             remote_key, expected, planned, lost)
         SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::uuid[],
             $8::text[], $9::bytea[], $10::text[], $11::jsonb[], $12::jsonb[])",
        mailbox.0,
        &ids,
        &runs,
        &stored,
        &links as &[Option<Uuid>],
        &kinds,
        &records,
        &steps,
        &remotes as &[Option<Vec<u8>>],
        &expected as &[Option<String>],
        &planned,
        &lost,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Clears intents whose outcome is written in the same transaction.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn clear(tx: &mut Tx, mailbox: MailboxId, ids: &[Uuid]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!("/* intents::clear */ DELETE FROM intents WHERE mailbox_id = $1 AND id = ANY($2)", mailbox.0, ids)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn write_patch(patch: &Patch) -> Json {
    let members = patch.iter().map(|(field, value)| {
        let value = value.map_or(Json::Null, fields::write_value);
        (field.name().to_owned(), value)
    });
    Json::Object(members.collect())
}

fn read_patch(row: Uuid, json: &Json) -> Result<Patch> {
    let values = fields::of_row("intents", row, json)?;
    let mut patch = Patch::default();
    for name in json.as_object().into_iter().flat_map(serde_json::Map::keys) {
        let field = field_of(name).ok_or_else(|| Error::unreadable("intents", "planned", row, "unknown field"))?;
        patch.take(field, &values);
    }
    Ok(patch)
}
