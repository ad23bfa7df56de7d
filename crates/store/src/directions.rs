//! Which way fields flow, kind by kind: what an administrator has chosen other than the default. Which fields a kind has,
//! and which of them are free, is in [`lockstep_model::record::schema`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lockstep_model::record::{
    Field, Kind,
    schema::{Direction, Directions, Options},
};
use serde_json::{Map as Members, Value as Json, json};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, audit,
    feed::{self, Change},
    item_options, lanes, links,
};

/// The kind of record that a map is, as the feed and the audit call it.
pub const RECORD_KIND: &str = "field-directions";

/// What was chosen for a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The kind.
    pub kind: Kind,
    /// By which the feed names it.
    pub id: Uuid,
    /// Directions other than the default.
    pub chosen: BTreeMap<Field, Direction>,
    /// Raised by every write.
    pub version: i64,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

impl Map {
    /// The directions in force.
    pub fn in_force(&self, options: Options) -> Directions {
        let mut directions = Directions::of(self.kind, options);
        for (field, direction) in &self.chosen {
            // What is no longer free, or not the kind's, is as nobody had chosen it.
            let _ = directions.choose(*field, *direction);
        }
        directions
    }
}

/// The directions of a kind in force: what was chosen, and what follows from the organisation's options. One small read,
/// made with each batch of work.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn of(tx: &mut Tx, kind: Kind) -> Result<Directions> {
    let options = item_options::read(tx).await?.of_fields();
    Ok(map(tx, kind).await?.in_force(options))
}

/// The maps of all kinds, in the order of [`Kind::ALL`].
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn all(tx: &mut Tx) -> Result<Vec<Map>> {
    read(tx, None).await
}

/// The map of a kind.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn map(tx: &mut Tx, kind: Kind) -> Result<Map> {
    let found = read(tx, Some(kind)).await?.pop();
    found.ok_or_else(|| Error::unreadable("direction_maps", "record_kind", kind.name(), "the row is missing"))
}

async fn read(tx: &mut Tx, kind: Option<Kind>) -> Result<Vec<Map>> {
    let rows = sqlx::query!(
        "/* directions::read */ SELECT m.record_kind AS \"record_kind!\", m.id AS \"id!\", m.version AS \"version!\",
             m.updated_at AS \"updated_at!\", d.field AS \"field?\", d.direction AS \"direction?\"
         FROM direction_maps m LEFT JOIN field_directions d ON d.record_kind = m.record_kind
         WHERE $1::text IS NULL OR m.record_kind = $1",
        kind.map(Kind::name),
    )
    .fetch_all(tx.connection())
    .await?;
    let mut maps = BTreeMap::new();
    for row in rows {
        let kind = links::kind_of("direction_maps", row.id, &row.record_kind)?;
        let (id, version, updated_at) = (row.id, row.version, row.updated_at);
        let map = maps.entry(kind).or_insert_with(|| Map { kind, id, chosen: BTreeMap::new(), version, updated_at });
        let Some((field, word)) = row.field.zip(row.direction) else { continue };
        let direction = Direction::ALL.into_iter().find(|direction| direction.name() == word);
        let direction = direction.ok_or_else(|| Error::unreadable("field_directions", "direction", &field, &word))?;
        // A field that only a newer version knows is that version's business.
        map.chosen.extend(links::field_of(&field).map(|field| (field, direction)));
    }
    Ok(Kind::ALL.iter().filter_map(|kind| maps.remove(kind)).collect())
}

/// Like [`map`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, kind: Kind, expected: Option<i64>) -> Result<Map> {
    sqlx::query!(
        "/* directions::lock */ SELECT record_kind FROM direction_maps WHERE record_kind = $1 FOR UPDATE",
        kind.name(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let map = map(tx, kind).await?;
    Error::if_stale(expected, Some(map.version))?;
    Ok(map)
}

/// Writes the map of a kind that was locked; `chosen` was checked, and holds only what is other than the default. Every
/// mailbox looks at the kind's records again. Returns the map as it is now.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn save(tx: &mut Tx, before: &Map, chosen: &BTreeMap<Field, Direction>, actor: &str) -> Result<Map> {
    let (now, kind) = (tx.now(), before.kind.name());
    let (fields, directions): (Vec<String>, Vec<String>) =
        chosen.iter().map(|(field, direction)| (field.name().to_owned(), direction.name().to_owned())).unzip();
    sqlx::query!(
        "/* directions::save */ DELETE FROM field_directions WHERE record_kind = $1 AND field <> ALL($2::text[])",
        kind,
        &fields,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* directions::save */ INSERT INTO field_directions (record_kind, field, direction)
         SELECT $1, d.field, d.direction FROM unnest($2::text[], $3::text[]) AS d(field, direction)
         ON CONFLICT (record_kind, field) DO UPDATE SET direction = EXCLUDED.direction",
        kind,
        &fields,
        &directions,
    )
    .execute(tx.connection())
    .await?;
    let version = sqlx::query_scalar!(
        "/* directions::save */ UPDATE direction_maps SET version = version + 1, updated_at = $2 WHERE record_kind = $1
         RETURNING version",
        kind,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let mut changes = Members::new();
    for field in before.chosen.keys().chain(chosen.keys()) {
        let of = |map: &BTreeMap<Field, Direction>| map.get(field).map(|direction| direction.name());
        let (from, to) = (of(&before.chosen), of(chosen));
        if from != to {
            changes.insert(field.name().to_owned(), json!({ "from": from, "to": to }));
        }
    }
    let changed: Vec<&str> = changes.keys().map(String::as_str).collect();
    feed::tell(tx, RECORD_KIND, before.id, Change::Updated, &changed, version).await?;
    let detail = json!({ "record_kind": kind, "changes": Json::Object(changes.clone()) });
    audit::note(tx, actor, "updated", RECORD_KIND, Some(before.id), detail).await?;
    lanes::review_again(tx, None).await?;
    links::unsettle(tx, before.kind).await?;
    Ok(Map { chosen: chosen.clone(), version, updated_at: now, ..before.clone() })
}

/// Tells that fields of a kind flow another way because the organisation's options are others.
pub(crate) async fn follow(tx: &mut Tx, kind: Kind, fields: &[Field]) -> Result<()> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* directions::follow */ UPDATE direction_maps SET version = version + 1, updated_at = $2 WHERE record_kind = $1
         RETURNING id, version",
        kind.name(),
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let fields: Vec<_> = fields.iter().map(|field| field.name()).collect();
    feed::tell(tx, RECORD_KIND, row.id, Change::Updated, &fields, row.version).await
}
