//! The change feed: which records changed, in an order that holds for each of them.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_store::feed;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{extract::Params, page::Limit, problem::Problem, state::App};

/// One change: ids and names of fields, no content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    /// Its place in the feed.
    position: i64,
    /// `user`, `queue`, `contact`, `account`, `lead`, `mailbox`, `email-server-profile`, `organisation`, `webhook-endpoint` or
    /// `email`.
    record_kind: String,
    record_id: Uuid,
    /// `created`, `updated` or `deleted`.
    change: String,
    /// What changed; empty when everything did.
    fields: Vec<String>,
    /// The record's version after it.
    record_version: i64,
    changed_at: DateTime<Utc>,
}

/// A stretch of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changes {
    /// Send it with `after`; another one means that positions have lost their meaning.
    epoch: Uuid,
    items: Vec<Change>,
    /// Give this as `after` to read on, also when there are no items yet.
    next: i64,
}

/// Where to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadChanges {
    /// The next of the stretch before; without, from the oldest change that is kept.
    after: Option<i64>,
    /// The epoch of the stretch before; needed with after.
    epoch: Option<Uuid>,
    /// Items in a stretch, at most 200.
    limit: Option<u16>,
}

/// Reads the change feed.
#[utoipa::path(get, path = "/changes", tag = "changes", params(ReadChanges),
    responses((status = 200, description = "A stretch of the feed", body = Changes),
        (status = 410, description = "The position has lost its meaning: read everything again")))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ReadChanges>) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let (epoch, last) = feed::head(&mut tx).await?.ok_or_else(|| {
        Problem::conflict("not-set-up", "The organisation is not set up yet; the command line does that.")
    })?;
    let oldest = match feed::tail(&mut tx).await? {
        // Nothing is kept: either nothing ever happened, or all of it was swept.
        0 if feed::after(&mut tx, 0, 1).await?.is_empty() => last,
        oldest => oldest,
    };
    let after = match (query.after, query.epoch) {
        (None, None) => oldest,
        (Some(after), Some(given)) if given == epoch && (oldest..=last).contains(&after) => after,
        (Some(_), None) => return Err(Problem::field("epoch", "required", "the epoch that after belongs to")),
        _ => return Err(gone(epoch)),
    };
    let rows = feed::after(&mut tx, after, Limit::of(query.limit).items()).await?;
    let next = rows.last().map_or(after, |row| row.position);
    let items = rows
        .into_iter()
        .map(|row| Change {
            position: row.position,
            record_kind: row.record_kind,
            record_id: row.record_id,
            change: row.change,
            fields: row.fields,
            record_version: row.record_version,
            changed_at: row.changed_at,
        })
        .collect();
    Ok(Json(Changes { epoch, items, next }).into_response())
}

fn gone(epoch: Uuid) -> Problem {
    let detail = "This position is older than what is kept, or belongs to another epoch. Call /changes without after \
                  and epoch and keep the answer's; then read every record again through its list; then follow the \
                  feed from there.";
    Problem::new(StatusCode::GONE, "position-gone", "Position gone", detail).with("epoch", json!(epoch))
}
