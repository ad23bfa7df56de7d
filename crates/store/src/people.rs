//! Contacts, accounts and leads: people and companies outside, so far as addresses resolve to them.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{PersonId, UserId},
    record::Fields,
};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
    fields,
    rights::{self, Kind, Privilege},
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
    /// Or the team's.
    pub owner_team_id: Option<Uuid>,
    /// Inactive records are resolved last.
    pub active: bool,
    /// Of contacts, everything else that an address book knows.
    pub fields: Fields,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    kind: String,
    source: Option<String>,
    external_id: Option<String>,
    name: String,
    address: Option<String>,
    address_key: Option<String>,
    owner_user_id: Option<Uuid>,
    owner_team_id: Option<Uuid>,
    active: bool,
    fields: Json,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Person {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            fields: fields::of_row("people", row.id, &row.fields)?,
            id: row.id,
            kind: row.kind,
            source: row.source,
            external_id: row.external_id,
            name: row.name,
            address: row.address,
            address_key: row.address_key,
            owner_user_id: row.owner_user_id,
            owner_team_id: row.owner_team_id,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Makes a record. Id, version and instants of `person` are set here; `fields` are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn create(tx: &mut Tx, person: Person, fields: &[&str], actor: &str) -> Result<Person> {
    let person = begun(person, tx.now());
    insert(tx, &[(&person, fields)], actor).await?;
    Ok(person)
}

/// A record that is new: with id, version and instants.
pub(crate) fn begun(mut person: Person, now: DateTime<Utc>) -> Person {
    person.id = PersonId::new().0;
    (person.version, person.created_at, person.updated_at) = (1, now, now);
    person
}

/// The columns of several records.
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<String>,
    sources: Vec<Option<String>>,
    external_ids: Vec<Option<String>>,
    names: Vec<String>,
    addresses: Vec<Option<String>>,
    keys: Vec<Option<String>>,
    users: Vec<Option<Uuid>>,
    teams: Vec<Option<Uuid>>,
    active: Vec<bool>,
    fields: Vec<Json>,
}

impl Columns {
    fn of(people: &[(&Person, &[&str])]) -> Self {
        fn all<T>(people: &[(&Person, &[&str])], one: impl Fn(&Person) -> T) -> Vec<T> {
            people.iter().map(|(person, _)| one(person)).collect()
        }
        Self {
            ids: all(people, |person| person.id),
            kinds: all(people, |person| person.kind.clone()),
            sources: all(people, |person| person.source.clone()),
            external_ids: all(people, |person| person.external_id.clone()),
            names: all(people, |person| person.name.clone()),
            addresses: all(people, |person| person.address.clone()),
            keys: all(people, |person| person.address_key.clone()),
            users: all(people, |person| person.owner_user_id),
            teams: all(people, |person| person.owner_team_id),
            active: all(people, |person| person.active),
            fields: all(people, |person| Json::Object(fields::write(&person.fields))),
        }
    }
}

/// Writes records that have [`begun`], each with the fields it was given.
pub(crate) async fn insert(tx: &mut Tx, people: &[(&Person, &[&str])], actor: &str) -> Result<()> {
    let now = tx.now();
    let columns = Columns::of(people);
    sqlx::query!(
        "/* people::insert */ INSERT INTO people (id, kind, source, external_id, name, address, address_key,
             owner_user_id, owner_team_id, active, fields, created_at, updated_at)
         SELECT id, kind, source, external_id, name, address, address_key, owner_user_id, owner_team_id, active, fields,
             $1, $1
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[],
             $10::uuid[], $11::boolean[], $12::jsonb[])
             AS p(id, kind, source, external_id, name, address, address_key, owner_user_id, owner_team_id, active, fields)",
        now,
        &columns.ids,
        &columns.kinds,
        &columns.sources as &[Option<String>],
        &columns.external_ids as &[Option<String>],
        &columns.names,
        &columns.addresses as &[Option<String>],
        &columns.keys as &[Option<String>],
        &columns.users as &[Option<Uuid>],
        &columns.teams as &[Option<Uuid>],
        &columns.active,
        &columns.fields,
    )
    .execute(tx.connection())
    .await?;
    tell(tx, people, Change::Created, 0, actor).await
}

async fn tell(tx: &mut Tx, people: &[(&Person, &[&str])], change: Change, later: i64, actor: &str) -> Result<()> {
    let written = people.iter().map(|(person, fields)| Written {
        kind: &person.kind,
        id: person.id,
        change,
        fields,
        version: person.version + later,
    });
    audit::record_all(tx, actor, &written.collect::<Vec<_>>()).await
}

/// Records of a kind in order of their making, after `after`, at most `limit`; with `address_key`, those that
/// have it. With `reader`, those that this user may read.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    kind: Kind,
    reader: Option<UserId>,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Person>> {
    let near = match reader {
        Some(reader) => near(tx, kind, reader, address_key, after, limit).await?,
        None => None,
    };
    let rows = sqlx::query_as!(
        Row,
        "/* people::list */ SELECT id, kind, source, external_id, name, address, address_key, owner_user_id,
             owner_team_id, active, fields, version, created_at, updated_at
         FROM people
         WHERE kind = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::text IS NULL OR address_key = $3)
           AND ($5::uuid[] IS NULL OR id = ANY($5))
         ORDER BY id LIMIT $4",
        kind.as_str(),
        after,
        address_key,
        limit,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Person::try_from).collect()
}

/// The page of a user whose privilege does not reach every record: read owner by owner, each no further than the page.
async fn near(
    tx: &mut Tx,
    kind: Kind,
    reader: UserId,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Option<Vec<Uuid>>> {
    if rights::may_all(tx, reader, kind, Privilege::Read).await? {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "/* people::near */ SELECT p.id AS \"id!\"
         FROM reach($1, $2, 'read') AS owner
         CROSS JOIN LATERAL (SELECT id FROM people
             WHERE COALESCE(owner_user_id, owner_team_id) = owner AND kind = $2
               AND ($3::text IS NULL OR address_key = $3) AND ($4::uuid IS NULL OR id > $4)
             ORDER BY id LIMIT $5) AS p
         ORDER BY p.id LIMIT $5",
        reader.0,
        kind.as_str(),
        address_key,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Some(ids))
}

/// One record of a kind.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, kind: &str, id: PersonId) -> Result<Option<Person>> {
    let row = sqlx::query_as!(
        Row,
        "/* people::get */ SELECT id, kind, source, external_id, name, address, address_key, owner_user_id,
             owner_team_id, active, fields, version, created_at, updated_at
         FROM people WHERE id = $1 AND kind = $2",
        id.0,
        kind,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Person::try_from).transpose()
}

/// These records, of whatever kind.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn many(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<Person>> {
    let rows = sqlx::query_as!(
        Row,
        "/* people::many */ SELECT id, kind, source, external_id, name, address, address_key, owner_user_id,
             owner_team_id, active, fields, version, created_at, updated_at
         FROM people WHERE id = ANY($1) ORDER BY id",
        ids,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Person::try_from).collect()
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
    update(tx, &[(person, fields)], actor).await?;
    Ok(person.version + 1)
}

/// Writes records that were locked, as [`save`] does one.
pub(crate) async fn update(tx: &mut Tx, people: &[(&Person, &[&str])], actor: &str) -> Result<()> {
    let now = tx.now();
    let columns = Columns::of(people);
    sqlx::query!(
        "/* people::update */ UPDATE people SET source = p.source, external_id = p.external_id, name = p.name,
             address = p.address, address_key = p.address_key, owner_user_id = p.owner_user_id,
             owner_team_id = p.owner_team_id, active = p.active, fields = p.fields, version = version + 1,
             updated_at = $1
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::uuid[],
             $10::boolean[], $11::jsonb[])
             AS p(id, source, external_id, name, address, address_key, owner_user_id, owner_team_id, active, fields)
         WHERE people.id = p.id",
        now,
        &columns.ids,
        &columns.sources as &[Option<String>],
        &columns.external_ids as &[Option<String>],
        &columns.names,
        &columns.addresses as &[Option<String>],
        &columns.keys as &[Option<String>],
        &columns.users as &[Option<Uuid>],
        &columns.teams as &[Option<Uuid>],
        &columns.active,
        &columns.fields,
    )
    .execute(tx.connection())
    .await?;
    tell(tx, people, Change::Updated, 1, actor).await
}

/// Removes a record that was locked. Emails keep the address; the feed keeps a tombstone.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, person: &Person, actor: &str) -> Result<()> {
    remove(tx, &[person], actor).await
}

/// Removes records that were locked, as [`delete`] does one.
pub(crate) async fn remove(tx: &mut Tx, people: &[&Person], actor: &str) -> Result<()> {
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    sqlx::query!("/* people::remove */ DELETE FROM people WHERE id = ANY($1)", &ids).execute(tx.connection()).await?;
    let people: Vec<(&Person, &[&str])> = people.iter().map(|person| (*person, [].as_slice())).collect();
    tell(tx, &people, Change::Deleted, 1, actor).await
}
