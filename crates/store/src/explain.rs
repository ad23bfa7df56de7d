//! What is known of one mailbox or one message, read at once, so that somebody can be told why mail is where it is.
//! Facts only: what they mean is judged elsewhere.

use chrono::{DateTime, Utc};
use lockstep_model::id::MailboxId;
use uuid::Uuid;

use crate::{
    Result, Tx,
    mailboxes::{
        MailboxRecord,
        status::{self, LaneStatus},
    },
};

/// Most alerts read for one mailbox.
const MAX_ALERTS: i64 = 50;
/// Most emails read under one Message-ID; hostile mail may repeat one any number of times.
const MAX_EMAILS: i64 = 20;
/// Most mailboxes read for one message: newsletters go to many.
const MAX_PLACES: i64 = 50;
/// Most recipients read for one message.
const MAX_RECIPIENTS: i64 = 500;

/// Everything that decides whether a mailbox is served.
#[derive(Clone, Debug, PartialEq)]
pub struct MailboxFacts {
    /// The record.
    pub mailbox: MailboxRecord,
    /// Whose it is.
    pub owner: Option<OwnerFacts>,
    /// How its server is reached.
    pub profile: Option<ProfileFacts>,
    /// The organisation wants addresses of this kind of owner approved.
    pub approval_required: bool,
    /// The organisation has email processed by the Email Router, and nothing from here (E1).
    pub router: bool,
    /// Reading email, as it is scheduled; none before the mailbox had a profile.
    pub incoming: Option<LaneStatus>,
    /// Open alerts of the mailbox and of its profile; those about single items last.
    pub alerts: Vec<OpenAlert>,
    /// Items set aside.
    pub quarantine: Quarantine,
    /// Emails waiting to be sent.
    pub outbox: Outbox,
    /// Which roles have been heard of, and when last.
    pub roles: Vec<RoleSeen>,
}

/// The user or queue a mailbox belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFacts {
    /// `user` or `queue`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it is in use.
    pub active: bool,
    /// What it wants to be tracked.
    pub track_option: String,
}

/// The profile of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFacts {
    /// Identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Inactive profiles serve no mailbox.
    pub active: bool,
    /// Faults of the server in a row.
    pub breaker_failures: i32,
    /// Until when nothing goes there; in the past: one probe at a time.
    pub breaker_open_until: Option<DateTime<Utc>>,
    /// Mailboxes are not polled closer than this.
    pub min_polling_minutes: i32,
    /// Mail received before is not processed.
    pub process_emails_from: Option<DateTime<Utc>>,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// Stable name.
    pub code: String,
    /// `error`, `warning` or `information`.
    pub severity: String,
    /// `item`, `mailbox` or `profile`.
    pub scope: String,
    /// `incoming`, `outgoing`, `act` or `listing`, where it is about one part of a mailbox's work.
    pub part: Option<String>,
    /// How often it was raised.
    pub occurrences: i64,
    /// When first.
    pub first_at: DateTime<Utc>,
}

/// Items of a mailbox that are set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// How many.
    pub items: i64,
    /// How many of them are not tried again by themselves.
    pub given_up: i64,
    /// When the next one is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// Emails of a mailbox that wait to be sent, or are being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Waiting for an attempt, the first or another.
    pub waiting: i64,
    /// In the middle of an attempt.
    pub sending: i64,
    /// When the first attempt that waits was or is due.
    pub due_at: Option<DateTime<Utc>>,
}

/// A role of which at least one process was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSeen {
    /// Its name, such as `scheduler`.
    pub role: String,
    /// When one of its processes was last heard of.
    pub seen_at: DateTime<Utc>,
}

/// What is known of one mailbox. `None` when there is no such mailbox.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn mailbox(tx: &mut Tx, id: MailboxId) -> Result<Option<MailboxFacts>> {
    let Some(status) = status::get(tx, id).await? else { return Ok(None) };
    let row = sqlx::query!(
        "/* explain::mailbox */ SELECT o.kind AS \"owner_kind?\", o.name AS \"owner_name?\",
             o.active AS \"owner_active?\", o.track_option AS \"track_option?\", p.id AS \"profile_id?\",
             p.name AS \"profile_name?\", p.active AS \"profile_active?\", p.breaker_failures AS \"breaker_failures?\",
             p.breaker_open_until, p.min_polling_minutes AS \"min_polling_minutes?\", p.process_emails_from,
             COALESCE(CASE WHEN m.owner_user_id IS NOT NULL THEN g.approve_users
                           WHEN m.owner_queue_id IS NOT NULL THEN g.approve_queues
                           ELSE g.approve_users OR g.approve_queues END, true)
                 AS \"approval_required!\", COALESCE(g.process_email_using = 'email-router', false) AS \"router!\"
         FROM mailboxes m
         LEFT JOIN email_server_profiles p ON p.id = m.profile_id
         LEFT JOIN organisations g ON true
         LEFT JOIN LATERAL (SELECT 'user' AS kind, u.name, u.active, u.track_option FROM users u
                                WHERE u.id = m.owner_user_id
                            UNION ALL SELECT 'queue', q.name, q.active, q.track_option FROM queues q
                                WHERE q.id = m.owner_queue_id) AS o ON true
         WHERE m.id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let owner = match (row.owner_kind, row.owner_name, row.owner_active, row.track_option) {
        (Some(kind), Some(name), Some(active), Some(track_option)) => {
            Some(OwnerFacts { kind, name, active, track_option })
        }
        _ => None,
    };
    let profile = match (row.profile_id, row.profile_name) {
        (Some(id), Some(name)) => Some(ProfileFacts {
            id,
            name,
            active: row.profile_active.unwrap_or_default(),
            breaker_failures: row.breaker_failures.unwrap_or_default(),
            breaker_open_until: row.breaker_open_until,
            min_polling_minutes: row.min_polling_minutes.unwrap_or_default(),
            process_emails_from: row.process_emails_from,
        }),
        _ => None,
    };
    Ok(Some(MailboxFacts {
        alerts: alerts(tx, id, profile.as_ref().map(|profile| profile.id)).await?,
        quarantine: quarantine(tx, id).await?,
        outbox: outbox(tx, id).await?,
        roles: roles(tx).await?,
        incoming: status.lanes.into_iter().find(|lane| lane.lane == "incoming"),
        mailbox: status.mailbox,
        approval_required: row.approval_required,
        router: row.router,
        owner,
        profile,
    }))
}

async fn alerts(tx: &mut Tx, mailbox: MailboxId, profile: Option<Uuid>) -> Result<Vec<OpenAlert>> {
    Ok(sqlx::query_as!(
        OpenAlert,
        "/* explain::alerts */ SELECT code, severity, scope,
             CASE WHEN scope = 'mailbox' THEN nullif(split_part(key, '/', 4), '') END AS part, occurrences, first_at
         FROM alerts
         WHERE resolved_at IS NULL AND (mailbox_id = $1 OR (profile_id = $2 AND mailbox_id IS NULL))
         ORDER BY scope = 'item', array_position(ARRAY['error', 'warning', 'information'], severity), id LIMIT $3",
        mailbox.0,
        profile,
        MAX_ALERTS,
    )
    .fetch_all(tx.connection())
    .await?)
}

async fn quarantine(tx: &mut Tx, mailbox: MailboxId) -> Result<Quarantine> {
    Ok(sqlx::query_as!(
        Quarantine,
        "/* explain::quarantine */ SELECT count(*) AS \"items!\",
             count(*) FILTER (WHERE next_attempt_at IS NULL) AS \"given_up!\", min(next_attempt_at) AS next_attempt_at
         FROM remote_items WHERE mailbox_id = $1 AND disposition = 'quarantined'",
        mailbox.0,
    )
    .fetch_one(tx.connection())
    .await?)
}

async fn outbox(tx: &mut Tx, mailbox: MailboxId) -> Result<Outbox> {
    Ok(sqlx::query_as!(
        Outbox,
        "/* explain::outbox */ SELECT count(*) FILTER (WHERE state IN ('pending', 'retry')) AS \"waiting!\",
             count(*) FILTER (WHERE state IN ('sending', 'in-flight')) AS \"sending!\",
             min(due_at) FILTER (WHERE state IN ('pending', 'retry')) AS due_at
         FROM deliveries WHERE mailbox_id = $1 AND state IN ('pending', 'retry', 'sending', 'in-flight')",
        mailbox.0,
    )
    .fetch_one(tx.connection())
    .await?)
}

async fn roles(tx: &mut Tx) -> Result<Vec<RoleSeen>> {
    Ok(sqlx::query_as!(
        RoleSeen,
        "/* explain::roles */ SELECT role, max(seen_at) AS \"seen_at!\" FROM replicas GROUP BY role ORDER BY role",
    )
    .fetch_all(tx.connection())
    .await?)
}

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
    /// Servers to which nothing goes at present.
    pub open_breakers: i64,
    /// Items set aside.
    pub quarantined: i64,
}

/// What is known under any of these forms of one Message-ID. Where there is too much, what concerns `mailbox` comes
/// first.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn message(tx: &mut Tx, message_ids: &[String], mailbox: Option<MailboxId>) -> Result<MessageFacts> {
    let mailbox = mailbox.map(|id| id.0);
    let emails = emails(tx, message_ids, mailbox).await?;
    let items = sqlx::query_as!(
        ItemFacts,
        "/* explain::message */ SELECT i.mailbox_id, m.address, encode(i.remote_key, 'hex') AS \"key!\", i.disposition,
             i.reason, i.detail, i.attempts, i.next_attempt_at, i.seen_at
         FROM remote_items i JOIN mailboxes m ON m.id = i.mailbox_id
         WHERE i.message_id = ANY($1::text[]) AND i.disposition <> 'tracked'
         ORDER BY i.mailbox_id IS DISTINCT FROM $2, i.seen_at DESC, i.mailbox_id LIMIT $3",
        message_ids,
        mailbox,
        MAX_PLACES,
    )
    .fetch_all(tx.connection())
    .await?;
    let elsewhere = elsewhere(tx).await?;
    Ok(MessageFacts { emails, items, elsewhere })
}

async fn emails(tx: &mut Tx, message_ids: &[String], mailbox: Option<Uuid>) -> Result<Vec<EmailFacts>> {
    let rows = sqlx::query!(
        "/* explain::emails */ SELECT e.id, e.direction, e.status, e.created_at, e.accepting_kind,
             COALESCE(u.name, q.name) AS accepting_name, e.correlation_method, e.correlated_email_id,
             e.attachments_left_out, e.body_truncated, e.unparsable
         FROM emails e
         LEFT JOIN users u ON e.accepting_kind = 'user' AND u.id = e.accepting_id
         LEFT JOIN queues q ON e.accepting_kind = 'queue' AND q.id = e.accepting_id
         WHERE e.message_id = ANY($1::text[]) AND e.status <> 'draft'
         ORDER BY NOT EXISTS (SELECT 1 FROM email_mailboxes l WHERE l.email_id = e.id AND l.mailbox_id = $2), e.id
         LIMIT $3",
        message_ids,
        mailbox,
        MAX_EMAILS,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut places = places(tx, &ids, mailbox).await?;
    let mut deliveries = deliveries(tx, &ids).await?;
    let emails = rows.into_iter().map(|row| EmailFacts {
        found_in: places.extract_if(.., |(email, _)| *email == row.id).map(|(_, place)| place).collect(),
        delivery: deliveries.extract_if(.., |(email, _)| *email == row.id).map(|(_, delivery)| delivery).next(),
        id: row.id,
        direction: row.direction,
        status: row.status,
        created_at: row.created_at,
        accepting_kind: row.accepting_kind,
        accepting_name: row.accepting_name,
        correlation_method: row.correlation_method,
        correlated_email_id: row.correlated_email_id,
        attachments_left_out: row.attachments_left_out,
        body_truncated: row.body_truncated,
        unparsable: row.unparsable,
    });
    Ok(emails.collect())
}

async fn places(tx: &mut Tx, emails: &[Uuid], mailbox: Option<Uuid>) -> Result<Vec<(Uuid, Place)>> {
    let rows = sqlx::query!(
        "/* explain::places */ SELECT l.email_id, l.mailbox_id, m.address, l.linked_at
         FROM unnest($1::uuid[]) AS e(id)
         CROSS JOIN LATERAL (SELECT * FROM email_mailboxes l WHERE l.email_id = e.id
                             ORDER BY l.mailbox_id IS DISTINCT FROM $2, l.linked_at, l.mailbox_id LIMIT $3) AS l
         JOIN mailboxes m ON m.id = l.mailbox_id
         ORDER BY l.linked_at, l.mailbox_id",
        emails,
        mailbox,
        MAX_PLACES,
    )
    .fetch_all(tx.connection())
    .await?;
    let place =
        rows.into_iter().map(|r| (r.email_id, Place { mailbox_id: r.mailbox_id, address: r.address, at: r.linked_at }));
    Ok(place.collect())
}

async fn deliveries(tx: &mut Tx, emails: &[Uuid]) -> Result<Vec<(Uuid, DeliveryFacts)>> {
    let rows = sqlx::query!(
        "/* explain::deliveries */ SELECT d.email_id, d.mailbox_id, m.address, d.state, d.attempt, d.due_at,
             d.claimed_until, d.in_flight_at, d.reply, d.fault_code, d.fault_message, d.updated_at
         FROM deliveries d JOIN mailboxes m ON m.id = d.mailbox_id WHERE d.email_id = ANY($1::uuid[])",
        emails,
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
             (SELECT count(*) FROM email_server_profiles WHERE breaker_open_until > $1) AS \"open_breakers!\",
             (SELECT count(*) FROM remote_items WHERE disposition = 'quarantined') AS \"quarantined!\"
         FROM lane_schedules WHERE lane = 'incoming'",
        now,
    )
    .fetch_one(tx.connection())
    .await?)
}
