//! Contacts and activities alike: records as the two-way run sees them, with the values that flow.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lockstep_model::{
    address::AddressKey,
    id::UserId,
    record::{Field, Fields, Kind, PersonName, RecordId, RecordVersion, State, Value},
};
use uuid::Uuid;

use crate::{
    Result, Tx,
    activities::{self, Activity},
    people::{self, Person},
    rights::Privilege,
};

/// A record of the CRM.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A contact.
    Contact(Box<Person>),
    /// Anything else that flows.
    Activity(Box<Activity>),
}

impl Record {
    /// Identity.
    pub fn id(&self) -> RecordId {
        RecordId(match self {
            Self::Contact(person) => person.id,
            Self::Activity(activity) => activity.id,
        })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Contact(_) => Kind::Contact,
            Self::Activity(activity) => activity.kind,
        }
    }

    /// How often it has been written.
    pub fn version(&self) -> RecordVersion {
        RecordVersion(match self {
            Self::Contact(person) => person.version,
            Self::Activity(activity) => activity.version,
        })
    }

    /// When it was last written.
    pub fn modified(&self) -> DateTime<Utc> {
        match self {
            Self::Contact(person) => person.updated_at,
            Self::Activity(activity) => activity.updated_at,
        }
    }

    /// The user whose record it is.
    pub fn owner_user(&self) -> Option<Uuid> {
        match self {
            Self::Contact(person) => person.owner_user_id,
            Self::Activity(activity) => activity.owner_user_id,
        }
    }

    /// The user or team whose record it is.
    pub fn owner(&self) -> Option<Uuid> {
        match self {
            Self::Contact(person) => person.owner_user_id.or(person.owner_team_id),
            Self::Activity(activity) => activity.owner_user_id.or(activity.owner_team_id),
        }
    }

    /// Whether there is still something to do. A contact is open as long as it is active.
    pub fn state(&self) -> State {
        match self {
            Self::Contact(person) if person.active => State::Open,
            Self::Contact(_) => State::Completed,
            Self::Activity(activity) => activity.state,
        }
    }

    /// An appointment that nobody has been told of.
    pub fn is_draft(&self) -> bool {
        matches!(self, Self::Activity(activity) if activity.draft)
    }

    /// When it ends or is due; `None`: never, or not told.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Contact(_) => None,
            Self::Activity(activity) => activity.ends_at,
        }
    }

    /// The record after one more write.
    #[must_use]
    pub fn next(mut self, now: DateTime<Utc>) -> Self {
        let (version, updated_at) = match &mut self {
            Self::Contact(person) => (&mut person.version, &mut person.updated_at),
            Self::Activity(activity) => (&mut activity.version, &mut activity.updated_at),
        };
        *version += 1;
        *updated_at = now;
        self
    }

    /// Everything that may flow, in canonical form: also what is a column of its own.
    pub fn fields(&self) -> Fields {
        match self {
            Self::Contact(person) => fields_of_person(person),
            Self::Activity(activity) => {
                let mut fields = activity.fields.clone();
                if let (Some(kind), Some(id)) = (&activity.regarding_kind, &activity.regarding_id) {
                    put(&mut fields, Field::Regarding, Value::Text(format!("{kind}/{id}")));
                }
                fields
            }
        }
    }

    /// Takes over values that [`Record::fields`] has shown and somebody has changed: also those that are columns of their
    /// own. What a column cannot hold stays as it was.
    pub fn take(&mut self, fields: &Fields) {
        match self {
            Self::Contact(person) => take_person(person, fields),
            Self::Activity(activity) => {
                let mut own = fields.clone();
                own.copy(Field::Regarding, &Fields::default());
                let regarding = match fields.get(Field::Regarding) {
                    Some(Value::Text(text)) => text.split_once('/').map(|(kind, id)| (kind.to_owned(), id.to_owned())),
                    _ => None,
                };
                // Words that name no record, somebody else's property perhaps, change nothing.
                if regarding.is_some() || fields.get(Field::Regarding).is_none() {
                    (activity.regarding_kind, activity.regarding_id) = regarding.unzip();
                }
                activity.fields = own;
            }
        }
    }
}

/// The values are of their fields' shape by construction.
fn put(fields: &mut Fields, field: Field, value: Value) {
    let set = fields.set(field, value);
    debug_assert!(set.is_ok(), "{set:?}");
}

fn fields_of_person(person: &Person) -> Fields {
    let mut fields = person.fields.clone();
    if let Some(address) = &person.address {
        put(&mut fields, Field::Email1, Value::Text(address.clone()));
    }
    if fields.get(Field::FullName).is_none() {
        let name = person.name.trim();
        let (first, last) = name.rsplit_once(' ').unwrap_or(("", name));
        let name = PersonName { first: first.trim().to_owned(), middle: String::new(), last: last.to_owned() };
        put(&mut fields, Field::FullName, Value::Name(name));
    }
    fields
}

fn take_person(person: &mut Person, fields: &Fields) {
    let before = fields_of_person(person);
    let mut own = fields.clone();
    own.copy(Field::Email1, &Fields::default());
    match fields.get(Field::Email1) {
        Some(Value::Text(address)) => {
            if let Some(key) = AddressKey::of(address) {
                (person.address, person.address_key) = (Some(address.clone()), Some(key.as_str().to_owned()));
            }
        }
        _ => (person.address, person.address_key) = (None, None),
    }
    if before.get(Field::FullName) == fields.get(Field::FullName) {
        // Parts that were only guessed from the name are not written down.
        own.copy(Field::FullName, &person.fields);
    } else if let Some(Value::Name(PersonName { first, middle, last })) = fields.get(Field::FullName) {
        let parts = [first, middle, last].into_iter().filter(|part| !part.is_empty());
        person.name = lockstep_model::text::line(&parts.map(String::as_str).collect::<Vec<_>>().join(" "), 200);
    }
    person.fields = own;
}

/// These records, as far as they are there.
///
/// # Errors
/// [`crate::Error::Unreadable`] where a row holds what this code does not know.
pub async fn read(tx: &mut Tx, ids: &[RecordId]) -> Result<Vec<Record>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let people = people::many(tx, &ids).await?.into_iter().filter(|person| person.kind == "contact");
    let mut records: Vec<_> = people.map(|person| Record::Contact(Box::new(person))).collect();
    records.extend(activities::many(tx, &ids).await?.into_iter().map(|one| Record::Activity(Box::new(one))));
    Ok(records)
}

/// Locks these records until the transaction ends, in the order in which everybody does, and reads them.
///
/// # Errors
/// Those of [`read`].
pub async fn lock(tx: &mut Tx, ids: &[RecordId]) -> Result<Vec<Record>> {
    let all: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query!("/* records::lock */ SELECT id FROM people WHERE id = ANY($1) ORDER BY id FOR UPDATE", &all)
        .fetch_all(tx.connection())
        .await?;
    sqlx::query!("/* records::lock */ SELECT id FROM activities WHERE id = ANY($1) ORDER BY id FOR UPDATE", &all)
        .fetch_all(tx.connection())
        .await?;
    read(tx, ids).await
}

/// A record to be written, and the names of its members that are new.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The record.
    pub record: Record,
    /// Names as the API has them.
    pub fields: Vec<&'static str>,
}

/// A record that is new: with id, version and instants of making.
#[must_use]
pub fn begun(record: Record, now: DateTime<Utc>) -> Record {
    match record {
        Record::Contact(person) => Record::Contact(Box::new(people::begun(*person, now))),
        Record::Activity(activity) => Record::Activity(Box::new(activities::begun(*activity, now))),
    }
}

/// Writes records that have [`begun`].
///
/// # Errors
/// Those of [`people::create`] and [`activities::create`].
pub async fn insert(tx: &mut Tx, written: &[Written], actor: &str) -> Result<()> {
    let (people, activities) = apart(written);
    if !people.is_empty() {
        people::insert(tx, &people, actor).await?;
    }
    if !activities.is_empty() {
        activities::insert(tx, &activities, actor).await?;
    }
    Ok(())
}

/// Writes records that were locked; each is the next version of what it was.
///
/// # Errors
/// Those of [`people::save`] and [`activities::save`].
pub async fn update(tx: &mut Tx, written: &[Written], actor: &str) -> Result<()> {
    let (people, activities) = apart(written);
    if !people.is_empty() {
        people::update(tx, &people, actor).await?;
    }
    if !activities.is_empty() {
        activities::update(tx, &activities, actor).await?;
    }
    Ok(())
}

/// Removes records that were locked. The feed keeps tombstones.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn remove(tx: &mut Tx, records: &[Record], actor: &str) -> Result<()> {
    let (mut people, mut activities) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Contact(person) => people.push(&**person),
            Record::Activity(activity) => activities.push(&**activity),
        }
    }
    if !people.is_empty() {
        people::remove(tx, &people, actor).await?;
    }
    if !activities.is_empty() {
        activities::remove(tx, &activities, actor).await?;
    }
    Ok(())
}

type Apart<'a> = (Vec<(&'a Person, &'a [&'static str])>, Vec<(&'a Activity, &'a [&'static str])>);

fn apart(written: &[Written]) -> Apart<'_> {
    let (mut people, mut activities) = (Vec::new(), Vec::new());
    for Written { record, fields } in written {
        match record {
            Record::Contact(person) => people.push((&**person, fields.as_slice())),
            Record::Activity(activity) => activities.push((&**activity, fields.as_slice())),
        }
    }
    (people, activities)
}

/// Records of these kinds that were written after a position of the feed, at most about `limit` entries of it: the
/// records, each once, and the position up to which nothing is missing.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn written_since(tx: &mut Tx, position: i64, limit: i64) -> Result<(Vec<(Kind, RecordId)>, i64)> {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let row = sqlx::query!(
        "/* records::written_since */ WITH page AS (
             SELECT position, record_kind, record_id FROM feed_entries
             WHERE position > $1 AND record_kind = ANY($2) ORDER BY position LIMIT $3)
         SELECT array_agg(DISTINCT record_kind || '/' || record_id) AS records,
             CASE WHEN count(*) < $3 THEN (SELECT last_position FROM feed_state) ELSE max(position) END AS position
         FROM page",
        position,
        &kinds,
        limit,
    )
    .fetch_one(tx.connection())
    .await?;
    let words = row.records.unwrap_or_default();
    let records = words.iter().filter_map(|word| {
        let (kind, id) = word.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some((kind, RecordId(id.parse().ok()?)))
    });
    Ok((records.collect(), row.position.unwrap_or(position)))
}

/// Those of these records on which a user has a privilege.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn permitted(
    tx: &mut Tx,
    user: UserId,
    privilege: Privilege,
    ids: &[RecordId],
) -> Result<BTreeSet<RecordId>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let permitted = sqlx::query_scalar!(
        "/* records::permitted */ SELECT r.id AS \"id!\" FROM owned_records r
         WHERE r.id = ANY($2) AND may($1, r.record_kind, $3, r.owner_user_id, r.owner_team_id)",
        user.0,
        &ids,
        privilege.as_str(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(permitted.into_iter().map(RecordId).collect())
}

/// Which of these addresses belong to users whose own appointments are synchronised.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn synchronised_organisers(tx: &mut Tx, addresses: &[AddressKey]) -> Result<Vec<AddressKey>> {
    let keys: Vec<_> = addresses.iter().map(|key| key.as_str().to_owned()).collect();
    let found = sqlx::query_scalar!(
        "/* records::synchronised_organisers */ SELECT m.address_key FROM mailboxes m
         JOIN lane_schedules s ON s.mailbox_id = m.id AND s.lane = 'act' AND s.enabled
         WHERE m.address_key = ANY($1)",
        &keys,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(found.iter().filter_map(|key| AddressKey::of(key)).collect())
}
