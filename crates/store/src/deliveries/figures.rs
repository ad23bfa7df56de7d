//! How sending from a mailbox goes: what each attempt left behind, and what waits now.

use chrono::{DateTime, Utc};
use lockstep_model::{
    email::DeliveryState,
    fault::FaultScope,
    id::{EmailId, RunId},
};
use uuid::Uuid;

use super::Ended;
use crate::{Result, Tx};

/// An attempt that is over.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    /// The email.
    pub email: EmailId,
    /// The run that made it; none where it has died.
    pub run: Option<RunId>,
    /// The state the delivery has come from, as [`super::end`] tells it.
    pub before: DeliveryState,
    /// How it ended.
    pub ended: &'a Ended,
    /// Recipients that accepted in it.
    pub accepted: usize,
    /// Recipients that were refused in it.
    pub refused: usize,
}

/// Notes what an attempt came to. Call it last in the transaction that ends the attempt: it locks the one row of the
/// mailbox, so that of attempts that end at the same moment each waits for the other's commit and for nothing else.
///
/// A run that learns late that an email was accepted, whose outcome had been given up, has made no other attempt.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn note(tx: &mut Tx, attempted: &Attempted<'_>) -> Result<()> {
    let now = tx.now();
    let (outcome, fault) = match attempted.ended {
        Ended::Sent(_) => ("sent", None),
        Ended::Retry(_, fault) | Ended::Postponed(_, fault) => ("retry", Some(fault)),
        Ended::Failed(fault) => ("failed", Some(fault)),
        Ended::Unknown(fault) => ("unknown", Some(fault)),
    };
    let died = attempted.run.is_none();
    let of_email = fault.is_some_and(|fault| fault.scope == FaultScope::Item);
    let message = fault.filter(|_| died || !of_email).map(|fault| fault.message.as_str());
    let transient = fault.is_some_and(|fault| !of_email && fault.may_heal());
    sqlx::query!(
        "/* deliveries::figures::note */ INSERT INTO mailbox_sending AS s (mailbox_id, last_run, last_started_at,
             last_ended_at, last_succeeded_at, last_outcome, last_processed, last_failed, last_duration_seconds,
             average_duration_seconds, last_worker, transient_failures, last_error_code, last_error_message,
             last_error_at, last_error_worker, last_error_count, attempts, sent, retried, failed, unknown,
             forced_unlocks, forced_unlocked_at)
         SELECT d.mailbox_id, COALESCE($2::uuid, d.run_id), d.begun_at, $3::timestamptz,
             CASE WHEN $4::text = 'sent' THEN $3 END, $4, $5::bigint, $6::bigint,
             t.took, t.took, d.worker, CASE WHEN $7::boolean THEN 1 ELSE 0 END, $8::text, $9::text, CASE WHEN $8 IS NOT NULL THEN $3 END,
             CASE WHEN $8 IS NOT NULL THEN d.worker END, CASE WHEN $8 IS NOT NULL THEN 1 ELSE 0 END,
             1, ($4 = 'sent')::int, ($4 = 'retry')::int, ($4 = 'failed')::int, ($4 = 'unknown')::int,
             $10::boolean::int, CASE WHEN $10 THEN $3 END
         FROM deliveries d CROSS JOIN LATERAL (SELECT CASE WHEN NOT $10
             THEN greatest(extract(epoch FROM $3 - d.begun_at), 0)::double precision END AS took) AS t
         WHERE d.email_id = $1
         ON CONFLICT (mailbox_id) DO UPDATE SET
             last_run = EXCLUDED.last_run, last_started_at = EXCLUDED.last_started_at,
             last_ended_at = EXCLUDED.last_ended_at,
             last_succeeded_at = COALESCE(EXCLUDED.last_succeeded_at, s.last_succeeded_at),
             last_outcome = EXCLUDED.last_outcome, last_processed = EXCLUDED.last_processed,
             last_failed = EXCLUDED.last_failed,
             last_duration_seconds = COALESCE(EXCLUDED.last_duration_seconds, s.last_duration_seconds),
             average_duration_seconds = COALESCE(
                 s.average_duration_seconds + 0.2 * (EXCLUDED.last_duration_seconds - s.average_duration_seconds),
                 EXCLUDED.last_duration_seconds, s.average_duration_seconds),
             last_worker = EXCLUDED.last_worker,
             transient_failures = CASE WHEN $4 = 'sent' THEN 0 ELSE s.transient_failures + EXCLUDED.transient_failures END,
             counted_failures = CASE WHEN $4 = 'sent' THEN 0 ELSE s.counted_failures END,
             last_error_count = CASE WHEN $8 IS NULL THEN s.last_error_count
                 WHEN s.last_error_code = $8 AND s.last_outcome <> 'sent' THEN s.last_error_count + 1 ELSE 1 END,
             last_error_code = COALESCE($8, s.last_error_code),
             last_error_message = CASE WHEN $8 IS NULL THEN s.last_error_message ELSE EXCLUDED.last_error_message END,
             last_error_at = COALESCE(EXCLUDED.last_error_at, s.last_error_at),
             last_error_worker = CASE WHEN $8 IS NULL THEN s.last_error_worker ELSE EXCLUDED.last_error_worker END,
             attempts = s.attempts + CASE WHEN $11::boolean THEN 0 ELSE 1 END,
             sent = s.sent + EXCLUDED.sent, retried = s.retried + EXCLUDED.retried,
             failed = s.failed + EXCLUDED.failed,
             unknown = greatest(s.unknown + EXCLUDED.unknown - CASE WHEN $11 THEN 1 ELSE 0 END, 0),
             forced_unlocks = s.forced_unlocks + EXCLUDED.forced_unlocks,
             forced_unlocked_at = COALESCE(EXCLUDED.forced_unlocked_at, s.forced_unlocked_at)",
        attempted.email.0,
        attempted.run.map(|run| run.0),
        now,
        outcome,
        i64::try_from(attempted.accepted).unwrap_or(i64::MAX),
        i64::try_from(attempted.refused).unwrap_or(i64::MAX),
        transient,
        fault.map(|fault| fault.code.as_str()),
        message,
        died,
        attempted.before == DeliveryState::Unknown,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How sending from a mailbox goes. What waits is counted as it is now; everything else is what attempts left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendingStatus {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// Emails that wait for an attempt.
    pub waiting: i64,
    /// Emails in the middle of one.
    pub sending: i64,
    /// When the first that waits is due.
    pub due_at: Option<DateTime<Utc>>,
    /// The same, where that is still to come: whatever waits was put off, until then at least.
    pub postponed_until: Option<DateTime<Utc>>,
    /// Hosts of the workers that send at present, in order.
    pub workers: Vec<String>,
    /// The run that made the attempt that ended last.
    pub last_run: Option<Uuid>,
    /// When that attempt began.
    pub last_started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub last_ended_at: Option<DateTime<Utc>>,
    /// When an attempt last succeeded.
    pub last_succeeded_at: Option<DateTime<Utc>>,
    /// `sent`, `retry`, `failed` or `unknown`.
    pub last_outcome: Option<String>,
    /// Recipients that accepted in the last attempt.
    pub last_processed: i64,
    /// Recipients that were refused in it.
    pub last_failed: i64,
    /// Seconds an attempt took, the last whose end was seen.
    pub last_duration_seconds: Option<f64>,
    /// Seconds that attempts take, an average in which the newest counts for a fifth.
    pub average_duration_seconds: Option<f64>,
    /// Host of the worker that made the last attempt.
    pub last_worker: Option<String>,
    /// Transient failures in a row that were not those of one email.
    pub transient_failures: i32,
    /// The last error there was, whether or not a success has followed.
    pub last_error_code: Option<String>,
    /// Its words, where it is not of one email.
    pub last_error_message: Option<String>,
    /// When it happened.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Host of the worker that met it.
    pub last_error_worker: Option<String>,
    /// How often it came in a row.
    pub last_error_count: i64,
    /// Attempts so far: the sum of the next four.
    pub attempts: i64,
    /// Those by which an email was sent.
    pub sent: i64,
    /// Those after which it waits for another.
    pub retried: i64,
    /// Those after which it was given up.
    pub failed: i64,
    /// Those of which nobody knows.
    pub unknown: i64,
    /// How often an attempt was taken from a worker that did not report within its claim.
    pub forced_unlocks: i64,
    /// When that was last done.
    pub forced_unlocked_at: Option<DateTime<Utc>>,
    /// The fault that has disabled sending, until the mailbox is tested again or set up anew.
    pub disabled_code: Option<String>,
    /// When it did.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// How sending from these mailboxes goes, of those that have sent or have something to send.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn read(tx: &mut Tx, mailboxes: &[Uuid]) -> Result<Vec<SendingStatus>> {
    let now = tx.now();
    Ok(sqlx::query_as!(
        SendingStatus,
        "/* deliveries::figures::read */ SELECT m.id AS \"mailbox_id!\", COALESCE(o.waiting, 0) AS \"waiting!\",
             COALESCE(o.sending, 0) AS \"sending!\", o.due_at,
             CASE WHEN o.due_at > $2 THEN o.due_at END AS postponed_until, COALESCE(o.workers, '{}') AS \"workers!\",
             s.last_run AS \"last_run?\", s.last_started_at, s.last_ended_at, s.last_succeeded_at,
             s.last_outcome AS \"last_outcome?\", COALESCE(s.last_processed, 0) AS \"last_processed!\",
             COALESCE(s.last_failed, 0) AS \"last_failed!\", s.last_duration_seconds, s.average_duration_seconds,
             s.last_worker, COALESCE(s.transient_failures, 0) AS \"transient_failures!\", s.last_error_code,
             s.last_error_message, s.last_error_at, s.last_error_worker,
             COALESCE(s.last_error_count, 0) AS \"last_error_count!\", COALESCE(s.attempts, 0) AS \"attempts!\",
             COALESCE(s.sent, 0) AS \"sent!\", COALESCE(s.retried, 0) AS \"retried!\",
             COALESCE(s.failed, 0) AS \"failed!\", COALESCE(s.unknown, 0) AS \"unknown!\",
             COALESCE(s.forced_unlocks, 0) AS \"forced_unlocks!\", s.forced_unlocked_at, s.disabled_code, s.disabled_at
         FROM unnest($1::uuid[]) AS m(id)
         LEFT JOIN mailbox_sending s ON s.mailbox_id = m.id
         LEFT JOIN (SELECT d.mailbox_id, count(*) FILTER (WHERE d.state IN ('pending', 'retry')) AS waiting,
                 count(*) FILTER (WHERE d.state IN ('sending', 'in-flight')) AS sending,
                 min(d.due_at) FILTER (WHERE d.state IN ('pending', 'retry')) AS due_at,
                 array_agg(DISTINCT d.worker) FILTER (WHERE d.state IN ('sending', 'in-flight')
                     AND d.worker IS NOT NULL) AS workers
             FROM deliveries d
             WHERE d.mailbox_id = ANY($1) AND d.state IN ('pending', 'retry', 'sending', 'in-flight')
             GROUP BY d.mailbox_id) AS o ON o.mailbox_id = m.id
         WHERE s.mailbox_id IS NOT NULL OR o.mailbox_id IS NOT NULL",
        mailboxes,
        now,
    )
    .fetch_all(tx.connection())
    .await?)
}
