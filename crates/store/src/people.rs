//! Contacts, accounts and leads: people and companies outside, so far as addresses resolve to them.

use chrono::{DateTime, Utc};
use lockstep_model::id::PersonId;
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
};

/// A contact, account or lead.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Identity.
    pub id: Uuid,
    /// `contact`, `account` or `lead`.
    pub kind: String,
    /// Which other system knows this record.
    pub source: Option<String>,
    /// Under which id.
    pub external_id: Option<String>,
    /// Name.
    pub name: String,
    /// Address as written.
    pub address: Option<String>,
    /// Its key.
    pub address_key: Option<String>,
    /// Whose record it is.
    pub owner_user_id: Option<Uuid>,
    /// Inactive records are resolved last.
    pub active: bool,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Makes a record. Id, version and instants of `person` are set here.
///
/// # Errors
/// [`Error::Conflict`] when the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn create(tx: &mut Tx, mut person: Person, actor: &str) -> Result<Person> {
    person.id = PersonId::new().0;
    (person.version, person.created_at, person.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* people::create */ INSERT INTO people (id, kind, source, external_id, name, address, address_key,
             owner_user_id, active, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        person.id,
        person.kind,
        person.source,
        person.external_id,
        person.name,
        person.address,
        person.address_key,
        person.owner_user_id,
        person.active,
        person.created_at,
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: &person.kind, id: person.id, change: Change::Created, fields: &[], version: 1 };
    audit::record(tx, actor, written).await?;
    Ok(person)
}

/// Records of a kind in order of their making, after `after`, at most `limit`; with `address_key`, those that have it.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    kind: &str,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Person>> {
    Ok(sqlx::query_as!(
        Person,
        "/* people::list */ SELECT id, kind, source, external_id, name, address, address_key, owner_user_id, active,
             version, created_at, updated_at
         FROM people
         WHERE kind = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::text IS NULL OR address_key = $3)
         ORDER BY id LIMIT $4",
        kind,
        after,
        address_key,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// One record of a kind.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, kind: &str, id: PersonId) -> Result<Option<Person>> {
    Ok(sqlx::query_as!(
        Person,
        "/* people::get */ SELECT id, kind, source, external_id, name, address, address_key, owner_user_id, active,
             version, created_at, updated_at
         FROM people WHERE id = $1 AND kind = $2",
        id.0,
        kind,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, kind: &str, id: PersonId, expected: Option<i64>) -> Result<Option<Person>> {
    sqlx::query!("/* people::lock */ SELECT id FROM people WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, kind, id).await?;
    Error::if_stale(expected, found.as_ref().map(|p| p.version))?;
    Ok(found)
}

/// Writes a record that was locked; `fields` are the changed ones. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn save(tx: &mut Tx, person: &Person, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* people::save */ UPDATE people SET source = $2, external_id = $3, name = $4, address = $5, address_key = $6,
             owner_user_id = $7, active = $8, version = version + 1, updated_at = $9
         WHERE id = $1 RETURNING version",
        person.id,
        person.source,
        person.external_id,
        person.name,
        person.address,
        person.address_key,
        person.owner_user_id,
        person.active,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let written = Written { kind: &person.kind, id: person.id, change: Change::Updated, fields, version };
    audit::record(tx, actor, written).await?;
    Ok(version)
}

/// Removes a record that was locked. Emails keep the address; the feed keeps a tombstone.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, person: &Person, actor: &str) -> Result<()> {
    sqlx::query!("/* people::delete */ DELETE FROM people WHERE id = $1", person.id).execute(tx.connection()).await?;
    let version = person.version + 1;
    let written = Written { kind: &person.kind, id: person.id, change: Change::Deleted, fields: &[], version };
    audit::record(tx, actor, written).await
}
