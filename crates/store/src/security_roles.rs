//! Security roles: named sets of privileges and field permissions, given to users and teams; and which fields are secured.

use chrono::{DateTime, Utc};
use lockstep_model::{id::UserId, record::Kind};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Error, Result, Tx, audit, error, lanes, links};

/// A privilege that a role gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Granted {
    /// On which kind of record ([`crate::rights::Kind`]).
    pub record_kind: String,
    /// Which one ([`crate::rights::Privilege`]).
    pub privilege: String,
    /// How far ([`crate::rights::Depth`]).
    pub depth: String,
}

/// A secured field that a role opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GrantedField {
    /// Of which kind of record.
    pub record_kind: String,
    /// Which field.
    pub field: String,
    /// It may be read.
    pub may_read: bool,
    /// It may be written.
    pub may_write: bool,
}

/// A security role.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityRole {
    /// Identity.
    pub id: Uuid,
    /// Name, unique whatever its letters' case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its privileges, in order.
    pub privileges: Vec<Granted>,
    /// The secured fields it opens, in order.
    pub fields: Vec<GrantedField>,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Makes a role. Id, version and instants of `role` are set here.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken, [`Error::Rule`] for a privilege there is not.
pub async fn create(tx: &mut Tx, mut role: SecurityRole, actor: &str) -> Result<SecurityRole> {
    role.id = Uuid::now_v7();
    (role.version, role.created_at, role.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* security_roles::create */ INSERT INTO security_roles (id, name, description, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $4)",
        role.id,
        role.name,
        role.description,
        role.created_at,
    )
    .execute(tx.connection())
    .await?;
    write_grants(tx, &role).await?;
    let detail = json!({ "name": role.name, "privileges": role.privileges, "fields": role.fields });
    audit::note(tx, actor, "created", "security-role", Some(role.id), detail).await?;
    Ok(role)
}

async fn write_grants(tx: &mut Tx, role: &SecurityRole) -> Result<()> {
    let (privileges, fields) = (
        error::json("security_role_privileges", &role.privileges)?,
        error::json("security_role_fields", &role.fields)?,
    );
    sqlx::query!("/* security_roles::write_grants */ DELETE FROM security_role_privileges WHERE role_id = $1", role.id)
        .execute(tx.connection())
        .await?;
    sqlx::query!(
        "/* security_roles::write_grants */
         INSERT INTO security_role_privileges (role_id, record_kind, privilege, depth)
         SELECT $1, r.record_kind, r.privilege, r.depth
         FROM jsonb_to_recordset($2) AS r(record_kind text, privilege text, depth text)",
        role.id,
        privileges,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* security_roles::write_grants */ DELETE FROM security_role_fields WHERE role_id = $1", role.id)
        .execute(tx.connection())
        .await?;
    sqlx::query!(
        "/* security_roles::write_grants */
         INSERT INTO security_role_fields (role_id, record_kind, field, may_read, may_write)
         SELECT $1, r.record_kind, r.field, r.may_read, r.may_write
         FROM jsonb_to_recordset($2) AS r(record_kind text, field text, may_read boolean, may_write boolean)",
        role.id,
        fields,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Roles in order of their making, after `after`, at most `limit`; with `id`, that one.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(tx: &mut Tx, id: Option<Uuid>, after: Option<Uuid>, limit: i64) -> Result<Vec<SecurityRole>> {
    let rows = sqlx::query!(
        "/* security_roles::list */ SELECT id, name, description, version, created_at, updated_at FROM security_roles
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        id,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let privileges = sqlx::query!(
        "/* security_roles::list */ SELECT role_id, record_kind, privilege, depth FROM security_role_privileges
         WHERE role_id = ANY($1::uuid[]) ORDER BY role_id, record_kind, privilege",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let fields = sqlx::query!(
        "/* security_roles::list */ SELECT role_id, record_kind, field, may_read, may_write FROM security_role_fields
         WHERE role_id = ANY($1::uuid[]) ORDER BY role_id, record_kind, field",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let of = |id: Uuid| {
        let privileges = privileges.iter().filter(|p| p.role_id == id).map(|p| Granted {
            record_kind: p.record_kind.clone(),
            privilege: p.privilege.clone(),
            depth: p.depth.clone(),
        });
        let fields = fields.iter().filter(|f| f.role_id == id).map(|f| GrantedField {
            record_kind: f.record_kind.clone(),
            field: f.field.clone(),
            may_read: f.may_read,
            may_write: f.may_write,
        });
        (privileges.collect(), fields.collect())
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let (privileges, fields) = of(row.id);
            SecurityRole {
                id: row.id,
                name: row.name,
                description: row.description,
                privileges,
                fields,
                version: row.version,
                created_at: row.created_at,
                updated_at: row.updated_at,
            }
        })
        .collect())
}

/// One role.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<Option<SecurityRole>> {
    Ok(list(tx, Some(id), None, 1).await?.pop())
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: Uuid, expected: Option<i64>) -> Result<Option<SecurityRole>> {
    sqlx::query!("/* security_roles::lock */ SELECT id FROM security_roles WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|role| role.version))?;
    Ok(found)
}

/// Writes a role that was locked; `changed` are the changed fields. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken, [`Error::Rule`] for a privilege there is not.
pub async fn save(tx: &mut Tx, role: &SecurityRole, changed: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* security_roles::save */ UPDATE security_roles SET name = $2, description = $3, version = version + 1,
             updated_at = $4
         WHERE id = $1 RETURNING version",
        role.id,
        role.name,
        role.description,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    write_grants(tx, role).await?;
    let detail = json!({ "changed": changed, "privileges": role.privileges, "fields": role.fields });
    audit::note(tx, actor, "updated", "security-role", Some(role.id), detail).await?;
    if changed.iter().any(|field| !matches!(*field, "name" | "description")) {
        lanes::review_again(tx, None).await?;
    }
    Ok(version)
}

/// Removes a role that was locked, from everybody who has it.
///
/// # Errors
/// [`Error::Reference`] while it is the one that new users get.
pub async fn delete(tx: &mut Tx, role: &SecurityRole, actor: &str) -> Result<()> {
    sqlx::query!("/* security_roles::delete */ DELETE FROM security_roles WHERE id = $1", role.id)
        .execute(tx.connection())
        .await?;
    audit::note(tx, actor, "deleted", "security-role", Some(role.id), json!({ "name": role.name })).await?;
    lanes::review_again(tx, None).await
}

/// To whom a role is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A user.
    User(UserId),
    /// Everybody in a team.
    Team(Uuid),
}

impl Holder {
    fn audited(self) -> (&'static str, Uuid) {
        match self {
            Self::User(user) => ("user", user.0),
            Self::Team(team) => ("team", team),
        }
    }
}

/// Gives a role. Giving it again changes nothing; returns whether it did.
///
/// # Errors
/// [`Error::Reference`] when there is no such role or holder.
pub async fn give(tx: &mut Tx, role: Uuid, holder: Holder, actor: &str) -> Result<bool> {
    let done = match holder {
        Holder::User(user) => {
            sqlx::query!(
                "/* security_roles::give */ INSERT INTO user_security_roles (user_id, role_id) VALUES ($1, $2)
                 ON CONFLICT DO NOTHING",
                user.0,
                role,
            )
            .execute(tx.connection())
            .await?
        }
        Holder::Team(team) => {
            sqlx::query!(
                "/* security_roles::give */ INSERT INTO team_security_roles (team_id, role_id) VALUES ($1, $2)
                 ON CONFLICT DO NOTHING",
                team,
                role,
            )
            .execute(tx.connection())
            .await?
        }
    };
    noted(tx, done.rows_affected() > 0, "security-role-given", role, holder, actor).await
}

/// Takes a role away. Returns whether it was there.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn take(tx: &mut Tx, role: Uuid, holder: Holder, actor: &str) -> Result<bool> {
    let done = match holder {
        Holder::User(user) => {
            sqlx::query!(
                "/* security_roles::take */ DELETE FROM user_security_roles WHERE user_id = $1 AND role_id = $2",
                user.0,
                role,
            )
            .execute(tx.connection())
            .await?
        }
        Holder::Team(team) => {
            sqlx::query!(
                "/* security_roles::take */ DELETE FROM team_security_roles WHERE team_id = $1 AND role_id = $2",
                team,
                role,
            )
            .execute(tx.connection())
            .await?
        }
    };
    noted(tx, done.rows_affected() > 0, "security-role-taken", role, holder, actor).await
}

async fn noted(tx: &mut Tx, done: bool, action: &str, role: Uuid, holder: Holder, actor: &str) -> Result<bool> {
    if done {
        let (kind, id) = holder.audited();
        audit::note(tx, actor, action, kind, Some(id), json!({ "security_role": role })).await?;
        match holder {
            Holder::User(user) => lanes::review_again(tx, Some(&[user.0])).await?,
            Holder::Team(_) => lanes::review_again(tx, None).await?,
        }
    }
    Ok(done)
}

/// Gives a new user the role that the organisation has for new users, where it has one.
pub(crate) async fn welcome(tx: &mut Tx, user: UserId, actor: &str) -> Result<()> {
    let role = sqlx::query_scalar!(
        "/* security_roles::welcome */ SELECT default_security_role_id AS \"id!\" FROM organisations
         WHERE default_security_role_id IS NOT NULL",
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(role) = role {
        give(tx, role, Holder::User(user), actor).await?;
    }
    Ok(())
}

/// The secured fields, by kind and name.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn secured(tx: &mut Tx) -> Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "/* security_roles::secured */ SELECT record_kind, field FROM secured_fields ORDER BY record_kind, field"
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.record_kind, row.field)).collect())
}

/// Secures a field: from now on only those read and write it whom a role lets. Returns whether it was open before.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn secure(tx: &mut Tx, record_kind: &str, field: &str, actor: &str) -> Result<bool> {
    let done = sqlx::query!(
        "/* security_roles::secure */ INSERT INTO secured_fields (record_kind, field) VALUES ($1, $2)
         ON CONFLICT DO NOTHING",
        record_kind,
        field,
    )
    .execute(tx.connection())
    .await?
    .rows_affected()
        > 0;
    if done {
        let detail = json!({ "record_kind": record_kind, "field": field });
        audit::note(tx, actor, "secured", "field", None, detail).await?;
        compare_again(tx, record_kind).await?;
    }
    Ok(done)
}

/// Opens a secured field to everybody who reads or writes the record. Returns whether it was secured.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn open(tx: &mut Tx, record_kind: &str, field: &str, actor: &str) -> Result<bool> {
    let done = sqlx::query!(
        "/* security_roles::open */ DELETE FROM secured_fields WHERE record_kind = $1 AND field = $2",
        record_kind,
        field,
    )
    .execute(tx.connection())
    .await?
    .rows_affected()
        > 0;
    if done {
        let detail = json!({ "record_kind": record_kind, "field": field });
        audit::note(tx, actor, "opened", "field", None, detail).await?;
        compare_again(tx, record_kind).await?;
    }
    Ok(done)
}

/// Values may flow that did not, or no longer: what is in mailboxes is compared again.
async fn compare_again(tx: &mut Tx, record_kind: &str) -> Result<()> {
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == record_kind) {
        lanes::review_again(tx, None).await?;
        links::unsettle(tx, kind).await?;
    }
    Ok(())
}
