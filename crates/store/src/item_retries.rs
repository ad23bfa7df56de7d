//! Records and items that are to be looked at again though nothing changes: they could not be written, or wait.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::MailboxId,
    record::{Kind, RecordId},
    remote::RemoteKey,
};
use uuid::Uuid;

use crate::{Result, Tx, links::kind_of};

/// What is looked at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// A record, linked or not.
    Record(Kind, RecordId),
    /// An item that no link knows.
    Item(RemoteKey),
}

/// A failed attempt, or one that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What.
    pub which: Which,
    /// The folder it is in: `contacts`, `tasks` or `calendar`.
    pub folder: &'static str,
    /// When it is tried again; `None`: when either side changes.
    pub next: Option<DateTime<Utc>>,
    /// The code of the alert that tells of it.
    pub code: String,
    /// What went wrong, in words.
    pub message: String,
}

/// What is due in a mailbox, longest due first, at most `limit`; items with the word for their folder.
///
/// # Errors
/// [`crate::Error::Unreadable`] where a row holds what this code does not know.
pub async fn due(tx: &mut Tx, mailbox: MailboxId, limit: i64) -> Result<Vec<(Which, String)>> {
    let now = tx.now();
    let rows = sqlx::query!(
        "/* item_retries::due */ SELECT record_kind, record_id, remote_key, folder FROM item_retries
         WHERE mailbox_id = $1 AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3",
        mailbox.0,
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut due = Vec::new();
    for row in rows {
        let which = match (row.record_kind, row.record_id, row.remote_key.and_then(RemoteKey::new)) {
            (Some(kind), Some(id), _) => Some(Which::Record(kind_of("item_retries", id, &kind)?, RecordId(id))),
            (_, _, Some(key)) => Some(Which::Item(key)),
            _ => None,
        };
        due.extend(which.map(|which| (which, row.folder)));
    }
    Ok(due)
}

/// How often each of these has been tried, in the same order; nought where nothing is noted.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn attempts(tx: &mut Tx, mailbox: MailboxId, of: &[Which]) -> Result<Vec<u32>> {
    let (records, items) = split(of);
    let rows = sqlx::query!(
        "/* item_retries::attempts */ SELECT record_id, remote_key, attempts FROM item_retries
         WHERE mailbox_id = $1 AND (record_id = ANY($2) OR remote_key = ANY($3))",
        mailbox.0,
        &records,
        &items,
    )
    .fetch_all(tx.connection())
    .await?;
    let known = |which: &Which| {
        rows.iter().find(|row| match which {
            Which::Record(_, id) => row.record_id == Some(id.0),
            Which::Item(key) => row.remote_key.as_deref() == Some(key.as_bytes()),
        })
    };
    Ok(of.iter().map(|which| known(which).map_or(0, |row| row.attempts.unsigned_abs())).collect())
}

/// Notes failed attempts, each as one more.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note(tx: &mut Tx, mailbox: MailboxId, failed: &[Failed]) -> Result<()> {
    for one in failed {
        let (kind, record, key) = match &one.which {
            Which::Record(kind, id) => (Some(kind.name()), Some(id.0), None),
            Which::Item(key) => (None, None, Some(key.as_bytes())),
        };
        sqlx::query!(
            "/* item_retries::note */ WITH known AS (
                 UPDATE item_retries SET attempts = attempts + 1, next_attempt_at = $6, code = $7, message = $8
                 WHERE mailbox_id = $1 AND (record_id = $4 OR remote_key = $5) RETURNING 1)
             INSERT INTO item_retries (mailbox_id, folder, record_kind, record_id, remote_key, attempts, next_attempt_at,
                 code, message)
             SELECT $1, $2, $3, $4, $5, 1, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM known)",
            mailbox.0,
            one.folder,
            kind,
            record,
            key,
            one.next,
            one.code,
            one.message,
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// Asks for an item to be taken over at the next look.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn ask(tx: &mut Tx, mailbox: MailboxId, folder: &str, item: &RemoteKey) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* item_retries::ask */ INSERT INTO item_retries (mailbox_id, folder, remote_key, attempts, next_attempt_at, code,
             message)
         VALUES ($1, $2, $3, 0, $4, 'Asked', '')
         ON CONFLICT (mailbox_id, remote_key) DO UPDATE SET next_attempt_at = EXCLUDED.next_attempt_at, attempts = 0",
        mailbox.0,
        folder,
        item.as_bytes(),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets what has succeeded, or is gone. Returns those that had been noted.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn clear(tx: &mut Tx, mailbox: MailboxId, done: &[Which]) -> Result<Vec<Which>> {
    if done.is_empty() {
        return Ok(Vec::new());
    }
    let (records, items) = split(done);
    let cleared = sqlx::query!(
        "/* item_retries::clear */ DELETE FROM item_retries
         WHERE mailbox_id = $1 AND (record_id = ANY($2) OR remote_key = ANY($3))
         RETURNING record_id, remote_key",
        mailbox.0,
        &records,
        &items,
    )
    .fetch_all(tx.connection())
    .await?;
    let was_noted = |which: &&Which| {
        cleared.iter().any(|row| match which {
            Which::Record(_, id) => row.record_id == Some(id.0),
            Which::Item(key) => row.remote_key.as_deref() == Some(key.as_bytes()),
        })
    };
    Ok(done.iter().filter(was_noted).cloned().collect())
}

fn split(which: &[Which]) -> (Vec<Uuid>, Vec<Vec<u8>>) {
    let (mut records, mut items) = (Vec::new(), Vec::new());
    for one in which {
        match one {
            Which::Record(_, id) => records.push(id.0),
            Which::Item(key) => items.push(key.as_bytes().to_vec()),
        }
    }
    (records, items)
}
