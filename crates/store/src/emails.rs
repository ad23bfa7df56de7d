//! Emails, as people and programs see them. Writing them is in [`drafts`], asking for them to be sent in [`sending`].

pub mod drafts;
pub mod on_behalf;
pub mod parties;
pub mod refused;
pub mod sending;

use chrono::{DateTime, Utc};
use lockstep_model::id::{AttachmentId, EmailId, MailboxId, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    contents::ContentDigest,
    rights::{self, Kind, Privilege},
};

/// An email without its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailRecord {
    /// Identity.
    pub id: Uuid,
    /// Which other system knows this email.
    pub source: Option<String>,
    /// Under which id.
    pub external_id: Option<String>,
    /// `incoming` or `outgoing`.
    pub direction: String,
    /// One of the eight status reasons ([`lockstep_model::email::EmailStatus`]).
    pub status: String,
    /// Subject.
    pub subject: String,
    /// Message-ID, without angle brackets.
    pub message_id: Option<String>,
    /// Message-IDs it answers, oldest first; the last one is that of the email it answers.
    pub in_reply_to: Vec<String>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was received.
    pub received_at: Option<DateTime<Utc>>,
    /// A body was longer than allowed.
    pub body_truncated: bool,
    /// Attachments were left out.
    pub attachments_left_out: bool,
    /// Its size.
    pub size_bytes: i64,
    /// Whose record it is.
    pub owner_user_id: Option<Uuid>,
    /// Or the team's.
    pub owner_team_id: Option<Uuid>,
    /// The mailbox it is sent from.
    pub from_mailbox_id: Option<Uuid>,
    /// `user` or `queue`: who accepted it.
    pub accepting_kind: Option<String>,
    /// Which one.
    pub accepting_id: Option<Uuid>,
    /// The mailbox it was first read from.
    pub receiving_mailbox_id: Option<Uuid>,
    /// The email it belongs to.
    pub correlated_email_id: Option<Uuid>,
    /// The email it answers.
    pub parent_email_id: Option<Uuid>,
    /// `none`, `in-reply-to` or `tracking-token`.
    pub correlation_method: String,
    /// The token its subject ends with, where it was sent with one.
    pub tracking_token: Option<String>,
    /// Who sends, where the author is another user or a queue.
    pub sender_user_id: Option<Uuid>,
    /// Kind of the record it is about.
    pub regarding_kind: Option<String>,
    /// That record, under the id its own system gave it.
    pub regarding_id: Option<String>,
    /// Why it could not be read as a message; its raw form is kept.
    pub unparsable: Option<String>,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// A mailbox in which an email was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundIn {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The forward mailbox through which it came.
    pub via: Option<MailboxId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A party of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// `from`, `to`, `cc`, `bcc` or `reply-to`.
    pub role: String,
    /// Display name.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Its key, where it is an address.
    pub address_key: Option<String>,
    /// Kind of the record it belongs to.
    pub record_kind: Option<String>,
    /// That record.
    pub record_id: Option<Uuid>,
}

/// A file of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Identity.
    pub id: Uuid,
    /// File name.
    pub name: String,
    /// Media type, as the sender called it.
    pub media_type: String,
    /// Size in bytes.
    pub size_bytes: i64,
    /// Shown inside the body.
    pub inline: bool,
    /// Why its content is not here.
    pub left_out: Option<String>,
}

/// How far an outgoing email has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// Finer than the email's status.
    pub state: String,
    /// Attempts begun.
    pub attempt: i32,
    /// When the next attempt is due.
    pub due_at: DateTime<Utc>,
    /// The server's words when it accepted.
    pub reply: Option<String>,
    /// Code of the last fault.
    pub fault_code: Option<String>,
    /// Its class.
    pub fault_class: Option<String>,
    /// The server's words.
    pub fault_message: Option<String>,
}

/// A recipient of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientStatus {
    /// Forward path.
    pub address: String,
    /// `pending`, `accepted` or `refused`.
    pub state: String,
    /// The server's words.
    pub reply: Option<String>,
}

/// Which emails to list.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// With this id.
    pub id: Option<EmailId>,
    /// Of this direction.
    pub direction: Option<&'a str>,
    /// In this status.
    pub status: Option<&'a str>,
    /// Found in this mailbox, or sent from it.
    pub mailbox: Option<MailboxId>,
    /// With this Message-ID, without angle brackets.
    pub message_id: Option<&'a str>,
    /// That this user may read.
    pub reader: Option<UserId>,
}

/// Emails in order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(tx: &mut Tx, filter: &Filter<'_>, after: Option<Uuid>, limit: i64) -> Result<Vec<EmailRecord>> {
    let near = match filter.reader {
        Some(reader) => near(tx, reader, filter, after, limit).await?,
        None => None,
    };
    Ok(sqlx::query_as!(
        EmailRecord,
        "/* emails::list */ SELECT id, source, external_id, direction, status, subject, message_id, in_reply_to,
             sent_at, received_at, body_truncated, attachments_left_out, size_bytes, owner_user_id, owner_team_id,
             from_mailbox_id, accepting_kind, accepting_id, receiving_mailbox_id, correlated_email_id, parent_email_id,
             correlation_method, tracking_token, sender_user_id, regarding_kind, regarding_id, unparsable, version,
             created_at, updated_at
         FROM emails
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::text IS NULL OR direction = $2)
           AND ($3::text IS NULL OR status = $3)
           AND ($4::uuid IS NULL OR from_mailbox_id = $4 OR EXISTS (
               SELECT 1 FROM email_mailboxes found WHERE found.email_id = emails.id AND found.mailbox_id = $4))
           AND ($5::text IS NULL OR message_id = $5) AND ($6::uuid IS NULL OR id > $6)
           AND ($8::uuid[] IS NULL OR id = ANY($8))
         ORDER BY id LIMIT $7",
        filter.id.map(|id| id.0),
        filter.direction,
        filter.status,
        filter.mailbox.map(|id| id.0),
        filter.message_id,
        after,
        limit,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The page of a user whose privilege does not reach every email: read owner by owner, each no further than the page.
async fn near(
    tx: &mut Tx,
    reader: UserId,
    filter: &Filter<'_>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Option<Vec<Uuid>>> {
    if rights::may_all(tx, reader, Kind::Email, Privilege::Read).await? {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "/* emails::near */ SELECT e.id AS \"id!\"
         FROM reach($1, 'email', 'read') AS owner
         CROSS JOIN LATERAL (SELECT id FROM emails
             WHERE COALESCE(owner_user_id, owner_team_id) = owner AND ($2::text IS NULL OR direction = $2)
               AND ($3::text IS NULL OR status = $3)
               AND ($4::uuid IS NULL OR from_mailbox_id = $4 OR EXISTS (
                   SELECT 1 FROM email_mailboxes found WHERE found.email_id = emails.id AND found.mailbox_id = $4))
               AND ($5::text IS NULL OR message_id = $5) AND ($6::uuid IS NULL OR id > $6)
             ORDER BY id LIMIT $7) AS e
         ORDER BY e.id LIMIT $7",
        reader.0,
        filter.direction,
        filter.status,
        filter.mailbox.map(|id| id.0),
        filter.message_id,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Some(ids))
}

/// One email.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: EmailId) -> Result<Option<EmailRecord>> {
    Ok(list(tx, &Filter { id: Some(id), ..Filter::default() }, None, 1).await?.pop())
}

/// Like [`get`], locked until the transaction ends. Whoever also needs its delivery locks that first, as workers do.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: EmailId, expected: Option<i64>) -> Result<Option<EmailRecord>> {
    sqlx::query!("/* emails::lock */ SELECT id FROM emails WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|e| e.version))?;
    Ok(found)
}

/// Text and HTML body.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn bodies(tx: &mut Tx, id: EmailId) -> Result<(Option<String>, Option<String>)> {
    let row = sqlx::query!("/* emails::bodies */ SELECT body_text, body_html FROM emails WHERE id = $1", id.0)
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map_or((None, None), |r| (r.body_text, r.body_html)))
}

/// The parties, in order. With `reader`, records that this user may not read are not named.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn parties(tx: &mut Tx, id: EmailId, reader: Option<UserId>) -> Result<Vec<Party>> {
    Ok(sqlx::query_as!(
        Party,
        "/* emails::parties */ SELECT p.role, p.name, p.address, p.address_key,
             CASE WHEN known.open THEN p.record_kind END AS record_kind,
             CASE WHEN known.open THEN p.record_id END AS record_id
         FROM email_parties p CROSS JOIN LATERAL (
             SELECT $2::uuid IS NULL OR may_record($2, p.record_kind, p.record_id, 'read') AS open) AS known
         WHERE p.email_id = $1 ORDER BY p.position",
        id.0,
        reader.map(|user| user.0),
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The files, in order.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn attachments(tx: &mut Tx, id: EmailId) -> Result<Vec<Attachment>> {
    Ok(sqlx::query_as!(
        Attachment,
        "/* emails::attachments */ SELECT id, name, media_type, size_bytes, inline, left_out FROM email_attachments
         WHERE email_id = $1 ORDER BY position",
        id.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// One file, and where its content is.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn attachment(
    tx: &mut Tx,
    email: EmailId,
    id: AttachmentId,
) -> Result<Option<(Attachment, Option<ContentDigest>)>> {
    let row = sqlx::query!(
        "/* emails::attachment */ SELECT id, name, media_type, size_bytes, inline, left_out, content_digest
         FROM email_attachments WHERE email_id = $1 AND id = $2",
        email.0,
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let digest = row.content_digest.map(|digest| {
        ContentDigest::try_from(digest.as_slice())
            .map_err(|_| Error::unreadable("email_attachments", "content_digest", row.id, "no SHA-256 digest"))
    });
    let attachment = Attachment {
        id: row.id,
        name: row.name,
        media_type: row.media_type,
        size_bytes: row.size_bytes,
        inline: row.inline,
        left_out: row.left_out,
    };
    Ok(Some((attachment, digest.transpose()?)))
}

/// How far it has come, when it was to be sent.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delivery(tx: &mut Tx, id: EmailId) -> Result<Option<(DeliveryStatus, Vec<RecipientStatus>)>> {
    let status = sqlx::query_as!(
        DeliveryStatus,
        "/* emails::delivery */ SELECT state, attempt, due_at, reply, fault_code, fault_class, fault_message
         FROM deliveries WHERE email_id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(status) = status else { return Ok(None) };
    let recipients = sqlx::query_as!(
        RecipientStatus,
        "/* emails::delivery */ SELECT address, state, reply FROM delivery_recipients WHERE email_id = $1
         ORDER BY address",
        id.0,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Some((status, recipients)))
}

/// In which mailboxes it was found, and when. With `reader`, mailboxes that this user may not read are left out.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn found_in(tx: &mut Tx, id: EmailId, reader: Option<UserId>) -> Result<Vec<FoundIn>> {
    let rows = sqlx::query!(
        "/* emails::found_in */ SELECT mailbox_id, via_mailbox_id, linked_at
         FROM email_mailboxes
         WHERE email_id = $1 AND ($2::uuid IS NULL OR may_record($2, 'mailbox', mailbox_id, 'read'))
         ORDER BY linked_at, mailbox_id",
        id.0,
        reader.map(|user| user.0),
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|row| FoundIn {
        mailbox: MailboxId(row.mailbox_id),
        via: row.via_mailbox_id.map(MailboxId),
        at: row.linked_at,
    });
    Ok(found.collect())
}
