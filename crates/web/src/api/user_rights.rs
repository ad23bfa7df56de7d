//! What a user may do, and why; and the security roles a user is given.

use axum::{Json, extract::State, http::StatusCode};
use lockstep_model::id::UserId;
use lockstep_store::{
    rights::{self, Kind},
    security_roles::{self, Holder},
    teams, users,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{auth::Caller, extract::Id, problem::Problem, state::App, wall};

/// Teams that are told; a user is in few.
const MAX_TEAMS: i64 = 1000;

/// A privilege a user has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldPrivilege {
    /// On which kind of record; `organisation` for what has no records.
    record_kind: String,
    /// `read`, `create`, `write`, `delete`, `send-as-another` or `approve-email-addresses`.
    privilege: String,
    /// `own`, `team` or `all`: the furthest that any of the roles gives.
    depth: String,
    /// Names of the security roles that give it, at whatever depth.
    through: Vec<String>,
}

/// A secured field, as a user has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldField {
    record_kind: String,
    field: String,
    read: bool,
    write: bool,
}

/// A security role a user has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldRole {
    id: Uuid,
    name: String,
    /// The team it comes from; absent where it was given to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<Uuid>,
}

/// A team a user is in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldTeam {
    id: Uuid,
    name: String,
}

/// What a user may do, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Privileges {
    user_id: Uuid,
    /// An inactive user may do nothing, whatever roles it has.
    active: bool,
    security_roles: Vec<HeldRole>,
    teams: Vec<HeldTeam>,
    privileges: Vec<HeldPrivilege>,
    /// Every secured field. All others are read and written with the record.
    secured_fields: Vec<HeldField>,
}

fn no_user() -> Problem {
    Problem::not_found("user")
}

/// Tells what a user may do, and through which security roles. Users are told of themselves.
#[utoipa::path(get, path = "/users/{id}/privileges", tag = "rights", params(("id" = Uuid, Path)),
    responses((status = 200, description = "What the user may do", body = Privileges)))]
pub(crate) async fn privileges(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Privileges>, Problem> {
    let mut tx = app.store.begin().await?;
    let itself = caller.user == Some(UserId(id));
    if caller.user.is_some() && !itself {
        wall::reading(&mut tx, &caller, Kind::User, id).await?;
        return Err(Problem::forbidden("Users are told of their own privileges."));
    }
    let user = users::get(&mut tx, UserId(id)).await?.ok_or_else(no_user)?;
    let roles = rights::held_roles(&mut tx, UserId(id)).await?;
    let teams = teams::list(&mut tx, None, Some(UserId(id)), None, MAX_TEAMS).await?;
    let held = rights::held(&mut tx, UserId(id)).await?;
    let fields = rights::held_fields(&mut tx, UserId(id)).await?;
    Ok(Json(Privileges {
        user_id: id,
        active: user.active,
        security_roles: roles
            .into_iter()
            .map(|role| HeldRole { id: role.role_id, name: role.name, team_id: role.team_id })
            .collect(),
        teams: teams.into_iter().map(|team| HeldTeam { id: team.id, name: team.name }).collect(),
        privileges: held
            .into_iter()
            .map(|held| HeldPrivilege {
                record_kind: held.record_kind,
                privilege: held.privilege,
                depth: held.depth,
                through: held.through,
            })
            .collect(),
        secured_fields: fields
            .into_iter()
            .map(|f| HeldField { record_kind: f.record_kind, field: f.field, read: f.read, write: f.write })
            .collect(),
    }))
}

/// Gives a user a security role. Once more changes nothing.
#[utoipa::path(put, path = "/users/{id}/security-roles/{role_id}", tag = "rights",
    params(("id" = Uuid, Path), ("role_id" = Uuid, Path)),
    responses((status = 204, description = "The user has it")))]
pub(crate) async fn give(
    State(app): State<App>,
    caller: Caller,
    Id((id, role)): Id<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    users::get(&mut tx, UserId(id)).await?.ok_or_else(no_user)?;
    super::security_roles::existing(&mut tx, role).await?;
    security_roles::give(&mut tx, role, Holder::User(UserId(id)), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a security role from a user.
#[utoipa::path(delete, path = "/users/{id}/security-roles/{role_id}", tag = "rights",
    params(("id" = Uuid, Path), ("role_id" = Uuid, Path)),
    responses((status = 204, description = "The user has it no more")))]
pub(crate) async fn take(
    State(app): State<App>,
    caller: Caller,
    Id((id, role)): Id<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    users::get(&mut tx, UserId(id)).await?.ok_or_else(no_user)?;
    security_roles::take(&mut tx, role, Holder::User(UserId(id)), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
