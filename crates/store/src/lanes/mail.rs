//! What people chose about the email of a mailbox beyond its inbox, and where its folder of sent mail stands.

use lockstep_model::{
    id::MailboxId,
    remote::{Cursor, MailFolder, RemoteKey},
};

use super::Run;
use crate::{Result, Tx};

/// What a run needs to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// What the owner sent with another program becomes records too.
    pub auto_track_sent_items: bool,
    /// Messages that rights management restricts become none.
    pub restrict_rights_managed: bool,
    /// What was given up is moved out of the inbox.
    pub move_undeliverable: bool,
    /// The folder it was moved to the last time.
    pub undeliverable_folder: Option<RemoteKey>,
    /// Where the listing of sent mail stands.
    pub sent_cursor: Cursor,
    /// An item among the sent mail is due once more.
    pub sent_due: bool,
    /// The folder of the item that a cautious run before this one was about to touch.
    pub touching_folder: MailFolder,
    /// Items wait for being moved.
    pub moves_wanted: bool,
}

impl Run {
    /// Where the listing of the folder stands that is being read.
    pub fn place(&self) -> &Cursor {
        match self.folder {
            MailFolder::Inbox => &self.cursor,
            MailFolder::Sent => &self.mail.sent_cursor,
        }
    }

    /// The same, to be moved on.
    pub fn place_mut(&mut self) -> &mut Cursor {
        match self.folder {
            MailFolder::Inbox => &mut self.cursor,
            MailFolder::Sent => &mut self.mail.sent_cursor,
        }
    }
}

/// Reads it. A mailbox that is gone has chosen nothing.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(super) async fn mail(tx: &mut Tx, mailbox: MailboxId) -> Result<Mail> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* lanes::mail */ SELECT o.auto_track_sent_items, o.restrict_rights_managed, p.move_undeliverable,
             m.undeliverable_folder, l.sent_cursor, l.touching_folder = 'sent' AS \"touching_sent!\",
             EXISTS (SELECT FROM remote_items i WHERE i.mailbox_id = m.id AND i.folder = 'sent'
                     AND i.next_attempt_at <= $2) AS \"sent_due!\",
             EXISTS (SELECT FROM remote_items i WHERE i.mailbox_id = m.id AND i.move_to IS NOT NULL)
                 AS \"moves_wanted!\"
         FROM mailboxes m
         JOIN email_server_profiles p ON p.id = m.profile_id
         JOIN lanes l ON l.mailbox_id = m.id AND l.lane = 'incoming'
         CROSS JOIN organisations o WHERE m.id = $1",
        mailbox.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Mail::default()) };
    Ok(Mail {
        auto_track_sent_items: row.auto_track_sent_items,
        restrict_rights_managed: row.restrict_rights_managed,
        move_undeliverable: row.move_undeliverable,
        undeliverable_folder: row.undeliverable_folder.and_then(RemoteKey::new),
        sent_cursor: Cursor(row.sent_cursor),
        sent_due: row.sent_due,
        touching_folder: if row.touching_sent { MailFolder::Sent } else { MailFolder::Inbox },
        moves_wanted: row.moves_wanted,
    })
}

/// Stores how far the folder of sent mail was read. Call it under the fence of the incoming lane.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sent_up_to(tx: &mut Tx, mailbox: MailboxId, cursor: &Cursor) -> Result<()> {
    sqlx::query!(
        "/* lanes::sent_up_to */ UPDATE lanes SET sent_cursor = $2 WHERE mailbox_id = $1 AND lane = 'incoming'",
        mailbox.0,
        cursor.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes in which folder the item lies that a cautious run is about to touch. Call it with [`super::touch`].
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn touch_in(tx: &mut Tx, mailbox: MailboxId, folder: MailFolder) -> Result<()> {
    sqlx::query!(
        "/* lanes::touch_in */ UPDATE lanes SET touching_folder = $2 WHERE mailbox_id = $1 AND lane = 'incoming'",
        mailbox.0,
        folder.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps which folder what was given up is moved to.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn keep_undeliverable_folder(tx: &mut Tx, mailbox: MailboxId, folder: &RemoteKey) -> Result<()> {
    sqlx::query!(
        "/* lanes::keep_undeliverable_folder */ UPDATE mailboxes SET undeliverable_folder = $2
         WHERE id = $1 AND undeliverable_folder IS DISTINCT FROM $2",
        mailbox.0,
        folder.as_bytes(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
