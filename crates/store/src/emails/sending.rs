//! Asking for an email to be sent, calling it off, and deciding what became of it when nobody knows.

use lockstep_model::{
    email::EmailStatus,
    id::{EmailId, MailboxId, UserId},
};
use serde_json::json;

use super::{EmailRecord, drafts};
use crate::{
    Error, Result, Tx,
    alerts::{self, Subject},
    audit,
};

/// The numbers for a sender's next token: the sender's own, from 1, and the message's, from 0. A sender keeps its
/// number as long as its mailbox lives.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn next_token(tx: &mut Tx, mailbox: MailboxId) -> Result<(u64, u64)> {
    // An insert that finds the row there would use up a number.
    let counted = sqlx::query!(
        "/* sending::next_token */ UPDATE token_counters SET last = last + 1 WHERE mailbox_id = $1
         RETURNING number, last",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(row) = counted {
        return Ok((row.number.unsigned_abs(), row.last.unsigned_abs()));
    }
    let row = sqlx::query!(
        "/* sending::next_token */ INSERT INTO token_counters (mailbox_id) VALUES ($1)
         ON CONFLICT (mailbox_id) DO UPDATE SET last = token_counters.last + 1 RETURNING number, last",
        mailbox.0,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok((row.number.unsigned_abs(), row.last.unsigned_abs()))
}

/// What a message is sent under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// The domain its Message-ID is made with.
    pub sender_domain: &'a str,
    /// Its subject, with its token.
    pub subject: &'a str,
    /// The token, where it has one.
    pub token: Option<&'a str>,
    /// Who sends it, where that is not its author.
    pub sender: Option<UserId>,
}

/// Puts an email that was locked, a draft or one that failed, into Pending Send, to each of these addresses once.
/// Message-ID and Date are fixed the first time; who has accepted an earlier attempt is not sent to again. An email that
/// was changed since is another message, with an id and a date of its own, unless somebody has or may have the first
/// one. Attempts are counted from one again, because a person has asked anew. Returns the new version, or `None` when
/// every recipient has accepted already.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn request(
    tx: &mut Tx,
    email: &EmailRecord,
    mailbox: MailboxId,
    heading: &Heading<'_>,
    recipients: &[String],
    actor: &str,
) -> Result<Option<i64>> {
    let (id, now) = (EmailId(email.id), tx.now());
    let first = format!("{id}@{}", heading.sender_domain);
    let another = format!("{}@{}", EmailId::new(), heading.sender_domain);
    let message_id = sqlx::query_scalar!(
        "/* sending::request */ INSERT INTO deliveries
             (email_id, mailbox_id, state, due_at, message_id, dated_at, subject, created_at, updated_at)
         VALUES ($1, $2, 'pending', $3, $4, $3, $5, $3, $3)
         ON CONFLICT (email_id) DO UPDATE SET mailbox_id = EXCLUDED.mailbox_id, state = 'pending', attempt = 0, uncounted = 0,
             due_at = EXCLUDED.due_at, claimed_until = NULL, claims = 0, run_id = NULL, in_flight_at = NULL,
             fault_code = NULL, fault_class = NULL, fault_message = NULL, updated_at = EXCLUDED.updated_at,
             subject = EXCLUDED.subject, edited = false,
             message_id = CASE WHEN deliveries.edited AND NOT deliveries.was_unknown AND NOT EXISTS (
                     SELECT 1 FROM delivery_recipients r WHERE r.email_id = $1 AND r.state = 'accepted')
                 THEN $6 ELSE deliveries.message_id END,
             dated_at = CASE WHEN deliveries.edited AND NOT deliveries.was_unknown AND NOT EXISTS (
                     SELECT 1 FROM delivery_recipients r WHERE r.email_id = $1 AND r.state = 'accepted')
                 THEN EXCLUDED.dated_at ELSE deliveries.dated_at END
         RETURNING message_id",
        id.0,
        mailbox.0,
        now,
        first,
        heading.subject,
        another,
    )
    .fetch_one(tx.connection())
    .await?;
    sqlx::query!(
        "/* sending::request */ DELETE FROM delivery_recipients
         WHERE email_id = $1 AND state <> 'accepted' AND address <> ALL($2::text[])",
        id.0,
        recipients,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* sending::request */ INSERT INTO delivery_recipients (email_id, address)
         SELECT $1, unnest($2::text[])
         ON CONFLICT (email_id, address) DO UPDATE SET state = 'pending', reply = NULL
         WHERE delivery_recipients.state = 'refused'",
        id.0,
        recipients,
    )
    .execute(tx.connection())
    .await?;
    let waiting = sqlx::query_scalar!(
        "/* sending::request */ SELECT count(*) AS \"count!\" FROM delivery_recipients
         WHERE email_id = $1 AND state = 'pending'",
        id.0,
    )
    .fetch_one(tx.connection())
    .await?;
    if waiting == 0 {
        return Ok(None);
    }
    sqlx::query!(
        "/* sending::request */ UPDATE emails SET message_id = $2, tracking_token = COALESCE(tracking_token, $3),
             sender_user_id = $4
         WHERE id = $1",
        id.0,
        message_id,
        heading.token,
        heading.sender.map(|sender| sender.0),
    )
    .execute(tx.connection())
    .await?;
    alerts::resolve(tx, "DeliveryFailed", Subject::Email(id, mailbox)).await?;
    audit::note(tx, actor, "send-requested", "email", Some(id.0), json!({ "recipients": waiting })).await?;
    set_status(tx, id, EmailStatus::PendingSend, actor).await.map(Some)
}

/// Calls off an email that was locked, as was its delivery if it has one. The caller has made sure that no attempt is
/// under way. Returns the new version.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn cancel(tx: &mut Tx, id: EmailId, actor: &str) -> Result<i64> {
    let now = tx.now();
    sqlx::query!(
        "/* sending::cancel */ UPDATE deliveries SET state = 'failed', fault_code = 'Canceled', fault_class = 'refused',
             fault_message = 'called off', claimed_until = NULL, updated_at = $2
         WHERE email_id = $1 AND state IN ('pending', 'retry')",
        id.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    audit::note(tx, actor, "canceled", "email", Some(id.0), json!({})).await?;
    set_status(tx, id, EmailStatus::Canceled, actor).await
}

/// What a person knows of an attempt whose outcome was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was sent.
    Sent,
    /// It was not; it is sent again to whoever has not accepted.
    SendAgain,
    /// It was not; it is given up.
    Failed,
}

/// Ends a delivery in state Unknown that was locked, with its email. Returns the new version.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn resolve(tx: &mut Tx, id: EmailId, mailbox: MailboxId, decision: Decision, actor: &str) -> Result<i64> {
    let now = tx.now();
    let (state, status, word) = match decision {
        Decision::Sent => ("sent", EmailStatus::Sent, "sent"),
        Decision::SendAgain => ("pending", EmailStatus::PendingSend, "send-again"),
        Decision::Failed => ("failed", EmailStatus::Failed, "failed"),
    };
    sqlx::query!(
        "/* sending::resolve */ UPDATE deliveries SET state = $2, due_at = $3, claimed_until = NULL, claims = 0,
             attempt = CASE WHEN $2 = 'pending' THEN 0 ELSE attempt END,
             uncounted = CASE WHEN $2 = 'pending' THEN 0 ELSE uncounted END, run_id = NULL, updated_at = $3
         WHERE email_id = $1 AND state = 'unknown'",
        id.0,
        state,
        now,
    )
    .execute(tx.connection())
    .await?;
    if decision == Decision::Sent {
        sqlx::query!(
            "/* sending::resolve */ UPDATE delivery_recipients SET state = 'accepted'
             WHERE email_id = $1 AND state = 'pending'",
            id.0,
        )
        .execute(tx.connection())
        .await?;
        sqlx::query!(
            "/* sending::resolve */ UPDATE emails SET sent_at = COALESCE(
                 (SELECT in_flight_at FROM deliveries WHERE email_id = $1), $2) WHERE id = $1",
            id.0,
            now,
        )
        .execute(tx.connection())
        .await?;
    }
    alerts::resolve(tx, "OutcomeUnknown", Subject::Email(id, mailbox)).await?;
    audit::note(tx, actor, "delivery-resolved", "email", Some(id.0), json!({ "decision": word })).await?;
    set_status(tx, id, status, actor).await
}

/// The statuses from which a record may come to this one.
pub(crate) fn may_become(next: EmailStatus) -> Vec<String> {
    let before = EmailStatus::ALL.iter().filter(|status| status.may_become(next));
    before.map(|status| status.as_str().to_owned()).collect()
}

async fn set_status(tx: &mut Tx, id: EmailId, status: EmailStatus, actor: &str) -> Result<i64> {
    let done = sqlx::query!(
        "/* sending::set_status */ UPDATE emails SET status = $2 WHERE id = $1 AND status = ANY($3)",
        id.0,
        status.as_str(),
        &may_become(status),
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::Rule { constraint: "emails_status_transition".to_owned() });
    }
    drafts::changed(tx, id, &["status"], actor).await
}
