//! How mailboxes stand: the state an administrator sees, and the figures of their lanes.

use chrono::{DateTime, Utc};
use lockstep_model::id::{MailboxId, UserId};
use uuid::Uuid;

use super::{Filter, MailboxRecord};
use crate::{
    Result, Tx,
    deliveries::figures::{self, SendingStatus},
    mailbox_tests::waiting::{self, TestStatus},
};

/// The words of a mailbox's state, the first that holds: `inactive`, `unconfigured` (no profile, or an inactive one,
/// or no method), `unapproved`, `rejected`, `untested`, `disabled` (a fault has stopped it), `failing` (it, or its test,
/// is postponed after a transient fault), `healthy`.
pub const STATES: &[&str] =
    &["inactive", "unconfigured", "rejected", "unapproved", "untested", "disabled", "failing", "healthy"];

/// The figures of one lane.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneStatus {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// `incoming` or `act`.
    pub lane: String,
    /// Whether it is scheduled.
    pub enabled: bool,
    /// When it is next due.
    pub due_at: DateTime<Utc>,
    /// It is deferred until then.
    pub not_before: Option<DateTime<Utc>>,
    /// Seconds between cycles at present.
    pub interval_seconds: f64,
    /// The occasion.
    pub generation: i64,
    /// Handed out until then.
    pub claimed_until: Option<DateTime<Utc>>,
    /// How often this occasion was handed out.
    pub claims: i32,
    /// Cycles in a row that found nothing.
    pub empty_cycles: i32,
    /// Transient failures in a row.
    pub transient_failures: i32,
    /// Code of the last fault.
    pub fault_code: Option<String>,
    /// Its class.
    pub fault_class: Option<String>,
    /// The server's words.
    pub fault_message: Option<String>,
    /// When it happened.
    pub fault_at: Option<DateTime<Utc>>,
    /// The fault that stopped the lane until somebody acts.
    pub disabled_code: Option<String>,
    /// The last run.
    pub last_run: Option<Uuid>,
    /// When it began.
    pub last_started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub last_ended_at: Option<DateTime<Utc>>,
    /// When a run last succeeded.
    pub last_succeeded_at: Option<DateTime<Utc>>,
    /// How the last run ended.
    pub last_outcome: Option<String>,
    /// Cycles so far.
    pub cycles: i64,
    /// Items seen so far.
    pub seen: i64,
    /// Items that became records.
    pub tracked: i64,
    /// Items that were declined by rule.
    pub refused: i64,
    /// Items that failed.
    pub failed: i64,
    /// Items that the last cycle has judged: tracked or declined.
    pub last_processed: i64,
    /// Items that failed in it.
    pub last_failed: i64,
    /// Seconds it took.
    pub last_duration_seconds: Option<f64>,
    /// Seconds that cycles take, an average in which the newest counts for a fifth.
    pub average_duration_seconds: Option<f64>,
    /// Host of the worker that did it.
    pub last_worker: Option<String>,
    /// Host of the worker that has it at present, once it has given a sign of life.
    pub worker: Option<String>,
    /// The last error there was, whether or not a success has followed.
    pub last_error_code: Option<String>,
    /// Its words.
    pub last_error_message: Option<String>,
    /// When it happened.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Host of the worker that met it.
    pub last_error_worker: Option<String>,
    /// How often it came in a row.
    pub last_error_count: i64,
    /// How often an occasion was taken from a worker that did not report within its claim.
    pub forced_unlocks: i64,
    /// When that was last done.
    pub forced_unlocked_at: Option<DateTime<Utc>>,
}

/// A mailbox with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct MailboxStatus {
    /// The record.
    pub mailbox: MailboxRecord,
    /// One of [`STATES`].
    pub state: String,
    /// Its lanes.
    pub lanes: Vec<LaneStatus>,
    /// How sending from it goes.
    pub sending: SendingStatus,
    /// The last test that was asked for.
    pub test: Option<TestStatus>,
}

/// One mailbox with its state.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: MailboxId) -> Result<Option<MailboxStatus>> {
    Ok(list(tx, &Filter { id: Some(id), ..Filter::default() }, None, 1).await?.pop())
}

/// Mailboxes in order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(tx: &mut Tx, filter: &Filter<'_>, after: Option<Uuid>, limit: i64) -> Result<Vec<MailboxStatus>> {
    let near = match filter.reader {
        Some(reader) => Some(near(tx, reader).await?),
        None => None,
    };
    let rows = sqlx::query!(
        "/* mailboxes::status::list */ SELECT m.id, s.state AS \"state!\"
         FROM mailboxes m
         LEFT JOIN email_server_profiles p ON p.id = m.profile_id
         LEFT JOIN organisations o ON true
         LEFT JOIN lane_schedules l ON l.mailbox_id = m.id AND l.lane = 'incoming'
         LEFT JOIN mailbox_tests t ON t.mailbox_id = m.id
         LEFT JOIN mailbox_sending q ON q.mailbox_id = m.id
         CROSS JOIN LATERAL (SELECT CASE
             WHEN NOT m.active THEN 'inactive'
             WHEN 'server-side' NOT IN (m.incoming_method, m.outgoing_method, m.act_method)
                     AND m.incoming_method <> 'forward-mailbox'
                 OR 'server-side' IN (m.incoming_method, m.outgoing_method, m.act_method) AND (p.id IS NULL OR NOT p.active)
                 THEN 'unconfigured'
             WHEN m.address_status = 'rejected' THEN 'rejected'
             WHEN m.address_status = 'empty' OR (m.address_status = 'pending' AND
                 CASE WHEN m.owner_user_id IS NOT NULL THEN COALESCE(o.approve_users, true)
                      WHEN m.owner_queue_id IS NOT NULL THEN COALESCE(o.approve_queues, true)
                      ELSE COALESCE(o.approve_users OR o.approve_queues, true) END) THEN 'unapproved'
             WHEN l.disabled_code IS NOT NULL OR q.disabled_code IS NOT NULL THEN 'disabled'
             WHEN 'failure' IN (m.incoming_test, m.outgoing_test, m.act_test)
                 THEN CASE WHEN m.incoming_enabled OR m.outgoing_enabled OR m.act_enabled
                     OR (t.retries > 0 AND t.completed_at IS NULL) THEN 'failing' ELSE 'disabled' END
             WHEN (m.incoming_method = 'server-side' AND NOT m.incoming_enabled)
                 OR (m.outgoing_method = 'server-side' AND NOT m.outgoing_enabled)
                 OR (m.act_method = 'server-side' AND NOT m.act_enabled) THEN 'untested'
             WHEN l.transient_failures > 0 THEN 'failing'
             ELSE 'healthy' END AS state) AS s
         WHERE ($1::uuid IS NULL OR m.id = $1)
           AND ($2::uuid IS NULL OR m.profile_id = $2)
           AND ($3::uuid IS NULL OR $3 IN (m.owner_user_id, m.owner_queue_id))
           AND ($4::text IS NULL OR strpos(m.address_key, $4) > 0)
           AND ($5::text IS NULL OR s.state = $5)
           AND ($9::uuid[] IS NULL OR m.id = ANY($9))
           AND ($8::boolean IS NULL OR m.is_forward_mailbox = $8)
           AND ($10::timestamptz IS NULL OR NOT EXISTS (
               SELECT FROM lane_schedules r WHERE r.mailbox_id = m.id AND r.last_succeeded_at >= $10))
           AND ($6::uuid IS NULL OR m.id > $6)
         ORDER BY m.id LIMIT $7",
        filter.id.map(|id| id.0),
        filter.profile.map(|id| id.0),
        filter.owner,
        filter.address,
        filter.state,
        after,
        limit,
        filter.forward,
        near.as_deref(),
        filter.idle_since,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut records = records(tx, &ids).await?;
    let mut lanes = lanes(tx, &ids).await?;
    let mut sending = figures::read(tx, &ids).await?;
    let mut tests = waiting::read(tx, &ids).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(at) = records.iter().position(|record| record.id == row.id) else { continue };
        let own = lanes.extract_if(.., |lane| lane.mailbox_id == row.id).collect();
        found.push(MailboxStatus {
            mailbox: records.swap_remove(at),
            state: row.state,
            lanes: own,
            sending: sending.extract_if(.., |sending| sending.mailbox_id == row.id).next().unwrap_or_default(),
            test: tests.extract_if(.., |test| test.mailbox_id == row.id).next(),
        });
    }
    Ok(found)
}

/// The mailboxes a user may read: the privilege on them reaches no further than their owner.
async fn near(tx: &mut Tx, reader: UserId) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "/* mailboxes::status::near */ SELECT m.id AS \"id!\"
         FROM reach($1, 'mailbox', 'read') AS owner JOIN mailboxes m ON m.owner_user_id = owner",
        reader.0,
    )
    .fetch_all(tx.connection())
    .await?)
}

async fn records(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<MailboxRecord>> {
    Ok(sqlx::query_as!(
        MailboxRecord,
        "/* mailboxes::status::records */ SELECT id, name, profile_id, owner_user_id, owner_queue_id, is_forward_mailbox, address,
             address_key, address_status, approved_by, approved_at, incoming_method, outgoing_method, act_method,
             allow_credentials, login, sealed_secret IS NOT NULL AS \"password_set!\", incoming_test, outgoing_test,
             incoming_enabled, outgoing_enabled, act_test, act_enabled, act_tested_at, test_attempted_by, test_attempted_at, tested_by, tested_at,
             incoming_tested_at, outgoing_tested_at, enabled_by, enabled_at, process_email_from, delete_after_processing,
             verbose_logging, active,
             version, created_at, updated_at
         FROM mailboxes WHERE id = ANY($1::uuid[])",
        ids,
    )
    .fetch_all(tx.connection())
    .await?)
}

async fn lanes(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<LaneStatus>> {
    Ok(sqlx::query_as!(
        LaneStatus,
        "/* mailboxes::status::lanes */ SELECT mailbox_id, lane, enabled, due_at, not_before, interval_seconds,
             generation, claimed_until, claims, empty_cycles, transient_failures, fault_code, fault_class,
             fault_message, fault_at, disabled_code, last_run, last_started_at, last_ended_at, last_succeeded_at,
             last_outcome, cycles, seen, tracked, refused, failed, last_processed, last_failed, last_duration_seconds,
             average_duration_seconds, last_worker,
             CASE WHEN claimed_until IS NOT NULL THEN worker END AS worker, last_error_code, last_error_message,
             last_error_at, last_error_worker, last_error_count, forced_unlocks, forced_unlocked_at
         FROM lane_schedules WHERE mailbox_id = ANY($1::uuid[]) ORDER BY mailbox_id, lane DESC",
        ids,
    )
    .fetch_all(tx.connection())
    .await?)
}
