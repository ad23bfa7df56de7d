//! Items that leave the folder they were read in: by themselves, or because what was given up is moved out of the inbox.

use lockstep_model::{id::MailboxId, remote::RemoteKey};
use serde_json::json;

use super::{QUARANTINED, rekey};
use crate::{
    Result, Tx,
    alerts::{self, Subject},
};

/// So often the server may refuse to move an item; then it stays where it is.
pub const MAX_MOVE_ATTEMPTS: i32 = 5;

/// Notes that the server says of these items that they have left their folder, moved or deleted. What waits for another
/// attempt is forgotten, and with it the alert: in whatever folder it is now, it is not read there. What was decided of
/// the others is kept for those who ask. Items that we are moving ourselves stay as they are.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note_gone(tx: &mut Tx, mailbox: MailboxId, gone: &[RemoteKey]) -> Result<()> {
    let bytes: Vec<_> = gone.iter().map(|key| key.as_bytes().to_vec()).collect();
    let forgotten = sqlx::query_scalar!(
        "/* items::note_gone */ DELETE FROM remote_items
         WHERE mailbox_id = $1 AND remote_key = ANY($2) AND disposition = 'quarantined' AND move_to IS NULL
           AND folder IN ('inbox', 'sent')
         RETURNING remote_key",
        mailbox.0,
        &bytes,
    )
    .fetch_all(tx.connection())
    .await?;
    let forgotten: Vec<_> = forgotten.into_iter().filter_map(RemoteKey::new).collect();
    alerts::resolve_items(tx, QUARANTINED, mailbox, &forgotten).await?;
    sqlx::query!(
        "/* items::note_gone */ UPDATE remote_items SET folder = 'elsewhere', next_attempt_at = NULL, absent_listings = 0,
             delete_wanted = false
         WHERE mailbox_id = $1 AND remote_key = ANY($2) AND move_to IS NULL AND folder IN ('inbox', 'sent')",
        mailbox.0,
        &bytes,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A move that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The item.
    pub key: RemoteKey,
    /// Back into the inbox; else to the folder for what was given up.
    pub back: bool,
    /// The server has not confirmed yet that it was moved to that folder; it may have happened all the same.
    pub unconfirmed: bool,
}

/// Moves that are due in a mailbox, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn moves_wanted(tx: &mut Tx, mailbox: MailboxId, limit: i64) -> Result<Vec<Move>> {
    let rows = sqlx::query!(
        "/* items::moves_wanted */ SELECT remote_key, move_to = 'inbox' AS \"back!\", folder <> 'undeliverable' AS \"unconfirmed!\"
         FROM remote_items WHERE mailbox_id = $1 AND move_to IS NOT NULL ORDER BY remote_key LIMIT $2",
        mailbox.0,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let due = rows.into_iter().filter_map(|row| {
        Some(Move { key: RemoteKey::new(row.remote_key)?, back: row.back, unconfirmed: row.unconfirmed })
    });
    Ok(due.collect())
}

/// What came of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is in the folder for what was given up, under this key.
    Filed(RemoteKey),
    /// It is in the inbox again, where it is new under another key.
    Back,
    /// It is nowhere it could be found: somebody has moved or deleted it.
    Nowhere,
    /// The server refused, in these words.
    Refused(String),
}

/// Notes what came of a move.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn moved(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey, how: &Moved) -> Result<()> {
    match how {
        Moved::Filed(now) => {
            rekey(tx, mailbox, &[(key.clone(), now.clone())]).await?;
            sqlx::query!(
                "/* items::moved */ UPDATE remote_items SET folder = 'undeliverable', move_attempts = 0,
                     move_to = NULLIF(move_to, 'undeliverable')
                 WHERE mailbox_id = $1 AND remote_key = $2",
                mailbox.0,
                now.as_bytes(),
            )
            .execute(tx.connection())
            .await?;
            let next = "it was moved to the folder Undeliverable of the mailbox and is not tried again by itself";
            tell(tx, mailbox, now, next).await
        }
        Moved::Back | Moved::Nowhere => {
            sqlx::query!(
                "/* items::moved */ DELETE FROM remote_items WHERE mailbox_id = $1 AND remote_key = $2",
                mailbox.0,
                key.as_bytes(),
            )
            .execute(tx.connection())
            .await?;
            alerts::resolve_items(tx, QUARANTINED, mailbox, std::slice::from_ref(key)).await
        }
        Moved::Refused(words) => {
            let given_up = sqlx::query_scalar!(
                "/* items::moved */ UPDATE remote_items SET move_attempts = move_attempts + 1,
                     move_to = CASE WHEN move_attempts + 1 < $3 THEN move_to END
                 WHERE mailbox_id = $1 AND remote_key = $2 RETURNING move_to IS NULL AS \"given_up!\"",
                mailbox.0,
                key.as_bytes(),
                MAX_MOVE_ATTEMPTS,
            )
            .fetch_optional(tx.connection())
            .await?;
            if given_up == Some(true) {
                let next = format!(
                    "it is not tried again by itself, and stays where it is: the server does not move it ({words})"
                );
                tell(tx, mailbox, key, &next).await?;
            }
            Ok(())
        }
    }
}

/// Says in the alert about an item what follows now.
async fn tell(tx: &mut Tx, mailbox: MailboxId, key: &RemoteKey, next: &str) -> Result<()> {
    let said = json!({ "item": key.to_string(), "next": next });
    sqlx::query!(
        "/* items::moved */ UPDATE alerts SET parameters = parameters || $2 WHERE key = $1 AND resolved_at IS NULL",
        Subject::Item(mailbox, key).key(QUARANTINED),
        said,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
