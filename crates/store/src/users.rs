//! Users: people of the organisation, each with a mailbox.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use lockstep_model::{id::UserId, mailbox::Owner};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
    filters, mailboxes,
    rights::{self, Kind, Privilege},
    security_roles,
};

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Identity.
    pub id: Uuid,
    /// Which other system knows this user.
    pub source: Option<String>,
    /// Under which id.
    pub external_id: Option<String>,
    /// Name.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Its key ([`lockstep_model::address::AddressKey`]).
    pub address_key: String,
    /// Inactive users' mailboxes are inactive.
    pub active: bool,
    /// Which received mail becomes a record by itself.
    pub track_option: String,
    /// What an unknown sender of this user's tracked email becomes: `off`, `contact` or `lead`.
    pub auto_create: String,
    /// The user agrees that others send email in the user's name, so far as their own rights let them.
    pub allow_send_on_behalf: bool,
    /// Name of the IANA database: where times are that name no zone. `None`: the organisation's.
    pub time_zone: Option<String>,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Makes a user and its mailbox. Id, version and instants of `user` are set here; `fields` are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the address or the external id is taken.
pub async fn create(tx: &mut Tx, mut user: User, fields: &[&str], actor: &str) -> Result<User> {
    user.id = UserId::new().0;
    (user.version, user.created_at, user.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* users::create */ INSERT INTO users (id, source, external_id, name, address, address_key, active,
             track_option, created_at, updated_at, auto_create, allow_send_on_behalf, time_zone)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12)",
        user.id,
        user.source,
        user.external_id,
        user.name,
        user.address,
        user.address_key,
        user.active,
        user.track_option,
        user.created_at,
        user.auto_create,
        user.allow_send_on_behalf,
        user.time_zone,
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: "user", id: user.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    security_roles::welcome(tx, UserId(user.id), actor).await?;
    filters::instantiate(tx, &[user.id], None).await?;
    let owner = Owner::User(UserId(user.id));
    mailboxes::create_for(
        tx,
        owner,
        mailboxes::Held::of(&user.name, &user.address, &user.address_key, user.active),
        actor,
    )
    .await?;
    Ok(user)
}

/// Users in order of their making, after `after`, at most `limit`; with `address_key`, the one that has it. With
/// `reader`, those that this user may read.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    reader: Option<UserId>,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<User>> {
    let near = match reader {
        Some(reader) => near(tx, reader).await?,
        None => None,
    };
    Ok(sqlx::query_as!(
        User,
        "/* users::list */ SELECT id, source, external_id, name, address, address_key, active, track_option, auto_create,
             allow_send_on_behalf, time_zone, version, created_at, updated_at
         FROM users
         WHERE ($1::uuid IS NULL OR id > $1) AND ($2::text IS NULL OR address_key = $2)
           AND ($4::uuid[] IS NULL OR id = ANY($4))
         ORDER BY id LIMIT $3",
        after,
        address_key,
        limit,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Whom a user reads whose privilege does not reach everybody: itself, or everybody in its teams.
async fn near(tx: &mut Tx, reader: UserId) -> Result<Option<Vec<Uuid>>> {
    if rights::may_all(tx, reader, Kind::User, Privilege::Read).await? {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "/* users::near */ SELECT owner AS \"id!\" FROM reach($1, 'user', 'read') AS owner",
        reader.0
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Some(ids))
}

/// One user.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: UserId) -> Result<Option<User>> {
    Ok(sqlx::query_as!(
        User,
        "/* users::get */ SELECT id, source, external_id, name, address, address_key, active, track_option, auto_create,
             allow_send_on_behalf, time_zone, version, created_at, updated_at
         FROM users WHERE id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: UserId, expected: Option<i64>) -> Result<Option<User>> {
    sqlx::query!("/* users::lock */ SELECT id FROM users WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|u| u.version))?;
    Ok(found)
}

/// Writes a user that was locked; `fields` are the changed ones. The mailbox follows the name, the address (which
/// returns it to waiting for approval) and the state. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the address or the external id is taken.
pub async fn save(tx: &mut Tx, user: &User, fields: &[&str], actor: &str) -> Result<i64> {
    let version = write(tx, user, fields, actor).await?;
    let held = mailboxes::Held::of(&user.name, &user.address, &user.address_key, user.active);
    mailboxes::follow(tx, Owner::User(UserId(user.id)), held, fields, actor).await?;
    Ok(version)
}

/// Writes the row alone: the mailbox is the one who asks.
pub(crate) async fn write(tx: &mut Tx, user: &User, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* users::write */ UPDATE users SET source = $2, external_id = $3, name = $4, address = $5, address_key = $6,
             active = $7, track_option = $8, auto_create = $10, allow_send_on_behalf = $11,
             time_zone = $12, version = version + 1, updated_at = $9
         WHERE id = $1 RETURNING version",
        user.id,
        user.source,
        user.external_id,
        user.name,
        user.address,
        user.address_key,
        user.active,
        user.track_option,
        now,
        user.auto_create,
        user.allow_send_on_behalf,
        user.time_zone,
    )
    .fetch_one(tx.connection())
    .await?;
    audit::record(tx, actor, Written { kind: "user", id: user.id, change: Change::Updated, fields, version }).await?;
    Ok(version)
}

/// The zone in which times are that name none: the user's own, else the organisation's, else UTC. So is one that this
/// version does not know any more.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn time_zone(tx: &mut Tx, id: UserId) -> Result<Tz> {
    let names = sqlx::query!(
        "/* users::time_zone */ SELECT (SELECT time_zone FROM users WHERE id = $1) AS own,
             (SELECT time_zone FROM organisations) AS \"default\"",
        id.0,
    )
    .fetch_one(tx.connection())
    .await?;
    let zone = |name: &String| {
        let known = name.parse().ok();
        if known.is_none() {
            tracing::warn!(user.id = %id, zone = name, "a time zone that is not known any more");
        }
        known
    };
    Ok(names.own.as_ref().and_then(zone).or_else(|| names.default.as_ref().and_then(zone)).unwrap_or(Tz::UTC))
}
