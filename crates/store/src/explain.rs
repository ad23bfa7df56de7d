//! What is known of one mailbox or one message, read at once, so that somebody can be told why mail is where it is.
//! Facts only: what they mean is judged elsewhere.

mod messages;

use chrono::{DateTime, Utc};
use lockstep_model::id::MailboxId;
use uuid::Uuid;

pub use messages::{DeliveryFacts, Elsewhere, EmailFacts, ItemFacts, MessageFacts, Place, RecipientFacts, message};

use crate::{
    Result, Tx,
    deliveries::figures::SendingStatus,
    mailbox_tests::waiting::TestStatus,
    mailboxes::{
        MailboxRecord,
        status::{self, LaneStatus},
    },
};

/// Most alerts read for one mailbox.
const MAX_ALERTS: i64 = 50;

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
    /// How sending from it goes.
    pub sending: SendingStatus,
    /// The last test that was asked for.
    pub test: Option<TestStatus>,
    /// Connections of the accounts it reads and sends with, as far as the database knows; none without a profile.
    pub permit: Option<Permit>,
    /// What the organisation has decided about received email.
    pub rules: Rules,
    /// The synchronisation filters in force for its user, by kind of record.
    pub filters: Vec<FiltersOfKind>,
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
    /// Faults of the outgoing server in a row.
    pub sending_failures: i32,
    /// Until when nothing is sent through it; in the past: one email at a time.
    pub sending_open_until: Option<DateTime<Utc>>,
    /// Mailboxes are not polled closer than this.
    pub min_polling_minutes: i32,
    /// Mail received before is not processed.
    pub process_emails_from: Option<DateTime<Utc>>,
}

/// Connections of the accounts of a mailbox. They are counted in Redis while they are open; these are the claims and reports
/// of those who open them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Connections at once to one account.
    pub cap: i32,
    /// The mailboxes of the profile share one account to read.
    pub shared: bool,
    /// They send with an account of its own.
    pub sends_apart: bool,
    /// Lanes of the account that are handed out.
    pub claimed: i64,
    /// Those of them whose worker has given a sign of life.
    pub at_work: i64,
    /// Emails that are being sent with the account the mailbox sends with.
    pub sending: i64,
    /// Lanes of the account that got no connection at their last run and wait.
    pub deferred: i64,
    /// Mailbox workers that were heard of in the last minute.
    pub workers: i64,
    /// Runs they do at a time, all together; 0 where none says.
    pub capacity: i64,
}

/// What the organisation has decided about received email.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Answers are recognised by what they refer to.
    pub use_correlation: bool,
    /// In-Reply-To and References are not looked at.
    pub ignore_reply_headers: bool,
    /// Answers are recognised by a token in the subject.
    pub use_tracking_tokens: bool,
    /// Only the owner of the mailbox a message is found in may accept it.
    pub only_receiving_accepts: bool,
}

/// How many synchronisation filters name records of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiltersOfKind {
    /// The kind of record.
    pub record_kind: String,
    /// Filters in force.
    pub filters: i64,
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
             b.failures AS \"sending_failures?\", b.open_until AS sending_open_until,
             COALESCE(CASE WHEN m.owner_user_id IS NOT NULL THEN g.approve_users
                           WHEN m.owner_queue_id IS NOT NULL THEN g.approve_queues
                           ELSE g.approve_users OR g.approve_queues END, true)
                 AS \"approval_required!\", COALESCE(g.process_email_using = 'email-router', false) AS \"router!\",
             COALESCE(g.use_correlation, true) AS \"use_correlation!\",
             COALESCE(g.ignore_reply_headers, false) AS \"ignore_reply_headers!\",
             COALESCE(g.use_tracking_tokens, true) AS \"use_tracking_tokens!\",
             COALESCE(g.only_receiving_mailbox_accepts, false) AS \"only_receiving_accepts!\"
         FROM mailboxes m
         LEFT JOIN email_server_profiles p ON p.id = m.profile_id
         LEFT JOIN sending_breakers b ON b.profile_id = m.profile_id
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
            sending_failures: row.sending_failures.unwrap_or_default(),
            sending_open_until: row.sending_open_until,
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
        permit: permit(tx, id).await?,
        filters: filters(tx, status.mailbox.owner_user_id).await?,
        rules: Rules {
            use_correlation: row.use_correlation,
            ignore_reply_headers: row.ignore_reply_headers,
            use_tracking_tokens: row.use_tracking_tokens,
            only_receiving_accepts: row.only_receiving_accepts,
        },
        incoming: status.lanes.into_iter().find(|lane| lane.lane == "incoming"),
        sending: status.sending,
        test: status.test,
        mailbox: status.mailbox,
        approval_required: row.approval_required,
        router: row.router,
        owner,
        profile,
    }))
}

/// Whoever reads or sends with the accounts of a mailbox: all mailboxes of the profile where they share one.
async fn permit(tx: &mut Tx, mailbox: MailboxId) -> Result<Option<Permit>> {
    let now = tx.now();
    Ok(sqlx::query_as!(
        Permit,
        "/* explain::permit */ SELECT p.max_connections AS \"cap!\", p.credentials <> 'mailbox' AS \"shared!\",
             NOT p.same_settings_for_outgoing AS \"sends_apart!\", l.claimed AS \"claimed!\", l.at_work AS \"at_work!\",
             d.sending AS \"sending!\", l.deferred AS \"deferred!\", w.workers AS \"workers!\", w.capacity AS \"capacity!\"
         FROM mailboxes m JOIN email_server_profiles p ON p.id = m.profile_id
         CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE s.claimed_until > $2) AS claimed,
                 count(*) FILTER (WHERE s.claimed_until > $2 AND s.worker IS NOT NULL) AS at_work,
                 count(*) FILTER (WHERE s.last_outcome = 'deferred' AND s.not_before > $2) AS deferred
             FROM lane_schedules s
             WHERE s.profile_id = p.id AND s.enabled AND (p.credentials <> 'mailbox' OR s.mailbox_id = m.id)) AS l
         CROSS JOIN LATERAL (SELECT count(*) AS sending FROM deliveries d JOIN mailboxes o ON o.id = d.mailbox_id
             WHERE d.state IN ('sending', 'in-flight') AND d.claimed_until > $2 AND o.profile_id = p.id
               AND (p.credentials <> 'mailbox' OR NOT p.same_settings_for_outgoing OR o.id = m.id)) AS d
         CROSS JOIN LATERAL (SELECT count(*) AS workers, COALESCE(sum(capacity), 0) AS capacity FROM replicas
             WHERE role = 'mailbox-worker' AND seen_at > $2::timestamptz - interval '1 minute') AS w
         WHERE m.id = $1",
        mailbox.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Those of the user, and those for all.
async fn filters(tx: &mut Tx, user: Option<Uuid>) -> Result<Vec<FiltersOfKind>> {
    let Some(user) = user else { return Ok(Vec::new()) };
    Ok(sqlx::query_as!(
        FiltersOfKind,
        "/* explain::filters */ SELECT record_kind, count(*) AS \"filters!\" FROM synchronization_filters
         WHERE active AND (user_id = $1 OR scope = 'system') GROUP BY record_kind ORDER BY record_kind",
        user,
    )
    .fetch_all(tx.connection())
    .await?)
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
