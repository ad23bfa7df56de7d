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
pub async fn create(tx: &mut Tx, activity: Activity, fields: &[&str], actor: &str) -> Result<Activity> {
    let activity = begun(activity, tx.now());
    insert(tx, &[(&activity, fields)], actor).await?;
    Ok(activity)
}

/// A record that is new: with id, version and instants of making.
pub(crate) fn begun(mut activity: Activity, now: DateTime<Utc>) -> Activity {
    activity.id = Uuid::now_v7();
    (activity.version, activity.created_at, activity.updated_at) = (1, now, now);
    activity
}

/// The columns of several records.
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<String>,
    sources: Vec<Option<String>>,
    external_ids: Vec<Option<String>>,
    users: Vec<Option<Uuid>>,
    teams: Vec<Option<Uuid>>,
    states: Vec<String>,
    drafts: Vec<bool>,
    regarding_kinds: Vec<Option<String>>,
    regarding_ids: Vec<Option<String>>,
    fields: Vec<Json>,
    starts: Vec<Option<DateTime<Utc>>>,
    ends: Vec<Option<DateTime<Utc>>>,
}

impl Columns {
    fn of(activities: &[(&Activity, &[&str])]) -> Self {
        fn all<T>(activities: &[(&Activity, &[&str])], one: impl Fn(&Activity) -> T) -> Vec<T> {
            activities.iter().map(|(activity, _)| one(activity)).collect()
        }
        Self {
            ids: all(activities, |activity| activity.id),
            kinds: all(activities, |activity| activity.kind.name().to_owned()),
            sources: all(activities, |activity| activity.source.clone()),
            external_ids: all(activities, |activity| activity.external_id.clone()),
            users: all(activities, |activity| activity.owner_user_id),
            teams: all(activities, |activity| activity.owner_team_id),
            states: all(activities, |activity| activity.state.name().to_owned()),
            drafts: all(activities, |activity| activity.draft),
            regarding_kinds: all(activities, |activity| activity.regarding_kind.clone()),
            regarding_ids: all(activities, |activity| activity.regarding_id.clone()),
            fields: all(activities, |activity| Json::Object(fields::write(&activity.fields))),
            starts: all(activities, |activity| activity.starts_at),
            ends: all(activities, |activity| activity.ends_at),
        }
    }
}

/// Writes records that have [`begun`], each with the fields it was given.
pub(crate) async fn insert(tx: &mut Tx, activities: &[(&Activity, &[&str])], actor: &str) -> Result<()> {
    let now = tx.now();
    let columns = Columns::of(activities);
    sqlx::query!(
        "/* activities::insert */ INSERT INTO activities (id, kind, source, external_id, owner_user_id, owner_team_id,
             state, draft, regarding_kind, regarding_id, fields, starts_at, ends_at, created_at, updated_at)
         SELECT id, kind, source, external_id, owner_user_id, owner_team_id, state, draft, regarding_kind, regarding_id,
             fields, starts_at, ends_at, $1, $1
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::text[], $9::boolean[],
             $10::text[], $11::text[], $12::jsonb[], $13::timestamptz[], $14::timestamptz[])
             AS a(id, kind, source, external_id, owner_user_id, owner_team_id, state, draft, regarding_kind,
                  regarding_id, fields, starts_at, ends_at)",
        now,
        &columns.ids,
        &columns.kinds,
        &columns.sources as &[Option<String>],
        &columns.external_ids as &[Option<String>],
        &columns.users as &[Option<Uuid>],
        &columns.teams as &[Option<Uuid>],
        &columns.states,
        &columns.drafts,
        &columns.regarding_kinds as &[Option<String>],
        &columns.regarding_ids as &[Option<String>],
        &columns.fields,
        &columns.starts as &[Option<DateTime<Utc>>],
        &columns.ends as &[Option<DateTime<Utc>>],
    )
    .execute(tx.connection())
    .await?;
    write_parties(tx, activities).await?;
    tell(tx, activities, Change::Created, 0, actor).await
}

async fn tell(tx: &mut Tx, activities: &[(&Activity, &[&str])], change: Change, later: i64, actor: &str) -> Result<()> {
    let written = activities.iter().map(|(activity, fields)| Written {
        kind: activity.kind.name(),
        id: activity.id,
        change,
        fields,
        version: activity.version + later,
    });
    audit::record_all(tx, actor, &written.collect::<Vec<_>>()).await
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
    update(tx, &[(activity, changed)], actor).await?;
    Ok(activity.version + 1)
}

/// Writes records that were locked, as [`save`] does one.
pub(crate) async fn update(tx: &mut Tx, activities: &[(&Activity, &[&str])], actor: &str) -> Result<()> {
    let now = tx.now();
    let columns = Columns::of(activities);
    sqlx::query!(
        "/* activities::update */ UPDATE activities SET source = a.source, external_id = a.external_id,
             owner_user_id = a.owner_user_id, owner_team_id = a.owner_team_id, state = a.state, draft = a.draft,
             regarding_kind = a.regarding_kind, regarding_id = a.regarding_id, fields = a.fields,
             starts_at = a.starts_at, ends_at = a.ends_at, version = version + 1, updated_at = $1
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::boolean[], $9::text[],
             $10::text[], $11::jsonb[], $12::timestamptz[], $13::timestamptz[])
             AS a(id, source, external_id, owner_user_id, owner_team_id, state, draft, regarding_kind, regarding_id,
                  fields, starts_at, ends_at)
         WHERE activities.id = a.id",
        now,
        &columns.ids,
        &columns.sources as &[Option<String>],
        &columns.external_ids as &[Option<String>],
        &columns.users as &[Option<Uuid>],
        &columns.teams as &[Option<Uuid>],
        &columns.states,
        &columns.drafts,
        &columns.regarding_kinds as &[Option<String>],
        &columns.regarding_ids as &[Option<String>],
        &columns.fields,
        &columns.starts as &[Option<DateTime<Utc>>],
        &columns.ends as &[Option<DateTime<Utc>>],
    )
    .execute(tx.connection())
    .await?;
    write_parties(tx, activities).await?;
    tell(tx, activities, Change::Updated, 1, actor).await
}

/// Removes a record that was locked. The feed keeps a tombstone.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete(tx: &mut Tx, activity: &Activity, actor: &str) -> Result<()> {
    remove(tx, &[activity], actor).await
}

/// Removes records that were locked, as [`delete`] does one.
pub(crate) async fn remove(tx: &mut Tx, activities: &[&Activity], actor: &str) -> Result<()> {
    let ids: Vec<_> = activities.iter().map(|activity| activity.id).collect();
    sqlx::query!("/* activities::remove */ DELETE FROM activities WHERE id = ANY($1)", &ids)
        .execute(tx.connection())
        .await?;
    let activities: Vec<(&Activity, &[&str])> = activities.iter().map(|activity| (*activity, [].as_slice())).collect();
    tell(tx, &activities, Change::Deleted, 1, actor).await
}

/// Which field says who has which role.
const ROLES: [(Field, &str); 3] =
    [(Field::Organiser, "organiser"), (Field::RequiredAttendees, "required"), (Field::OptionalAttendees, "optional")];

async fn write_parties(tx: &mut Tx, activities: &[(&Activity, &[&str])]) -> Result<()> {
    let ids: Vec<_> = activities.iter().map(|(activity, _)| activity.id).collect();
    let (mut of, mut roles, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (activity, _) in activities {
        for (field, role) in ROLES {
            let Some(Value::People(people)) = activity.fields.get(field) else { continue };
            for (address, _) in people.iter() {
                of.push(activity.id);
                roles.push(role.to_owned());
                keys.push(address.as_str().to_owned());
            }
        }
    }
    sqlx::query!(
        "/* activities::write_parties */ WITH wanted AS (
             SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[]) AS w(activity_id, role, address_key)),
         gone AS (DELETE FROM activity_parties p WHERE p.activity_id = ANY($1)
             AND NOT EXISTS (SELECT FROM wanted w
                 WHERE w.activity_id = p.activity_id AND w.role = p.role AND w.address_key = p.address_key))
         INSERT INTO activity_parties (activity_id, role, address_key)
         SELECT activity_id, role, address_key FROM wanted ON CONFLICT DO NOTHING",
        &ids,
        &of,
        &roles,
        &keys,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
