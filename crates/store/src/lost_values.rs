//! The history of synchronisation: values that gave way to the other side's, as they are kept beside a record.

use chrono::{DateTime, Utc};
use lockstep_model::record::Kind;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{Result, Tx};

/// A value that gave way.
#[derive(Clone, Debug, PartialEq)]
pub struct LostValue {
    /// Identity.
    pub id: Uuid,
    /// The mailbox whose synchronisation it was; `None` where that is gone.
    pub mailbox_id: Option<Uuid>,
    /// Name of the field.
    pub field: String,
    /// The side that had it: `crm` or `server`.
    pub side: String,
    /// The value as the API shows it; `None` where the field had been cleared there.
    pub value: Option<Json>,
    /// When it gave way.
    pub lost_at: DateTime<Utc>,
}

/// What gave way of a record, the newest first, before the entry `after`, at most `limit`. Not of the fields `hidden`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    kind: Kind,
    record: Uuid,
    hidden: &[String],
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<LostValue>> {
    Ok(sqlx::query_as!(
        LostValue,
        "/* lost_values::list */ SELECT id, mailbox_id, field, side, value, lost_at FROM lost_values
         WHERE record_id = $1 AND record_kind = $2 AND field <> ALL($3) AND ($4::uuid IS NULL OR id < $4)
         ORDER BY id DESC LIMIT $5",
        record,
        kind.name(),
        hidden,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Removes what gave way before `before`, at most `limit`; returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sweep(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "/* lost_values::sweep */ DELETE FROM lost_values WHERE id IN (
             SELECT id FROM lost_values WHERE lost_at < $1 ORDER BY lost_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
