//! What is done with a webhook endpoint: its secret is replaced, it goes on, it is tried.

use axum::{extract::State, response::Response};
use lockstep_model::id::WebhookEndpointId;
use lockstep_store::{Error, audit, nudge, operations, webhooks};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    check, missing,
    view::{Start, WebhookEndpoint, WithSecret},
};
use crate::{
    again::again,
    api::{PREFIX, operations::Operation},
    auth::Caller,
    extract::{Id, IfMatch, NoBody, Received},
    idempotent::{self, Begun, Reply, tagged},
    problem::Problem,
    state::App,
};

/// Makes a new secret and shows it, once. The one before signs too for 24 hours.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/rotate-secret", tag = "webhook-endpoints",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The endpoint, with its new secret", body = WithSecret)))]
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<Response, Problem> {
    let id = WebhookEndpointId(id);
    let secret = webhooks::new_secret()?;
    let sealed = app.store.vault().seal(&webhooks::secret_identity(id), &secret).map_err(Error::from)?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        webhooks::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let version = webhooks::rotate(&mut tx, id, &sealed, &caller.actor()).await?;
        let endpoint = webhooks::get(&mut tx, id).await?.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(tagged(version, WebhookEndpoint::from(endpoint).with(secret.expose_secret())))
    })
    .await
}

/// Lets an endpoint go on, whatever stopped it: where it stood, from a position of the change feed, or from now.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/resume", tag = "webhook-endpoints", request_body = Start,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The endpoint as it is now", body = WebhookEndpoint),
        (status = 410, description = "The position has lost its meaning")))]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Start>,
) -> Result<Response, Problem> {
    let id = WebhookEndpointId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = webhooks::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let span = check::span(&mut tx).await?;
        let place = check::place(&body.value, span, (before.epoch, before.position))?;
        webhooks::resume(&mut tx, id, place, &caller.actor()).await?;
        nudge(&mut tx).await?;
        let endpoint = webhooks::get(&mut tx, id).await?.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(tagged(endpoint.version, WebhookEndpoint::from(endpoint)))
    })
    .await
}

/// Sends a `ping` to the endpoint, also to a disabled one. The work goes on after the answer; the operation tells how
/// the receiver answered.
#[utoipa::path(post, path = "/webhook-endpoints/{id}/test", tag = "webhook-endpoints",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The operation, to be asked for at its Location", body = Operation)))]
pub(crate) async fn test(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    NoBody(key): NoBody,
) -> Result<Reply, Problem> {
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, key.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        webhooks::get(tx, WebhookEndpointId(id)).await?.ok_or_else(missing)?;
        let arguments = json!({ "endpoint": id });
        let operation = operations::create(tx, webhooks::TEST, &arguments, &caller.actor()).await?;
        let detail = json!({ "operation": operation });
        audit::note(tx, &caller.actor(), "tested", "webhook-endpoint", Some(id), detail).await?;
        nudge(tx).await?;
        let created = operations::get(tx, operation).await?.ok_or_else(Problem::internal)?;
        once.finish(Reply::accepted(format!("{PREFIX}/operations/{operation}"), &Operation::from(created))).await
    })
    .await
}
