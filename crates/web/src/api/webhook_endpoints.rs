//! Webhook endpoints: where other programs are told of changes. A secret is shown once, when it is made.

mod actions;
mod check;
mod view;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lockstep_model::id::WebhookEndpointId;
use lockstep_store::{Error, nudge, webhooks};
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::PREFIX;
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
};
use view::{NewWebhookEndpoint, WebhookEndpoint, WebhookEndpointFields, WithSecret};

/// The routes of webhook endpoints.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(actions::rotate_secret))
        .routes(routes!(actions::resume))
        .routes(routes!(actions::test))
}

/// Which endpoints to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListWebhookEndpoints {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// Lists webhook endpoints.
#[utoipa::path(get, path = "/webhook-endpoints", tag = "webhook-endpoints", params(ListWebhookEndpoints),
    responses((status = 200, description = "A page of endpoints", body = Page<WebhookEndpoint>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Params(query): Params<ListWebhookEndpoints>,
) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = webhooks::list(&mut tx, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |endpoint| endpoint.id, WebhookEndpoint::from)).into_response())
}

/// Makes a webhook endpoint. The answer is the only place where its secret is shown; a repetition with the same
/// Idempotency-Key does not show it again.
#[utoipa::path(post, path = "/webhook-endpoints", tag = "webhook-endpoints", request_body = NewWebhookEndpoint,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new endpoint, with its secret", body = WithSecret)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<NewWebhookEndpoint>,
) -> Result<Reply, Problem> {
    let (fields, start) = body.value.split();
    let fields = check::fields(&app, fields)?;
    let id = WebhookEndpointId::new();
    let secret = webhooks::new_secret()?;
    let sealed = app.store.vault().seal(&webhooks::secret_identity(id), &secret).map_err(Error::from)?;
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        let span = check::span(tx).await?;
        let place = check::place(&start, span, (span.epoch, span.newest))?;
        webhooks::create(tx, id, fields.settings(), &sealed, place, &body.given.names(), &caller.actor()).await?;
        nudge(tx).await?;
        let made = WebhookEndpoint::from(webhooks::get(tx, id).await?.ok_or_else(Problem::internal)?);
        let location = format!("{PREFIX}/webhook-endpoints/{id}");
        // What is kept for repetitions stands in the database, where no secret does in the clear.
        once.finish(Reply::created(location.clone(), 1, &made)).await?;
        Ok(Reply::created(location, 1, &made.with(secret.expose_secret())))
    })
    .await
}

/// Reads a webhook endpoint, and how its deliveries stand.
#[utoipa::path(get, path = "/webhook-endpoints/{id}", tag = "webhook-endpoints", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The endpoint", body = WebhookEndpoint)))]
pub(crate) async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let endpoint = webhooks::get(&mut tx, WebhookEndpointId(id)).await?.ok_or_else(missing)?;
    Ok(tagged(endpoint.version, WebhookEndpoint::from(endpoint)))
}

/// Changes a webhook endpoint. Another URL is tried at once.
#[utoipa::path(patch, path = "/webhook-endpoints/{id}", tag = "webhook-endpoints",
    request_body = WebhookEndpointFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The endpoint as it is now", body = WebhookEndpoint)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let id = WebhookEndpointId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = webhooks::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let (fields, changed) = body.value.apply(&WebhookEndpointFields::from(&before))?.split();
        let fields = check::fields(&app, fields)?;
        if changed.names().is_empty() {
            return Ok(tagged(before.version, WebhookEndpoint::from(before)));
        }
        webhooks::save(&mut tx, id, fields.settings(), &changed.names(), &caller.actor()).await?;
        nudge(&mut tx).await?;
        let endpoint = webhooks::get(&mut tx, id).await?.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(tagged(endpoint.version, WebhookEndpoint::from(endpoint)))
    })
    .await
}

/// Removes a webhook endpoint. What is on its way may still arrive.
#[utoipa::path(delete, path = "/webhook-endpoints/{id}", tag = "webhook-endpoints",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let endpoint = webhooks::lock(&mut tx, WebhookEndpointId(id), expected).await?.ok_or_else(missing)?;
        webhooks::delete(&mut tx, &endpoint, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn missing() -> Problem {
    Problem::not_found("webhook endpoint")
}
