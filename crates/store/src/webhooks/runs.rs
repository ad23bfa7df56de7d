//! Delivering to an endpoint: who may send, what comes next, and what became of it.
//!
//! At any time at most one run sends to an endpoint. It holds the endpoint for a time it renews, and all it notes is
//! compared against its name in the row: place and result are written together or not at all.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::id::{RunId, WebhookEndpointId};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::{DISABLED_ALERT, secret_identity, span, written};
use crate::{
    Result, Store, Tx,
    alerts::{self, Severity, Subject},
    feed::{Change, Entry},
};

/// Who the audit says has disabled an endpoint.
const ACTOR: &str = "webhook delivery";

/// An operation that failed for good, which only a program that does not know it lets happen, rests so long.
const AFTER_MISTAKE: TimeDelta = TimeDelta::minutes(1);

/// Places of the feed looked at in one go, wanted or not.
const STRETCH: i64 = 10_000;

/// Makes the operations of endpoints due that have something to tell: the feed has gone past their place, or it begins
/// anew. A condition of the rows, not an event: asking again loses nothing. Returns how many were woken.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn wake(tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    let woken = sqlx::query!(
        "/* webhooks::wake */ WITH resting AS MATERIALIZED (
             SELECT o.id FROM operations AS o JOIN webhook_endpoints AS e ON e.id = o.id, feed_state AS f
             WHERE e.active AND e.disabled_code IS NULL AND (e.position < f.last_position OR e.epoch <> f.epoch)
               AND (o.state = 'done' OR (o.state = 'failed' AND o.ended_at < $2))
             ORDER BY o.id LIMIT 1000 FOR UPDATE OF o SKIP LOCKED)
         UPDATE operations AS o SET state = 'pending', due_at = $1, generation = o.generation + 1,
             version = o.version + 1, claims = 0, claimed_until = NULL, attempts = 0, ended_at = NULL
         FROM resting WHERE o.id = resting.id",
        now,
        now - AFTER_MISTAKE,
    )
    .execute(tx.connection())
    .await?;
    Ok(woken.rows_affected())
}

/// An endpoint as a run needs it. Its secrets are still sealed.
#[derive(Clone, Debug)]
pub struct Held {
    /// Identity.
    pub id: WebhookEndpointId,
    /// Where to send.
    pub url: String,
    /// Of which records; empty for all.
    pub record_kinds: Vec<String>,
    /// The feed's epoch.
    pub epoch: Uuid,
    /// Where it stands.
    pub position: i64,
    /// Failed attempts since the last accepted one.
    pub failures: i32,
    /// When the first of them was.
    pub failing_since: Option<DateTime<Utc>>,
    sealed_secret: Vec<u8>,
    previous_sealed_secret: Option<Vec<u8>>,
}

impl Held {
    /// The secrets to sign with: the present one, then the one before while it is valid.
    ///
    /// # Errors
    /// [`crate::Error::Sealed`].
    pub fn secrets(&self, store: &Store) -> Result<Vec<SecretString>> {
        let identity = secret_identity(self.id);
        let sealed = std::iter::once(&self.sealed_secret).chain(&self.previous_sealed_secret);
        sealed.map(|sealed| Ok(store.vault().open(&identity, sealed)?)).collect()
    }
}

/// Whether a run may send.
#[derive(Clone, Debug)]
pub enum Taking {
    /// There is no such endpoint any more.
    Gone,
    /// It is inactive or disabled.
    Resting,
    /// Its place in the feed has lost its meaning; it has been disabled in this transaction.
    CursorLost,
    /// Another run may be sending.
    Busy,
    /// The next attempt is due at this instant.
    Later(DateTime<Utc>),
    /// It may, for as long as was asked.
    Taken(Box<Held>),
}

/// Takes an endpoint for a run.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn take(tx: &mut Tx, id: WebhookEndpointId, run: RunId, lifetime: Duration) -> Result<Taking> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* webhooks::take */ SELECT url, record_kinds, active, sealed_secret, previous_sealed_secret,
             previous_valid_until, epoch, position, disabled_code, failures, failing_since, next_attempt_at, run_until
         FROM webhook_endpoints WHERE id = $1 FOR UPDATE",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Taking::Gone) };
    if !row.active || row.disabled_code.is_some() {
        return Ok(Taking::Resting);
    }
    if row.run_until.is_some_and(|until| until > now) {
        return Ok(Taking::Busy);
    }
    if let Some(at) = row.next_attempt_at.filter(|at| *at > now) {
        return Ok(Taking::Later(at));
    }
    match span(tx).await? {
        Some(span) if span.holds(row.epoch, row.position) => {}
        _ => {
            disable(tx, id, Disabled::CursorLost, "the place in the change feed is too old, or from before a restore")
                .await?;
            return Ok(Taking::CursorLost);
        }
    }
    sqlx::query!(
        "/* webhooks::take */ UPDATE webhook_endpoints SET run_id = $2, run_until = $3, run_fenced = false
         WHERE id = $1",
        id.0,
        run.0,
        now + lifetime,
    )
    .execute(tx.connection())
    .await?;
    extend_claim(tx, id, lifetime).await?;
    let previous_valid = row.previous_valid_until.is_some_and(|until| until > now);
    Ok(Taking::Taken(Box::new(Held {
        id,
        url: row.url,
        record_kinds: row.record_kinds,
        epoch: row.epoch,
        position: row.position,
        failures: row.failures,
        failing_since: row.failing_since,
        sealed_secret: row.sealed_secret,
        previous_sealed_secret: row.previous_sealed_secret.filter(|_| previous_valid),
    })))
}

/// An endpoint, to send it something that is not in the feed; `None` when there is none. Takes nothing.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn look(tx: &mut Tx, id: WebhookEndpointId) -> Result<Option<Held>> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* webhooks::look */ SELECT url, record_kinds, sealed_secret, epoch, position, failures, failing_since,
             CASE WHEN previous_valid_until > $2 THEN previous_sealed_secret END AS previous_sealed_secret
         FROM webhook_endpoints WHERE id = $1",
        id.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Held {
        id,
        url: row.url,
        record_kinds: row.record_kinds,
        epoch: row.epoch,
        position: row.position,
        failures: row.failures,
        failing_since: row.failing_since,
        sealed_secret: row.sealed_secret,
        previous_sealed_secret: row.previous_sealed_secret,
    }))
}

/// Holds the endpoint for longer. Returns whether the run still held it.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn renew(tx: &mut Tx, id: WebhookEndpointId, run: RunId, lifetime: Duration) -> Result<bool> {
    let until = tx.now() + lifetime;
    let done = sqlx::query!(
        "/* webhooks::renew */ UPDATE webhook_endpoints SET run_until = $3
         WHERE id = $1 AND run_id = $2 AND NOT run_fenced",
        id.0,
        run.0,
        until,
    )
    .execute(tx.connection())
    .await?;
    extend_claim(tx, id, lifetime).await?;
    Ok(done.rows_affected() == 1)
}

/// The scheduler need not hand out what is at work.
async fn extend_claim(tx: &mut Tx, id: WebhookEndpointId, lifetime: Duration) -> Result<()> {
    let until = tx.now() + lifetime;
    sqlx::query!(
        "/* webhooks::extend_claim */ UPDATE operations SET claimed_until = greatest(claimed_until, $2)
         WHERE id = $1 AND claimed_until IS NOT NULL",
        id.0,
        until,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives the endpoint back, also when the run was fenced, because it sends no more: a new run may begin at once.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn give_back(tx: &mut Tx, id: WebhookEndpointId, run: RunId) -> Result<()> {
    sqlx::query!(
        "/* webhooks::give_back */ UPDATE webhook_endpoints SET run_id = NULL, run_until = NULL
         WHERE id = $1 AND run_id = $2",
        id.0,
        run.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What comes next in the feed for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Changes it wants, in order.
    pub entries: Vec<Entry>,
    /// Once they are told, it stands here.
    pub end: i64,
    /// Whether the feed goes on after that.
    pub more: bool,
}

/// What comes after `position`; `None` when that place has lost its meaning.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn next(
    tx: &mut Tx,
    epoch: Uuid,
    position: i64,
    record_kinds: &[String],
    limit: u16,
) -> Result<Option<Stretch>> {
    let Some(span) = span(tx).await?.filter(|span| span.holds(epoch, position)) else { return Ok(None) };
    let end = span.newest.min(position.saturating_add(STRETCH));
    let entries = sqlx::query_as!(
        Entry,
        "/* webhooks::next */ SELECT position AS \"position!\", record_kind, record_id, change, fields, record_version,
             changed_at
         FROM feed_entries
         WHERE position > $1 AND position <= $2 AND (cardinality($3::text[]) = 0 OR record_kind = ANY($3))
         ORDER BY position LIMIT $4",
        position,
        end,
        record_kinds,
        i64::from(limit),
    )
    .fetch_all(tx.connection())
    .await?;
    let end = match entries.last() {
        Some(last) if entries.len() >= usize::from(limit) => last.position,
        _ => end,
    };
    Ok(Some(Stretch { entries, end, more: end < span.newest }))
}

/// What an attempt showed of the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// What was wrong.
    pub error: Option<&'a str>,
}

/// Notes that the receiver accepted everything up to `to`, and moves the endpoint there. Returns whether the run still
/// held it at `from`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn accepted(
    tx: &mut Tx,
    id: WebhookEndpointId,
    run: RunId,
    (from, to): (i64, i64),
    status: u16,
) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* webhooks::accepted */ UPDATE webhook_endpoints SET position = $4, delivered = delivered + 1, failures = 0,
             failing_since = NULL, last_attempt_at = $6, last_succeeded_at = $6, last_status = $5, last_error = NULL,
             next_attempt_at = NULL
         WHERE id = $1 AND run_id = $2 AND NOT run_fenced AND position = $3",
        id.0,
        run.0,
        from,
        to,
        i32::from(status),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the endpoint over what it does not want. Returns whether the run still held it at `from`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn passed_over(tx: &mut Tx, id: WebhookEndpointId, run: RunId, (from, to): (i64, i64)) -> Result<bool> {
    let done = sqlx::query!(
        "/* webhooks::passed_over */ UPDATE webhook_endpoints SET position = $4
         WHERE id = $1 AND run_id = $2 AND NOT run_fenced AND position = $3",
        id.0,
        run.0,
        from,
        to,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes a failed attempt; the next one is due at `again`. Returns since when it fails, or `None` when the run does not
/// hold the endpoint any more.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn failed(
    tx: &mut Tx,
    id: WebhookEndpointId,
    run: RunId,
    answer: &Answer<'_>,
    again: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>> {
    let now = tx.now();
    let since = sqlx::query_scalar!(
        "/* webhooks::failed */ UPDATE webhook_endpoints SET failures = least(failures, 1000000000) + 1,
             failing_since = coalesce(failing_since, $6), last_attempt_at = $6, last_status = $3, last_error = $4,
             next_attempt_at = $5
         WHERE id = $1 AND run_id = $2 AND NOT run_fenced RETURNING failing_since AS \"since!\"",
        id.0,
        run.0,
        answer.status.map(i32::from),
        answer.error,
        again,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(since)
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// The receiver said that it is gone.
    Gone,
    /// It failed for too long.
    Failing,
    /// Its place in the feed has lost its meaning.
    CursorLost,
}

impl Disabled {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::CursorLost => "cursor-lost",
        }
    }
}

/// Disables an endpoint until somebody resumes it, raises the alert and notes it. Call it in the transaction that found
/// the reason, after the row was locked or written.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn disable(tx: &mut Tx, id: WebhookEndpointId, reason: Disabled, message: &str) -> Result<()> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* webhooks::disable */ UPDATE webhook_endpoints SET disabled_code = $2, disabled_at = $3,
             next_attempt_at = NULL, version = version + 1, updated_at = $3
         WHERE id = $1 AND disabled_code IS NULL RETURNING name, version",
        id.0,
        reason.as_str(),
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(()) };
    let parameters = json!({ "endpoint": id, "name": row.name, "reason": reason.as_str(), "message": message });
    alerts::raise(tx, DISABLED_ALERT, Severity::Error, Subject::WebhookEndpoint(id), parameters).await?;
    written(tx, id, Change::Updated, &["state"], row.version, ACTOR).await
}
