//! What is known under one Message-ID: records, items that are none, and where else it might be.

use chrono::{DateTime, Utc};
use lockstep_model::id::{MailboxId, UserId};
use uuid::Uuid;

use crate::{Result, Tx};

/// Most emails read under one Message-ID; hostile mail may repeat one any number of times.
const MAX_EMAILS: i64 = 20;
/// Most mailboxes read for one message: newsletters go to many.
const MAX_PLACES: i64 = 50;
/// Most recipients read for one message.
const MAX_RECIPIENTS: i64 = 500;

/// Everything known under one Message-ID.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageFacts {
    /// Records that carry it.
    pub emails: Vec<EmailFacts>,
    /// Items on servers that carry it and are no records.
    pub items: Vec<ItemFacts>,
    /// Where else it might be.
    pub elsewhere: Elsewhere,
}

/// A record with the Message-ID asked for. Without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailFacts {
    /// Identity.
    pub id: Uuid,
    /// `incoming` or `outgoing`.
    pub direction: String,
    /// Its public status.
    pub status: String,
    /// When the record was made.
    pub created_at: DateTime<Utc>,
    /// `user` or `queue`: who accepted it.
    pub accepting_kind: Option<String>,
    /// Name of who accepted it, while there is such a record.
    pub accepting_name: Option<String>,
    /// What they want to be tracked, at present.
    pub accepting_option: Option<String>,
    /// The reader may not read this record, only that it was found in the reader's mailbox.
    pub withheld: bool,
    /// How the email it answers was found.
    pub correlation_method: String,
    /// The email it belongs to.
    pub correlated_email_id: Option<Uuid>,
    /// Files were left out.
    pub attachments_left_out: bool,
    /// A body was cut.
    pub body_truncated: bool,
    /// Why it could not be read as a message.
    pub unparsable: Option<String>,
    /// In which mailboxes it was found.
    pub found_in: Vec<Place>,
    /// How its sending went.
    pub delivery: Option<DeliveryFacts>,
}

/// A mailbox in which something was found, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// Its address.
    pub address: String,
    /// When it was found there.
    pub at: DateTime<Utc>,
}

/// How the sending of an email went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// The mailbox it is sent from.
    pub mailbox_id: Uuid,
    /// Its address.
    pub address: String,
    /// `pending`, `retry`, `sending`, `in-flight`, `unknown`, `sent` or `failed`.
    pub state: String,
    /// Attempts begun.
    pub attempt: i32,
    /// When the next one is due.
    pub due_at: DateTime<Utc>,
    /// A worker has it until then.
    pub claimed_until: Option<DateTime<Utc>>,
    /// Host of the worker that began the last attempt.
    pub worker: Option<String>,
    /// When it began.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the point of no return was passed.
    pub in_flight_at: Option<DateTime<Utc>>,
    /// The server's words when it accepted.
    pub reply: Option<String>,
    /// The last fault.
    pub fault_code: Option<String>,
    /// Its words.
    pub fault_message: Option<String>,
    /// When this was last written.
    pub updated_at: DateTime<Utc>,
    /// How it went with each recipient.
    pub recipients: Vec<RecipientFacts>,
}

/// How the sending to one recipient went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientFacts {
    /// Forward path.
    pub address: String,
    /// `pending`, `accepted` or `refused`.
    pub state: String,
    /// The server's words.
    pub reply: Option<String>,
}

/// An item on a server that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFacts {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// Its address.
    pub address: String,
    /// What the mailbox's owner wants to be tracked, at present; none where it is a forward mailbox.
    pub track_option: Option<String>,
    /// The server's identity of it, in hexadecimal digits.
    pub key: String,
    /// `refused` or `quarantined`.
    pub disposition: String,
    /// Stable name of the reason.
    pub reason: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// How often it has failed.
    pub attempts: i32,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was first seen.
    pub seen_at: DateTime<Utc>,
}

/// How the reading of all mailboxes stands: where a message can be that nobody has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Mailboxes there are.
    pub mailboxes: i64,
    /// Mailboxes that are read.
    pub read: i64,
    /// Mailboxes whose reading a fault has stopped.
    pub stopped: i64,
    /// Mailboxes that wait after a transient fault.
    pub failing: i64,
    /// Mailboxes that are overdue by more than a minute and nobody's.
    pub overdue: i64,
    /// Mailboxes whose address waits for approval, or was rejected.
    pub unapproved: i64,
    /// Mailboxes that got no connection at their last run and wait.
    pub deferred: i64,
    /// Mailboxes that were handed out more than once without a report.
    pub lost: i64,
    /// Servers to which nothing goes at present.
    pub open_breakers: i64,
    /// Items set aside.
    pub quarantined: i64,
}

/// What is known under any of these forms of one Message-ID. Where there is too much, what concerns `mailbox` comes
/// first. With `reader`, only what is in, or goes out from, mailboxes that this user may read; how all mailboxes stand is not
/// told then.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn message(
    tx: &mut Tx,
    message_ids: &[String],
    mailbox: Option<MailboxId>,
    reader: Option<UserId>,
) -> Result<MessageFacts> {
    let mailbox = mailbox.map(|id| id.0);
    let reader = reader.map(|user| user.0);
    let emails = emails(tx, message_ids, mailbox, reader).await?;
    let items = sqlx::query_as!(
        ItemFacts,
        "/* explain::message */ SELECT i.mailbox_id, m.address, encode(i.remote_key, 'hex') AS \"key!\", i.disposition,
             i.reason, i.detail, i.attempts, i.next_attempt_at, i.seen_at,
             COALESCE(u.track_option, q.track_option) AS track_option
         FROM remote_items i JOIN mailboxes m ON m.id = i.mailbox_id
         LEFT JOIN users u ON u.id = m.owner_user_id LEFT JOIN queues q ON q.id = m.owner_queue_id
         WHERE i.message_id = ANY($1::text[]) AND i.disposition <> 'tracked'
           AND ($4::uuid IS NULL OR may_record($4, 'mailbox', i.mailbox_id, 'read'))
         ORDER BY i.mailbox_id IS DISTINCT FROM $2, i.seen_at DESC, i.mailbox_id LIMIT $3",
        message_ids,
        mailbox,
        MAX_PLACES,
        reader,
    )
    .fetch_all(tx.connection())
    .await?;
    let elsewhere = if reader.is_none() { elsewhere(tx).await? } else { Elsewhere::default() };
    Ok(MessageFacts { emails, items, elsewhere })
}

async fn emails(
    tx: &mut Tx,
    message_ids: &[String],
    mailbox: Option<Uuid>,
    reader: Option<Uuid>,
) -> Result<Vec<EmailFacts>> {
    let rows = sqlx::query!(
        "/* explain::emails */ SELECT e.id, e.direction, e.status, e.created_at, e.accepting_kind,
             COALESCE(u.name, q.name) AS accepting_name, e.correlation_method, e.correlated_email_id,
             e.attachments_left_out, e.body_truncated, e.unparsable,
             COALESCE(u.track_option, q.track_option) AS accepting_option,
             NOT ($4::uuid IS NULL OR may_record($4, 'email', e.id, 'read')) AS \"withheld!\"
         FROM emails e
         LEFT JOIN users u ON e.accepting_kind = 'user' AND u.id = e.accepting_id
         LEFT JOIN queues q ON e.accepting_kind = 'queue' AND q.id = e.accepting_id
         WHERE e.message_id = ANY($1::text[]) AND e.status <> 'draft'
           AND ($4::uuid IS NULL
                OR EXISTS (SELECT FROM email_mailboxes l
                           WHERE l.email_id = e.id AND may_record($4, 'mailbox', l.mailbox_id, 'read'))
                OR EXISTS (SELECT FROM deliveries d
                           WHERE d.email_id = e.id AND may_record($4, 'mailbox', d.mailbox_id, 'read')))
         ORDER BY NOT EXISTS (SELECT 1 FROM email_mailboxes l WHERE l.email_id = e.id AND l.mailbox_id = $2), e.id
         LIMIT $3",
        message_ids,
        mailbox,
        MAX_EMAILS,
        reader,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut places = places(tx, &ids, mailbox, reader).await?;
    let mut deliveries = deliveries(tx, &ids, reader).await?;
    let emails = rows.into_iter().map(|row| EmailFacts {
        found_in: places.extract_if(.., |(email, _)| *email == row.id).map(|(_, place)| place).collect(),
        delivery: deliveries.extract_if(.., |(email, _)| *email == row.id).map(|(_, delivery)| delivery).next(),
        id: row.id,
        direction: row.direction,
        status: row.status,
        created_at: row.created_at,
        accepting_kind: row.accepting_kind,
        accepting_name: row.accepting_name,
        accepting_option: row.accepting_option,
        withheld: row.withheld,
        correlation_method: row.correlation_method,
        correlated_email_id: row.correlated_email_id,
        attachments_left_out: row.attachments_left_out,
        body_truncated: row.body_truncated,
        unparsable: row.unparsable,
    });
    Ok(emails.collect())
}

async fn places(
    tx: &mut Tx,
    emails: &[Uuid],
    mailbox: Option<Uuid>,
    reader: Option<Uuid>,
) -> Result<Vec<(Uuid, Place)>> {
    let rows = sqlx::query!(
        "/* explain::places */ SELECT l.email_id, l.mailbox_id, m.address, l.linked_at
         FROM unnest($1::uuid[]) AS e(id)
         CROSS JOIN LATERAL (SELECT * FROM email_mailboxes l WHERE l.email_id = e.id
                               AND ($4::uuid IS NULL OR may_record($4, 'mailbox', l.mailbox_id, 'read'))
                             ORDER BY l.mailbox_id IS DISTINCT FROM $2, l.linked_at, l.mailbox_id LIMIT $3) AS l
         JOIN mailboxes m ON m.id = l.mailbox_id
         ORDER BY l.linked_at, l.mailbox_id",
        emails,
        mailbox,
        MAX_PLACES,
        reader,
    )
    .fetch_all(tx.connection())
    .await?;
    let place =
        rows.into_iter().map(|r| (r.email_id, Place { mailbox_id: r.mailbox_id, address: r.address, at: r.linked_at }));
    Ok(place.collect())
}

async fn deliveries(tx: &mut Tx, emails: &[Uuid], reader: Option<Uuid>) -> Result<Vec<(Uuid, DeliveryFacts)>> {
    let rows = sqlx::query!(
        "/* explain::deliveries */ SELECT d.email_id, d.mailbox_id, m.address, d.state, d.attempt, d.due_at,
             d.claimed_until, d.worker, d.begun_at, d.in_flight_at, d.reply, d.fault_code, d.fault_message, d.updated_at
         FROM deliveries d JOIN mailboxes m ON m.id = d.mailbox_id WHERE d.email_id = ANY($1::uuid[])
           AND ($2::uuid IS NULL OR may_record($2, 'mailbox', d.mailbox_id, 'read'))",
        emails,
        reader,
    )
    .fetch_all(tx.connection())
    .await?;
    let recipients = sqlx::query!(
        "/* explain::deliveries */ SELECT email_id, address, state, reply FROM delivery_recipients
         WHERE email_id = ANY($1::uuid[])
         ORDER BY array_position(ARRAY['refused', 'pending', 'accepted'], state), address LIMIT $2",
        emails,
        MAX_RECIPIENTS,
    )
    .fetch_all(tx.connection())
    .await?;
    let delivery = rows.into_iter().map(|d| {
        let own = recipients.iter().filter(|r| r.email_id == d.email_id).map(|r| RecipientFacts {
            address: r.address.clone(),
            state: r.state.clone(),
            reply: r.reply.clone(),
        });
        let facts = DeliveryFacts {
            mailbox_id: d.mailbox_id,
            address: d.address,
            state: d.state,
            attempt: d.attempt,
            due_at: d.due_at,
            claimed_until: d.claimed_until,
            worker: d.worker,
            begun_at: d.begun_at,
            in_flight_at: d.in_flight_at,
            reply: d.reply,
            fault_code: d.fault_code,
            fault_message: d.fault_message,
            updated_at: d.updated_at,
            recipients: own.collect(),
        };
        (d.email_id, facts)
    });
    Ok(delivery.collect())
}

async fn elsewhere(tx: &mut Tx) -> Result<Elsewhere> {
    let now = tx.now();
    Ok(sqlx::query_as!(
        Elsewhere,
        "/* explain::elsewhere */ SELECT (SELECT count(*) FROM mailboxes) AS \"mailboxes!\",
             count(*) FILTER (WHERE enabled) AS \"read!\",
             count(*) FILTER (WHERE disabled_code IS NOT NULL) AS \"stopped!\",
             count(*) FILTER (WHERE enabled AND transient_failures > 0) AS \"failing!\",
             count(*) FILTER (WHERE enabled AND greatest(due_at, not_before) < $1::timestamptz - interval '1 minute'
                 AND (claimed_until IS NULL OR claimed_until <= $1)) AS \"overdue!\",
             count(*) FILTER (WHERE enabled AND last_outcome = 'deferred' AND not_before > $1) AS \"deferred!\",
             count(*) FILTER (WHERE enabled AND claims > 1) AS \"lost!\",
             (SELECT count(*) FROM mailboxes m LEFT JOIN organisations g ON true
                 WHERE m.address_status IN ('rejected', 'empty') OR m.address_status = 'pending'
                   AND CASE WHEN m.owner_user_id IS NOT NULL THEN COALESCE(g.approve_users, true)
                            WHEN m.owner_queue_id IS NOT NULL THEN COALESCE(g.approve_queues, true)
                            ELSE COALESCE(g.approve_users OR g.approve_queues, true) END) AS \"unapproved!\",
             (SELECT count(*) FROM email_server_profiles WHERE breaker_open_until > $1) AS \"open_breakers!\",
             (SELECT count(*) FROM remote_items WHERE disposition = 'quarantined') AS \"quarantined!\"
         FROM lane_schedules WHERE lane = 'incoming'",
        now,
    )
    .fetch_one(tx.connection())
    .await?)
}
