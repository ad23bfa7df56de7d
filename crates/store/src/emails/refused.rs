//! Recipients who were refused while others accepted: the alert about them, and a draft that goes to them only.

use lockstep_model::id::{EmailId, MailboxId};
use serde_json::json;

use crate::{
    Result, Tx,
    alerts::{self, Severity, Subject},
    audit::{self, Written},
    feed::Change,
};

/// Code of the alert about an email that was sent to some of its recipients only.
pub const PARTLY_REFUSED: &str = "PartlyRefused";

/// What the draft to those who were refused has of the email.
const COPIED: [&str; 5] = ["parties", "subject", "body_text", "body_html", "attachments"];

/// Tells of an email that was sent and that some of its recipients were refused for; nothing where nobody was.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn tell(tx: &mut Tx, email: EmailId, mailbox: MailboxId) -> Result<()> {
    let row = sqlx::query!(
        "/* refused::tell */ SELECT count(*) AS \"recipients!\",
             COALESCE(array_agg(address ORDER BY address) FILTER (WHERE state = 'refused'), '{}') AS \"refused!\"
         FROM delivery_recipients WHERE email_id = $1",
        email.0,
    )
    .fetch_one(tx.connection())
    .await?;
    if row.refused.is_empty() {
        return Ok(());
    }
    let parameters = json!({
        "refused": row.refused.len(),
        "recipients": row.recipients,
        "addresses": row.refused,
    });
    alerts::raise(tx, PARTLY_REFUSED, Severity::Error, Subject::Email(email, mailbox), parameters).await
}

/// Makes a draft like an email that was sent, with its files, to those of its recipients who were refused and to nobody
/// else. The alert about them ends. `None`: nobody was refused.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn copy(tx: &mut Tx, email: EmailId, actor: &str) -> Result<Option<EmailId>> {
    let (id, now) = (EmailId::new(), tx.now());
    let made = sqlx::query_scalar!(
        "/* refused::copy */ INSERT INTO emails (id, direction, status, subject, in_reply_to, body_text, body_html,
             size_bytes, owner_user_id, owner_team_id, sender_user_id, from_mailbox_id, parent_email_id,
             correlated_email_id, correlation_method, regarding_kind, regarding_id, created_at, updated_at)
         SELECT $2, direction, 'draft', subject, in_reply_to, body_text, body_html, size_bytes, owner_user_id,
             owner_team_id, sender_user_id, from_mailbox_id, parent_email_id, correlated_email_id, correlation_method,
             regarding_kind, regarding_id, $3, $3
         FROM emails WHERE id = $1 AND direction = 'outgoing' AND status = 'sent'
             AND EXISTS (SELECT 1 FROM delivery_recipients r WHERE r.email_id = $1 AND r.state = 'refused')
         RETURNING from_mailbox_id",
        email.0,
        id.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(mailbox) = made else { return Ok(None) };
    // A person may stand in several lists, spelled differently: their key tells that it is one address.
    sqlx::query!(
        "/* refused::copy */ INSERT INTO email_parties
             (email_id, position, role, name, address, address_key, record_kind, record_id)
         SELECT $2, p.position, p.role, p.name, p.address, p.address_key, p.record_kind, p.record_id
         FROM email_parties p
         WHERE p.email_id = $1 AND (p.role NOT IN ('to', 'cc', 'bcc') OR EXISTS (
             SELECT 1 FROM email_parties q JOIN delivery_recipients r ON r.email_id = $1 AND r.address = btrim(q.address)
             WHERE q.email_id = $1 AND q.address_key = p.address_key AND r.state = 'refused'))",
        email.0,
        id.0,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* refused::copy */ INSERT INTO email_attachments
             (id, email_id, position, name, media_type, size_bytes, content_digest, content_id, inline, left_out)
         SELECT gen_random_uuid(), $2, position, name, media_type, size_bytes, content_digest, content_id, inline, left_out
         FROM email_attachments WHERE email_id = $1",
        email.0,
        id.0,
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: "email", id: id.0, change: Change::Created, fields: &COPIED, version: 1 };
    audit::record(tx, actor, written).await?;
    if let Some(mailbox) = mailbox {
        alerts::resolve(tx, PARTLY_REFUSED, Subject::Email(email, MailboxId(mailbox))).await?;
    }
    Ok(Some(id))
}
