//! Emails that bear the address of somebody else: what speaks for that at this moment.

use lockstep_model::{
    id::{EmailId, QueueId, UserId},
    mailbox::Owner,
};

use crate::{
    Result, Tx,
    rights::{self, Kind, Privilege},
};

/// Who sends an email that is another's, and what allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnBehalf {
    /// The user who sends.
    pub sender: UserId,
    /// Whose address stands in From.
    pub from: Owner,
    /// The sender holds the privilege to send as the user in From.
    pub privileged: bool,
    /// The user in From is active and agrees.
    pub consents: bool,
    /// The sender may read the queue in From.
    pub reads_queue: bool,
}

/// Who sends this email in somebody else's name; `None` where nobody does. The consent it tells of cannot be withdrawn
/// before the transaction ends. Lock the delivery after this, not before: whoever changes users locks these first.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn of(tx: &mut Tx, email: EmailId) -> Result<Option<OnBehalf>> {
    let row = sqlx::query!(
        "/* on_behalf::of */ SELECT e.sender_user_id AS \"sender!\", m.owner_user_id, m.owner_queue_id
         FROM emails e JOIN deliveries d ON d.email_id = e.id JOIN mailboxes m ON m.id = d.mailbox_id
         WHERE e.id = $1 AND e.sender_user_id IS NOT NULL",
        email.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sender = UserId(row.sender);
    let asked = match (row.owner_user_id, row.owner_queue_id) {
        (Some(user), _) => OnBehalf {
            sender,
            from: Owner::User(UserId(user)),
            consents: consents(tx, UserId(user)).await?,
            privileged: rights::may_record(tx, sender, Kind::User, user, Privilege::SendAsAnother).await?,
            reads_queue: false,
        },
        (None, Some(queue)) => OnBehalf {
            sender,
            from: Owner::Queue(QueueId(queue)),
            consents: false,
            privileged: false,
            reads_queue: rights::may_record(tx, sender, Kind::Queue, queue, Privilege::Read).await?,
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(asked))
}

async fn consents(tx: &mut Tx, user: UserId) -> Result<bool> {
    let agrees = sqlx::query_scalar!(
        "/* on_behalf::consents */ SELECT active AND allow_send_on_behalf AS \"agrees!\" FROM users
         WHERE id = $1 FOR SHARE",
        user.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(agrees.unwrap_or(false))
}
