//! The gate before the point of no return: *in flight* is committed, and only then may the step be taken.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_connector::{Deadline, PointOfNoReturn, RecipientReply};
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, RunId},
};
use lockstep_store::{Store, deliveries};

/// No step is taken with less than this left of permit and budget.
const MARGIN: Duration = Duration::from_secs(2);

/// Longest wait for the commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct Gate<'a> {
    pub(crate) store: &'a Store,
    pub(crate) deadline: &'a Deadline,
    pub(crate) email: EmailId,
    pub(crate) attempt: i32,
    pub(crate) run: RunId,
    /// Set when the step may have been taken.
    pub(crate) crossed: bool,
    /// What each recipient was answered before the step.
    pub(crate) answers: Vec<Result<(), Fault>>,
}

#[async_trait]
impl PointOfNoReturn for Gate<'_> {
    async fn cross(&mut self, recipients: &[RecipientReply]) -> Result<(), Fault> {
        CrashPoint::BODY_WRITTEN.reach();
        self.answers = recipients.iter().map(|r| r.result.clone()).collect();
        self.deadline.check(MARGIN)?;
        let committed = tokio::time::timeout(COMMIT_TIMEOUT, self.commit()).await;
        match committed {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(stopped("AttemptTakenOver", "another run has taken this attempt over")),
            Ok(Err(error)) => return Err(stopped("DatabaseUnavailable", &error.to_string())),
            Err(_) => return Err(stopped("DatabaseUnavailable", "the commit took too long")),
        }
        CrashPoint::IN_FLIGHT.reach();
        // The commit may have taken its time; a permit that is no longer ours must not be used.
        self.deadline.check(MARGIN)?;
        self.crossed = true;
        Ok(())
    }
}

impl Gate<'_> {
    async fn commit(&self) -> lockstep_store::Result<bool> {
        let mut tx = self.store.begin().await?;
        let ours = deliveries::cross(&mut tx, self.email, self.attempt, self.run).await?;
        tx.commit().await?;
        Ok(ours)
    }
}

fn stopped(code: &str, message: &str) -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, code, message)
}
