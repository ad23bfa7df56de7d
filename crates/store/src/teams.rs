//! Teams: users who own records together.

use chrono::{DateTime, Utc};
use lockstep_model::id::UserId;
use serde_json::json;
use uuid::Uuid;

use crate::{Error, Result, Tx, audit, lanes};

/// A team.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// Identity.
    pub id: Uuid,
    /// Name, unique whatever its letters' case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The security roles everybody in it has.
    pub security_role_ids: Vec<Uuid>,
    /// Raised by every write of the team itself, not by members who come and go.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// A user in a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether it is active.
    pub active: bool,
}

/// Makes a team without members. Id, version and instants of `team` are set here; its roles are given apart. `fields`
/// are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn create(tx: &mut Tx, mut team: Team, fields: &[&str], actor: &str) -> Result<Team> {
    team.id = Uuid::now_v7();
    (team.version, team.created_at, team.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* teams::create */ INSERT INTO teams (id, name, description, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $4)",
        team.id,
        team.name,
        team.description,
        team.created_at,
    )
    .execute(tx.connection())
    .await?;
    let detail = json!({ "name": team.name, "fields": fields });
    audit::note(tx, actor, "created", "team", Some(team.id), detail).await?;
    Ok(team)
}

/// Teams in order of their making, after `after`, at most `limit`; with `id`, that one; with `member`, those it is in.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    id: Option<Uuid>,
    member: Option<UserId>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Team>> {
    Ok(sqlx::query_as!(
        Team,
        "/* teams::list */ SELECT id, name, description, version, created_at, updated_at,
             ARRAY(SELECT role_id FROM team_security_roles given WHERE given.team_id = teams.id ORDER BY role_id)
                 AS \"security_role_ids!\"
         FROM teams
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2)
           AND ($3::uuid IS NULL OR EXISTS (
               SELECT FROM team_members m WHERE m.team_id = teams.id AND m.user_id = $3))
         ORDER BY id LIMIT $4",
        id,
        after,
        member.map(|user| user.0),
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// One team.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<Option<Team>> {
    Ok(list(tx, Some(id), None, None, 1).await?.pop())
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: Uuid, expected: Option<i64>) -> Result<Option<Team>> {
    sqlx::query!("/* teams::lock */ SELECT id FROM teams WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|team| team.version))?;
    Ok(found)
}

/// Writes name and description of a team that was locked; `fields` are the changed ones. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn save(tx: &mut Tx, team: &Team, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* teams::save */ UPDATE teams SET name = $2, description = $3, version = version + 1, updated_at = $4
         WHERE id = $1 RETURNING version",
        team.id,
        team.name,
        team.description,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    audit::note(tx, actor, "updated", "team", Some(team.id), json!({ "fields": fields })).await?;
    Ok(version)
}

/// Removes a team that was locked.
///
/// # Errors
/// [`Error::Reference`] while it owns records.
pub async fn delete(tx: &mut Tx, team: &Team, actor: &str) -> Result<()> {
    sqlx::query!("/* teams::delete */ DELETE FROM teams WHERE id = $1", team.id).execute(tx.connection()).await?;
    audit::note(tx, actor, "deleted", "team", Some(team.id), json!({ "name": team.name })).await
}

/// The users in a team, by id, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn members(tx: &mut Tx, team: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Member>> {
    Ok(sqlx::query_as!(
        Member,
        "/* teams::members */ SELECT u.id AS user_id, u.name, u.address, u.active
         FROM team_members m JOIN users u ON u.id = m.user_id
         WHERE m.team_id = $1 AND ($2::uuid IS NULL OR m.user_id > $2) ORDER BY m.user_id LIMIT $3",
        team,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Takes a user into a team. Once more changes nothing; returns whether it did.
///
/// # Errors
/// [`Error::Reference`] when there is no such team or user.
pub async fn admit(tx: &mut Tx, team: Uuid, user: UserId, actor: &str) -> Result<bool> {
    let done = sqlx::query!(
        "/* teams::admit */ INSERT INTO team_members (team_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        team,
        user.0,
    )
    .execute(tx.connection())
    .await?;
    noted(tx, done.rows_affected() > 0, "member-added", team, user, actor).await
}

/// Takes a user out of a team. Returns whether it was in it.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn dismiss(tx: &mut Tx, team: Uuid, user: UserId, actor: &str) -> Result<bool> {
    let done = sqlx::query!(
        "/* teams::dismiss */ DELETE FROM team_members WHERE team_id = $1 AND user_id = $2",
        team,
        user.0,
    )
    .execute(tx.connection())
    .await?;
    noted(tx, done.rows_affected() > 0, "member-removed", team, user, actor).await
}

async fn noted(tx: &mut Tx, done: bool, action: &str, team: Uuid, user: UserId, actor: &str) -> Result<bool> {
    if done {
        audit::note(tx, actor, action, "team", Some(team), json!({ "user": user })).await?;
        lanes::review_again(tx, Some(&[user.0])).await?;
    }
    Ok(done)
}
