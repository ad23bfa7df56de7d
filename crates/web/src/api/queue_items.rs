//! Queue items: the emails in a queue's list of work.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::QueueId;
use lockstep_store::{queue_items, queues, rights::Kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::Caller,
    extract::{Id, Params},
    page::{Limit, Page},
    problem::Problem,
    state::App,
    wall,
};

/// Which items to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListItems {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// An email in a queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueItem {
    id: Uuid,
    /// The email.
    email_id: Uuid,
    /// When it entered the queue.
    entered_at: DateTime<Utc>,
}

impl From<queue_items::QueueItem> for QueueItem {
    fn from(item: queue_items::QueueItem) -> Self {
        Self { id: item.id, email_id: item.email_id, entered_at: item.entered_at }
    }
}

/// Lists the emails in a queue, in order of their entering.
#[utoipa::path(get, path = "/queues/{id}/items", tag = "queues", params(("id" = Uuid, Path), ListItems),
    responses((status = 200, description = "A page of queue items", body = Page<QueueItem>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(query): Params<ListItems>,
) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, &caller, Kind::Queue, id).await?;
    if queues::get(&mut tx, QueueId(id)).await?.is_none() {
        return Err(Problem::not_found("queue"));
    }
    let rows = queue_items::list(&mut tx, QueueId(id), query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |item| item.id, QueueItem::from)).into_response())
}
