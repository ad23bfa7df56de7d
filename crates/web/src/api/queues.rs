//! Queues: shared work lists. Each has a mailbox, made with it.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use lockstep_model::id::{QueueId, UserId};
use lockstep_store::{Result as Stored, Tx, queues, rights::Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::owners::{self, Common, ListOwners, MailboxOwner, Stamp, yes};
use crate::{
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::Reply,
    merge::Patch,
    page::Page,
    problem::Problem,
    state::App,
    upsert::{Origin, OriginPath, known, upsert},
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
    /// Or the team; not both.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_team_id: Option<Uuid>,
}

fn everything() -> TrackOption {
    TrackOption::All
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
            owner_team_id: queue.owner_team_id,
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

impl MailboxOwner for queues::Queue {
    type Fields = QueueFields;
    type View = Queue;
    const ONE: &'static str = "queue";
    const MANY: &'static str = "queues";
    const KIND: Kind = Kind::Queue;
    const PERSONAL: &'static [&'static str] = &[];

    fn checked(fields: QueueFields, before: Option<Self>) -> Result<Self, Problem> {
        let (source, external_id) = (fields.source.as_deref(), fields.external_id.as_deref());
        let common = Common::checked(&fields.name, &fields.address, source, external_id)?;
        let mut check = Check::default();
        check.owner(fields.owner_user_id, fields.owner_team_id);
        check.finish()?;
        let stamp = Stamp::of(before.as_ref());
        Ok(Self {
            id: stamp.id,
            source: common.source,
            external_id: common.external_id,
            name: common.name,
            address: common.address,
            address_key: common.address_key,
            owner_user_id: fields.owner_user_id,
            owner_team_id: fields.owner_team_id,
            active: fields.active,
            track_option: fields.track_option.as_str().to_owned(),
            version: stamp.version,
            created_at: stamp.created_at,
            updated_at: stamp.updated_at,
        })
    }

    fn stamp(&self) -> Stamp {
        Stamp { id: self.id, version: self.version, created_at: self.created_at, updated_at: self.updated_at }
    }

    fn address_key(&self) -> &str {
        &self.address_key
    }

    fn written(&mut self, version: i64, at: DateTime<Utc>) {
        (self.version, self.updated_at) = (version, at);
    }

    async fn create(self, tx: &mut Tx, fields: &[&str], actor: &str) -> Stored<Self> {
        queues::create(tx, self, fields, actor).await
    }

    async fn list(
        tx: &mut Tx,
        reader: Option<UserId>,
        address_key: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Stored<Vec<Self>> {
        queues::list(tx, reader, address_key, after, limit).await
    }

    async fn get(tx: &mut Tx, id: Uuid) -> Stored<Option<Self>> {
        queues::get(tx, QueueId(id)).await
    }

    async fn lock(tx: &mut Tx, id: Uuid, expected: Option<i64>) -> Stored<Option<Self>> {
        queues::lock(tx, QueueId(id), expected).await
    }

    async fn save(&self, tx: &mut Tx, changed: &[&str], actor: &str) -> Stored<i64> {
        queues::save(tx, self, changed, actor).await
    }
}

/// Lists queues.
#[utoipa::path(get, path = "/queues", tag = "queues", params(ListOwners),
    responses((status = 200, description = "A page of queues", body = Page<Queue>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListOwners>,
) -> Result<Response, Problem> {
    owners::list::<queues::Queue>(&app, &caller, query).await
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
    owners::create::<queues::Queue>(&app, &caller, body).await
}

/// Reads a queue.
#[utoipa::path(get, path = "/queues/{id}", tag = "queues", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The queue", body = Queue)))]
pub(crate) async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    owners::read::<queues::Queue>(&app, &caller, id).await
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
    owners::update::<queues::Queue>(&app, &caller, id, expected, &body.value).await
}

/// Reads the queue that another system knows by this id.
#[utoipa::path(get, path = "/queues/by-external-id/{source}/{external_id}", tag = "queues",
    params(("source" = String, Path), ("external_id" = String, Path)),
    responses((status = 200, description = "The queue", body = Queue)))]
pub(crate) async fn find(State(app): State<App>, caller: Caller, origin: OriginPath) -> Result<Response, Problem> {
    let id = known(&mut app.store.begin().await?, Kind::Queue, &origin).await?;
    owners::read::<queues::Queue>(&app, &caller, id).await
}

/// Changes the queue that another system knows by this id, or makes it and its mailbox.
#[utoipa::path(patch, path = "/queues/by-external-id/{source}/{external_id}", tag = "queues", request_body = QueueFields,
    params(("source" = String, Path), ("external_id" = String, Path),
        ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, description = "The queue as it is now", body = Queue),
        (status = 201, description = "The new queue", body = Queue),
        (status = 412, description = "There is, or is no, such queue, against If-None-Match or If-Match")))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let (app, caller) = (&app, &caller);
    let create = |body| owners::create::<queues::Queue>(app, caller, body);
    let update =
        |id, patch: Patch| async move { owners::update::<queues::Queue>(app, caller, id, expected, &patch).await };
    upsert(app, Kind::Queue, origin, body.value, create, update).await
}
