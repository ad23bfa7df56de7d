//! Synchronisation filters: users' own, the administrator's for all, and the templates that new users' are made of.

mod codec;
mod sql;

use chrono::{DateTime, Utc};
use lockstep_model::{filter::Expression, id::UserId, record::Kind};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
    lanes,
};

pub use codec::{read, write};
pub use sql::{Question, passing};

/// The kind of record that a filter is, as the feed and the audit call it.
pub const RECORD_KIND: &str = "synchronization-filter";

/// Whom a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One user, who may change it.
    User,
    /// All users, who may not.
    System,
    /// Nobody yet: users' filters are made of it.
    Template,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::User, Self::System, Self::Template];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
            Self::Template => "template",
        }
    }

    /// The scope of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Identity.
    pub id: Uuid,
    /// Whom it is for.
    pub scope: Scope,
    /// The user, of a user's filter.
    pub user_id: Option<Uuid>,
    /// Which kind of record passes.
    pub kind: Kind,
    /// Name, one of its own among the filters of one scope, user and kind.
    pub name: String,
    /// Whether it counts.
    pub active: bool,
    /// Of templates: whether new users get it.
    pub is_default: bool,
    /// What passes.
    pub expression: Expression,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    scope: String,
    user_id: Option<Uuid>,
    record_kind: String,
    name: String,
    active: bool,
    is_default: bool,
    expression: Json,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Filter {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let id = row.id;
        let unreadable = |column, problem| Error::Unreadable {
            table: "synchronization_filters",
            column,
            row: id.to_string(),
            problem,
        };
        let scope = Scope::of(&row.scope).ok_or_else(|| unreadable("scope", row.scope.clone()))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == row.record_kind);
        let kind = kind.ok_or_else(|| unreadable("record_kind", row.record_kind.clone()))?;
        let expression = codec::of_row(kind, &row.expression);
        let expression =
            expression.map_err(|wrong| unreadable("expression", format!("{}: {}", wrong.path, wrong.expected)))?;
        Ok(Self {
            id,
            scope,
            user_id: row.user_id,
            kind,
            name: row.name,
            active: row.active,
            is_default: row.is_default,
            expression,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Makes a filter. Id, version and instants of `filter` are set here; `fields` are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken, [`Error::Reference`] when the user is unknown.
pub async fn create(tx: &mut Tx, mut filter: Filter, fields: &[&str], actor: &str) -> Result<Filter> {
    filter.id = Uuid::now_v7();
    (filter.version, filter.created_at, filter.updated_at) = (1, tx.now(), tx.now());
    if filter.is_default {
        take_default(tx, filter.kind, filter.id).await?;
    }
    sqlx::query!(
        "/* filters::create */ INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, active,
             is_default, expression, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        filter.id,
        filter.scope.as_str(),
        filter.user_id,
        filter.kind.name(),
        filter.name,
        filter.active,
        filter.is_default,
        write(&filter.expression),
        filter.created_at,
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: RECORD_KIND, id: filter.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    if filter.active {
        review(tx, &filter).await?;
    }
    Ok(filter)
}

/// What counts for its user, or for all, is another now, so mailboxes are held against it.
async fn review(tx: &mut Tx, filter: &Filter) -> Result<()> {
    match filter.scope {
        Scope::User => lanes::review_again(tx, Some(filter.user_id.as_slice())).await,
        Scope::System => lanes::review_again(tx, None).await,
        Scope::Template => Ok(()),
    }
}

/// One default template a kind: the other one is none from now on.
async fn take_default(tx: &mut Tx, kind: Kind, id: Uuid) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* filters::take_default */ UPDATE synchronization_filters SET is_default = false, version = version + 1, updated_at = $3
         WHERE record_kind = $1 AND is_default AND id <> $2",
        kind.name(),
        id,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Which filters to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    /// Of this scope.
    pub scope: Option<Scope>,
    /// Of this user.
    pub user: Option<Uuid>,
    /// For this kind of record.
    pub kind: Option<Kind>,
    /// What this user may see: the own ones, and those of the system.
    pub seen_by: Option<UserId>,
}

/// Filters in order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn list(tx: &mut Tx, which: Which, after: Option<Uuid>, limit: i64) -> Result<Vec<Filter>> {
    let rows = sqlx::query_as!(
        Row,
        "/* filters::list */ SELECT id, scope, user_id, record_kind, name, active, is_default, expression, version,
             created_at, updated_at
         FROM synchronization_filters
         WHERE ($1::text IS NULL OR scope = $1) AND ($2::uuid IS NULL OR user_id = $2)
           AND ($3::text IS NULL OR record_kind = $3) AND ($4::uuid IS NULL OR user_id = $4 OR scope = 'system')
           AND ($5::uuid IS NULL OR id > $5)
         ORDER BY id LIMIT $6",
        which.scope.map(Scope::as_str),
        which.user,
        which.kind.map(Kind::name),
        which.seen_by.map(|user| user.0),
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Filter::try_from).collect()
}

/// What counts for a user: the active ones of the own, and those of the system. A record passes that passes one of them.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn in_force(tx: &mut Tx, user: UserId, kind: Kind) -> Result<Vec<Expression>> {
    let rows = sqlx::query_as!(
        Row,
        "/* filters::in_force */ SELECT id, scope, user_id, record_kind, name, active, is_default, expression, version,
             created_at, updated_at
         FROM synchronization_filters
         WHERE record_kind = $2 AND active AND (user_id = $1 OR scope = 'system') ORDER BY id",
        user.0,
        kind.name(),
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(|row| Ok(Filter::try_from(row)?.expression)).collect()
}

/// One filter.
///
/// # Errors
/// [`Error::Unreadable`] where the row holds what this code does not know.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<Option<Filter>> {
    let row = sqlx::query_as!(
        Row,
        "/* filters::get */ SELECT id, scope, user_id, record_kind, name, active, is_default, expression, version,
             created_at, updated_at
         FROM synchronization_filters WHERE id = $1",
        id,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Filter::try_from).transpose()
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// Those of [`get`].
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Filter>> {
    sqlx::query!("/* filters::lock */ SELECT id FROM synchronization_filters WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx.connection())
        .await?;
    get(tx, id).await
}

/// Writes a filter that was locked; `changed` are the names of its changed members. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn save(tx: &mut Tx, filter: &Filter, changed: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    if filter.is_default {
        take_default(tx, filter.kind, filter.id).await?;
    }
    let version = sqlx::query_scalar!(
        "/* filters::save */ UPDATE synchronization_filters SET name = $2, active = $3, is_default = $4, expression = $5,
             version = version + 1, updated_at = $6
         WHERE id = $1 RETURNING version",
        filter.id,
        filter.name,
        filter.active,
        filter.is_default,
        write(&filter.expression),
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let written = Written { kind: RECORD_KIND, id: filter.id, change: Change::Updated, fields: changed, version };
    audit::record(tx, actor, written).await?;
    if changed.contains(&"active") || filter.active && changed.contains(&"expression") {
        review(tx, filter).await?;
    }
    Ok(version)
}

/// Removes a filter that was locked.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, filter: &Filter, actor: &str) -> Result<()> {
    sqlx::query!("/* filters::delete */ DELETE FROM synchronization_filters WHERE id = $1", filter.id)
        .execute(tx.connection())
        .await?;
    let version = filter.version + 1;
    let written = Written { kind: RECORD_KIND, id: filter.id, change: Change::Deleted, fields: &[], version };
    audit::record(tx, actor, written).await?;
    if filter.active { review(tx, filter).await } else { Ok(()) }
}

/// Gives users filters of their own, made of a template, or with `None` of every default one. A user who has one of that
/// name for that kind keeps it. Returns how many were made.
///
/// # Errors
/// [`Error::Reference`] when a user is unknown.
pub async fn instantiate(tx: &mut Tx, users: &[Uuid], template: Option<Uuid>) -> Result<u64> {
    let now = tx.now();
    let made = sqlx::query!(
        "/* filters::instantiate */ INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression,
             created_at, updated_at)
         SELECT gen_random_uuid(), 'user', u.id, t.record_kind, t.name, t.expression, $3, $3
         FROM unnest($1::uuid[]) AS u(id), synchronization_filters t
         WHERE t.scope = 'template' AND CASE WHEN $2::uuid IS NULL THEN t.is_default ELSE t.id = $2 END
         ON CONFLICT DO NOTHING",
        users,
        template,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(made.rows_affected())
}

/// Like [`instantiate`] of a template, at somebody's wish.
///
/// # Errors
/// [`Error::Reference`] when a user is unknown.
pub async fn apply(tx: &mut Tx, users: &[Uuid], template: Uuid, actor: &str) -> Result<u64> {
    let made = instantiate(tx, users, Some(template)).await?;
    for user in users {
        audit::note(tx, actor, "filter-template-applied", "user", Some(*user), json!({ "template": template })).await?;
    }
    lanes::review_again(tx, Some(users)).await?;
    Ok(made)
}

/// Takes all filters of these users away and gives them those of the default templates.
///
/// # Errors
/// [`Error::Reference`] when a user is unknown.
pub async fn reset(tx: &mut Tx, users: &[Uuid], actor: &str) -> Result<()> {
    sqlx::query!("/* filters::reset */ DELETE FROM synchronization_filters WHERE user_id = ANY($1)", users)
        .execute(tx.connection())
        .await?;
    for user in users {
        audit::note(tx, actor, "filters-reset", "user", Some(*user), json!({})).await?;
    }
    instantiate(tx, users, None).await?;
    lanes::review_again(tx, Some(users)).await
}
