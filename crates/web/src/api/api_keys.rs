//! Keys for programs and people. A key is shown once, when it is made.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::{ApiKeyId, UserId};
use lockstep_store::{
    access::{self, Role},
    users,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::Caller,
    extract::{Id, Params, Received},
    idempotent::{self, Begun, Reply},
    page::{Limit, Page},
    problem::Problem,
    state::App,
    validate::Check,
};

/// What a key may do.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyRole {
    /// Everything.
    Administrator,
    /// Sees states, not the content of emails.
    Operator,
    /// A program that keeps records and emails.
    Service,
    /// One user, with what the user's security roles give.
    User,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyFields {
    /// What it is for, at most 100 characters.
    name: String,
    role: KeyRole,
    /// Whose key it is: for the role user, and only for it. Refused while that user is inactive.
    user_id: Option<Uuid>,
    /// From when on it is refused; without, it never expires.
    expires_at: Option<DateTime<Utc>>,
}

/// A key as it is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    id: Uuid,
    name: String,
    /// `administrator`, `operator`, `service` or `user`.
    role: String,
    /// Whose key it is, when it is a user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

/// A key that was just made: it cannot be shown again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewApiKey {
    id: Uuid,
    /// Send it as `Authorization: Bearer <key>`. Not in the answer to a repeated request.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Only in the answer to a repeated request: why there is no key in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
}

/// What a repeated request is told.
const SHOWN_ONCE: &str = "This key was made by the first request with this Idempotency-Key, whose answer alone shows it. \
                          If that answer was lost, revoke the key and make another.";

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListApiKeys {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// Lists keys, revoked ones too.
#[utoipa::path(get, path = "/api-keys", tag = "access", params(ListApiKeys),
    responses((status = 200, description = "A page of keys", body = Page<ApiKey>)))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ListApiKeys>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = access::list_api_keys(&mut tx, query.after, limit.rows()).await?;
    let view = |key: access::ApiKey| ApiKey {
        id: key.id,
        name: key.name,
        role: key.role,
        user_id: key.user_id,
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    };
    Ok(Json(Page::of(rows, limit, |key| key.id, view)).into_response())
}

/// Makes a key. The answer is the only place where it is shown; a repetition with the same Idempotency-Key makes no
/// other key, and does not show it again.
#[utoipa::path(post, path = "/api-keys", tag = "access", request_body = ApiKeyFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The key, shown once", body = NewApiKey)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<ApiKeyFields>,
) -> Result<Reply, Problem> {
    let mut once = match idempotent::begin(&app, &caller, body.once).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let tx = &mut once.tx;
    let mut check = Check::default();
    let name = check.line("name", &body.value.name, 100);
    check.expiry("expires_at", body.value.expires_at, tx.now());
    if body.value.expires_at.is_some_and(|at| at <= tx.now()) {
        check.refuse("expires_at", "range", "an instant to come");
    }
    let user = match (body.value.role, body.value.user_id) {
        (KeyRole::User, None) => {
            check.refuse("user_id", "required", "the id of the user whose key it is: the role user needs it");
            None
        }
        (KeyRole::User, Some(id)) => {
            if users::get(tx, UserId(id)).await?.is_none_or(|user| !user.active) {
                check.refuse("user_id", "reference", "the id of an active user");
            }
            Some(UserId(id))
        }
        (_, Some(_)) => {
            check.refuse("user_id", "combination", "nothing: only keys of the role user belong to a user");
            None
        }
        (_, None) => None,
    };
    check.finish()?;
    let (expires_at, actor) = (body.value.expires_at, caller.actor());
    let role = match body.value.role {
        KeyRole::Administrator => Role::Administrator,
        KeyRole::Operator => Role::Operator,
        KeyRole::Service => Role::Service,
        KeyRole::User => Role::User,
    };
    let (id, key) = match user {
        Some(user) => access::create_user_key(tx, &name, user, expires_at, &actor).await?,
        None => access::create_api_key(tx, &name, role, expires_at, &actor).await?,
    };
    // What is kept for repetitions stands in the database, where no key does in the clear.
    once.finish(Reply::made(&NewApiKey { id: id.0, key: None, notice: Some(SHOWN_ONCE) })).await?;
    Ok(Reply::made(&NewApiKey { id: id.0, key: Some(key.expose_secret().to_owned()), notice: None }))
}

/// Revokes a key, at once.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "access", params(("id" = Uuid, Path)),
    responses((status = 204, description = "It is refused from now on")))]
pub(crate) async fn revoke(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    if access::get_api_key(&mut tx, ApiKeyId(id)).await?.is_none() {
        return Err(Problem::not_found("API key"));
    }
    access::revoke_api_key(&mut tx, ApiKeyId(id), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
