//! Links: what ties a record to an item of one mailbox, and what both sides last agreed on.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::MailboxId,
    record::{Field, Fields, Kind, LinkId, RecordId, RecordVersion, RemoteVersion},
    remote::RemoteKey,
};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{Error, Result, Tx, fields};

/// A link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Identity: the mark that an item made for the record carries.
    pub id: LinkId,
    /// What the record is.
    pub kind: Kind,
    /// The record.
    pub record: RecordId,
    /// The user or team whose record it was when both sides were last looked at.
    pub owner: Option<Uuid>,
    /// The item.
    pub remote: RemoteKey,
    /// What all copies of a meeting share.
    pub uid: Option<String>,
    /// The mailbox's user holds the meeting, or it is none.
    pub organiser: bool,
    /// Why the two stand side by side and are left alone; `None` where changes flow.
    pub unlinked: Option<String>,
    /// The record's values as they were agreed on.
    pub crm: Fields,
    /// The item's values then.
    pub server: Fields,
    /// Fields that were written to the server and may have become something else there.
    pub unclear: BTreeSet<Field>,
    /// The versions at which nothing was left to do.
    pub settled: Option<(RecordVersion, RemoteVersion)>,
    /// A deletion that waits for a person: on which side (`crm` or `server`), and since when.
    pub held: Option<(String, DateTime<Utc>)>,
}

struct Row {
    id: Uuid,
    record_kind: String,
    record_id: Uuid,
    owner_id: Option<Uuid>,
    remote_key: Vec<u8>,
    uid: Option<String>,
    organiser: bool,
    unlinked: Option<String>,
    crm_fields: Json,
    server_fields: Json,
    unclear: Vec<String>,
    settled_record: Option<i64>,
    settled_remote: Option<String>,
    held_on: Option<String>,
    held_since: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Link {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: LinkId(row.id),
            kind: kind_of("links", row.id, &row.record_kind)?,
            record: RecordId(row.record_id),
            owner: row.owner_id,
            remote: RemoteKey::new(row.remote_key)
                .ok_or_else(|| Error::unreadable("links", "remote_key", row.id, "empty or too long"))?,
            uid: row.uid,
            organiser: row.organiser,
            unlinked: row.unlinked,
            crm: fields::of_row("links", row.id, &row.crm_fields)?,
            server: fields::of_row("links", row.id, &row.server_fields)?,
            unclear: row.unclear.iter().filter_map(|name| field_of(name)).collect(),
            settled: row.settled_record.map(RecordVersion).zip(row.settled_remote.map(RemoteVersion)),
            held: row.held_on.zip(row.held_since),
        })
    }
}

/// The kind of this word.
pub(crate) fn kind_of(table: &'static str, row: Uuid, word: &str) -> Result<Kind> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    kind.ok_or_else(|| Error::unreadable(table, "record_kind", row, word))
}

/// The field of this name.
pub(crate) fn field_of(name: &str) -> Option<Field> {
    Field::ALL.iter().copied().find(|field| field.name() == name)
}

/// A mailbox's links of these records, of these items, or with these marks: whatever of them is known.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn of(
    tx: &mut Tx,
    mailbox: MailboxId,
    records: &[RecordId],
    items: &[RemoteKey],
    marks: &[LinkId],
) -> Result<Vec<Link>> {
    if records.is_empty() && items.is_empty() && marks.is_empty() {
        return Ok(Vec::new());
    }
    let records: Vec<_> = records.iter().map(|record| record.0).collect();
    let items: Vec<_> = items.iter().map(|key| key.as_bytes().to_vec()).collect();
    let marks: Vec<_> = marks.iter().map(|mark| mark.0).collect();
    let rows = sqlx::query_as!(
        Row,
        "/* links::of */ SELECT id, record_kind, record_id, owner_id, remote_key, uid, organiser, unlinked, crm_fields,
             server_fields, unclear, settled_record, settled_remote, held_on, held_since
         FROM links WHERE id IN (
             SELECT id FROM links WHERE mailbox_id = $1 AND record_id = ANY($2)
             UNION SELECT id FROM links WHERE mailbox_id = $1 AND remote_key = ANY($3)
             UNION SELECT id FROM links WHERE mailbox_id = $1 AND id = ANY($4))
         ORDER BY id",
        mailbox.0,
        &records,
        &items,
        &marks,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Link::try_from).collect()
}

/// A mailbox's records that are linked, in order of their links, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn records_after(
    tx: &mut Tx,
    mailbox: MailboxId,
    after: Option<LinkId>,
    limit: i64,
) -> Result<Vec<(LinkId, Kind, RecordId)>> {
    let rows = sqlx::query!(
        "/* links::records_after */ SELECT id, record_kind, record_id FROM links
         WHERE mailbox_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        mailbox.0,
        after.map(|link| link.0),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|r| Ok((LinkId(r.id), kind_of("links", r.id, &r.record_kind)?, RecordId(r.record_id))))
        .collect()
}

/// How many pairs of these kinds a mailbox has through which changes flow.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn count(tx: &mut Tx, mailbox: MailboxId, kinds: &[Kind]) -> Result<u64> {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
    let count = sqlx::query_scalar!(
        "/* links::count */ SELECT count(*) AS \"count!\" FROM links
         WHERE mailbox_id = $1 AND unlinked IS NULL AND record_kind = ANY($2)",
        mailbox.0,
        &kinds,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(count.unsigned_abs())
}

/// A record that is linked in some mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The record.
    pub record: RecordId,
    /// What it is.
    pub kind: Kind,
    /// What all copies of its meeting share.
    pub uid: Option<String>,
    /// That mailbox's user holds the meeting.
    pub organiser: bool,
}

/// What other mailboxes have of these records and meetings.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn elsewhere(
    tx: &mut Tx,
    mailbox: MailboxId,
    records: &[RecordId],
    uids: &[String],
) -> Result<Vec<Elsewhere>> {
    if records.is_empty() && uids.is_empty() {
        return Ok(Vec::new());
    }
    let records: Vec<_> = records.iter().map(|record| record.0).collect();
    let rows = sqlx::query!(
        "/* links::elsewhere */ SELECT DISTINCT record_id AS \"record_id!\", record_kind AS \"record_kind!\", uid,
             organiser AS \"organiser!\"
         FROM (SELECT * FROM links WHERE record_id = ANY($2) UNION SELECT * FROM links WHERE uid = ANY($3)) AS l
         WHERE mailbox_id <> $1 AND unlinked IS NULL",
        mailbox.0,
        &records,
        uids,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Elsewhere {
                record: RecordId(r.record_id),
                kind: kind_of("links", r.record_id, &r.record_kind)?,
                uid: r.uid,
                organiser: r.organiser,
            })
        })
        .collect()
}

/// Stores links, new ones and known ones. Of a record that is gone, and whose item is left alone, no values are kept.
///
/// # Errors
/// [`Error::Conflict`] where a record or an item of the mailbox is linked to something else.
pub async fn put(tx: &mut Tx, mailbox: MailboxId, links: &[Link]) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let all = |one: fn(&Link) -> Json| links.iter().map(one).collect::<Vec<_>>();
    let ids: Vec<_> = links.iter().map(|link| link.id.0).collect();
    let kinds: Vec<_> = links.iter().map(|link| link.kind.name().to_owned()).collect();
    let records: Vec<_> = links.iter().map(|link| link.record.0).collect();
    let owners: Vec<_> = links.iter().map(|link| link.owner).collect();
    let remotes: Vec<_> = links.iter().map(|link| link.remote.as_bytes().to_vec()).collect();
    let uids: Vec<_> = links.iter().map(|link| link.uid.clone()).collect();
    let organisers: Vec<_> = links.iter().map(|link| link.organiser).collect();
    let unlinked: Vec<_> = links.iter().map(|link| link.unlinked.clone()).collect();
    let crm = all(|link| Json::Object(fields::write(&link.crm)));
    let server = all(|link| Json::Object(fields::write(&link.server)));
    let unclear: Vec<_> =
        links.iter().map(|link| link.unclear.iter().map(|field| field.name()).collect::<Vec<_>>().join(",")).collect();
    let records_settled: Vec<_> = links.iter().map(|link| link.settled.as_ref().map(|(record, _)| record.0)).collect();
    let remotes_settled: Vec<_> =
        links.iter().map(|link| link.settled.as_ref().map(|(_, remote)| remote.0.clone())).collect();
    let held_on: Vec<_> = links.iter().map(|link| link.held.as_ref().map(|(side, _)| side.clone())).collect();
    let held_since: Vec<_> = links.iter().map(|link| link.held.as_ref().map(|(_, since)| *since)).collect();
    sqlx::query!(
        "/* links::put */ INSERT INTO links (mailbox_id, id, record_kind, record_id, owner_id, remote_key, uid, organiser,
             unlinked, crm_fields, server_fields, unclear, settled_record, settled_remote, held_on, held_since,
             created_at, updated_at)
         SELECT $1, l.id, kind, record, owner, remote, uid, organiser, unlinked, CASE WHEN bare THEN '{}' ELSE crm END,
             CASE WHEN bare THEN '{}' ELSE server END, string_to_array(unclear, ','), settled_record, settled_remote,
             held_on, held_since, $2, $2
         FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::bytea[], $8::text[], $9::boolean[], $10::text[],
             $11::jsonb[], $12::jsonb[], $13::text[], $14::bigint[], $15::text[], $16::text[], $17::timestamptz[])
             AS l(id, kind, record, owner, remote, uid, organiser, unlinked, crm, server, unclear, settled_record,
                  settled_remote, held_on, held_since)
         CROSS JOIN LATERAL (SELECT unlinked IS NOT NULL
             AND NOT EXISTS (SELECT FROM owned_records r WHERE r.id = record) AS bare) AS of_record
         ORDER BY l.id
         ON CONFLICT (id) DO UPDATE SET owner_id = EXCLUDED.owner_id, remote_key = EXCLUDED.remote_key,
             uid = EXCLUDED.uid, organiser = EXCLUDED.organiser, unlinked = EXCLUDED.unlinked,
             crm_fields = EXCLUDED.crm_fields, server_fields = EXCLUDED.server_fields, unclear = EXCLUDED.unclear,
             settled_record = EXCLUDED.settled_record, settled_remote = EXCLUDED.settled_remote,
             held_on = EXCLUDED.held_on, held_since = EXCLUDED.held_since, updated_at = EXCLUDED.updated_at",
        mailbox.0,
        now,
        &ids,
        &kinds,
        &records,
        &owners as &[Option<Uuid>],
        &remotes,
        &uids as &[Option<String>],
        &organisers,
        &unlinked as &[Option<String>],
        &crm,
        &server,
        &unclear,
        &records_settled as &[Option<i64>],
        &remotes_settled as &[Option<String>],
        &held_on as &[Option<String>],
        &held_since as &[Option<DateTime<Utc>>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes links of a mailbox.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn forget(tx: &mut Tx, mailbox: MailboxId, links: &[LinkId]) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = links.iter().map(|link| link.0).collect();
    sqlx::query!("/* links::forget */ DELETE FROM links WHERE mailbox_id = $1 AND id = ANY($2)", mailbox.0, &ids)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Forgets of all links of a kind that nothing was left to do, so that both sides are compared again: fields flow another
/// way now. Whatever is known of both sides stays. Call it after [`crate::lanes::review_again`], which keeps writers away.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn unsettle(tx: &mut Tx, kind: Kind) -> Result<()> {
    /// Links of one statement.
    const TOGETHER: i64 = 5_000;
    let mut after = Some(Uuid::nil());
    while let Some(last) = after {
        after = sqlx::query_scalar!(
            "/* links::unsettle */ WITH next AS MATERIALIZED (
                 SELECT id FROM links WHERE record_kind = $1 AND settled_record IS NOT NULL AND id > $2
                 ORDER BY id LIMIT $3 FOR UPDATE),
             done AS (
                 UPDATE links AS l SET settled_record = NULL, settled_remote = NULL FROM next WHERE l.id = next.id)
             SELECT id FROM next ORDER BY id DESC LIMIT 1",
            kind.name(),
            last,
            TOGETHER,
        )
        .fetch_optional(tx.connection())
        .await?;
    }
    Ok(())
}

/// Whether a person has agreed to the deletions that wait in a mailbox.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn deletions_agreed(tx: &mut Tx, mailbox: MailboxId) -> Result<bool> {
    let now = tx.now();
    let agreed = sqlx::query_scalar!(
        "/* links::deletions_agreed */ SELECT COALESCE(deletions_agreed_until > $2, false) AS \"agreed!\" FROM mailboxes
         WHERE id = $1",
        mailbox.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(agreed.unwrap_or(false))
}

/// How many deletions wait for a person in a mailbox.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn held(tx: &mut Tx, mailbox: MailboxId) -> Result<i64> {
    let held = sqlx::query_scalar!(
        "/* links::held */ SELECT count(*) AS \"count!\" FROM links WHERE mailbox_id = $1 AND held_on IS NOT NULL",
        mailbox.0,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(held)
}

/// Agrees to the deletions that wait in a mailbox, and to those of the next hour.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn agree_to_deletions(tx: &mut Tx, mailbox: MailboxId) -> Result<()> {
    let until = tx.now() + chrono::TimeDelta::hours(1);
    sqlx::query!(
        "/* links::agree_to_deletions */ UPDATE mailboxes SET deletions_agreed_until = $2 WHERE id = $1",
        mailbox.0,
        until,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Records whose deletion, or whose item's, has waited long enough: all of them once a person has agreed, else those that
/// wait since before `since`. At most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn held_long_enough(
    tx: &mut Tx,
    mailbox: MailboxId,
    since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<RecordId>> {
    let now = tx.now();
    let records = sqlx::query_scalar!(
        "/* links::held_long_enough */ SELECT l.record_id FROM links l JOIN mailboxes m ON m.id = l.mailbox_id
         WHERE l.mailbox_id = $1 AND l.held_on IS NOT NULL
           AND (l.held_since <= $2 OR m.deletions_agreed_until > $3)
         ORDER BY l.id LIMIT $4",
        mailbox.0,
        since,
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(records.into_iter().map(RecordId).collect())
}

/// A value that gave way to the other side's.
#[derive(Clone, Debug, PartialEq)]
pub struct LostValue {
    /// The record.
    pub record: RecordId,
    /// What it is.
    pub kind: Kind,
    /// The field.
    pub field: Field,
    /// The side that had it: `crm` or `server`.
    pub side: &'static str,
    /// The value; `None` where the field had been cleared there.
    pub value: Option<lockstep_model::record::Value>,
}

/// Keeps what gave way.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn keep_lost(tx: &mut Tx, mailbox: MailboxId, lost: &[LostValue]) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let ids: Vec<_> = lost.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<_> = lost.iter().map(|lost| lost.kind.name().to_owned()).collect();
    let records: Vec<_> = lost.iter().map(|lost| lost.record.0).collect();
    let names: Vec<_> = lost.iter().map(|lost| lost.field.name().to_owned()).collect();
    let sides: Vec<_> = lost.iter().map(|lost| lost.side.to_owned()).collect();
    let values: Vec<_> = lost.iter().map(|lost| lost.value.as_ref().map(fields::write_value)).collect();
    sqlx::query!(
        "/* links::keep_lost */ INSERT INTO lost_values (id, mailbox_id, record_kind, record_id, field, side, value, lost_at)
         SELECT id, $1, kind, record, field, side, value, $2
         FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::jsonb[])
             AS l(id, kind, record, field, side, value)",
        mailbox.0,
        now,
        &ids,
        &kinds,
        &records,
        &names,
        &sides,
        &values as &[Option<Json>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
