//! Asynchronous operations: rows with a due time, claimed like lanes, each run compared against the row's version.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::id::OperationId;
use serde_json::Value;

use crate::{Result, Tx};

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Identity.
    pub id: OperationId,
    /// Which handler runs it.
    pub kind: String,
    /// What it is to do.
    pub arguments: Value,
    /// `pending`, `done` or `failed`.
    pub state: String,
    /// When it runs next.
    pub due_at: DateTime<Utc>,
    /// The occasion.
    pub generation: i64,
    /// Raised by each write of a run.
    pub version: i64,
    /// How many runs have failed.
    pub attempts: i32,
    /// Where a long operation stands.
    pub position: Value,
    /// What came of it; while it is pending, what came of it so far.
    pub result: Option<Value>,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Asks for an operation, due now. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn create(tx: &mut Tx, kind: &str, arguments: &Value, requested_by: &str) -> Result<OperationId> {
    let id = OperationId::new();
    let now = tx.now();
    sqlx::query!(
        "/* operations::create */ INSERT INTO operations (id, kind, arguments, due_at, requested_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $4)",
        id.0,
        kind,
        arguments,
        now,
        requested_by,
    )
    .execute(tx.connection())
    .await?;
    Ok(id)
}

/// The operation, or `None`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: OperationId) -> Result<Option<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        "/* operations::get */ SELECT id, kind, arguments, state, due_at, generation, version, attempts, position,
             result, requested_by, created_at, ended_at
         FROM operations WHERE id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Begins a run at an operation, or `None` where the hint is stale, or a run has begun already that the operation was handed
/// out for: a hint that is delivered twice runs once. When a run dies, the operation is handed out again.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn begin(tx: &mut Tx, id: OperationId, generation: i64) -> Result<Option<Operation>> {
    Ok(sqlx::query_as!(
        Operation,
        "/* operations::begin */ UPDATE operations SET begun_generation = generation, begun_claims = claims
         WHERE id = $1 AND generation = $2 AND state = 'pending'
           AND (begun_generation, begun_claims) IS DISTINCT FROM (generation, claims)
         RETURNING id, kind, arguments, state, due_at, generation, version, attempts, position, result, requested_by,
             created_at, ended_at",
        id.0,
        generation,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Claims due operations, oldest first: they are not handed out again before the claim ends, which is later each
/// time it ends without a result.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn claim(tx: &mut Tx, limit: i64, lifetime: Duration) -> Result<Vec<(OperationId, i64)>> {
    let now = tx.now();
    let rows = sqlx::query!(
        "/* operations::claim */ WITH picked AS MATERIALIZED (
             SELECT id FROM operations WHERE state = 'pending' AND due_at <= $1
               AND (claimed_until IS NULL OR claimed_until <= $1)
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE operations AS o SET claims = o.claims + 1,
             claimed_until = $1 + make_interval(secs => $3 * power(2, least(o.claims, 2)))
         FROM picked WHERE o.id = picked.id
         RETURNING o.id, o.generation",
        now,
        limit,
        lifetime.as_secs_f64(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|r| (OperationId(r.id), r.generation)).collect())
}

/// How a run at an operation left it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is done.
    Done(Value),
    /// It has failed for good.
    Failed(Value),
    /// It goes on later, from this position. `failed` counts an attempt.
    Later {
        /// Not before this long from now.
        after: Duration,
        /// Where it stands.
        position: Value,
        /// Whether this run was a failed attempt.
        failed: bool,
        /// What came of it so far, for whoever asked.
        so_far: Option<Value>,
    },
}

/// Notes where a run stands, with the effect that brought it there. `false`: somebody else has written since `version` was
/// read; roll back.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn progress(tx: &mut Tx, id: OperationId, version: i64, position: &Value) -> Result<bool> {
    let done = sqlx::query!(
        "/* operations::progress */ UPDATE operations SET position = $3
         WHERE id = $1 AND version = $2 AND state = 'pending'",
        id.0,
        version,
        position,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes, in an operation that still stands where it was read, that a run is about to do what must not be done twice.
/// `true` for the first alone, whose note it is from then on.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn cross(tx: &mut Tx, operation: &Operation, position: &Value) -> Result<bool> {
    let done = sqlx::query!(
        "/* operations::cross */ UPDATE operations SET position = $3
         WHERE id = $1 AND version = $2 AND state = 'pending' AND position = $4 AND position <> $3",
        operation.id.0,
        operation.version,
        position,
        operation.position,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what a run came to, if nobody else has written since it read `version`. Returns whether it was written.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn step(tx: &mut Tx, id: OperationId, version: i64, step: &Step) -> Result<bool> {
    let now = tx.now();
    let (state, due_at, position, result, failed) = match step {
        Step::Done(result) => ("done", now, None, Some(result), false),
        Step::Failed(result) => ("failed", now, None, Some(result), true),
        Step::Later { after, position, failed, so_far } => {
            ("pending", now + *after, Some(position), so_far.as_ref(), *failed)
        }
    };
    let done = sqlx::query!(
        "/* operations::step */ UPDATE operations SET version = version + 1, generation = generation + 1, claims = 0,
             claimed_until = NULL, state = $3, due_at = $4, position = COALESCE($5, position), result = $6,
             attempts = attempts + CASE WHEN $7 THEN 1 ELSE 0 END,
             ended_at = CASE WHEN $3 = 'pending' THEN NULL ELSE $8::timestamptz END
         WHERE id = $1 AND version = $2 AND state = 'pending'",
        id.0,
        version,
        state,
        due_at,
        position,
        result,
        failed,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends an operation in the place of whoever is at it: nothing that was begun for it is written any more. `false`: it
/// was over.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn fail(tx: &mut Tx, id: OperationId, result: &Value) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* operations::fail */ UPDATE operations SET version = version + 1, generation = generation + 1, claims = 0,
             claimed_until = NULL, state = 'failed', due_at = $2, result = $3, ended_at = $2
         WHERE id = $1 AND state = 'pending'",
        id.0,
        now,
        result,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}
