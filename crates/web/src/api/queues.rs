//! Queues: shared work lists. Each has a mailbox, made with it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::QueueId;
use lockstep_store::{nudge, queues};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
};
use crate::{
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
    validate::Check,
    words::TrackOption,
};

/// What may be written of a queue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueFields {
    /// Name, at most 200 characters.
    name: String,
    /// Email address. Another one returns the mailbox to waiting for approval.
    address: String,
    /// Which other system knows this queue; goes with external_id.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Under which id that system knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// The mailbox of an inactive queue is inactive. Default: true.
    #[serde(default = "yes")]
    active: bool,
    /// Which received mail becomes a record by itself. Default: all.
    #[serde(default = "everything")]
    track_option: TrackOption,
    /// The user who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<Uuid>,
}

fn everything() -> TrackOption {
    TrackOption::All
}

fn yes() -> bool {
    true
}

/// A queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queue {
    id: Uuid,
    #[serde(flatten)]
    fields: QueueFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&queues::Queue> for QueueFields {
    fn from(queue: &queues::Queue) -> Self {
        Self {
            name: queue.name.clone(),
            address: queue.address.clone(),
            source: queue.source.clone(),
            external_id: queue.external_id.clone(),
            active: queue.active,
            track_option: TrackOption::of(&queue.track_option),
            owner_user_id: queue.owner_user_id,
        }
    }
}

impl From<queues::Queue> for Queue {
    fn from(queue: queues::Queue) -> Self {
        Self {
            id: queue.id,
            fields: (&queue).into(),
            version: queue.version,
            created_at: queue.created_at,
            updated_at: queue.updated_at,
        }
    }
}

impl QueueFields {
    /// The queue as it would be. `before` gives what cannot be written.
    fn checked(self, before: Option<queues::Queue>) -> Result<queues::Queue, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 200);
        let (address, address_key) = check.address("address", &self.address);
        let (source, external_id) = check.origin(self.source.as_deref(), self.external_id.as_deref());
        check.finish()?;
        Ok(queues::Queue {
            id: before.as_ref().map_or(Uuid::nil(), |b| b.id),
            source,
            external_id,
            name,
            address,
            address_key,
            owner_user_id: self.owner_user_id,
            active: self.active,
            track_option: self.track_option.as_str().to_owned(),
            version: before.as_ref().map_or(0, |b| b.version),
            created_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.created_at),
            updated_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.updated_at),
        })
    }
}

/// Which queues to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQueues {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only the queue with this address.
    address: Option<String>,
}

/// Lists queues.
#[utoipa::path(get, path = "/queues", tag = "queues", params(ListQueues),
    responses((status = 200, description = "A page of queues", body = Page<Queue>)))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ListQueues>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let key = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let mut tx = app.store.begin().await?;
    let rows = queues::list(&mut tx, key.as_deref(), query.after, limit.rows()).await?;
    Ok(axum::Json(Page::of(rows, limit, |queue| queue.id, Queue::from)).into_response())
}

/// Makes a queue and its mailbox.
#[utoipa::path(post, path = "/queues", tag = "queues", request_body = QueueFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new queue", body = Queue)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<QueueFields>,
) -> Result<Reply, Problem> {
    let queue = body.value.checked(None)?;
    let mut once = match idempotent::begin(&app, &caller, body.once).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let key = queue.address_key.clone();
    let queue = match queues::create(&mut once.tx, queue, &caller.actor()).await {
        Ok(queue) => queue,
        Err(error) => {
            drop(once);
            return Err(explain(&app, error, Wanted { address_key: Some(&key), ..Wanted::default() }).await);
        }
    };
    nudge(&mut once.tx).await?;
    let (location, version) = (format!("{PREFIX}/queues/{}", queue.id), queue.version);
    once.finish(Reply::created(location, version, &Queue::from(queue))).await
}

/// Reads a queue.
#[utoipa::path(get, path = "/queues/{id}", tag = "queues", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The queue", body = Queue)))]
pub(crate) async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let queue = queues::get(&mut tx, QueueId(id)).await?.ok_or_else(|| Problem::not_found("queue"))?;
    Ok(tagged(queue.version, Queue::from(queue)))
}

/// Changes a queue. Its mailbox follows name, address and state.
#[utoipa::path(patch, path = "/queues/{id}", tag = "queues", request_body = QueueFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The queue as it is now", body = Queue)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let before = queues::lock(&mut tx, QueueId(id), expected).await?.ok_or_else(|| Problem::not_found("queue"))?;
    let patched = body.value.apply(&QueueFields::from(&before))?;
    let (fields, changed) = patched.split();
    let changed = changed.names();
    let mut queue = fields.checked(Some(before))?;
    if changed.is_empty() {
        return Ok(tagged(queue.version, Queue::from(queue)));
    }
    match queues::save(&mut tx, &queue, &changed, &caller.actor()).await {
        Ok(version) => (queue.version, queue.updated_at) = (version, tx.now()),
        Err(error) => {
            drop(tx);
            let wanted = Wanted { address_key: Some(&queue.address_key), ..Wanted::default() };
            return Err(explain(&app, error, wanted).await);
        }
    }
    nudge(&mut tx).await?;
    tx.commit().await?;
    Ok(tagged(queue.version, Queue::from(queue)))
}
