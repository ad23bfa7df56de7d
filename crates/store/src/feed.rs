//! The change feed. Writers insert rows without a position, after locking the record they tell of; one sequencer
//! numbers committed rows in insertion order. So no reader ever misses a row, and each record's order holds: two
//! writers of one record wait for each other, and the later one inserts later.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Result, Tx};

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// Some of its fields have other values.
    Updated,
    /// It is gone.
    Deleted,
}

impl Change {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One change: ids and field names, no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the feed; assigned by the sequencer, never reused.
    pub position: i64,
    /// `email`, `user`, `queue`, `mailbox`, `email-server-profile`, `contact`, `account` or `lead`.
    pub record_kind: String,
    /// The record.
    pub record_id: Uuid,
    /// `created`, `updated` or `deleted`.
    pub change: String,
    /// Names of the fields that changed; empty when all did.
    pub fields: Vec<String>,
    /// The record's version after the change.
    pub record_version: i64,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// Tells of a change. Call it after the record's row was written (and so locked) in the same transaction.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn tell(
    tx: &mut Tx,
    record_kind: &str,
    record_id: Uuid,
    change: Change,
    fields: &[&str],
    record_version: i64,
) -> Result<()> {
    let now = tx.now();
    let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
    sqlx::query!(
        "/* feed::tell */ INSERT INTO feed_entries (record_kind, record_id, change, fields, record_version, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        record_kind,
        record_id,
        change.as_str(),
        &fields,
        record_version,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The feed's epoch (it changes when a backup is restored) and its last position.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn head(tx: &mut Tx) -> Result<Option<(Uuid, i64)>> {
    let row = sqlx::query!("/* feed::head */ SELECT epoch, last_position FROM feed_state")
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(|r| (r.epoch, r.last_position)))
}

/// The position before the oldest entry that is still kept: a cursor below it has missed something.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn tail(tx: &mut Tx) -> Result<i64> {
    let tail = sqlx::query_scalar!(
        "/* feed::tail */ SELECT COALESCE((SELECT min(position) - 1 FROM feed_entries),
             (SELECT last_position FROM feed_state), 0) AS \"tail!\"",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(tail)
}

/// Numbered entries after `position`, in order, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn after(tx: &mut Tx, position: i64, limit: i64) -> Result<Vec<Entry>> {
    Ok(sqlx::query_as!(
        Entry,
        "/* feed::after */ SELECT position AS \"position!\", record_kind, record_id, change, fields, record_version,
             changed_at
         FROM feed_entries WHERE position > $1 ORDER BY position LIMIT $2",
        position,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Numbers committed entries, at most `limit`; returns how many, or `None` when another sequencer is at work.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn number(tx: &mut Tx, limit: i64) -> Result<Option<u64>> {
    /// Any constant; it names the sequencer's advisory lock within the database.
    const SEQUENCER_LOCK: i64 = 0x6c6f_636b_7365_7101;
    let held =
        sqlx::query_scalar!("/* feed::number */ SELECT pg_try_advisory_xact_lock($1) AS \"held!\"", SEQUENCER_LOCK)
            .fetch_one(tx.connection())
            .await?;
    if !held {
        return Ok(None);
    }
    let numbered = sqlx::query!(
        "/* feed::number */ WITH waiting AS (
             SELECT sequence, changed_at, row_number() OVER (ORDER BY sequence) AS step
             FROM (SELECT sequence, changed_at FROM feed_entries WHERE position IS NULL ORDER BY sequence LIMIT $1) AS oldest
         ), head AS (
             UPDATE feed_state SET last_position = last_position + (SELECT count(*) FROM waiting)
             WHERE EXISTS (SELECT 1 FROM waiting) RETURNING last_position
         )
         UPDATE feed_entries AS entry
         SET position = head.last_position - (SELECT count(*) FROM waiting) + waiting.step
         FROM waiting, head WHERE entry.sequence = waiting.sequence AND entry.changed_at = waiting.changed_at",
        limit,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(Some(numbered))
}
