//! The test of a mailbox that is asked for, waits, runs, and is over: at most one of a mailbox at a time, and what is
//! told of it as long as there is the mailbox.
//!
//! Whoever locks more than one of them locks the mailbox first, then the operation, then the row of this table.

use chrono::{DateTime, Utc};
use lockstep_model::{
    fault::Fault,
    id::{MailboxId, OperationId},
};
use serde_json::json;
use uuid::Uuid;

use super::{KIND, attempt};
use crate::{
    Result, Tx,
    operations::{self, Step},
};

/// Asks for a test of a mailbox, due now, in place of one that waits or runs: that one has failed, and whoever is at it
/// writes nothing any more. `None` when the mailbox does not exist. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn ask(tx: &mut Tx, mailbox: MailboxId, by: &str) -> Result<Option<OperationId>> {
    ask_and(tx, mailbox, false, by).await
}

/// The same; with `take_over_items`, the test makes the mailbox's contacts, tasks and appointments this organisation's,
/// whosever they were.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn ask_and(tx: &mut Tx, mailbox: MailboxId, take_over_items: bool, by: &str) -> Result<Option<OperationId>> {
    if !lock(tx, mailbox).await? {
        return Ok(None);
    }
    attempt(tx, mailbox, by).await?;
    let mut arguments = json!({ "mailbox": mailbox });
    if take_over_items {
        arguments["take_over_items"] = json!(true);
    }
    let operation = operations::create(tx, KIND, &arguments, by).await?;
    let before = sqlx::query_scalar!(
        "/* mailbox_tests::waiting::ask */ SELECT operation_id FROM mailbox_tests
         WHERE mailbox_id = $1 AND completed_at IS NULL",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(before) = before {
        let result = json!({
            "mailbox": mailbox,
            "code": "Replaced",
            "message": "another test of the mailbox was asked for",
            "operation": operation,
        });
        operations::fail(tx, OperationId(before), &result).await?;
    }
    let now = tx.now();
    sqlx::query!(
        "/* mailbox_tests::waiting::ask */ INSERT INTO mailbox_tests AS t (mailbox_id, operation_id, scheduled_at)
         VALUES ($1, $2, $3)
         ON CONFLICT (mailbox_id) DO UPDATE SET operation_id = $2, scheduled_at = $3, started_at = NULL,
             completed_at = NULL, postponed_until = NULL, retries = 0, worker = NULL, outcome = NULL",
        mailbox.0,
        operation.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(Some(operation))
}

/// Locks a mailbox for what is written of its test. `false`: it does not exist.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn lock(tx: &mut Tx, mailbox: MailboxId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        "/* mailbox_tests::waiting::lock */ SELECT id FROM mailboxes WHERE id = $1 FOR NO KEY UPDATE",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.is_some())
}

/// Notes, with the beginning of a run, which host is at the test.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn begun(tx: &mut Tx, operation: OperationId, mailbox: MailboxId, worker: &str) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* mailbox_tests::waiting::begun */ UPDATE mailbox_tests SET started_at = COALESCE(started_at, $3),
             postponed_until = NULL, worker = $4
         WHERE mailbox_id = $1 AND operation_id = $2",
        mailbox.0,
        operation.0,
        now,
        worker,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes, with the step by which a run leaves the operation, where the test stands; `fault` is what this run found.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn stepped(
    tx: &mut Tx,
    operation: OperationId,
    mailbox: MailboxId,
    step: &Step,
    fault: Option<&Fault>,
) -> Result<()> {
    let now = tx.now();
    let (outcome, until, retried) = match step {
        Step::Done(_) => (Some("success"), None, false),
        Step::Failed(_) => (Some("failure"), None, false),
        Step::Later { after, failed, .. } => (None, Some(now + *after), *failed),
    };
    sqlx::query!(
        "/* mailbox_tests::waiting::stepped */ UPDATE mailbox_tests SET outcome = $4::text, postponed_until = $5,
             completed_at = CASE WHEN $4 IS NOT NULL THEN $3::timestamptz END,
             retries = retries + CASE WHEN $6 THEN 1 ELSE 0 END,
             last_worker = COALESCE(worker, last_worker), worker = NULL,
             last_error_code = COALESCE($7::text, last_error_code),
             last_error_message = CASE WHEN $7::text IS NULL THEN last_error_message ELSE $8 END,
             last_error_at = CASE WHEN $7 IS NULL THEN last_error_at ELSE $3 END
         WHERE mailbox_id = $1 AND operation_id = $2",
        mailbox.0,
        operation.0,
        now,
        outcome,
        until,
        retried,
        fault.map(|fault| fault.code.as_str()),
        fault.map(|fault| fault.message.as_str()),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The last test that was asked for of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestStatus {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// The operation that makes it, or has made it.
    pub operation_id: Uuid,
    /// When it was asked for.
    pub scheduled_at: DateTime<Utc>,
    /// When its first run began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; until then it is scheduled, or under way.
    pub completed_at: Option<DateTime<Utc>>,
    /// It goes on then: for want of a connection, because its message is not there yet, or after a fault that may heal.
    pub postponed_until: Option<DateTime<Utc>>,
    /// How often it was put off after a fault.
    pub retries: i32,
    /// Host of the worker that is at it.
    pub worker: Option<String>,
    /// Host of the worker that was at it, or at the test before it.
    pub last_worker: Option<String>,
    /// `success` or `failure`, when it is over.
    pub outcome: Option<String>,
    /// The last error there was, of this test or one before.
    pub last_error_code: Option<String>,
    /// Its words.
    pub last_error_message: Option<String>,
    /// When it was met.
    pub last_error_at: Option<DateTime<Utc>>,
}

/// The last tests of these mailboxes, of those that one was asked for.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn read(tx: &mut Tx, mailboxes: &[Uuid]) -> Result<Vec<TestStatus>> {
    Ok(sqlx::query_as!(
        TestStatus,
        "/* mailbox_tests::waiting::read */ SELECT mailbox_id, operation_id, scheduled_at, started_at, completed_at,
             postponed_until, retries, worker, last_worker, outcome, last_error_code, last_error_message, last_error_at
         FROM mailbox_tests WHERE mailbox_id = ANY($1::uuid[])",
        mailboxes,
    )
    .fetch_all(tx.connection())
    .await?)
}
