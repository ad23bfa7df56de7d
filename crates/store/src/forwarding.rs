//! Who forwards mail to forward mailboxes, and the news about what did not fit there.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, QueueId, UserId},
    mailbox::{Owner, TrackOption},
};

use crate::{
    Result, Tx, alerts,
    error::word,
    item_failures::{self, JudgedAgain},
};

/// Stable name of the reason of an item of a forward mailbox that does not fit, and of the alert about it.
pub const INVALID: &str = "InvalidForwardMailItem";

/// Forward mailboxes looked at when somebody who forwards changes.
const MAX_FORWARD_MAILBOXES: i64 = 1_000;

/// A user or queue with an address from which mail was forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarder {
    /// Their mailbox.
    pub mailbox: MailboxId,
    /// Who they are.
    pub owner: Owner,
    /// Their address as written.
    pub address: String,
    /// Its key.
    pub address_key: String,
    /// Their choice what becomes a record.
    pub track: TrackOption,
    /// The mailbox is in use.
    pub active: bool,
    /// The address is approved, or need not be.
    pub approved: bool,
    /// Its incoming method is the forward mailbox.
    pub by_forward_mailbox: bool,
    /// Mail they received before this instant is not processed.
    pub process_from: Option<DateTime<Utc>>,
}

/// The users and queues with these addresses.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn forwarders(tx: &mut Tx, keys: &[String]) -> Result<Vec<Forwarder>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "/* forwarding::forwarders */ SELECT m.id, m.owner_user_id, m.owner_queue_id, m.address, m.address_key,
             m.active, m.incoming_method, m.process_email_from, COALESCE(u.track_option, q.track_option) AS \"track!\",
             (m.address_status = 'approved' OR m.address_status = 'pending'
                  AND NOT CASE WHEN u.id IS NOT NULL THEN o.approve_users ELSE o.approve_queues END) AS \"approved!\"
         FROM mailboxes m
         LEFT JOIN users u ON u.id = m.owner_user_id
         LEFT JOIN queues q ON q.id = m.owner_queue_id
         CROSS JOIN organisations o
         WHERE m.address_key = ANY($1) AND NOT m.is_forward_mailbox",
        keys,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for r in rows {
        let user = r.owner_user_id.map(|id| Owner::User(UserId(id)));
        let Some(owner) = user.or(r.owner_queue_id.map(|id| Owner::Queue(QueueId(id)))) else { continue };
        found.push(Forwarder {
            mailbox: MailboxId(r.id),
            owner,
            address: r.address,
            address_key: r.address_key,
            track: word("users", "track_option", r.id, &r.track)?,
            active: r.active,
            approved: r.approved,
            by_forward_mailbox: r.incoming_method == "forward-mailbox",
            process_from: r.process_email_from,
        });
    }
    Ok(found)
}

/// Somebody forwards from now on, or differently: what did not fit in forward mailboxes is judged again, and the alert
/// about the forwarder ends, to be raised again if its cause lasts. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn changed(tx: &mut Tx, forwarder: MailboxId, actor: &str) -> Result<()> {
    fits(tx, &[forwarder]).await?;
    let waiting = sqlx::query_scalar!(
        "/* forwarding::changed */ SELECT m.id FROM mailboxes m
         WHERE m.is_forward_mailbox AND EXISTS (SELECT 1 FROM remote_items i WHERE i.mailbox_id = m.id
             AND i.reason = 'InvalidForwardMailItem' AND i.disposition = 'refused')
         ORDER BY m.id LIMIT $1",
        MAX_FORWARD_MAILBOXES,
    )
    .fetch_all(tx.connection())
    .await?;
    for mailbox in waiting {
        let which = JudgedAgain { reason: Some(INVALID), ..JudgedAgain::default() };
        item_failures::judge_again(tx, MailboxId(mailbox), which, actor).await?;
    }
    Ok(())
}

/// Ends the alerts about these mailboxes: what they forward fits.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn fits(tx: &mut Tx, forwarders: &[MailboxId]) -> Result<()> {
    let keys: Vec<_> = forwarders.iter().map(|id| alerts::Subject::Mailbox(*id).key(INVALID)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "/* forwarding::fits */ UPDATE alerts SET resolved_at = $2 WHERE key = ANY($1) AND resolved_at IS NULL",
        &keys,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends the alert about a forward mailbox in which nothing is left that does not fit.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn settle(tx: &mut Tx, mailbox: MailboxId) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* forwarding::settle */ UPDATE alerts SET resolved_at = $3
         WHERE key = $2 AND resolved_at IS NULL AND NOT EXISTS (SELECT 1 FROM remote_items i
             WHERE i.mailbox_id = $1 AND i.reason = 'InvalidForwardMailItem')",
        mailbox.0,
        alerts::Subject::Mailbox(mailbox).key(INVALID),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
