//! Teams: users who own records together, and the security roles they have by it.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::UserId;
use lockstep_store::{
    Tx,
    security_roles::{self, Holder},
    teams, users,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
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
    validate::Check,
};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(members))
        .routes(routes!(admit, dismiss))
        .routes(routes!(give, take))
}

/// What may be written of a team.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamFields {
    /// Name, at most 100 characters, unique whatever its letters' case.
    name: String,
    /// What it is for, at most 1000 characters.
    #[serde(default)]
    description: String,
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Team {
    id: Uuid,
    #[serde(flatten)]
    fields: TeamFields,
    /// The security roles everybody in it has.
    security_role_ids: Vec<Uuid>,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A user in a team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    user_id: Uuid,
    name: String,
    address: String,
    active: bool,
}

impl From<&teams::Team> for TeamFields {
    fn from(team: &teams::Team) -> Self {
        Self { name: team.name.clone(), description: team.description.clone() }
    }
}

impl From<teams::Team> for Team {
    fn from(team: teams::Team) -> Self {
        Self {
            id: team.id,
            fields: (&team).into(),
            security_role_ids: team.security_role_ids,
            version: team.version,
            created_at: team.created_at,
            updated_at: team.updated_at,
        }
    }
}

impl From<teams::Member> for Member {
    fn from(member: teams::Member) -> Self {
        Self { user_id: member.user_id, name: member.name, address: member.address, active: member.active }
    }
}

impl TeamFields {
    fn checked(self, before: teams::Team) -> Result<teams::Team, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 100);
        let description = check.optional_line("description", &self.description, 1000);
        check.finish()?;
        Ok(teams::Team { name, description, ..before })
    }
}

/// Which teams or members to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListTeams {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// Lists teams.
#[utoipa::path(get, path = "/teams", tag = "rights", params(ListTeams),
    responses((status = 200, description = "A page of teams", body = Page<Team>)))]
async fn list(State(app): State<App>, Params(query): Params<ListTeams>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = teams::list(&mut tx, None, None, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |team| team.id, Team::from)).into_response())
}

/// Makes a team without members.
#[utoipa::path(post, path = "/teams", tag = "rights", request_body = TeamFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new team", body = Team)))]
async fn create(State(app): State<App>, caller: Caller, body: Received<TeamFields>) -> Result<Reply, Problem> {
    let team = body.value.checked(teams::Team {
        id: Uuid::nil(),
        name: String::new(),
        description: String::new(),
        security_role_ids: Vec::new(),
        version: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    })?;
    let mut once = match idempotent::begin(&app, &caller, body.once).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let team = teams::create(&mut once.tx, team, &body.given.names(), &caller.actor()).await?;
    once.finish(Reply::created(format!("{PREFIX}/teams/{}", team.id), team.version, &Team::from(team))).await
}

/// Reads a team.
#[utoipa::path(get, path = "/teams/{id}", tag = "rights", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The team", body = Team)))]
async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let team = existing(&mut app.store.begin().await?, id).await?;
    Ok(tagged(team.version, Team::from(team)))
}

async fn existing(tx: &mut Tx, id: Uuid) -> Result<teams::Team, Problem> {
    teams::get(tx, id).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("team")
}

/// Changes a team's name or description.
#[utoipa::path(patch, path = "/teams/{id}", tag = "rights", request_body = TeamFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The team as it is now", body = Team)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = teams::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let (fields, changed) = body.value.apply(&TeamFields::from(&before))?.split();
        let mut team = fields.checked(before)?;
        if !changed.names().is_empty() {
            team.version = teams::save(&mut tx, &team, &changed.names(), &caller.actor()).await?;
            team.updated_at = tx.now();
            tx.commit().await?;
        }
        Ok(tagged(team.version, Team::from(team)))
    })
    .await
}

/// Removes a team that owns nothing any more.
#[utoipa::path(delete, path = "/teams/{id}", tag = "rights",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let team = teams::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        teams::delete(&mut tx, &team, &caller.actor()).await.map_err(|error| match error {
            lockstep_store::Error::Reference { .. } => {
                Problem::conflict("in-use", "The team owns records: give them to somebody else first.")
            }
            error => error.into(),
        })?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Lists the users in a team.
#[utoipa::path(get, path = "/teams/{id}/members", tag = "rights", params(("id" = Uuid, Path), ListTeams),
    responses((status = 200, description = "A page of users", body = Page<Member>)))]
async fn members(State(app): State<App>, Id(id): Id, Params(query): Params<ListTeams>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    existing(&mut tx, id).await?;
    let rows = teams::members(&mut tx, id, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |member| member.user_id, Member::from)).into_response())
}

/// Takes a user into a team. Once more changes nothing.
#[utoipa::path(put, path = "/teams/{id}/members/{user_id}", tag = "rights",
    params(("id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "The user is in it")))]
async fn admit(
    State(app): State<App>,
    caller: Caller,
    Id((id, user)): Id<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    existing(&mut tx, id).await?;
    users::get(&mut tx, UserId(user)).await?.ok_or_else(|| Problem::not_found("user"))?;
    teams::admit(&mut tx, id, UserId(user), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a team.
#[utoipa::path(delete, path = "/teams/{id}/members/{user_id}", tag = "rights",
    params(("id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "The user is in it no more")))]
async fn dismiss(
    State(app): State<App>,
    caller: Caller,
    Id((id, user)): Id<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    existing(&mut tx, id).await?;
    teams::dismiss(&mut tx, id, UserId(user), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives everybody in a team a security role. Once more changes nothing.
#[utoipa::path(put, path = "/teams/{id}/security-roles/{role_id}", tag = "rights",
    params(("id" = Uuid, Path), ("role_id" = Uuid, Path)),
    responses((status = 204, description = "The team has it")))]
async fn give(State(app): State<App>, caller: Caller, Id((id, role)): Id<(Uuid, Uuid)>) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    existing(&mut tx, id).await?;
    super::security_roles::existing(&mut tx, role).await?;
    security_roles::give(&mut tx, role, Holder::Team(id), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a security role from a team.
#[utoipa::path(delete, path = "/teams/{id}/security-roles/{role_id}", tag = "rights",
    params(("id" = Uuid, Path), ("role_id" = Uuid, Path)),
    responses((status = 204, description = "The team has it no more")))]
async fn take(State(app): State<App>, caller: Caller, Id((id, role)): Id<(Uuid, Uuid)>) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    existing(&mut tx, id).await?;
    security_roles::take(&mut tx, role, Holder::Team(id), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
