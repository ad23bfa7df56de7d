//! Incoming email: what a page needs to know before it is planned, and the records it creates, a statement a page.

use chrono::{DateTime, Utc};
use lockstep_model::{
    email::{AutoCreate, CorrelationMethod, Direction, EmailStatus, PartyKind, PartyRole, Regarding},
    id::{AttachmentId, EmailId, MailboxId, UserId},
    mailbox::{Owner, TrackOption},
    remote::RemoteKey,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Result, Tx,
    contents::ContentDigest,
    error::{json, word},
};

/// A record that an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The address.
    pub address_key: String,
    /// What kind of record.
    pub kind: PartyKind,
    /// The record.
    pub record: Uuid,
    /// Who owns it.
    pub owner: Option<UserId>,
    /// Whether it is in use.
    pub active: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// A user's or queue's own choice what becomes a record.
    pub track: Option<TrackOption>,
    /// The user who owns it, where that user may change its own emails, and so own some: an inactive one may not.
    pub active_owner: Option<UserId>,
    /// A user's own choice what an unknown sender becomes.
    pub auto_create: AutoCreate,
}

/// Every record that one of these addresses belongs to; at most 101 for one address, because beyond 100 an address
/// counts as unresolved.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn addressees(tx: &mut Tx, keys: &[String]) -> Result<Vec<Addressee>> {
    let rows = sqlx::query!(
        "/* incoming::addressees */ SELECT k.key AS \"key!\", a.kind AS \"kind!\", a.record_id AS \"record_id!\",
             a.owner_user_id, a.active AS \"active!\", a.created_at AS \"created_at!\",
             COALESCE(u.track_option, q.track_option) AS track, o.id AS \"active_owner?\",
             COALESCE(u.auto_create, 'off') AS \"auto_create!\"
         FROM unnest($1::text[]) AS k(key)
         CROSS JOIN LATERAL (SELECT * FROM addressees a WHERE a.address_key = k.key
                             ORDER BY a.created_at, a.record_id LIMIT 101) AS a
         LEFT JOIN users u ON a.kind = 'user' AND u.id = a.record_id
         LEFT JOIN queues q ON a.kind = 'queue' AND q.id = a.record_id
         -- Asked of the few who own what is addressed, never of every user.
         LEFT JOIN LATERAL (SELECT owner.id FROM users owner WHERE owner.id = a.owner_user_id
                            OFFSET 0) AS candidate ON true
         LEFT JOIN LATERAL (SELECT candidate.id WHERE may(candidate.id, 'email', 'write', candidate.id, NULL)) AS o
             ON true",
        keys,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Addressee {
                kind: word("addressees", "kind", r.record_id, &r.kind)?,
                auto_create: word("users", "auto_create", r.record_id, &r.auto_create)?,
                active_owner: r.active_owner.map(UserId),
                track: r.track.map(|t| word("addressees", "track_option", r.record_id, &t)).transpose()?,
                address_key: r.key,
                record: r.record_id,
                owner: r.owner_user_id.map(UserId),
                active: r.active,
                created_at: r.created_at,
            })
        })
        .collect()
}

/// An email that carries one of the Message-IDs asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlated {
    /// The Message-ID.
    pub message_id: String,
    /// The email.
    pub email: EmailId,
    /// Who owns it.
    pub owner: Option<UserId>,
    /// What it is about.
    pub regarding: Option<Regarding>,
    /// It was sent by a user: from here, or with another program.
    pub sent_by_user: bool,
    /// It was written and sent here.
    pub written_here: bool,
}

/// Emails by Message-ID, oldest first; at most ten for one id.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn by_message_id(tx: &mut Tx, message_ids: &[String]) -> Result<Vec<Correlated>> {
    let rows = sqlx::query!(
        "/* incoming::by_message_id */ SELECT k.id AS \"message_id!\", e.id, e.owner_user_id, e.regarding_kind,
             e.regarding_id, (e.direction = 'outgoing' AND m.owner_user_id IS NOT NULL) AS \"sent_by_user!\",
             (e.direction = 'outgoing' AND e.identity IS NULL) AS \"written_here!\"
         FROM unnest($1::text[]) AS k(id)
         CROSS JOIN LATERAL (SELECT * FROM emails e WHERE e.message_id = k.id AND e.status <> 'draft'
                             ORDER BY e.id LIMIT 10) AS e
         LEFT JOIN mailboxes m ON m.id = e.from_mailbox_id
         ORDER BY e.id",
        message_ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|r| Correlated {
        message_id: r.message_id,
        email: EmailId(r.id),
        owner: r.owner_user_id.map(UserId),
        regarding: Regarding::of(r.regarding_kind, r.regarding_id),
        sent_by_user: r.sent_by_user,
        written_here: r.written_here,
    });
    Ok(found.collect())
}

/// An email that was sent with one of the tokens asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokened {
    /// The token.
    pub token: String,
    /// Key of the address it was sent from.
    pub from: String,
    /// Keys of the addresses in its header.
    pub parties: Vec<String>,
    /// The email.
    pub email: Correlated,
}

/// Emails by token, newest first; at most ten for one token, because its number repeats.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn by_token(tx: &mut Tx, tokens: &[String]) -> Result<Vec<Tokened>> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "/* incoming::by_token */ SELECT k.token AS \"token!\", e.id, e.owner_user_id, e.regarding_kind, e.regarding_id,
             COALESCE(e.message_id, '') AS \"message_id!\",
             (m.owner_user_id IS NOT NULL) AS \"sent_by_user!\",
             COALESCE((SELECT min(p.address_key) FROM email_parties p WHERE p.email_id = e.id AND p.role = 'from'),
                 '') AS \"from!\",
             ARRAY(SELECT p.address_key FROM email_parties p
                   WHERE p.email_id = e.id AND p.address_key IS NOT NULL) AS \"parties!\"
         FROM unnest($1::text[]) AS k(token)
         CROSS JOIN LATERAL (SELECT * FROM emails e WHERE e.tracking_token = k.token AND e.status <> 'draft'
                             ORDER BY e.id DESC LIMIT 10) AS e
         LEFT JOIN mailboxes m ON m.id = e.from_mailbox_id
         ORDER BY e.id DESC",
        tokens,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|r| Tokened {
        token: r.token,
        from: r.from,
        parties: r.parties,
        email: Correlated {
            message_id: r.message_id,
            email: EmailId(r.id),
            owner: r.owner_user_id.map(UserId),
            regarding: Regarding::of(r.regarding_kind, r.regarding_id),
            sent_by_user: r.sent_by_user,
            written_here: true,
        },
    });
    Ok(found.collect())
}

/// An email with one of the identities asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SameIdentity {
    /// The identity.
    pub identity: [u8; 32],
    /// Which of the emails with this identity it is.
    pub ordinal: i32,
    /// The email.
    pub email: EmailId,
    /// Which way it went.
    pub direction: Direction,
    /// For one of the receivers asked about, the item through which it is linked to the email, unless that item has left
    /// the folder it was read in.
    pub linked: Option<(MailboxId, RemoteKey)>,
}

/// Emails by identity, by ordinal; several times where several of the receivers are linked to it. Links count that came
/// directly, or all through the same forward mailbox, because only then keys can be compared.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn by_identity(
    tx: &mut Tx,
    receivers: &[MailboxId],
    via: Option<MailboxId>,
    identities: &[[u8; 32]],
) -> Result<Vec<SameIdentity>> {
    let receivers: Vec<_> = receivers.iter().map(|id| id.0).collect();
    let identities: Vec<_> = identities.iter().map(|i| i.to_vec()).collect();
    let rows = sqlx::query!(
        "/* incoming::by_identity */ SELECT e.identity AS \"identity!\", e.identity_ordinal, e.id, e.direction,
             l.mailbox_id AS \"mailbox_id?\", l.remote_key AS \"remote_key?\"
         FROM emails e LEFT JOIN email_mailboxes l ON l.email_id = e.id AND l.mailbox_id = ANY($1)
             AND l.via_mailbox_id IS NOT DISTINCT FROM $3
             AND NOT EXISTS (SELECT FROM remote_items i WHERE i.mailbox_id = COALESCE(l.via_mailbox_id, l.mailbox_id)
                             AND i.remote_key = l.remote_key AND i.folder = 'elsewhere')
         WHERE e.identity = ANY($2) ORDER BY e.identity, e.identity_ordinal",
        &receivers,
        &identities,
        via.map(|id| id.0),
    )
    .fetch_all(tx.connection())
    .await?;
    let mut same = Vec::with_capacity(rows.len());
    for r in rows {
        let Ok(identity) = r.identity.try_into() else { continue };
        same.push(SameIdentity {
            identity,
            ordinal: r.identity_ordinal,
            email: EmailId(r.id),
            direction: word("emails", "direction", r.id, &r.direction)?,
            linked: r.mailbox_id.map(MailboxId).zip(r.remote_key.and_then(RemoteKey::new)),
        });
    }
    Ok(same)
}

/// An email that was found in a mailbox, to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEmail {
    /// Identity of the record.
    pub id: EmailId,
    /// Which way it went: outgoing where it was found among what the mailbox's owner has sent.
    pub direction: Direction,
    /// Subject.
    pub subject: String,
    /// Message-ID, normalised, or its surrogate.
    pub message_id: String,
    /// Normalised ids of the messages it answers.
    pub in_reply_to: Vec<String>,
    /// Its Date header.
    pub sent_at: Option<DateTime<Utc>>,
    /// When the server took it over; not kept of what was sent.
    pub received_at: DateTime<Utc>,
    /// Text body.
    pub body_text: Option<String>,
    /// HTML body.
    pub body_html: Option<String>,
    /// A body was cut.
    pub body_truncated: bool,
    /// Size of the message as received.
    pub size_bytes: u64,
    /// The same message in another mailbox has the same one.
    pub identity: [u8; 32],
    /// Which of the messages that claim this identity.
    pub identity_ordinal: i32,
    /// Who owns the record.
    pub owner: Option<UserId>,
    /// Whose option accepted it.
    pub accepting: Owner,
    /// The mailbox it was read from, or whose owner has forwarded it; of what was sent, the one it was sent from.
    pub mailbox: MailboxId,
    /// The earlier email it belongs to.
    pub correlated: Option<EmailId>,
    /// How that was recognised.
    pub correlation_method: CorrelationMethod,
    /// What it is about, as the earlier email is.
    pub regarding: Option<Regarding>,
    /// The message as received, where it is kept.
    pub raw: Option<ContentDigest>,
    /// Why it could not be parsed.
    pub unparsable: Option<String>,
    /// Who stands in its header.
    pub parties: Vec<NewParty>,
    /// Its files.
    pub attachments: Vec<NewAttachment>,
}

/// A party of an email. An address that belongs to several records is several parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewParty {
    /// In which list.
    pub role: PartyRole,
    /// Display name.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Address as looked up.
    pub address_key: Option<String>,
    /// The record it belongs to.
    pub record: Option<(PartyKind, Uuid)>,
}

/// A file of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Decoded size.
    pub size_bytes: u64,
    /// Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// Shown inside the body.
    pub inline: bool,
    /// Its bytes, or why they were left out.
    pub content: Result<ContentDigest, String>,
}

#[derive(Serialize)]
struct EmailRow<'a> {
    id: Uuid,
    direction: &'static str,
    status: &'static str,
    from_mailbox_id: Option<Uuid>,
    subject: &'a str,
    message_id: &'a str,
    in_reply_to: &'a [String],
    sent_at: Option<DateTime<Utc>>,
    received_at: Option<DateTime<Utc>>,
    body_text: Option<&'a str>,
    body_html: Option<&'a str>,
    body_truncated: bool,
    attachments_left_out: bool,
    size_bytes: u64,
    identity: String,
    identity_ordinal: i32,
    owner_user_id: Option<Uuid>,
    accepting_kind: &'static str,
    accepting_id: Uuid,
    receiving_mailbox_id: Option<Uuid>,
    correlated_email_id: Option<Uuid>,
    correlation_method: &'static str,
    regarding_kind: Option<&'a str>,
    regarding_id: Option<&'a str>,
    raw_digest: Option<String>,
    unparsable: Option<&'a str>,
}

#[derive(Serialize)]
struct PartyRow<'a> {
    email_id: Uuid,
    position: usize,
    role: &'static str,
    name: &'a str,
    address: &'a str,
    address_key: Option<&'a str>,
    record_kind: Option<&'static str>,
    record_id: Option<Uuid>,
}

#[derive(Serialize)]
struct AttachmentRow<'a> {
    id: Uuid,
    email_id: Uuid,
    position: usize,
    name: &'a str,
    media_type: &'a str,
    size_bytes: u64,
    content_digest: Option<String>,
    content_id: Option<&'a str>,
    inline: bool,
    left_out: Option<&'a str>,
}

/// Records emails that were found in mailboxes, with their parties and attachments. What no user owns belongs to the team that answers for the
/// queue that accepted it. `false`: another page has just recorded one of the
/// same identities; roll back and plan again, to link instead.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn insert(tx: &mut Tx, emails: &[NewEmail]) -> Result<bool> {
    if emails.is_empty() {
        return Ok(true);
    }
    let rows: Vec<_> = emails.iter().map(email_row).collect();
    let rows = json("emails", &rows)?;
    let now = tx.now();
    let inserted = sqlx::query!(
        "/* incoming::insert */ INSERT INTO emails (id, direction, status, subject, message_id, in_reply_to, sent_at,
             received_at, body_text, body_html, body_truncated, attachments_left_out, size_bytes, identity,
             identity_ordinal, owner_user_id, accepting_kind, accepting_id, receiving_mailbox_id, correlated_email_id,
             parent_email_id, correlation_method, regarding_kind, regarding_id, raw_digest, unparsable, created_at,
             updated_at, owner_team_id, from_mailbox_id)
         SELECT r.id, r.direction, r.status, r.subject, r.message_id, r.in_reply_to, r.sent_at, r.received_at, r.body_text,
             r.body_html, r.body_truncated, r.attachments_left_out, r.size_bytes, decode(r.identity, 'hex'),
             r.identity_ordinal, r.owner_user_id, r.accepting_kind, r.accepting_id, r.receiving_mailbox_id,
             r.correlated_email_id, CASE WHEN r.correlation_method = 'in-reply-to' THEN r.correlated_email_id END,
             r.correlation_method, r.regarding_kind, r.regarding_id,
             decode(r.raw_digest, 'hex'), r.unparsable, $2, $2,
             CASE WHEN r.owner_user_id IS NULL AND r.accepting_kind = 'queue'
                 THEN (SELECT q.owner_team_id FROM queues q WHERE q.id = r.accepting_id) END,
             r.from_mailbox_id
         FROM jsonb_to_recordset($1) AS r(id uuid, subject text, message_id text, in_reply_to text[],
             sent_at timestamptz, received_at timestamptz, body_text text, body_html text, body_truncated boolean,
             attachments_left_out boolean, size_bytes bigint, identity text, identity_ordinal int, owner_user_id uuid,
             accepting_kind text, accepting_id uuid, receiving_mailbox_id uuid, correlated_email_id uuid,
             correlation_method text, regarding_kind text, regarding_id text, raw_digest text, unparsable text,
             direction text, status text, from_mailbox_id uuid)
         ORDER BY r.identity, r.identity_ordinal
         ON CONFLICT (identity, identity_ordinal) DO NOTHING",
        rows,
        now,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    if inserted != emails.len() as u64 {
        return Ok(false);
    }
    insert_parties(tx, emails).await?;
    insert_attachments(tx, emails).await?;
    Ok(true)
}

fn email_row(email: &NewEmail) -> EmailRow<'_> {
    let sent = email.direction == Direction::Outgoing;
    EmailRow {
        id: email.id.0,
        direction: email.direction.as_str(),
        status: if sent { EmailStatus::Sent } else { EmailStatus::Received }.as_str(),
        from_mailbox_id: sent.then_some(email.mailbox.0),
        subject: &email.subject,
        message_id: &email.message_id,
        in_reply_to: &email.in_reply_to,
        sent_at: email.sent_at,
        received_at: (!sent).then_some(email.received_at),
        body_text: email.body_text.as_deref(),
        body_html: email.body_html.as_deref(),
        body_truncated: email.body_truncated,
        attachments_left_out: email.attachments.iter().any(|a| a.content.is_err()),
        size_bytes: email.size_bytes,
        identity: hex::encode(email.identity),
        identity_ordinal: email.identity_ordinal,
        owner_user_id: email.owner.map(|o| o.0),
        accepting_kind: email.accepting.kind(),
        accepting_id: email.accepting.uuid(),
        receiving_mailbox_id: (!sent).then_some(email.mailbox.0),
        correlated_email_id: email.correlated.map(|e| e.0),
        correlation_method: email.correlation_method.as_str(),
        regarding_kind: email.regarding.as_ref().map(|r| r.kind.as_str()),
        regarding_id: email.regarding.as_ref().map(|r| r.id.as_str()),
        raw_digest: email.raw.map(hex::encode),
        unparsable: email.unparsable.as_deref(),
    }
}

async fn insert_parties(tx: &mut Tx, emails: &[NewEmail]) -> Result<()> {
    let rows: Vec<_> = emails
        .iter()
        .flat_map(|email| {
            email.parties.iter().enumerate().map(|(position, party)| PartyRow {
                email_id: email.id.0,
                position,
                role: party.role.as_str(),
                name: &party.name,
                address: &party.address,
                address_key: party.address_key.as_deref(),
                record_kind: party.record.map(|(kind, _)| kind.as_str()),
                record_id: party.record.map(|(_, id)| id),
            })
        })
        .collect();
    let rows = json("email_parties", &rows)?;
    sqlx::query!(
        "/* incoming::insert_parties */ INSERT INTO email_parties
             (email_id, position, role, name, address, address_key, record_kind, record_id)
         SELECT r.email_id, r.position, r.role, r.name, r.address, r.address_key, r.record_kind, r.record_id
         FROM jsonb_to_recordset($1) AS r(email_id uuid, position int, role text, name text, address text,
             address_key text, record_kind text, record_id uuid)",
        rows,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn insert_attachments(tx: &mut Tx, emails: &[NewEmail]) -> Result<()> {
    let rows: Vec<_> = emails
        .iter()
        .flat_map(|email| {
            email.attachments.iter().enumerate().map(|(position, file)| AttachmentRow {
                id: AttachmentId::new().0,
                email_id: email.id.0,
                position,
                name: &file.name,
                media_type: &file.media_type,
                size_bytes: file.size_bytes,
                content_digest: file.content.as_ref().ok().map(hex::encode),
                content_id: file.content_id.as_deref(),
                inline: file.inline,
                left_out: file.content.as_ref().err().map(String::as_str),
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let rows = json("email_attachments", &rows)?;
    sqlx::query!(
        "/* incoming::insert_attachments */ INSERT INTO email_attachments
             (id, email_id, position, name, media_type, size_bytes, content_digest, content_id, inline, left_out)
         SELECT r.id, r.email_id, r.position, r.name, r.media_type, r.size_bytes, decode(r.content_digest, 'hex'),
             r.content_id, r.inline, r.left_out
         FROM jsonb_to_recordset($1) AS r(id uuid, email_id uuid, position int, name text, media_type text,
             size_bytes bigint, content_digest text, content_id text, inline boolean, left_out text)",
        rows,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// That an email was found in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The email.
    pub email: EmailId,
    /// Whose it is: the mailbox it was read from, or whose owner has forwarded it.
    pub mailbox: MailboxId,
    /// The item, of the mailbox it was read from.
    pub key: RemoteKey,
}

/// Notes in which mailboxes these emails were found, all of them directly, or all through one forward mailbox.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn link(tx: &mut Tx, via: Option<MailboxId>, links: &[Found]) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let emails: Vec<_> = links.iter().map(|found| found.email.0).collect();
    let mailboxes: Vec<_> = links.iter().map(|found| found.mailbox.0).collect();
    let keys: Vec<_> = links.iter().map(|found| found.key.as_bytes().to_vec()).collect();
    let now = tx.now();
    sqlx::query!(
        "/* incoming::link */ INSERT INTO email_mailboxes (email_id, mailbox_id, remote_key, via_mailbox_id, linked_at)
         SELECT l.email_id, l.mailbox_id, l.remote_key, $4, $5
         FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS l(email_id, mailbox_id, remote_key)
         ORDER BY l.email_id, l.mailbox_id
         ON CONFLICT (email_id, mailbox_id)
         DO UPDATE SET remote_key = EXCLUDED.remote_key, via_mailbox_id = EXCLUDED.via_mailbox_id",
        &emails,
        &mailboxes,
        &keys,
        via.map(|id| id.0),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Tells the feed of newly recorded emails, in one statement.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn tell_created(tx: &mut Tx, emails: &[EmailId]) -> Result<()> {
    let ids: Vec<_> = emails.iter().map(|e| e.0).collect();
    let now = tx.now();
    sqlx::query!(
        "/* incoming::tell_created */ INSERT INTO feed_entries (record_kind, record_id, change, record_version, changed_at)
         SELECT 'email', id, 'created', 1, $2 FROM unnest($1::uuid[]) AS e(id) ORDER BY id",
        &ids,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
