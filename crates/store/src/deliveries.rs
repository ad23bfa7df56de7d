//! Deliveries: how far each outgoing email has come. Every step compares state and attempt, so that a doubled or
//! late message changes nothing.

pub mod figures;
pub mod health;

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::{
    email::{DeliveryState, EmailStatus, PartyRole},
    fault::Fault,
    id::{EmailId, MailboxId, ProfileId, RunId},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Result, Tx, audit,
    contents::ContentDigest,
    deliveries::health::MOST_PROBES,
    emails::sending::may_become,
    error::word,
    feed::{self, Change},
};

/// Claims due deliveries of mailboxes that may send, oldest first. Attempts that were begun and never told of again
/// (their worker died) are due when their claim ends. Where the server of a profile fails, none of its emails is claimed
/// until its breaker says so, and then one at a time.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn claim(tx: &mut Tx, limit: i64, lifetime: Duration) -> Result<Vec<(EmailId, i32)>> {
    let mut claimed = Vec::new();
    for profile in health::to_probe(tx, limit.min(MOST_PROBES)).await? {
        if let Some(probe) = pick(tx, Some(profile), 1, lifetime).await?.pop() {
            health::note_probe(tx, profile, probe.0).await?;
            claimed.push(probe);
        }
    }
    let left = limit - i64::try_from(claimed.len()).unwrap_or(limit);
    claimed.extend(pick(tx, None, left, lifetime).await?);
    Ok(claimed)
}

/// Claims of everybody whose server is not known to fail; or of this one profile, whose server may be probed.
async fn pick(tx: &mut Tx, probed: Option<ProfileId>, limit: i64, lifetime: Duration) -> Result<Vec<(EmailId, i32)>> {
    let now = tx.now();
    let rows = sqlx::query!(
        "/* deliveries::claim */ WITH picked AS MATERIALIZED (
             SELECT d.email_id FROM deliveries d
             JOIN mailboxes m ON m.id = d.mailbox_id
             JOIN email_server_profiles p ON p.id = m.profile_id
             CROSS JOIN organisations o
             WHERE d.state IN ('pending', 'retry', 'sending', 'in-flight') AND d.due_at <= $1
               AND (d.claimed_until IS NULL OR d.claimed_until <= $1)
               AND ($4::uuid IS NULL AND d.state IN ('sending', 'in-flight')
                    OR d.state IN ('pending', 'retry') AND (o.process_email_using = 'server-side-synchronization'
                    AND CASE WHEN $4 IS NULL THEN NOT EXISTS (SELECT FROM sending_breakers b
                            WHERE b.profile_id = p.id AND b.open_until IS NOT NULL) ELSE p.id = $4 END
                    AND m.active AND p.active AND m.outgoing_method = 'server-side'
                    AND m.outgoing_enabled AND (m.address_status = 'approved'
                      OR (m.owner_user_id IS NOT NULL AND NOT o.approve_users AND m.address_status = 'pending')
                      OR (m.owner_queue_id IS NOT NULL AND NOT o.approve_queues AND m.address_status = 'pending'))))
             ORDER BY d.due_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED)
         UPDATE deliveries AS c SET claims = c.claims + 1,
             claimed_until = $1 + make_interval(secs => $3 * power(2, least(c.claims, 2)))
         FROM picked WHERE c.email_id = picked.email_id
         RETURNING c.email_id, c.attempt",
        now,
        limit,
        lifetime.as_secs_f64(),
        probed.map(|profile| profile.0),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|r| (EmailId(r.email_id), r.attempt + 1)).collect())
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The email.
    pub email: EmailId,
    /// The mailbox it is sent from.
    pub mailbox: MailboxId,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts begun.
    pub attempt: i32,
    /// Those of them that do not count: the server was away, asked for less, or refused the account.
    pub uncounted: i32,
    /// When its first attempt was asked for.
    pub created_at: DateTime<Utc>,
    /// Its Message-ID, without angle brackets; the same at every attempt.
    pub message_id: String,
    /// Its Date header; the same at every attempt.
    pub dated_at: DateTime<Utc>,
}

/// Reads a delivery and locks it until the transaction ends.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn lock(tx: &mut Tx, email: EmailId) -> Result<Option<Delivery>> {
    let row = sqlx::query!(
        "/* deliveries::lock */ SELECT mailbox_id, state, attempt, uncounted, created_at, message_id, dated_at
         FROM deliveries WHERE email_id = $1 FOR UPDATE",
        email.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|r| {
        Ok(Delivery {
            email,
            mailbox: MailboxId(r.mailbox_id),
            state: word("deliveries", "state", email, &r.state)?,
            attempt: r.attempt,
            uncounted: r.uncounted,
            created_at: r.created_at,
            message_id: r.message_id,
            dated_at: r.dated_at,
        })
    })
    .transpose()
}

/// A recipient that has not accepted yet, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Forward path.
    pub address: String,
    /// `pending`, `accepted` or `refused`.
    pub state: String,
}

/// The recipients of a delivery, in a fixed order.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn recipients(tx: &mut Tx, email: EmailId) -> Result<Vec<Recipient>> {
    Ok(sqlx::query_as!(
        Recipient,
        "/* deliveries::recipients */ SELECT address, state FROM delivery_recipients WHERE email_id = $1 ORDER BY address",
        email.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Begins attempt `attempt`: Pending Send becomes Sending. `false`: somebody else has begun it, or it is not to be sent,
/// or not now, because its mailbox or the mailbox's profile is inactive (B1), its mailbox's sending is disabled (M4), or
/// the server fails and another email finds out whether it is back. `worker` is the host that does it.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn begin(
    tx: &mut Tx,
    email: EmailId,
    attempt: i32,
    run: RunId,
    worker: &str,
    lifetime: Duration,
) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* deliveries::begin */ UPDATE deliveries SET state = 'sending', attempt = $2, run_id = $3, in_flight_at = NULL,
             claimed_until = $5, updated_at = $4, begun_at = $4, worker = $6
         WHERE email_id = $1 AND attempt = $2 - 1 AND state IN ('pending', 'retry')
           AND EXISTS (SELECT 1 FROM organisations WHERE process_email_using = 'server-side-synchronization')
           AND EXISTS (SELECT 1 FROM mailboxes m JOIN email_server_profiles p ON p.id = m.profile_id
               WHERE m.id = deliveries.mailbox_id AND m.active AND p.active AND m.outgoing_enabled
                 AND NOT EXISTS (SELECT FROM sending_breakers b WHERE b.profile_id = p.id AND b.open_until IS NOT NULL
                     AND b.probe_email_id IS DISTINCT FROM deliveries.email_id))",
        email.0,
        attempt,
        run.0,
        now,
        now + lifetime,
        worker,
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    set_status(tx, email, EmailStatus::Sending).await?;
    Ok(true)
}

/// Commits the point of no return for this run's attempt. `false`: the attempt is no longer this run's.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn cross(tx: &mut Tx, email: EmailId, attempt: i32, run: RunId) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* deliveries::cross */ UPDATE deliveries SET state = 'in-flight', in_flight_at = $4, updated_at = $4
         WHERE email_id = $1 AND attempt = $2 AND run_id = $3 AND state = 'sending'",
        email.0,
        attempt,
        run.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server has accepted; its own words.
    Sent(String),
    /// Another attempt after this long.
    Retry(Duration, Fault),
    /// Another attempt after this long, and this one does not count.
    Postponed(Duration, Fault),
    /// Given up.
    Failed(Fault),
    /// Nobody knows.
    Unknown(Fault),
}

/// Writes how attempt `attempt` ended. Only from Sending or In flight of the same attempt, or from Unknown to Sent when
/// the very run that was given up has learnt the answer after all; anything else answers `None` and changes nothing.
/// Without a run it is the scheduler's side speaking for a run that has died. Returns the state it has come from.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn end(
    tx: &mut Tx,
    email: EmailId,
    attempt: i32,
    run: Option<RunId>,
    ended: &Ended,
) -> Result<Option<DeliveryState>> {
    let now = tx.now();
    let (state, due_at, reply, fault) = match ended {
        Ended::Sent(reply) => (DeliveryState::Sent, now, Some(reply.as_str()), None),
        Ended::Retry(after, fault) | Ended::Postponed(after, fault) => {
            (DeliveryState::Retry, now + *after, None, Some(fault))
        }
        Ended::Failed(fault) => (DeliveryState::Failed, now, None, Some(fault)),
        Ended::Unknown(fault) => (DeliveryState::Unknown, now, None, Some(fault)),
    };
    let before = sqlx::query_scalar!(
        "/* deliveries::end */ WITH before AS (SELECT state FROM deliveries WHERE email_id = $1 FOR UPDATE)
         UPDATE deliveries AS d SET state = $4, due_at = $5, claimed_until = NULL, claims = 0,
             reply = COALESCE($6, d.reply), fault_code = $7, fault_class = $8, fault_message = $9, updated_at = $10,
             was_unknown = d.was_unknown OR $4 = 'unknown',
             uncounted = d.uncounted + CASE WHEN $11::boolean THEN 1 ELSE 0 END
         FROM before
         WHERE d.email_id = $1 AND d.attempt = $2 AND ($3::uuid IS NULL OR d.run_id = $3)
           AND (d.state IN ('sending', 'in-flight') OR (d.state = 'unknown' AND $4 = 'sent' AND d.run_id = $3))
         RETURNING before.state",
        email.0,
        attempt,
        run.map(|r| r.0),
        state.as_str(),
        due_at,
        reply,
        fault.map(|f| f.code.as_str()),
        fault.map(|f| f.class.as_str()),
        fault.map(|f| f.message.as_str()),
        now,
        matches!(ended, Ended::Postponed(..)),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(before) = before else { return Ok(None) };
    set_status(tx, email, state.status()).await?;
    word("deliveries", "state", email, &before).map(Some)
}

/// Sends an email whose outcome was lost once more, where its profile says so, as long as attempts are left: whoever has
/// accepted is not sent to again, others may get it twice. `attempts` is the most there are, `after` the pause. Returns
/// whether it waits for another attempt now.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn resend_unknown(tx: &mut Tx, email: EmailId, attempts: u32, after: Duration) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* deliveries::resend_unknown */ UPDATE deliveries AS d SET state = 'retry', due_at = $3, claimed_until = NULL,
             claims = 0, run_id = NULL, updated_at = $2
         FROM mailboxes m JOIN email_server_profiles p ON p.id = m.profile_id
         WHERE d.email_id = $1 AND d.state = 'unknown' AND d.attempt - d.uncounted < $4
           AND m.id = d.mailbox_id AND p.resend_unknown",
        email.0,
        now,
        now + after,
        i32::try_from(attempts).unwrap_or(i32::MAX),
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    audit::note(tx, "profile policy", "delivery-resolved", "email", Some(email.0), json!({ "decision": "send-again" }))
        .await?;
    set_status(tx, email, EmailStatus::PendingSend).await?;
    Ok(true)
}

/// Keeps the claim of an attempt that is still under way.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn extend(tx: &mut Tx, email: EmailId, attempt: i32, run: RunId, lifetime: Duration) -> Result<()> {
    let until = tx.now() + lifetime;
    sqlx::query!(
        "/* deliveries::extend */ UPDATE deliveries SET claimed_until = greatest(claimed_until, $4)
         WHERE email_id = $1 AND attempt = $2 AND run_id = $3 AND state IN ('sending', 'in-flight')",
        email.0,
        attempt,
        run.0,
        until,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Moves a delivery that was not begun to a later time; not an attempt.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn defer(tx: &mut Tx, email: EmailId, attempt: i32, after: Duration) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* deliveries::defer */ UPDATE deliveries SET due_at = $3, claimed_until = NULL, claims = 0
         WHERE email_id = $1 AND attempt = $2 - 1 AND state IN ('pending', 'retry')",
        email.0,
        attempt,
        now + after,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes each recipient's own answer; who has accepted stays accepted.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn note_recipients(tx: &mut Tx, email: EmailId, answers: &[(String, &'static str, String)]) -> Result<()> {
    let addresses: Vec<_> = answers.iter().map(|(a, _, _)| a.clone()).collect();
    let states: Vec<_> = answers.iter().map(|(_, s, _)| (*s).to_owned()).collect();
    let replies: Vec<_> = answers.iter().map(|(_, _, r)| r.clone()).collect();
    sqlx::query!(
        "/* deliveries::note_recipients */ UPDATE delivery_recipients AS d SET state = a.state, reply = a.reply
         FROM unnest($2::text[], $3::text[], $4::text[]) AS a(address, state, reply)
         WHERE d.email_id = $1 AND d.address = a.address AND d.state <> 'accepted'",
        email.0,
        &addresses,
        &states,
        &replies,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn set_status(tx: &mut Tx, email: EmailId, status: EmailStatus) -> Result<()> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* deliveries::set_status */ UPDATE emails SET status = $2, version = version + 1, updated_at = $3,
             sent_at = CASE WHEN $2 = 'sent' THEN $3 ELSE sent_at END
         WHERE id = $1 AND status = ANY($4) RETURNING version",
        email.0,
        status.as_str(),
        now,
        &may_become(status),
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(version) = version {
        feed::tell(tx, "email", email.0, Change::Updated, &["status"], version).await?;
    }
    Ok(())
}

/// An outgoing email as it is composed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Subject.
    pub subject: String,
    /// Message-IDs it answers.
    pub in_reply_to: Vec<String>,
    /// Text body.
    pub body_text: Option<String>,
    /// HTML body.
    pub body_html: Option<String>,
    /// Its parties: role, display name, address.
    pub parties: Vec<(PartyRole, String, String)>,
    /// Its files.
    pub attachments: Vec<OutgoingAttachment>,
    /// Name and address of whoever sends it, where that is not the author.
    pub sender: Option<(String, String)>,
    /// Written by the installation itself.
    pub auto_submitted: bool,
    /// A copy is kept in the sender's folder of sent messages, as the organisation chose.
    pub save_copy: bool,
}

/// A file of an outgoing email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingAttachment {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Content-ID.
    pub content_id: Option<String>,
    /// Shown inside the body.
    pub inline: bool,
    /// Its bytes.
    pub content: ContentDigest,
}

/// Reads an outgoing email.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn outgoing(tx: &mut Tx, email: EmailId) -> Result<Option<Outgoing>> {
    let row = sqlx::query!(
        "/* deliveries::outgoing */ SELECT COALESCE(d.subject, e.subject) AS \"subject!\", e.in_reply_to AS \"in_reply_to!\",
             e.body_text, e.body_html, e.auto_submitted AS \"auto_submitted!\", u.name AS \"sender_name?\", u.address AS \"sender_address?\",
             COALESCE((SELECT save_sent_copy FROM organisations), true) AS \"save_copy!\"
         FROM emails e LEFT JOIN deliveries d ON d.email_id = e.id
         LEFT JOIN users u ON u.id = e.sender_user_id AND EXISTS (
             SELECT FROM email_parties p WHERE p.email_id = e.id AND p.role = 'from' AND p.record_kind = 'user')
         WHERE e.id = $1",
        email.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let parties = sqlx::query!(
        "/* deliveries::outgoing */ SELECT role, name, address FROM email_parties WHERE email_id = $1 ORDER BY position",
        email.0,
    )
    .fetch_all(tx.connection())
    .await?
    .into_iter()
    .map(|p| Ok((word("email_parties", "role", email, &p.role)?, p.name, p.address)))
    .collect::<Result<Vec<_>>>()?;
    let attachments = sqlx::query!(
        "/* deliveries::outgoing */ SELECT id, name, media_type, size_bytes, content_id, inline, content_digest AS \"digest!\"
         FROM email_attachments WHERE email_id = $1 AND content_digest IS NOT NULL ORDER BY position",
        email.0,
    )
    .fetch_all(tx.connection())
    .await?
    .into_iter()
    .map(|a| {
        Ok(OutgoingAttachment {
            name: a.name,
            media_type: a.media_type,
            size_bytes: a.size_bytes.unsigned_abs(),
            content_id: a.content_id,
            inline: a.inline,
            content: digest(a.id, &a.digest)?,
        })
    })
    .collect::<Result<Vec<_>>>()?;
    Ok(Some(Outgoing {
        subject: row.subject,
        in_reply_to: row.in_reply_to,
        body_text: row.body_text,
        body_html: row.body_html,
        parties,
        attachments,
        sender: row.sender_name.zip(row.sender_address),
        auto_submitted: row.auto_submitted,
        save_copy: row.save_copy,
    }))
}

fn digest(row: Uuid, bytes: &[u8]) -> Result<ContentDigest> {
    bytes.try_into().map_err(|_| Error::unreadable("email_attachments", "content_digest", row, "not a SHA-256 digest"))
}
