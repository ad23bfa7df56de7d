//! Items that became no record: a list of them with their reasons, and what a person decides about those set aside.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, UserId},
    mailbox::Lane,
    remote::RemoteKey,
};
use serde_json::json;
use uuid::Uuid;

use crate::{Result, Tx, alerts, audit, erasure::ERASED, items};

/// Reason of an item that a person has dropped.
pub const DROPPED: &str = "DroppedByHand";

/// An item that is no record. Nothing of its content is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFailure {
    /// The server's identity of it.
    pub key: Vec<u8>,
    /// Its Message-ID, where its header was read.
    pub message_id: Option<String>,
    /// Announced size.
    pub size_bytes: i64,
    /// `refused` or `quarantined`.
    pub disposition: String,
    /// Stable name of the reason.
    pub reason: Option<String>,
    /// The reason in words; kept for a while only.
    pub detail: Option<String>,
    /// How often it has failed.
    pub attempts: i32,
    /// How often a worker has ended over it.
    pub deaths: i32,
    /// When it is tried or judged again by itself; none: never.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was first seen.
    pub seen_at: DateTime<Utc>,
    /// Where it lies: `inbox`, `sent`, `undeliverable`, or `elsewhere` where it has left the folder it was read in.
    pub folder: String,
}

/// Items of a mailbox that are no records, of one disposition or of both, by key, after `after`, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    mailbox: MailboxId,
    disposition: Option<&str>,
    after: Option<&RemoteKey>,
    limit: i64,
) -> Result<Vec<ItemFailure>> {
    let after = after.map_or(&[][..], RemoteKey::as_bytes);
    Ok(sqlx::query_as!(
        ItemFailure,
        "/* item_failures::list */ SELECT remote_key AS key, message_id, size_bytes, disposition, reason, detail,
             attempts, deaths, next_attempt_at, seen_at, folder
         FROM remote_items
         WHERE mailbox_id = $1 AND disposition IN ('refused', 'quarantined') AND ($2::text IS NULL OR disposition = $2)
           AND remote_key > $3
         ORDER BY remote_key LIMIT $4",
        mailbox.0,
        disposition,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Which items to list, of all mailboxes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of this mailbox.
    pub mailbox: Option<MailboxId>,
    /// `refused` or `quarantined`.
    pub disposition: Option<&'a str>,
    /// With this reason.
    pub reason: Option<&'a str>,
    /// First seen at this instant or later.
    pub seen_since: Option<DateTime<Utc>>,
    /// First seen before this instant.
    pub seen_before: Option<DateTime<Utc>>,
    /// Of mailboxes that this user may read.
    pub reader: Option<UserId>,
    /// But not for this reason.
    pub but: &'a str,
}

/// Where a list across mailboxes goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the last item was first seen,
    pub seen_at: DateTime<Utc>,
    /// its mailbox,
    pub mailbox: MailboxId,
    /// and its key.
    pub key: RemoteKey,
}

/// An item that is no record, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its mailbox.
    pub mailbox_id: Uuid,
    /// The mailbox's address.
    pub address: String,
    /// The item.
    pub item: ItemFailure,
}

/// Items that are no records, of all mailboxes, the last seen first, after `after`, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn across(tx: &mut Tx, filter: &Filter<'_>, after: Option<&Place>, limit: i64) -> Result<Vec<Found>> {
    let rows = sqlx::query!(
        "/* item_failures::across */ SELECT i.mailbox_id, m.address, i.remote_key, i.message_id, i.size_bytes,
             i.disposition, i.reason, i.detail, i.attempts, i.deaths, i.next_attempt_at, i.seen_at,
             i.folder
         FROM remote_items i JOIN mailboxes m ON m.id = i.mailbox_id
         WHERE i.disposition IN ('refused', 'quarantined') AND ($1::text IS NULL OR i.disposition = $1)
           AND ($2::uuid IS NULL OR i.mailbox_id = $2) AND ($3::text IS NULL OR i.reason = $3)
           AND i.reason IS DISTINCT FROM $4
           AND ($5::timestamptz IS NULL OR i.seen_at >= $5) AND ($6::timestamptz IS NULL OR i.seen_at < $6)
           AND ($7::uuid IS NULL OR m.owner_user_id IN (SELECT owner FROM reach($7, 'mailbox', 'read') AS owner))
           AND ($8::timestamptz IS NULL OR (i.seen_at, i.mailbox_id, i.remote_key) < ($8, $9::uuid, $10::bytea))
         ORDER BY i.seen_at DESC, i.mailbox_id DESC, i.remote_key DESC LIMIT $11",
        filter.disposition,
        filter.mailbox.map(|id| id.0),
        filter.reason,
        filter.but,
        filter.seen_since,
        filter.seen_before,
        filter.reader.map(|id| id.0),
        after.map(|place| place.seen_at),
        after.map(|place| place.mailbox.0),
        after.map(|place| place.key.as_bytes()),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|row| Found {
        mailbox_id: row.mailbox_id,
        address: row.address,
        item: ItemFailure {
            key: row.remote_key,
            message_id: row.message_id,
            size_bytes: row.size_bytes,
            disposition: row.disposition,
            reason: row.reason,
            detail: row.detail,
            attempts: row.attempts,
            deaths: row.deaths,
            next_attempt_at: row.next_attempt_at,
            seen_at: row.seen_at,
            folder: row.folder,
        },
    });
    Ok(found.collect())
}

/// One item that is no record.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn get(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey) -> Result<Option<ItemFailure>> {
    Ok(sqlx::query_as!(
        ItemFailure,
        "/* item_failures::get */ SELECT remote_key AS key, message_id, size_bytes, disposition, reason, detail,
             attempts, deaths, next_attempt_at, seen_at, folder
         FROM remote_items
         WHERE mailbox_id = $1 AND remote_key = $2 AND disposition IN ('refused', 'quarantined')",
        mailbox.0,
        key.as_bytes(),
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// What became of a decision about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is done.
    Done,
    /// The item is refused already: there is nothing to drop.
    NotQuarantined,
    /// Its email was erased with the person it was about: it stays so.
    Erased,
    /// It has left the folder it was read in: there is nothing to read.
    Elsewhere,
    /// There is no such item, or it is a record by now.
    Missing,
}

/// A quarantined item is tried again at once, its failed attempts forgotten, and a refused one is judged again by the
/// rules that hold then. One that was moved out of the inbox, or is about to be, is moved back first, and read there as
/// what it then is: a new item. That workers have ended over it is not forgotten: it goes on being read with caution. Whoever is
/// at work on the lane is fenced, so that it cannot set the item aside again by what it found out before; the lane is due
/// at once. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn release(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey, actor: &str) -> Result<Decided> {
    let decided = lock(tx, mailbox, key).await?;
    if matches!(decided, Decided::Missing | Decided::Erased) {
        return Ok(decided);
    }
    let now = tx.now();
    let released = sqlx::query!(
        "/* item_failures::release */ UPDATE remote_items SET attempts = 0, move_attempts = 0,
             next_attempt_at = CASE WHEN folder = 'undeliverable' OR move_to IS NOT NULL THEN NULL ELSE $3::timestamptz END,
             move_to = CASE WHEN folder = 'undeliverable' OR move_to IS NOT NULL THEN 'inbox' END
         WHERE mailbox_id = $1 AND remote_key = $2 AND folder <> 'elsewhere'",
        mailbox.0,
        key.as_bytes(),
        now,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    if released == 0 {
        return Ok(Decided::Elsewhere);
    }
    due_at_once(tx, mailbox).await?;
    tell(tx, mailbox, key, "item-released", actor).await?;
    Ok(Decided::Done)
}

/// A quarantined item is never tried again, and counts as refused. Whoever is at work on the lane is fenced, so that it
/// cannot undo this.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn drop_item(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey, actor: &str) -> Result<Decided> {
    let decided = lock(tx, mailbox, key).await?;
    if decided != Decided::Done {
        return Ok(decided);
    }
    sqlx::query!(
        "/* item_failures::drop_item */ UPDATE remote_items SET disposition = 'refused', reason = $3,
             detail = left(concat_ws(': ', reason, detail), 500), attempts = 0, deaths = 0, next_attempt_at = NULL
         WHERE mailbox_id = $1 AND remote_key = $2",
        mailbox.0,
        key.as_bytes(),
        DROPPED,
    )
    .execute(tx.connection())
    .await?;
    tell(tx, mailbox, key, "item-dropped", actor).await?;
    Ok(Decided::Done)
}

/// Makes a new occasion: the report of a run that has begun before must not put it off.
async fn due_at_once(tx: &mut Tx, mailbox: MailboxId) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* item_failures::due_at_once */ UPDATE lane_schedules SET due_at = $3, not_before = NULL,
             generation = generation + 1, claimed_until = NULL, claims = 0
         WHERE mailbox_id = $1 AND lane = $2",
        mailbox.0,
        Lane::Incoming.as_str(),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Which items are judged again.
#[derive(Clone, Copy, Debug, Default)]
pub struct JudgedAgain<'a> {
    /// Only those refused for this reason. Without it every reason but [`DROPPED`]: what a person has decided stands. What
    /// was erased is never judged again.
    pub reason: Option<&'a str>,
    /// Only those first seen at this instant or later.
    pub seen_since: Option<DateTime<Utc>>,
    /// Those, too, that were recorded and whose record is gone.
    pub without_record: bool,
}

/// Refused items of a mailbox are judged again by the rules that hold when they are looked at, page by page in the
/// following cycles; what was decided stands until then. Whoever is at work on the lane is fenced, and the lane is due at
/// once. Returns how many. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn judge_again(tx: &mut Tx, mailbox: MailboxId, which: JudgedAgain<'_>, actor: &str) -> Result<u64> {
    sqlx::query!(
        "/* item_failures::judge_again */ UPDATE lanes SET version = version + 1 WHERE mailbox_id = $1 AND lane = $2",
        mailbox.0,
        Lane::Incoming.as_str(),
    )
    .execute(tx.connection())
    .await?;
    let now = tx.now();
    // What is offered again must not be deleted on the server before it was looked at.
    let marked = sqlx::query!(
        "/* item_failures::judge_again */ UPDATE remote_items i SET next_attempt_at = $5, delete_wanted = false
         WHERE i.mailbox_id = $1 AND ($3::timestamptz IS NULL OR i.seen_at >= $3)
           AND i.folder IN ('inbox', 'sent') AND i.move_to IS NULL
           AND i.reason IS DISTINCT FROM $7
           AND (i.disposition = 'refused' AND COALESCE(i.reason, '') = COALESCE($2::text, i.reason, '')
                    AND ($2 IS NOT NULL OR i.reason IS DISTINCT FROM $6)
                OR $4 AND i.disposition = 'tracked'
                    AND NOT EXISTS (SELECT 1 FROM emails e WHERE e.id = i.email_id))",
        mailbox.0,
        which.reason,
        which.seen_since,
        which.without_record,
        now,
        DROPPED,
        ERASED,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    if marked > 0 {
        due_at_once(tx, mailbox).await?;
    }
    let detail = json!({ "items": marked, "reason": which.reason, "seen_since": which.seen_since });
    audit::note(tx, actor, "items-judged-again", "mailbox", Some(mailbox.0), detail).await?;
    Ok(marked)
}

/// Fences the lane, as a page does, and then locks the item: in the order in which pages take their locks.
async fn lock(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey) -> Result<Decided> {
    sqlx::query!(
        "/* item_failures::lock */ UPDATE lanes SET version = version + 1, touching = NULLIF(touching, $3)
         WHERE mailbox_id = $1 AND lane = $2",
        mailbox.0,
        Lane::Incoming.as_str(),
        key.as_bytes(),
    )
    .execute(tx.connection())
    .await?;
    let found = sqlx::query!(
        "/* item_failures::lock */ SELECT disposition, reason FROM remote_items
         WHERE mailbox_id = $1 AND remote_key = $2 FOR UPDATE",
        mailbox.0,
        key.as_bytes(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let found = found.map(|item| (item.disposition, item.reason));
    Ok(match found.as_ref().map(|(disposition, reason)| (disposition.as_str(), reason.as_deref())) {
        Some(("quarantined", _)) => Decided::Done,
        Some(("refused", Some(ERASED))) => Decided::Erased,
        Some(("refused", _)) => Decided::NotQuarantined,
        _ => Decided::Missing,
    })
}

/// Ends the alert about the item, and notes who decided.
async fn tell(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey, action: &str, actor: &str) -> Result<()> {
    alerts::resolve_items(tx, items::QUARANTINED, mailbox, [key]).await?;
    let detail = json!({ "item": hex::encode(key.as_bytes()) });
    audit::note(tx, actor, action, "mailbox", Some(mailbox.0), detail).await
}

/// Forgets what was said in words of items that are refused or given up and were seen before `before`, of at most
/// `limit` of them. The items themselves stay known, with the name of their reason: an item that is forgotten would be
/// read again. Returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn forget_details(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "/* item_failures::forget_details */ WITH old AS MATERIALIZED (
             SELECT mailbox_id, remote_key FROM remote_items
             WHERE detail IS NOT NULL AND (disposition = 'refused' OR next_attempt_at IS NULL) AND seen_at < $1
             ORDER BY seen_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE remote_items AS i SET detail = NULL FROM old
         WHERE i.mailbox_id = old.mailbox_id AND i.remote_key = old.remote_key",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
