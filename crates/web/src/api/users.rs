//! Users: people of the organisation. Each has a mailbox, made with it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::UserId;
use lockstep_store::{nudge, users};
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

/// What may be written of a user.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFields {
    /// Name, at most 200 characters.
    name: String,
    /// Email address. Another one returns the mailbox to waiting for approval.
    address: String,
    /// Which other system knows this user; goes with external_id.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Under which id that system knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// The mailbox of an inactive user is inactive. Default: true.
    #[serde(default = "yes")]
    active: bool,
    /// Which received mail becomes a record by itself. Default: in-response.
    #[serde(default)]
    track_option: TrackOption,
}

fn yes() -> bool {
    true
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    id: Uuid,
    #[serde(flatten)]
    fields: UserFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&users::User> for UserFields {
    fn from(user: &users::User) -> Self {
        Self {
            name: user.name.clone(),
            address: user.address.clone(),
            source: user.source.clone(),
            external_id: user.external_id.clone(),
            active: user.active,
            track_option: TrackOption::of(&user.track_option),
        }
    }
}

impl From<users::User> for User {
    fn from(user: users::User) -> Self {
        Self {
            id: user.id,
            fields: (&user).into(),
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl UserFields {
    /// The user as it would be. `before` gives what cannot be written.
    fn checked(self, before: Option<users::User>) -> Result<users::User, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 200);
        let (address, address_key) = check.address("address", &self.address);
        let (source, external_id) = check.origin(self.source.as_deref(), self.external_id.as_deref());
        check.finish()?;
        Ok(users::User {
            id: before.as_ref().map_or(Uuid::nil(), |b| b.id),
            source,
            external_id,
            name,
            address,
            address_key,
            active: self.active,
            track_option: self.track_option.as_str().to_owned(),
            version: before.as_ref().map_or(0, |b| b.version),
            created_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.created_at),
            updated_at: before.as_ref().map_or(DateTime::UNIX_EPOCH, |b| b.updated_at),
        })
    }
}

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListUsers {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only the user with this address.
    address: Option<String>,
}

/// Lists users.
#[utoipa::path(get, path = "/users", tag = "users", params(ListUsers),
    responses((status = 200, description = "A page of users", body = Page<User>)))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ListUsers>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let key = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let mut tx = app.store.begin().await?;
    let rows = users::list(&mut tx, key.as_deref(), query.after, limit.rows()).await?;
    Ok(axum::Json(Page::of(rows, limit, |user| user.id, User::from)).into_response())
}

/// Makes a user and its mailbox.
#[utoipa::path(post, path = "/users", tag = "users", request_body = UserFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new user", body = User)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<UserFields>,
) -> Result<Reply, Problem> {
    let user = body.value.checked(None)?;
    let mut once = match idempotent::begin(&app, &caller, body.once).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let key = user.address_key.clone();
    let user = match users::create(&mut once.tx, user, &caller.actor()).await {
        Ok(user) => user,
        Err(error) => {
            drop(once);
            return Err(explain(&app, error, Wanted { address_key: Some(&key), ..Wanted::default() }).await);
        }
    };
    nudge(&mut once.tx).await?;
    let (location, version) = (format!("{PREFIX}/users/{}", user.id), user.version);
    once.finish(Reply::created(location, version, &User::from(user))).await
}

/// Reads a user.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = User)))]
pub(crate) async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let user = users::get(&mut tx, UserId(id)).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(tagged(user.version, User::from(user)))
}

/// Changes a user. Its mailbox follows name, address and state.
#[utoipa::path(patch, path = "/users/{id}", tag = "users", request_body = UserFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The user as it is now", body = User)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let before = users::lock(&mut tx, UserId(id), expected).await?.ok_or_else(|| Problem::not_found("user"))?;
    let patched = body.value.apply(&UserFields::from(&before))?;
    let (fields, changed) = patched.split();
    let changed = changed.names();
    let mut user = fields.checked(Some(before))?;
    if changed.is_empty() {
        return Ok(tagged(user.version, User::from(user)));
    }
    match users::save(&mut tx, &user, &changed, &caller.actor()).await {
        Ok(version) => (user.version, user.updated_at) = (version, tx.now()),
        Err(error) => {
            drop(tx);
            let wanted = Wanted { address_key: Some(&user.address_key), ..Wanted::default() };
            return Err(explain(&app, error, wanted).await);
        }
    }
    nudge(&mut tx).await?;
    tx.commit().await?;
    Ok(tagged(user.version, User::from(user)))
}
