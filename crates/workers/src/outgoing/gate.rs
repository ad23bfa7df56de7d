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

use crate::outgoing::authority;

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
            Ok(Ok(Crossing::Ours)) => {}
            Ok(Ok(Crossing::TakenOver)) => {
                return Err(stopped("AttemptTakenOver", "another run has taken this attempt over"));
            }
            Ok(Ok(Crossing::Withdrawn(fault))) => return Err(fault),
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

/// What the database says to the step.
enum Crossing {
    /// It is committed: the step may be taken.
    Ours,
    /// The attempt is another run's.
    TakenOver,
    /// Whoever sends in somebody else's name may no longer.
    Withdrawn(Fault),
}

impl Gate<'_> {
    /// One transaction asks for the right to send and takes the step, so that consent is withdrawn either before it, and
    /// nothing is sent, or after it.
    async fn commit(&self) -> lockstep_store::Result<Crossing> {
        let mut tx = self.store.begin().await?;
        if let Some(fault) = authority::refusal(&mut tx, self.email).await? {
            return Ok(Crossing::Withdrawn(fault));
        }
        let ours = deliveries::cross(&mut tx, self.email, self.attempt, self.run).await?;
        tx.commit().await?;
        Ok(if ours { Crossing::Ours } else { Crossing::TakenOver })
    }
}

/// A fault of our own that ends an attempt before anything irrevocable has happened.
pub(crate) fn stopped(code: &str, message: &str) -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, code, message).local()
}
