//! Security roles: named sets of privileges and field permissions, for users and teams.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_store::{
    Tx,
    rights::{Depth, Kind, Privilege},
    security_roles::{self, Granted, GrantedField},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{PREFIX, secured_fields::securable};
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

/// Most entries of a role's lists: more than there are different ones.
const MAX_ENTRIES: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, delete))
}

/// A privilege that a role gives.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantFields {
    /// `email`, `contact`, `account`, `lead`, `queue`, `user`, `mailbox` or `organisation`.
    record_kind: String,
    /// `read`, `create`, `write`, `delete`; on users also `send-as-another`; of the organisation
    /// `approve-email-addresses`.
    privilege: String,
    /// `own`: records of the user and its teams. `team`: also of the users in them. `all`. Mailboxes and personal options
    /// have `own` only, the organisation has `all` only.
    depth: String,
}

/// A secured field that a role opens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldGrantFields {
    record_kind: String,
    field: String,
    #[serde(default)]
    read: bool,
    #[serde(default)]
    write: bool,
}

/// What may be written of a security role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityRoleFields {
    /// Name, at most 100 characters, unique whatever its letters' case.
    name: String,
    /// What it is for, at most 1000 characters.
    #[serde(default)]
    description: String,
    /// What it lets one do. A patch replaces the whole list.
    #[serde(default)]
    privileges: Vec<GrantFields>,
    /// The secured fields it opens. A patch replaces the whole list.
    #[serde(default)]
    fields: Vec<FieldGrantFields>,
}

/// A security role.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecurityRole {
    id: Uuid,
    #[serde(flatten)]
    role: SecurityRoleFields,
    /// The ETag without its quotes.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&security_roles::SecurityRole> for SecurityRoleFields {
    fn from(role: &security_roles::SecurityRole) -> Self {
        let grant = |g: &Granted| GrantFields {
            record_kind: g.record_kind.clone(),
            privilege: g.privilege.clone(),
            depth: g.depth.clone(),
        };
        let field = |f: &GrantedField| FieldGrantFields {
            record_kind: f.record_kind.clone(),
            field: f.field.clone(),
            read: f.may_read,
            write: f.may_write,
        };
        Self {
            name: role.name.clone(),
            description: role.description.clone(),
            privileges: role.privileges.iter().map(grant).collect(),
            fields: role.fields.iter().map(field).collect(),
        }
    }
}

impl From<security_roles::SecurityRole> for SecurityRole {
    fn from(role: security_roles::SecurityRole) -> Self {
        Self {
            id: role.id,
            role: (&role).into(),
            version: role.version,
            created_at: role.created_at,
            updated_at: role.updated_at,
        }
    }
}

impl SecurityRoleFields {
    /// The role as it would be. `before` gives what cannot be written.
    fn checked(self, before: Option<security_roles::SecurityRole>) -> Result<security_roles::SecurityRole, Problem> {
        let mut check = Check::default();
        let name = check.line("name", &self.name, 100);
        let description = check.optional_line("description", &self.description, 1000);
        for (list, length) in [("privileges", self.privileges.len()), ("fields", self.fields.len())] {
            if length > MAX_ENTRIES {
                check.refuse(list, "length", format!("at most {MAX_ENTRIES} entries"));
            }
        }
        let mut privileges: Vec<Granted> = Vec::new();
        for (at, grant) in self.privileges.into_iter().enumerate().take(MAX_ENTRIES) {
            if let Some(granted) = granted(&mut check, at, grant) {
                let twice = |p: &Granted| (&p.record_kind, &p.privilege) == (&granted.record_kind, &granted.privilege);
                if privileges.iter().any(twice) {
                    check.refuse(&format!("privileges.{at}"), "unique", "each privilege on a kind once");
                }
                privileges.push(granted);
            }
        }
        let mut fields: Vec<GrantedField> = Vec::new();
        for (at, grant) in self.fields.into_iter().enumerate().take(MAX_ENTRIES) {
            let place = format!("fields.{at}");
            let (kind_at, field_at) = (format!("{place}.record_kind"), format!("{place}.field"));
            if let Err((field, remedy)) = securable(&kind_at, &field_at, &grant.record_kind, &grant.field) {
                check.refuse(&field, "choice", remedy);
                continue;
            }
            if !grant.read && !grant.write {
                check.refuse(&place, "required", "read or write, or both: true");
            }
            if fields.iter().any(|f| (&f.record_kind, &f.field) == (&grant.record_kind, &grant.field)) {
                check.refuse(&place, "unique", "each field once");
            }
            fields.push(GrantedField {
                record_kind: grant.record_kind,
                field: grant.field,
                may_read: grant.read,
                may_write: grant.write,
            });
        }
        check.finish()?;
        privileges.sort();
        fields.sort();
        let unset = (Uuid::nil(), 0, DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        let (id, version, created_at, updated_at) =
            before.map_or(unset, |b| (b.id, b.version, b.created_at, b.updated_at));
        Ok(security_roles::SecurityRole { id, name, description, privileges, fields, version, created_at, updated_at })
    }
}

/// A privilege there is, at a depth it may have.
fn granted(check: &mut Check, at: usize, grant: GrantFields) -> Option<Granted> {
    let names = |words: Vec<&str>| format!("one of: {}", words.join(", "));
    let Some(kind) = Kind::of(&grant.record_kind) else {
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        check.refuse(&format!("privileges.{at}.record_kind"), "choice", names(kinds));
        return None;
    };
    let Some(privilege) = Privilege::of(&grant.privilege).filter(|p| kind.privileges().contains(p)) else {
        let privileges = kind.privileges().iter().map(|privilege| privilege.as_str()).collect();
        check.refuse(&format!("privileges.{at}.privilege"), "choice", names(privileges));
        return None;
    };
    let depths = kind.depths(privilege);
    if !depths.iter().any(|depth: &Depth| depth.as_str() == grant.depth) {
        let words = depths.iter().map(|depth| depth.as_str()).collect();
        check.refuse(&format!("privileges.{at}.depth"), "choice", names(words));
        return None;
    }
    Some(Granted { record_kind: grant.record_kind, privilege: grant.privilege, depth: grant.depth })
}

/// Which roles to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListSecurityRoles {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// Lists security roles.
#[utoipa::path(get, path = "/security-roles", tag = "rights", params(ListSecurityRoles),
    responses((status = 200, description = "A page of security roles", body = Page<SecurityRole>)))]
async fn list(State(app): State<App>, Params(query): Params<ListSecurityRoles>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = security_roles::list(&mut tx, None, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |role| role.id, SecurityRole::from)).into_response())
}

/// Makes a security role.
#[utoipa::path(post, path = "/security-roles", tag = "rights", request_body = SecurityRoleFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new security role", body = SecurityRole)))]
async fn create(State(app): State<App>, caller: Caller, body: Received<SecurityRoleFields>) -> Result<Reply, Problem> {
    let role = body.value.checked(None)?;
    let mut once = match idempotent::begin(&app, &caller, body.once).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let role = security_roles::create(&mut once.tx, role, &caller.actor()).await?;
    let location = format!("{PREFIX}/security-roles/{}", role.id);
    once.finish(Reply::created(location, role.version, &SecurityRole::from(role))).await
}

/// Reads a security role.
#[utoipa::path(get, path = "/security-roles/{id}", tag = "rights", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The security role", body = SecurityRole)))]
async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let role = existing(&mut app.store.begin().await?, id).await?;
    Ok(tagged(role.version, SecurityRole::from(role)))
}

/// A role that is there.
pub(super) async fn existing(tx: &mut Tx, id: Uuid) -> Result<security_roles::SecurityRole, Problem> {
    security_roles::get(tx, id).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("security role")
}

/// Changes a security role, for everybody who has it, at once.
#[utoipa::path(patch, path = "/security-roles/{id}", tag = "rights", request_body = SecurityRoleFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The security role as it is now", body = SecurityRole)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = security_roles::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let (fields, changed) = body.value.apply(&SecurityRoleFields::from(&before))?.split();
        let mut role = fields.checked(Some(before))?;
        if !changed.names().is_empty() {
            role.version = security_roles::save(&mut tx, &role, &changed.names(), &caller.actor()).await?;
            role.updated_at = tx.now();
            tx.commit().await?;
        }
        Ok(tagged(role.version, SecurityRole::from(role)))
    })
    .await
}

/// Removes a security role, from everybody who has it. The one that new users are given stays.
#[utoipa::path(delete, path = "/security-roles/{id}", tag = "rights",
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
        let role = security_roles::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        security_roles::delete(&mut tx, &role, &caller.actor()).await.map_err(|error| match error {
            lockstep_store::Error::Reference { .. } => Problem::conflict(
                "in-use",
                "New users are given this role: PATCH default_security_role_id of the organisation first.",
            ),
            error => error.into(),
        })?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
