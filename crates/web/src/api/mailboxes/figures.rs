//! How sending and testing of a mailbox have gone, as an answer tells it.

use chrono::{DateTime, Utc};
use lockstep_store::{deliveries::figures::SendingStatus, mailbox_tests::waiting::TestStatus};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The last error of a kind of work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastError {
    pub(super) code: String,
    /// Absent where the error is of one email, which tells it.
    pub(super) message: Option<String>,
    /// How often it came in a row.
    pub(super) count: i64,
    /// Host of the worker that met it.
    pub(super) worker: Option<String>,
    pub(super) at: Option<DateTime<Utc>>,
}

/// How sending from a mailbox goes. Several emails may be sent at a time: the last attempt is the one that ended last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sending {
    /// Emails that wait for an attempt, the first or another.
    waiting: i64,
    /// Emails that are being sent.
    sending: i64,
    /// When the first of those that wait is due.
    due_at: Option<DateTime<Utc>>,
    /// Put off until then, after a fault or for want of a connection: before, no email that waits is tried.
    postponed_until: Option<DateTime<Utc>>,
    /// Hosts of the workers that send from it at present.
    workers: Vec<String>,
    /// The run that made the last attempt.
    last_run: Option<Uuid>,
    last_started_at: Option<DateTime<Utc>>,
    last_ended_at: Option<DateTime<Utc>>,
    /// When an email was last sent.
    last_succeeded_at: Option<DateTime<Utc>>,
    /// `sent`, `retry`, `failed` or `unknown`.
    last_outcome: Option<String>,
    /// Recipients that accepted in the last attempt.
    last_processed: i64,
    /// Recipients that were refused in it.
    last_failed: i64,
    /// Seconds it took; of an attempt whose worker was lost that is not known, and it counts for no average.
    last_duration_seconds: Option<f64>,
    /// An average in which the newest attempt counts for a fifth.
    average_duration_seconds: Option<f64>,
    /// Host of the worker that made the last attempt.
    last_worker: Option<String>,
    /// Transient failures in a row that were not those of one email.
    transient_failures: i32,
    /// The last error there was, whether or not an email was sent since.
    last_error: Option<LastError>,
    /// Attempts since the beginning, and of them: those by which an email was sent, after which it waits for another,
    /// after which it was given up, and of which nobody knows what became of the email.
    attempts: i64,
    sent: i64,
    retried: i64,
    failed: i64,
    unknown: i64,
    /// How often an attempt was taken from a worker that did not report in time.
    forced_unlocks: i64,
    forced_unlocked_at: Option<DateTime<Utc>>,
}

impl From<SendingStatus> for Sending {
    fn from(sending: SendingStatus) -> Self {
        let last_error = sending.last_error_code.map(|code| LastError {
            code,
            message: sending.last_error_message,
            count: sending.last_error_count,
            worker: sending.last_error_worker,
            at: sending.last_error_at,
        });
        Self {
            waiting: sending.waiting,
            sending: sending.sending,
            due_at: sending.due_at,
            postponed_until: sending.postponed_until,
            workers: sending.workers,
            last_run: sending.last_run,
            last_started_at: sending.last_started_at,
            last_ended_at: sending.last_ended_at,
            last_succeeded_at: sending.last_succeeded_at,
            last_outcome: sending.last_outcome,
            last_processed: sending.last_processed,
            last_failed: sending.last_failed,
            last_duration_seconds: sending.last_duration_seconds,
            average_duration_seconds: sending.average_duration_seconds,
            last_worker: sending.last_worker,
            transient_failures: sending.transient_failures,
            last_error,
            attempts: sending.attempts,
            sent: sending.sent,
            retried: sending.retried,
            failed: sending.failed,
            unknown: sending.unknown,
            forced_unlocks: sending.forced_unlocks,
            forced_unlocked_at: sending.forced_unlocked_at,
        }
    }
}

/// The last test of a mailbox that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Test {
    /// The operation that makes it, or has made it; it is removed some time after its end.
    operation_id: Uuid,
    /// It is not over.
    scheduled: bool,
    /// When it was asked for.
    scheduled_at: DateTime<Utc>,
    /// When it was begun.
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    /// Put off until then: after a fault that may pass, for want of a connection, or because its message is still awaited.
    postponed_until: Option<DateTime<Utc>>,
    /// How often it was put off after a fault.
    retries: i32,
    /// Host of the worker that is at it.
    worker: Option<String>,
    /// Host of the worker that was at it last.
    last_worker: Option<String>,
    /// `success` or `failure`, when it is over.
    outcome: Option<String>,
    /// The last error that a test of the mailbox met.
    last_error: Option<TestError>,
}

/// The last error of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestError {
    code: String,
    message: Option<String>,
    at: Option<DateTime<Utc>>,
}

impl From<TestStatus> for Test {
    fn from(test: TestStatus) -> Self {
        let (message, at) = (test.last_error_message, test.last_error_at);
        Self {
            operation_id: test.operation_id,
            scheduled: test.completed_at.is_none(),
            scheduled_at: test.scheduled_at,
            started_at: test.started_at,
            completed_at: test.completed_at,
            postponed_until: test.postponed_until,
            retries: test.retries,
            worker: test.worker,
            last_worker: test.last_worker,
            outcome: test.outcome,
            last_error: test.last_error_code.map(|code| TestError { code, message, at }),
        }
    }
}
