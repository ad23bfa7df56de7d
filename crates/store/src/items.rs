//! What is known of a mailbox's items on the server: tracked, refused with the reason, or quarantined.

mod moves;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{EmailId, MailboxId},
    remote::{Fingerprint, MailFolder, RemoteKey},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Result, Tx,
    alerts::{self, Subject},
    error::json,
};

pub use moves::{MAX_MOVE_ATTEMPTS, Move, Moved, moved, moves_wanted, note_gone};

/// Code of the alert about an item that is set aside. It is resolved here, when the item is anything else or gone.
pub const QUARANTINED: &str = "ItemQuarantined";

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is a record, or is linked to one.
    Tracked(EmailId),
    /// It was looked at and refused.
    Refused,
    /// It failed; tried again at the given instant, or never.
    Quarantined(Option<DateTime<Utc>>),
}

/// An item to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: RemoteKey,
    /// The key was derived from the header.
    pub weak: bool,
    /// Hash of its header, where it was read.
    pub fingerprint: Option<Fingerprint>,
    /// Announced size.
    pub size_bytes: u64,
    /// Its Message-ID, normalised, where its header was read and it is no record.
    pub message_id: Option<String>,
    /// What became of it.
    pub disposition: Disposition,
    /// Stable name of the reason it was refused or quarantined for.
    pub reason: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// It is to be deleted on the server.
    pub delete_wanted: bool,
    /// The folder it was read in.
    pub folder: MailFolder,
    /// It is to be moved to the folder for what was given up.
    pub move_wanted: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    remote_key: String,
    weak: bool,
    fingerprint: Option<String>,
    size_bytes: u64,
    message_id: Option<&'a str>,
    disposition: &'static str,
    reason: Option<&'a str>,
    detail: Option<&'a str>,
    email_id: Option<Uuid>,
    delete_wanted: bool,
    next_attempt_at: Option<DateTime<Utc>>,
    folder: &'static str,
    move_to: Option<&'static str>,
}

/// How many items of a folder are known.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn count(tx: &mut Tx, mailbox: MailboxId, folder: MailFolder) -> Result<u64> {
    let count = sqlx::query_scalar!(
        "/* items::count */ SELECT count(*) AS \"count!\" FROM remote_items WHERE mailbox_id = $1 AND folder = $2",
        mailbox.0,
        folder.as_str(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(count.unsigned_abs())
}

/// For each key, whether it is known. An item that is due once more, because it failed or is to be judged again, counts
/// as unknown, so that it is offered again; so does one that had left its folder.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn contains(tx: &mut Tx, mailbox: MailboxId, keys: &[RemoteKey]) -> Result<Vec<bool>> {
    let bytes: Vec<_> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
    let now = tx.now();
    Ok(sqlx::query_scalar!(
        "/* items::contains */ SELECT (i.remote_key IS NOT NULL
             AND NOT COALESCE(i.next_attempt_at <= $3, false) AND i.folder <> 'elsewhere')
             AS \"known!\"
         FROM unnest($2::bytea[]) WITH ORDINALITY AS k(remote_key, place)
         LEFT JOIN remote_items i ON i.mailbox_id = $1 AND i.remote_key = k.remote_key
         ORDER BY k.place",
        mailbox.0,
        &bytes,
        now,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// For each fingerprint, the key of a known item of the folder that has it.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn by_fingerprint(
    tx: &mut Tx,
    mailbox: MailboxId,
    folder: MailFolder,
    fingerprints: &[Fingerprint],
) -> Result<Vec<Option<RemoteKey>>> {
    let bytes: Vec<_> = fingerprints.iter().map(|f| f.to_vec()).collect();
    let rows = sqlx::query_scalar!(
        "/* items::by_fingerprint */ SELECT (SELECT i.remote_key FROM remote_items i
             WHERE i.mailbox_id = $1 AND i.fingerprint = f.fingerprint AND i.folder = $3
             ORDER BY i.remote_key LIMIT 1)
         FROM unnest($2::bytea[]) WITH ORDINALITY AS f(fingerprint, place) ORDER BY f.place",
        mailbox.0,
        &bytes,
        folder.as_str(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|key| key.and_then(RemoteKey::new)).collect())
}

/// Known keys of a folder greater than `after`, in order, at most `limit`. Items on their way to another folder are
/// not among them.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn keys_after(
    tx: &mut Tx,
    mailbox: MailboxId,
    folder: MailFolder,
    after: Option<&RemoteKey>,
    limit: i64,
) -> Result<Vec<RemoteKey>> {
    let after = after.map_or(&[][..], RemoteKey::as_bytes);
    let rows = sqlx::query_scalar!(
        "/* items::keys_after */ SELECT remote_key FROM remote_items WHERE mailbox_id = $1 AND remote_key > $2
             AND folder = $4 AND move_to IS NULL
         ORDER BY remote_key LIMIT $3",
        mailbox.0,
        after,
        limit,
        folder.as_str(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().filter_map(RemoteKey::new).collect())
}

/// How often each of these items has failed; unknown ones never.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn attempts(tx: &mut Tx, mailbox: MailboxId, keys: &[RemoteKey]) -> Result<Vec<u32>> {
    let bytes: Vec<_> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
    let rows = sqlx::query_scalar!(
        "/* items::attempts */ SELECT COALESCE(i.attempts, 0) AS \"attempts!\"
         FROM unnest($2::bytea[]) WITH ORDINALITY AS k(remote_key, place)
         LEFT JOIN remote_items i ON i.mailbox_id = $1 AND i.remote_key = k.remote_key ORDER BY k.place",
        mailbox.0,
        &bytes,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(i32::unsigned_abs).collect())
}

/// How often a worker has ended over an item, this time not included.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn deaths(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey) -> Result<u32> {
    let deaths = sqlx::query_scalar!(
        "/* items::deaths */ SELECT deaths FROM remote_items WHERE mailbox_id = $1 AND remote_key = $2",
        mailbox.0,
        key.as_bytes(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(deaths.unwrap_or_default().unsigned_abs())
}

/// Notes that a worker has ended over an item, and when it is read again. Not one of the item's own failed attempts. One
/// that was being judged again is set aside like any other.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note_death(
    tx: &mut Tx,
    mailbox: MailboxId,
    (folder, key): (MailFolder, &RemoteKey),
    (reason, detail): (&str, &str),
    next_attempt_at: DateTime<Utc>,
) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* items::note_death */ INSERT INTO remote_items AS known
             (mailbox_id, remote_key, disposition, reason, detail, deaths, next_attempt_at, seen_at, folder)
         VALUES ($1, $2, 'quarantined', $3, $4, 1, $5, $6, $7)
         ON CONFLICT (mailbox_id, remote_key) DO UPDATE SET deaths = known.deaths + 1, disposition = 'quarantined',
             email_id = NULL, reason = EXCLUDED.reason, detail = EXCLUDED.detail,
             next_attempt_at = EXCLUDED.next_attempt_at
         WHERE known.disposition = 'quarantined' OR known.next_attempt_at IS NOT NULL",
        mailbox.0,
        key.as_bytes(),
        reason,
        detail,
        next_attempt_at,
        now,
        folder.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Remembers items, in one statement. A quarantined item counts one more attempt; about any other the alert ends, and
/// what it cost before is forgotten, as is that it was to be judged again.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn put(tx: &mut Tx, mailbox: MailboxId, items: &[Item]) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let (disposition, email_id, next_attempt_at) = match item.disposition {
                Disposition::Tracked(email) => ("tracked", Some(email.0), None),
                Disposition::Refused => ("refused", None, None),
                Disposition::Quarantined(next) => ("quarantined", None, next),
            };
            Row {
                remote_key: hex::encode(item.key.as_bytes()),
                weak: item.weak,
                fingerprint: item.fingerprint.map(hex::encode),
                size_bytes: item.size_bytes,
                message_id: item.message_id.as_deref(),
                disposition,
                reason: item.reason.as_deref(),
                detail: item.detail.as_deref(),
                email_id,
                delete_wanted: item.delete_wanted,
                next_attempt_at,
                folder: item.folder.as_str(),
                move_to: item.move_wanted.then_some("undeliverable"),
            }
        })
        .collect();
    let rows = json("remote_items", &rows)?;
    let healed = items.iter().filter(|item| !matches!(item.disposition, Disposition::Quarantined(_)));
    let healed: Vec<_> = healed.map(|item| Subject::Item(mailbox, &item.key).key(QUARANTINED)).collect();
    let now = tx.now();
    sqlx::query!(
        "/* items::put */ WITH healed AS (
             UPDATE alerts SET resolved_at = $3 WHERE key = ANY($4) AND resolved_at IS NULL)
         INSERT INTO remote_items AS known (mailbox_id, remote_key, weak, fingerprint, size_bytes,
             message_id, disposition, reason, detail, email_id, delete_wanted, attempts, next_attempt_at, folder, move_to,
             seen_at)
         SELECT $1, decode(r.remote_key, 'hex'), r.weak, decode(r.fingerprint, 'hex'), r.size_bytes, r.message_id,
             r.disposition, r.reason, r.detail, r.email_id, r.delete_wanted,
             CASE WHEN r.disposition = 'quarantined' THEN 1 ELSE 0 END, r.next_attempt_at, r.folder, r.move_to, $3
         FROM jsonb_to_recordset($2) AS r(remote_key text, weak boolean, fingerprint text, size_bytes bigint,
             message_id text, disposition text, reason text, detail text, email_id uuid, delete_wanted boolean,
             next_attempt_at timestamptz, folder text, move_to text)
         ON CONFLICT (mailbox_id, remote_key) DO UPDATE SET
             fingerprint = COALESCE(EXCLUDED.fingerprint, known.fingerprint), size_bytes = EXCLUDED.size_bytes,
             message_id = CASE WHEN EXCLUDED.disposition = 'tracked' THEN NULL
                 ELSE COALESCE(EXCLUDED.message_id, known.message_id) END,
             disposition = EXCLUDED.disposition, reason = EXCLUDED.reason, detail = EXCLUDED.detail,
             email_id = EXCLUDED.email_id, delete_wanted = EXCLUDED.delete_wanted,
             attempts = CASE WHEN EXCLUDED.disposition = 'quarantined' THEN known.attempts + 1 ELSE 0 END,
             deaths = CASE WHEN EXCLUDED.disposition = 'quarantined' THEN known.deaths ELSE 0 END,
             next_attempt_at = EXCLUDED.next_attempt_at, absent_listings = 0, folder = EXCLUDED.folder,
             move_to = EXCLUDED.move_to, move_attempts = 0",
        mailbox.0,
        rows,
        now,
        &healed,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives known items their new keys (old, new). What was set aside under a new key was the same item, not recognised
/// then.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn rekey(tx: &mut Tx, mailbox: MailboxId, pairs: &[(RemoteKey, RemoteKey)]) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let old: Vec<_> = pairs.iter().map(|(old, _)| old.as_bytes().to_vec()).collect();
    let new: Vec<_> = pairs.iter().map(|(_, new)| new.as_bytes().to_vec()).collect();
    let replaced = sqlx::query_scalar!(
        "/* items::rekey */ DELETE FROM remote_items i USING unnest($2::bytea[], $3::bytea[]) AS p(old, new)
         WHERE i.mailbox_id = $1 AND i.remote_key = p.new AND i.disposition = 'quarantined'
           AND EXISTS (SELECT 1 FROM remote_items o WHERE o.mailbox_id = $1 AND o.remote_key = p.old)
         RETURNING i.remote_key",
        mailbox.0,
        &old,
        &new,
    )
    .fetch_all(tx.connection())
    .await?;
    let replaced: Vec<_> = replaced.into_iter().filter_map(RemoteKey::new).collect();
    alerts::resolve_items(tx, QUARANTINED, mailbox, &replaced).await?;
    sqlx::query!(
        "/* items::rekey */ WITH pairs AS (SELECT * FROM unnest($2::bytea[], $3::bytea[]) AS p(old, new)), links AS (
             UPDATE email_mailboxes l SET remote_key = p.new FROM pairs p
             WHERE l.remote_key = p.old
               AND (l.via_mailbox_id = $1 OR l.mailbox_id = $1 AND l.via_mailbox_id IS NULL))
         UPDATE remote_items i SET remote_key = p.new, absent_listings = 0 FROM pairs p
         WHERE i.mailbox_id = $1 AND i.remote_key = p.old",
        mailbox.0,
        &old,
        &new,
    )
    .execute(tx.connection())
    .await?;
    let alert = |key: &RemoteKey| Subject::Item(mailbox, key).key(QUARANTINED);
    let old: Vec<_> = pairs.iter().map(|(old, _)| alert(old)).collect();
    let new: Vec<_> = pairs.iter().map(|(_, new)| alert(new)).collect();
    sqlx::query!(
        "/* items::rekey */ UPDATE alerts a SET key = p.new
         FROM unnest($1::text[], $2::text[]) AS p(old, new) WHERE a.key = p.old AND a.resolved_at IS NULL",
        &old,
        &new,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes which known items a complete listing of a folder did not show, and that it did show all others. Items missing from two
/// listings in a row are forgotten (their records stay), and with them the alerts about them.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note_absent(tx: &mut Tx, mailbox: MailboxId, folder: MailFolder, absent: &[RemoteKey]) -> Result<()> {
    let bytes: Vec<_> = absent.iter().map(|k| k.as_bytes().to_vec()).collect();
    let gone = sqlx::query!(
        "/* items::note_absent */ DELETE FROM remote_items
         WHERE mailbox_id = $1 AND remote_key = ANY($2) AND absent_listings >= 1
         RETURNING remote_key, disposition = 'quarantined' AS \"was_quarantined!\"",
        mailbox.0,
        &bytes,
    )
    .fetch_all(tx.connection())
    .await?;
    let gone: Vec<_> = gone.into_iter().filter(|r| r.was_quarantined).collect();
    let gone: Vec<_> = gone.into_iter().filter_map(|r| RemoteKey::new(r.remote_key)).collect();
    alerts::resolve_items(tx, QUARANTINED, mailbox, &gone).await?;
    sqlx::query!(
        "/* items::note_absent */ UPDATE remote_items SET
             absent_listings = CASE WHEN remote_key = ANY($2) THEN absent_listings + 1 ELSE 0 END
         WHERE mailbox_id = $1 AND (remote_key = ANY($2) OR absent_listings > 0) AND folder = $3",
        mailbox.0,
        &bytes,
        folder.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Items that are to be deleted on the server, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn deletions_wanted(tx: &mut Tx, mailbox: MailboxId, limit: i64) -> Result<Vec<RemoteKey>> {
    let rows = sqlx::query_scalar!(
        "/* items::deletions_wanted */ SELECT remote_key FROM remote_items WHERE mailbox_id = $1 AND delete_wanted LIMIT $2",
        mailbox.0,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().filter_map(RemoteKey::new).collect())
}

/// Notes that the server has confirmed these deletions.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn deletions_done(tx: &mut Tx, mailbox: MailboxId, keys: &[RemoteKey]) -> Result<()> {
    let bytes: Vec<_> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
    sqlx::query!(
        "/* items::deletions_done */ UPDATE remote_items SET delete_wanted = false
         WHERE mailbox_id = $1 AND remote_key = ANY($2)",
        mailbox.0,
        &bytes,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
