//! Who did what: one row an action, in the transaction of what it tells.

mod sign_ins;
mod words;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Tx, feed::Change};

pub use self::{
    sign_ins::sign_in_failed,
    words::{ACTIONS, RECORD_KINDS},
};

/// Notes an action: one of [`ACTIONS`], on one of [`RECORD_KINDS`]. `detail` holds names of fields and states, never content or secrets.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note(
    tx: &mut Tx,
    actor: &str,
    action: &str,
    object_kind: &str,
    object_id: Option<Uuid>,
    detail: Value,
) -> Result<()> {
    debug_assert!(ACTIONS.contains(&action), "{action} is missing in audit::ACTIONS");
    debug_assert!(RECORD_KINDS.contains(&object_kind), "{object_kind} is missing in audit::RECORD_KINDS");
    let now = tx.now();
    sqlx::query!(
        "/* audit::note */ INSERT INTO audit_entries (id, done_at, actor, action, object_kind, object_id, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        now,
        actor,
        action,
        object_kind,
        object_id,
        detail,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Identity; later ones are larger.
    pub id: Uuid,
    /// When.
    pub done_at: DateTime<Utc>,
    /// Who: the name and id of a key, the user it stands for, or a program.
    pub actor: String,
    /// What, such as `updated` or `approved`.
    pub action: String,
    /// Kind of the record it concerns.
    pub object_kind: String,
    /// The record; none where the kind has one only.
    pub object_id: Option<Uuid>,
    /// Names of fields and states.
    pub detail: Value,
}

/// Which actions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Concerning this kind of record.
    pub kind: Option<&'a str>,
    /// Concerning this record.
    pub record: Option<Uuid>,
    /// By somebody in whose name, key's id or user's id this stands, in lower case.
    pub actor: Option<&'a str>,
    /// This action.
    pub action: Option<&'a str>,
    /// At this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant.
    pub before: Option<DateTime<Utc>>,
}

/// Actions, newest first, from the one before `after` on, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(tx: &mut Tx, filter: &Filter<'_>, after: Option<Uuid>, limit: i64) -> Result<Vec<Entry>> {
    Ok(sqlx::query_as!(
        Entry,
        "/* audit::list */ SELECT id, done_at, actor, action, object_kind, object_id, detail FROM audit_entries
         WHERE ($1::text IS NULL OR object_kind = $1) AND ($2::uuid IS NULL OR object_id = $2)
           AND ($3::text IS NULL OR strpos(lower(actor), $3) > 0) AND ($4::text IS NULL OR action = $4)
           AND ($5::timestamptz IS NULL OR done_at >= $5) AND ($6::timestamptz IS NULL OR done_at < $6)
           AND ($7::uuid IS NULL OR id < $7)
         ORDER BY id DESC LIMIT $8",
        filter.kind,
        filter.record,
        filter.actor,
        filter.action,
        filter.since,
        filter.before,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Tells the feed of a record's change and notes who made it. Call it after the record's row was written.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn record(tx: &mut Tx, actor: &str, written: Written<'_>) -> Result<()> {
    record_all(tx, actor, &[written]).await
}

/// The same of several records, in their order.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn record_all(tx: &mut Tx, actor: &str, written: &[Written<'_>]) -> Result<()> {
    debug_assert!(
        written.iter().all(|one| RECORD_KINDS.contains(&one.kind)),
        "a kind is missing in audit::RECORD_KINDS"
    );
    let now = tx.now();
    let changes: Vec<_> = written.iter().map(|one| one.change.as_str().to_owned()).collect();
    let kinds: Vec<_> = written.iter().map(|one| one.kind.to_owned()).collect();
    let records: Vec<_> = written.iter().map(|one| one.id).collect();
    let versions: Vec<_> = written.iter().map(|one| one.version).collect();
    let ids: Vec<_> = written.iter().map(|_| Uuid::now_v7()).collect();
    let details: Vec<_> = written.iter().map(|one| serde_json::json!({ "fields": one.fields })).collect();
    // Of what is new, everything is new to whoever follows the feed; the audit keeps what its maker said.
    sqlx::query!(
        "/* audit::record_all */ WITH written AS (
             SELECT * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::jsonb[])
                 WITH ORDINALITY AS w(id, change, kind, record, version, detail, place)),
         told AS (
             INSERT INTO feed_entries (record_kind, record_id, change, fields, record_version, changed_at)
             SELECT kind, record, change, CASE WHEN change = 'created' THEN '{}'
                 ELSE ARRAY(SELECT jsonb_array_elements_text(detail -> 'fields')) END, version, $1
             FROM written ORDER BY place)
         INSERT INTO audit_entries (id, done_at, actor, action, object_kind, object_id, detail)
         SELECT id, $1, $2, change, kind, record, detail FROM written",
        now,
        actor,
        &ids,
        &changes,
        &kinds,
        &records,
        &versions,
        &details,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A record as it was written.
pub(crate) struct Written<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: Uuid,
    pub(crate) change: Change,
    /// Names of the fields that were changed, or that a new record was given.
    pub(crate) fields: &'a [&'a str],
    pub(crate) version: i64,
}
