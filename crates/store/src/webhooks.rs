//! Webhook endpoints, as administrators keep them: where other programs want to be told of changes.

pub mod runs;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::id::{OperationId, WebhookEndpointId};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    alerts::{self, Subject},
    audit::{self, Written},
    feed::{self, Change},
};

/// The kind of the operation that delivers to an endpoint; it has the endpoint's id.
pub const DELIVER: &str = "deliver-webhooks";
/// The kind of the operation that sends a `ping`.
pub const TEST: &str = "test-webhook-endpoint";

/// The alert about an endpoint that was disabled.
pub const DISABLED_ALERT: &str = "WebhookEndpointDisabled";

/// What the feed tells of, and an endpoint may ask for.
pub const RECORD_KINDS: &[&str] = &[
    "account",
    "appointment",
    "contact",
    "email",
    "email-server-profile",
    "fax",
    "field-directions",
    "lead",
    "letter",
    "mailbox",
    "organisation",
    "phone-call",
    "queue",
    "recurring-appointment",
    "service-activity",
    "synchronization-filter",
    "task",
    "user",
    "webhook-endpoint",
];

/// How long the secret before still signs after a rotation.
pub const ROTATION_OVERLAP: TimeDelta = TimeDelta::hours(24);

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// An endpoint as an administrator sees it: never its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEndpoint {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where events are sent.
    pub url: String,
    /// Of which records; empty for all.
    pub record_kinds: Vec<String>,
    /// Inactive ones are told nothing.
    pub active: bool,
    /// Until when the secret before signs too.
    pub previous_valid_until: Option<DateTime<Utc>>,
    /// The feed's epoch the position belongs to.
    pub epoch: Uuid,
    /// Everything up to here was accepted, or not wanted.
    pub position: i64,
    /// Why it was disabled: `gone`, `failing` or `cursor-lost`.
    pub disabled_code: Option<String>,
    /// When it was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Failed attempts since the last accepted one.
    pub failures: i32,
    /// When the first of them was.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When it last accepted.
    pub last_succeeded_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last attempt, when there was an answer.
    pub last_status: Option<i32>,
    /// What was wrong with the last attempt.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Events accepted so far.
    pub delivered: i64,
    /// Raised by every write of a person or program; not by deliveries.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// What may be written of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Unique name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// Where events are sent.
    pub url: &'a str,
    /// Of which records; empty for all.
    pub record_kinds: &'a [String],
    /// Inactive ones are told nothing.
    pub active: bool,
}

/// The name under which an endpoint's secrets are sealed.
pub fn secret_identity(id: WebhookEndpointId) -> String {
    format!("webhook-endpoint/{id}")
}

/// A new secret: `whsec_` and 32 random bytes in base64, as Standard Webhooks writes them.
///
/// # Errors
/// [`Error::Sealed`] when the machine gives no randomness.
pub fn new_secret() -> Result<SecretString> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| Error::Sealed(crate::SealError::Failed))?;
    Ok(SecretString::from(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))))
}

/// Makes an endpoint under an id chosen by the caller, because the secret is sealed for it. It is told of what comes
/// after `position` of the present epoch. `fields` are those it was given. The caller nudges.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn create(
    tx: &mut Tx,
    id: WebhookEndpointId,
    settings: Settings<'_>,
    sealed_secret: &[u8],
    (epoch, position): (Uuid, i64),
    fields: &[&str],
    actor: &str,
) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* webhooks::create */ INSERT INTO operations
             (id, kind, arguments, state, due_at, requested_by, created_at, ended_at)
         VALUES ($1, $2, $3, 'done', $4, $5, $4, $4)",
        id.0,
        DELIVER,
        json!({ "endpoint": id }),
        now,
        actor,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* webhooks::create */ INSERT INTO webhook_endpoints
             (id, name, description, url, record_kinds, active, sealed_secret, epoch, position, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        id.0,
        settings.name,
        settings.description,
        settings.url,
        settings.record_kinds,
        settings.active,
        sealed_secret,
        epoch,
        position,
        now,
    )
    .execute(tx.connection())
    .await?;
    written(tx, id, Change::Created, fields, 1, actor).await?;
    make_due(tx, id).await
}

async fn written(
    tx: &mut Tx,
    id: WebhookEndpointId,
    change: Change,
    fields: &[&str],
    version: i64,
    actor: &str,
) -> Result<()> {
    audit::record(tx, actor, Written { kind: "webhook-endpoint", id: id.0, change, fields, version }).await
}

/// Endpoints in order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(tx: &mut Tx, after: Option<Uuid>, limit: i64) -> Result<Vec<WebhookEndpoint>> {
    select(tx, None, after, limit).await
}

/// One endpoint.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>> {
    Ok(select(tx, Some(id.0), None, 1).await?.pop())
}

async fn select(tx: &mut Tx, id: Option<Uuid>, after: Option<Uuid>, limit: i64) -> Result<Vec<WebhookEndpoint>> {
    Ok(sqlx::query_as!(
        WebhookEndpoint,
        "/* webhooks::select */ SELECT id, name, description, url, record_kinds, active, previous_valid_until, epoch,
             position, disabled_code, disabled_at, failures, failing_since, last_attempt_at, last_succeeded_at,
             last_status, last_error, next_attempt_at, delivered, version, created_at, updated_at
         FROM webhook_endpoints
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        id,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: WebhookEndpointId, expected: Option<i64>) -> Result<Option<WebhookEndpoint>> {
    sqlx::query!("/* webhooks::lock */ SELECT id FROM webhook_endpoints WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|e| e.version))?;
    Ok(found)
}

/// Writes an endpoint that was locked; `fields` are the changed ones. Whoever is sending with the old settings is
/// fenced, and what waited for another attempt is tried at once. Returns the new version. The caller nudges.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn save(
    tx: &mut Tx,
    id: WebhookEndpointId,
    settings: Settings<'_>,
    fields: &[&str],
    actor: &str,
) -> Result<i64> {
    let now = tx.now();
    let delivery = fields.iter().any(|field| matches!(*field, "url" | "record_kinds" | "active"));
    let version = sqlx::query_scalar!(
        "/* webhooks::save */ UPDATE webhook_endpoints SET name = $2, description = $3, url = $4, record_kinds = $5,
             active = $6, next_attempt_at = CASE WHEN $7 THEN NULL ELSE next_attempt_at END,
             version = version + 1, updated_at = $8
         WHERE id = $1 RETURNING version",
        id.0,
        settings.name,
        settings.description,
        settings.url,
        settings.record_kinds,
        settings.active,
        delivery,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    written(tx, id, Change::Updated, fields, version, actor).await?;
    if delivery {
        fence(tx, id).await?;
        make_due(tx, id).await?;
    }
    Ok(version)
}

/// Replaces the secret of an endpoint that was locked; the one before signs too until [`ROTATION_OVERLAP`] has passed.
/// Returns the new version.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn rotate(tx: &mut Tx, id: WebhookEndpointId, sealed_secret: &[u8], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* webhooks::rotate */ UPDATE webhook_endpoints SET previous_sealed_secret = sealed_secret,
             previous_valid_until = $3, sealed_secret = $2, version = version + 1, updated_at = $4
         WHERE id = $1 RETURNING version",
        id.0,
        sealed_secret,
        now + ROTATION_OVERLAP,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    written(tx, id, Change::Updated, &["secret"], version, actor).await?;
    // A run at work signs with what it has opened: the next one signs with both.
    fence(tx, id).await?;
    make_due(tx, id).await?;
    Ok(version)
}

/// Lets an endpoint that was locked go on after this place, whatever stopped it. Returns the new version. The caller
/// nudges.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn resume(tx: &mut Tx, id: WebhookEndpointId, (epoch, position): (Uuid, i64), actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* webhooks::resume */ UPDATE webhook_endpoints SET epoch = $2, position = $3, disabled_code = NULL,
             disabled_at = NULL, failures = 0, failing_since = NULL, next_attempt_at = NULL,
             version = version + 1, updated_at = $4
         WHERE id = $1 RETURNING version",
        id.0,
        epoch,
        position,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    written(tx, id, Change::Updated, &["position", "state"], version, actor).await?;
    alerts::resolve(tx, DISABLED_ALERT, Subject::WebhookEndpoint(id)).await?;
    fence(tx, id).await?;
    make_due(tx, id).await?;
    Ok(version)
}

/// Removes an endpoint that was locked. What is on its way may still arrive.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, endpoint: &WebhookEndpoint, actor: &str) -> Result<()> {
    let id = WebhookEndpointId(endpoint.id);
    sqlx::query!("/* webhooks::delete */ DELETE FROM webhook_endpoints WHERE id = $1", id.0)
        .execute(tx.connection())
        .await?;
    sqlx::query!("/* webhooks::delete */ DELETE FROM operations WHERE id = $1", id.0).execute(tx.connection()).await?;
    alerts::resolve(tx, DISABLED_ALERT, Subject::WebhookEndpoint(id)).await?;
    written(tx, id, Change::Deleted, &[], endpoint.version + 1, actor).await
}

/// Which places of the feed an endpoint may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The epoch.
    pub epoch: Uuid,
    /// The place before the oldest change that is kept.
    pub oldest: i64,
    /// The last numbered change: now.
    pub newest: i64,
}

impl Span {
    /// Whether nothing after this place was missed.
    pub fn holds(&self, epoch: Uuid, position: i64) -> bool {
        self.epoch == epoch && (self.oldest..=self.newest).contains(&position)
    }
}

/// What the feed holds at the moment; `None` before the organisation is set up.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn span(tx: &mut Tx) -> Result<Option<Span>> {
    let Some((epoch, newest)) = feed::head(tx).await? else { return Ok(None) };
    // Rows wait for their number before they have a place: without numbered ones, the oldest is the head.
    let oldest = feed::tail(tx).await?.min(newest);
    Ok(Some(Span { epoch, oldest, newest }))
}

/// The run at work may note nothing more. It keeps its time, so that nobody sends beside it.
async fn fence(tx: &mut Tx, id: WebhookEndpointId) -> Result<()> {
    sqlx::query!(
        "/* webhooks::fence */ UPDATE webhook_endpoints SET run_fenced = true WHERE id = $1 AND run_id IS NOT NULL",
        id.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The endpoint's operation is due at once, whatever it waited for.
async fn make_due(tx: &mut Tx, id: WebhookEndpointId) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* webhooks::make_due */ UPDATE operations SET state = 'pending', due_at = $2, generation = generation + 1,
             version = version + 1, claims = 0, claimed_until = NULL, attempts = 0, ended_at = NULL
         WHERE id = $1",
        OperationId(id.0).0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
