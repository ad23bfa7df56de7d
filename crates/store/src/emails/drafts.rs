//! Drafts: outgoing emails while they are written.

use lockstep_model::{
    email::{PartyRole, Regarding},
    id::{AttachmentId, EmailId, UserId},
    mailbox::Owner,
};
use uuid::Uuid;

use super::EmailRecord;
use crate::{
    Result, Tx,
    audit::{self, Written},
    contents::Content,
    feed::Change,
    rights::Ownership,
};

/// Longest chain of Message-IDs kept for References.
const MAX_REFERENCES: usize = 50;

/// Who sends: the mailbox of a user or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    mailbox_id: Uuid,
    name: String,
    address: String,
    address_key: String,
    kind: String,
    record_id: Uuid,
    owner: Ownership,
}

impl Sender {
    /// Whose an email is that is sent from here.
    pub fn owner(&self) -> Ownership {
        self.owner
    }
}

impl Sender {
    /// The same sender of a record that belongs to this user.
    #[must_use]
    pub fn owned_by(self, user: UserId) -> Self {
        Self { owner: Ownership::of_user(user), ..self }
    }

    /// The address it bears.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// What an email answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    email: Option<Uuid>,
    message_ids: Vec<String>,
}

/// A recipient of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// In which list it stands.
    pub role: PartyRole,
    /// Display name.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Its key; `None` when it is no address, which is allowed until the draft is sent.
    pub address_key: Option<String>,
}

/// What a draft holds.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Which other system knows it, and under which id.
    pub origin: Option<(String, String)>,
    /// Who sends.
    pub sender: Sender,
    /// The user who writes it, where that is not its author.
    pub acting: Option<UserId>,
    /// What it answers.
    pub answered: Answered,
    /// Its recipients.
    pub recipients: Vec<Recipient>,
    /// What it is about.
    pub regarding: Option<Regarding>,
    /// Subject.
    pub subject: String,
    /// Text body.
    pub body_text: Option<String>,
    /// HTML body.
    pub body_html: Option<String>,
}

/// A file to be added; its content is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Its bytes.
    pub content: Content,
}

/// The mailbox of `owner`, or `None` when there is no such owner.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sender(tx: &mut Tx, owner: Owner) -> Result<Option<Sender>> {
    let row = sqlx::query!(
        "/* drafts::sender */ SELECT m.id, m.name, m.address, m.address_key,
             COALESCE(m.owner_user_id, q.owner_user_id) AS owner_user_id,
             q.owner_team_id AS \"owner_team_id?\"
         FROM mailboxes m LEFT JOIN queues q ON q.id = m.owner_queue_id
         WHERE $1 IN (m.owner_user_id, m.owner_queue_id) AND ($2 = 'user') = (m.owner_user_id IS NOT NULL)",
        owner.uuid(),
        owner.kind(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Sender {
        mailbox_id: row.id,
        name: row.name,
        address: row.address,
        address_key: row.address_key,
        kind: owner.kind().to_owned(),
        record_id: owner.uuid(),
        owner: Ownership { user: row.owner_user_id, team: row.owner_team_id },
    }))
}

/// The chain of Message-IDs an answer to `email` refers to; `None` when there is no such email.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn answered(tx: &mut Tx, email: EmailId) -> Result<Option<Answered>> {
    let Some(original) = super::get(tx, email).await? else { return Ok(None) };
    let mut message_ids = original.in_reply_to;
    if let Some(id) = original.message_id {
        message_ids.retain(|known| *known != id);
        message_ids.push(id);
    }
    let surplus = message_ids.len().saturating_sub(MAX_REFERENCES);
    message_ids.drain(..surplus);
    Ok(Some(Answered { email: Some(email.0), message_ids }))
}

/// Makes a draft with its files.
///
/// # Errors
/// [`crate::Error::Conflict`] when the external id is taken.
pub async fn create(
    tx: &mut Tx,
    draft: &Draft,
    attachments: &[NewAttachment],
    fields: &[&str],
    actor: &str,
) -> Result<EmailId> {
    let (id, now) = (EmailId::new(), tx.now());
    let (source, external_id) = draft.origin.clone().unzip();
    sqlx::query!(
        "/* drafts::create */ INSERT INTO emails (id, source, external_id, direction, status, created_at, updated_at)
         VALUES ($1, $2, $3, 'outgoing', 'draft', $4, $4)",
        id.0,
        source,
        external_id,
        now,
    )
    .execute(tx.connection())
    .await?;
    write(tx, id, draft).await?;
    for attachment in attachments {
        insert_attachment(tx, id, attachment).await?;
    }
    measure(tx, id).await?;
    audit::record(tx, actor, Written { kind: "email", id: id.0, change: Change::Created, fields, version: 1 }).await?;
    Ok(id)
}

/// Writes a draft that was locked; `fields` are the changed ones. Returns the new version.
///
/// # Errors
/// [`crate::Error::Conflict`] when the external id is taken.
pub async fn save(tx: &mut Tx, id: EmailId, draft: &Draft, fields: &[&str], actor: &str) -> Result<i64> {
    let (source, external_id) = draft.origin.clone().unzip();
    sqlx::query!(
        "/* drafts::save */ UPDATE emails SET source = $2, external_id = $3 WHERE id = $1",
        id.0,
        source,
        external_id,
    )
    .execute(tx.connection())
    .await?;
    write(tx, id, draft).await?;
    measure(tx, id).await?;
    note_edited(tx, id).await?;
    changed(tx, id, fields, actor).await
}

async fn write(tx: &mut Tx, id: EmailId, draft: &Draft) -> Result<()> {
    let Draft { sender, answered, .. } = draft;
    sqlx::query!(
        "/* drafts::write */ UPDATE emails SET subject = $2, in_reply_to = $3, body_text = $4, body_html = $5,
             owner_user_id = $6, from_mailbox_id = $7, parent_email_id = $8, correlated_email_id = $8,
             correlation_method = CASE WHEN $8::uuid IS NULL THEN 'none' ELSE 'in-reply-to' END,
             regarding_kind = $9, regarding_id = $10, owner_team_id = $11,
             sender_user_id = $12
         WHERE id = $1",
        id.0,
        draft.subject,
        &answered.message_ids,
        draft.body_text,
        draft.body_html,
        sender.owner.user,
        sender.mailbox_id,
        answered.email,
        draft.regarding.as_ref().map(|r| r.kind.as_str()),
        draft.regarding.as_ref().map(|r| r.id.as_str()),
        sender.owner.team,
        draft.acting.map(|acting| acting.0),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* drafts::write */ DELETE FROM email_parties WHERE email_id = $1", id.0)
        .execute(tx.connection())
        .await?;
    sqlx::query!(
        "/* drafts::write */ INSERT INTO email_parties
             (email_id, position, role, name, address, address_key, record_kind, record_id)
         VALUES ($1, 0, 'from', $2, $3, $4, $5, $6)",
        id.0,
        sender.name,
        sender.address,
        sender.address_key,
        sender.kind,
        sender.record_id,
    )
    .execute(tx.connection())
    .await?;
    let column = |of: fn(&Recipient) -> String| draft.recipients.iter().map(of).collect::<Vec<_>>();
    let keys: Vec<_> = draft.recipients.iter().map(|r| r.address_key.clone()).collect();
    sqlx::query!(
        "/* drafts::write */ INSERT INTO email_parties
             (email_id, position, role, name, address, address_key, record_kind, record_id)
         SELECT $1, r.position::int, r.role, r.name, r.address, r.address_key, found.kind, found.record_id
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
             AS r(role, name, address, address_key, position)
         LEFT JOIN LATERAL (SELECT a.kind, a.record_id FROM addressees a WHERE a.address_key = r.address_key
             ORDER BY a.active DESC, array_position(ARRAY['user', 'contact', 'account', 'lead', 'queue'], a.kind),
                 a.created_at LIMIT 1) AS found ON true",
        id.0,
        &column(|r| r.role.as_str().to_owned()),
        &column(|r| r.name.clone()),
        &column(|r| r.address.clone()),
        keys.as_slice() as &[Option<String>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds a file to a draft that was locked. Returns its id.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn attach(tx: &mut Tx, id: EmailId, attachment: &NewAttachment, actor: &str) -> Result<AttachmentId> {
    let added = insert_attachment(tx, id, attachment).await?;
    measure(tx, id).await?;
    note_edited(tx, id).await?;
    changed(tx, id, &["attachments"], actor).await?;
    Ok(added)
}

/// Takes a file from a draft that was locked. Returns whether it was there.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn detach(tx: &mut Tx, id: EmailId, attachment: AttachmentId, actor: &str) -> Result<bool> {
    let done = sqlx::query!(
        "/* drafts::detach */ DELETE FROM email_attachments WHERE email_id = $1 AND id = $2",
        id.0,
        attachment.0,
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    measure(tx, id).await?;
    note_edited(tx, id).await?;
    changed(tx, id, &["attachments"], actor).await?;
    Ok(true)
}

async fn insert_attachment(tx: &mut Tx, email: EmailId, attachment: &NewAttachment) -> Result<AttachmentId> {
    let id = AttachmentId::new();
    let size = i64::try_from(attachment.content.size_bytes).unwrap_or(i64::MAX);
    sqlx::query!(
        "/* drafts::insert_attachment */ INSERT INTO email_attachments
             (id, email_id, position, name, media_type, size_bytes, content_digest)
         SELECT $1, $2, COALESCE((SELECT max(position) + 1 FROM email_attachments WHERE email_id = $2), 0),
             $3, $4, $5, $6",
        id.0,
        email.0,
        attachment.name,
        attachment.media_type,
        size,
        attachment.content.digest.as_slice(),
    )
    .execute(tx.connection())
    .await?;
    Ok(id)
}

/// Sums up what the email weighs.
async fn measure(tx: &mut Tx, id: EmailId) -> Result<()> {
    sqlx::query!(
        "/* drafts::measure */ UPDATE emails SET size_bytes = COALESCE(octet_length(body_text), 0)
             + COALESCE(octet_length(body_html), 0)
             + COALESCE((SELECT sum(size_bytes) FROM email_attachments WHERE email_id = $1), 0)::bigint
         WHERE id = $1",
        id.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// An email that was to be sent before is another message now.
async fn note_edited(tx: &mut Tx, id: EmailId) -> Result<()> {
    sqlx::query!("/* drafts::note_edited */ UPDATE deliveries SET edited = true WHERE email_id = $1", id.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Raises the version and tells of the change.
pub(super) async fn changed(tx: &mut Tx, id: EmailId, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* drafts::changed */ UPDATE emails SET version = version + 1, updated_at = $2 WHERE id = $1 RETURNING version",
        id.0,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    audit::record(tx, actor, Written { kind: "email", id: id.0, change: Change::Updated, fields, version }).await?;
    Ok(version)
}

/// Removes a draft that was locked; the feed keeps a tombstone.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn delete(tx: &mut Tx, draft: &EmailRecord, actor: &str) -> Result<()> {
    sqlx::query!("/* drafts::delete */ DELETE FROM emails WHERE id = $1", draft.id).execute(tx.connection()).await?;
    let version = draft.version + 1;
    audit::record(tx, actor, Written { kind: "email", id: draft.id, change: Change::Deleted, fields: &[], version })
        .await
}
