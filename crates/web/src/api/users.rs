//! Users: people of the organisation. Each has a mailbox, made with it.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use lockstep_model::id::UserId;
use lockstep_store::{Result as Stored, Tx, rights::Kind, users};
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
    words::{AutoCreate, TrackOption},
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
    /// What an unknown sender of tracked email becomes. Default: off.
    #[serde(default)]
    auto_create: AutoCreate,
    /// Others may send email in this user's name, so far as their own rights let them. Default: false.
    #[serde(default)]
    allow_send_on_behalf: bool,
    /// Where the user is: a time zone of the IANA list, such as Europe/Berlin. Items of the mailbox that name none are read
    /// there, and whole days are written as they begin there. Without, the organisation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
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
            auto_create: AutoCreate::of(&user.auto_create),
            allow_send_on_behalf: user.allow_send_on_behalf,
            time_zone: user.time_zone.clone(),
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

impl MailboxOwner for users::User {
    type Fields = UserFields;
    type View = User;
    const ONE: &'static str = "user";
    const MANY: &'static str = "users";
    const KIND: Kind = Kind::User;
    const PERSONAL: &'static [&'static str] = &["track_option", "auto_create", "allow_send_on_behalf", "time_zone"];

    fn checked(fields: UserFields, before: Option<Self>) -> Result<Self, Problem> {
        let (source, external_id) = (fields.source.as_deref(), fields.external_id.as_deref());
        let common = Common::checked(&fields.name, &fields.address, source, external_id)?;
        let mut check = Check::default();
        let time_zone = fields.time_zone.map(|zone| check.time_zone("time_zone", &zone));
        check.finish()?;
        let stamp = Stamp::of(before.as_ref());
        Ok(Self {
            id: stamp.id,
            source: common.source,
            external_id: common.external_id,
            name: common.name,
            address: common.address,
            address_key: common.address_key,
            active: fields.active,
            track_option: fields.track_option.as_str().to_owned(),
            auto_create: fields.auto_create.as_str().to_owned(),
            allow_send_on_behalf: fields.allow_send_on_behalf,
            time_zone,
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
        users::create(tx, self, fields, actor).await
    }

    async fn list(
        tx: &mut Tx,
        reader: Option<UserId>,
        address_key: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Stored<Vec<Self>> {
        users::list(tx, reader, address_key, after, limit).await
    }

    async fn get(tx: &mut Tx, id: Uuid) -> Stored<Option<Self>> {
        users::get(tx, UserId(id)).await
    }

    async fn lock(tx: &mut Tx, id: Uuid, expected: Option<i64>) -> Stored<Option<Self>> {
        users::lock(tx, UserId(id), expected).await
    }

    async fn save(&self, tx: &mut Tx, changed: &[&str], actor: &str) -> Stored<i64> {
        users::save(tx, self, changed, actor).await
    }
}

/// Lists users.
#[utoipa::path(get, path = "/users", tag = "users", params(ListOwners),
    responses((status = 200, description = "A page of users", body = Page<User>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListOwners>,
) -> Result<Response, Problem> {
    owners::list::<users::User>(&app, &caller, query).await
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
    owners::create::<users::User>(&app, &caller, body).await
}

/// Reads a user.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = User)))]
pub(crate) async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    owners::read::<users::User>(&app, &caller, id).await
}

/// Changes a user. Its mailbox follows name, address and state. Users themselves change their personal options:
/// track_option, auto_create, allow_send_on_behalf and time_zone.
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
    owners::update::<users::User>(&app, &caller, id, expected, &body.value).await
}

/// Reads the user that another system knows by this id.
#[utoipa::path(get, path = "/users/by-external-id/{source}/{external_id}", tag = "users",
    params(("source" = String, Path), ("external_id" = String, Path)),
    responses((status = 200, description = "The user", body = User)))]
pub(crate) async fn find(State(app): State<App>, caller: Caller, origin: OriginPath) -> Result<Response, Problem> {
    let id = known(&mut app.store.begin().await?, Kind::User, &origin).await?;
    owners::read::<users::User>(&app, &caller, id).await
}

/// Changes the user that another system knows by this id, or makes it and its mailbox.
#[utoipa::path(patch, path = "/users/by-external-id/{source}/{external_id}", tag = "users", request_body = UserFields,
    params(("source" = String, Path), ("external_id" = String, Path),
        ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, description = "The user as it is now", body = User),
        (status = 201, description = "The new user", body = User),
        (status = 412, description = "There is, or is no, such user, against If-None-Match or If-Match")))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let (app, caller) = (&app, &caller);
    let create = |body| owners::create::<users::User>(app, caller, body);
    let update =
        |id, patch: Patch| async move { owners::update::<users::User>(app, caller, id, expected, &patch).await };
    upsert(app, Kind::User, origin, body.value, create, update).await
}
