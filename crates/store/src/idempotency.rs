//! Requests that were answered before: a repeated one gets the same answer instead of a second effect.

use chrono::TimeDelta;
use serde_json::Value;

use crate::{Result, Tx};

/// How long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// The answer a request got.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Hash over what was asked.
    pub request_hash: Vec<u8>,
    /// HTTP status.
    pub status: u16,
    /// What was answered.
    pub body: Value,
}

/// The answer given to this key of this caller, or `None`. Until the transaction ends, another one asking for the
/// same key waits: two equal requests at once have one effect.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn find(tx: &mut Tx, caller: &str, key: &str) -> Result<Option<Answer>> {
    sqlx::query!(
        "/* idempotency::find */ SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        format!("idempotency/{caller}/{key}"),
    )
    .execute(tx.connection())
    .await?;
    let oldest = tx.now() - KEPT_FOR;
    let row = sqlx::query!(
        "/* idempotency::find */ SELECT request_hash, status, body FROM idempotency_keys
         WHERE caller = $1 AND key = $2 AND created_at > $3",
        caller,
        key,
        oldest,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|r| Answer {
        request_hash: r.request_hash,
        status: u16::try_from(r.status).unwrap_or(200),
        body: r.body,
    }))
}

/// Keeps the answer, in the transaction of the effect.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn keep(tx: &mut Tx, caller: &str, key: &str, answer: &Answer) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* idempotency::keep */ INSERT INTO idempotency_keys (key, caller, request_hash, status, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (caller, key) DO UPDATE SET request_hash = EXCLUDED.request_hash, status = EXCLUDED.status,
             body = EXCLUDED.body, created_at = EXCLUDED.created_at",
        key,
        caller,
        &answer.request_hash,
        i32::from(answer.status),
        answer.body,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes answers that are no longer kept, at most `limit`; returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<u64> {
    let oldest = tx.now() - KEPT_FOR;
    let done = sqlx::query!(
        "/* idempotency::sweep */ DELETE FROM idempotency_keys WHERE (caller, key) IN
             (SELECT caller, key FROM idempotency_keys WHERE created_at <= $1 LIMIT $2
              FOR UPDATE SKIP LOCKED)",
        oldest,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
