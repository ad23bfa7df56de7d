//! Tasks, phone calls, letters, faxes, appointments and their series, as records of the CRM.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::UserId,
    record::{self, Field, Fields, State, Value},
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

/// An activity.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Identity.
    pub id: Uuid,
    /// What it is; not a contact.
    pub kind: record::Kind,
    /// Which other system knows this record.
    pub source: Option<String>,
    /// Under which id.
    pub external_id: Option<String>,
    /// Whose record it is.
    pub owner_user_id: Option<Uuid>,
    /// Or the team's.
    pub owner_team_id: Option<Uuid>,
    /// Whether there is still something to do.
    pub state: State,
    /// An appointment that nobody has been told of.
    pub draft: bool,
    /// What kind of record it is about.
    pub regarding_kind: Option<String>,
    /// And which one.
    pub regarding_id: Option<String>,
    /// Everything else.
    pub fields: Fields,
    /// Derived: when it starts.
    pub starts_at: Option<DateTime<Utc>>,
    /// Derived: when it ends or is due.
    pub ends_at: Option<DateTime<Utc>>,
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
    owner_user_id: Option<Uuid>,
    owner_team_id: Option<Uuid>,
    state: String,
    draft: bool,
    regarding_kind: Option<String>,
    regarding_id: Option<String>,
    fields: Json,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Activity {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let id = row.id;
        let unreadable =
            |column, problem| Error::Unreadable { table: "activities", column, row: id.to_string(), problem };
        let kind = record::Kind::ALL.into_iter().find(|kind| kind.name() == row.kind);
        let kind = kind.ok_or_else(|| unreadable("kind", format!("unknown: {}", row.kind)))?;
        let state = State::of(&row.state).ok_or_else(|| unreadable("state", format!("unknown: {}", row.state)))?;
        let fields = fields::of_row("activities", id, &row.fields)?;
        Ok(Self {
            id,
            kind,
            source: row.source,
            external_id: row.external_id,
            owner_user_id: row.owner_user_id,
            owner_team_id: row.owner_team_id,
            state,
            draft: row.draft,
            regarding_kind: row.regarding_kind,
            regarding_id: row.regarding_id,
            fields,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Makes a record. Id, version and instants of making of `activity` are set here; `fields` are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn create(tx: &mut Tx, mut activity: Activity, fields: &[&str], actor: &str) -> Result<Activity> {
    activity.id = Uuid::now_v7();
    (activity.version, activity.created_at, activity.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* activities::create */ INSERT INTO activities (id, kind, source, external_id, owner_user_id, owner_team_id,
             state, draft, regarding_kind, regarding_id, fields, starts_at, ends_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
        activity.id,
        activity.kind.name(),
        activity.source,
        activity.external_id,
        activity.owner_user_id,
        activity.owner_team_id,
        activity.state.name(),
        activity.draft,
        activity.regarding_kind,
        activity.regarding_id,
        Json::Object(fields::write(&activity.fields)),
        activity.starts_at,
        activity.ends_at,
        activity.created_at,
    )
    .execute(tx.connection())
    .await?;
    write_parties(tx, &activity).await?;
    let kind = activity.kind.name();
    let written = Written { kind, id: activity.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    Ok(activity)
}

/// Records of a kind in order of their making, after `after`, at most `limit`; with `state`, those in it. With `reader`,
/// those that this user may read.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    kind: Kind,
    reader: Option<UserId>,
    state: Option<State>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Activity>> {
    let near = match reader {
        Some(reader) => near(tx, kind, reader, state, after, limit).await?,
        None => None,
    };
    let rows = sqlx::query_as!(
        Row,
        "/* activities::list */ SELECT id, kind, source, external_id, owner_user_id, owner_team_id, state, draft,
             regarding_kind, regarding_id, fields, starts_at, ends_at, version, created_at, updated_at
         FROM activities
         WHERE kind = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::text IS NULL OR state = $3)
           AND ($5::uuid[] IS NULL OR id = ANY($5))
         ORDER BY id LIMIT $4",
        kind.as_str(),
        after,
        state.map(State::name),
        limit,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Activity::try_from).collect()
}

/// The page of a user whose privilege does not reach every record: read owner by owner, each no further than the page.
async fn near(
    tx: &mut Tx,
    kind: Kind,
    reader: UserId,
    state: Option<State>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Option<Vec<Uuid>>> {
    if rights::may_all(tx, reader, kind, Privilege::Read).await? {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "/* activities::near */ SELECT a.id AS \"id!\"
         FROM reach($1, $2, 'read') AS owner
         CROSS JOIN LATERAL (SELECT id FROM activities
             WHERE COALESCE(owner_user_id, owner_team_id) = owner AND kind = $2
               AND ($3::text IS NULL OR state = $3) AND ($4::uuid IS NULL OR id > $4)
             ORDER BY id LIMIT $5) AS a
         ORDER BY a.id LIMIT $5",
        reader.0,
        kind.as_str(),
        state.map(State::name),
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
/// [`Error::Unreadable`] where the row holds what this code does not know.
pub async fn get(tx: &mut Tx, kind: Kind, id: Uuid) -> Result<Option<Activity>> {
    let row = sqlx::query_as!(
        Row,
        "/* activities::get */ SELECT id, kind, source, external_id, owner_user_id, owner_team_id, state, draft,
             regarding_kind, regarding_id, fields, starts_at, ends_at, version, created_at, updated_at
         FROM activities WHERE id = $1 AND kind = $2",
        id,
        kind.as_str(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Activity::try_from).transpose()
}

/// These records, of whatever kind.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn many(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<Activity>> {
    let rows = sqlx::query_as!(
        Row,
        "/* activities::many */ SELECT id, kind, source, external_id, owner_user_id, owner_team_id, state, draft,
             regarding_kind, regarding_id, fields, starts_at, ends_at, version, created_at, updated_at
         FROM activities WHERE id = ANY($1) ORDER BY id",
        ids,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Activity::try_from).collect()
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// Those of [`get`].
pub async fn lock(tx: &mut Tx, kind: Kind, id: Uuid) -> Result<Option<Activity>> {
    sqlx::query!("/* activities::lock */ SELECT id FROM activities WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx.connection())
        .await?;
    get(tx, kind, id).await
}

/// Writes a record that was locked; `changed` are the names of its changed members. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn save(tx: &mut Tx, activity: &Activity, changed: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* activities::save */ UPDATE activities SET source = $2, external_id = $3, owner_user_id = $4,
             owner_team_id = $5, state = $6, draft = $7, regarding_kind = $8, regarding_id = $9, fields = $10,
             starts_at = $11, ends_at = $12, version = version + 1, updated_at = $13
         WHERE id = $1 RETURNING version",
        activity.id,
        activity.source,
        activity.external_id,
        activity.owner_user_id,
        activity.owner_team_id,
        activity.state.name(),
        activity.draft,
        activity.regarding_kind,
        activity.regarding_id,
        Json::Object(fields::write(&activity.fields)),
        activity.starts_at,
        activity.ends_at,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    write_parties(tx, activity).await?;
    let kind = activity.kind.name();
    let written = Written { kind, id: activity.id, change: Change::Updated, fields: changed, version };
    audit::record(tx, actor, written).await?;
    Ok(version)
}

/// Removes a record that was locked. The feed keeps a tombstone.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, activity: &Activity, actor: &str) -> Result<()> {
    sqlx::query!("/* activities::delete */ DELETE FROM activities WHERE id = $1", activity.id)
        .execute(tx.connection())
        .await?;
    let (kind, version) = (activity.kind.name(), activity.version + 1);
    let written = Written { kind, id: activity.id, change: Change::Deleted, fields: &[], version };
    audit::record(tx, actor, written).await
}

/// Which field says who has which role.
const ROLES: [(Field, &str); 3] =
    [(Field::Organiser, "organiser"), (Field::RequiredAttendees, "required"), (Field::OptionalAttendees, "optional")];

async fn write_parties(tx: &mut Tx, activity: &Activity) -> Result<()> {
    let (mut roles, mut keys) = (Vec::new(), Vec::new());
    for (field, role) in ROLES {
        let Some(Value::People(people)) = activity.fields.get(field) else { continue };
        for (address, _) in people.iter() {
            roles.push(role.to_owned());
            keys.push(address.as_str().to_owned());
        }
    }
    sqlx::query!(
        "/* activities::write_parties */ WITH wanted AS (SELECT * FROM unnest($2::text[], $3::text[]) AS w(role, address_key)),
         gone AS (DELETE FROM activity_parties p WHERE p.activity_id = $1
             AND NOT EXISTS (SELECT FROM wanted w WHERE w.role = p.role AND w.address_key = p.address_key))
         INSERT INTO activity_parties (activity_id, role, address_key)
         SELECT $1, role, address_key FROM wanted ON CONFLICT DO NOTHING",
        activity.id,
        &roles,
        &keys,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
