//! Who did what: one row an action, in the transaction of what it tells.

use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Tx};

/// Notes an action. `detail` holds names of fields and states, never content or secrets.
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

/// Tells the feed of a record's change and notes who made it. Call it after the record's row was written.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn record(tx: &mut Tx, actor: &str, written: Written<'_>) -> Result<()> {
    let Written { kind, id, change, fields, version } = written;
    crate::feed::tell(tx, kind, id, change, fields, version).await?;
    note(tx, actor, change.as_str(), kind, Some(id), serde_json::json!({ "fields": fields })).await
}

/// A record as it was written.
pub(crate) struct Written<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: Uuid,
    pub(crate) change: crate::feed::Change,
    pub(crate) fields: &'a [&'a str],
    pub(crate) version: i64,
}
