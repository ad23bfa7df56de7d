//! The messages. Ids and counters only: a receiver reads everything else from the database.

use std::{fmt::Debug, time::Duration};

use chrono::{DateTime, Utc};
use lockstep_model::{
    fault::Fault,
    id::{EmailId, MailboxId, OperationId, RunId},
    mailbox::Lane,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::queue::Queue;

/// A message that travels on exactly one queue.
pub trait Message: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static {
    /// Stable name. Renaming a type does not change it.
    const KIND: &'static str;
    /// The version this code writes.
    const VERSION: u32;
    /// The queue it travels on.
    const QUEUE: Queue;

    /// Reads a body of any version up to [`Self::VERSION`]; where versions differ, this upgrades it.
    ///
    /// # Errors
    /// When the body is not one of that version.
    fn read(_version: u32, body: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(body)
    }
}

/// This lane may be synchronised now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncLane {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which of its lanes.
    pub lane: Lane,
    /// The occasion. A hint for an earlier one is stale.
    pub generation: i64,
}

impl Message for SyncLane {
    const KIND: &'static str = "sync-lane";
    const VERSION: u32 = 1;
    const QUEUE: Queue = Queue::MailboxSync;
}

/// This email may be sent now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendEmail {
    /// The email.
    pub email: EmailId,
    /// The attempt that is due; attempts are counted from 1.
    pub attempt: i32,
}

impl Message for SendEmail {
    const KIND: &'static str = "send-email";
    const VERSION: u32 = 1;
    const QUEUE: Queue = Queue::OutgoingSend;
}

/// This operation may run now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOperation {
    /// The operation.
    pub operation: OperationId,
    /// The occasion. A hint for an earlier one is stale.
    pub generation: i64,
}

impl Message for RunOperation {
    const KIND: &'static str = "run-operation";
    const VERSION: u32 = 1;
    const QUEUE: Queue = Queue::OperationRun;
}

/// How a run at a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything there was has been read.
    Completed,
    /// Stopped at its budget with more to do; due again at once.
    Yielded,
    /// Not begun: no permit, or the server is cooling down. Not an attempt.
    Deferred,
    /// Still at work; extends the claim.
    Running,
    /// Ended by a fault.
    Failed,
    /// Somebody else has worked on the lane since it was read; nothing of this run was written after that.
    LeaseLost,
}

impl Outcome {
    /// The word it is sent, stored and counted under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Yielded => "yielded",
            Self::Deferred => "deferred",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// What a run has done, in items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// New items seen on the server.
    pub seen: u32,
    /// Items that became records, or were linked to one.
    pub tracked: u32,
    /// Items that were looked at and refused.
    pub refused: u32,
    /// Items that failed.
    pub failed: u32,
    /// Bytes read from the server.
    pub bytes: u64,
}

/// A run tells the scheduler how it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CycleReport {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which of its lanes.
    pub lane: Lane,
    /// The occasion it belongs to.
    pub generation: i64,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    #[serde(default)]
    pub counts: Counts,
    /// Why it failed or was deferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The host it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When it ended, or when a `running` report was made.
    pub ended_at: DateTime<Utc>,
    /// How long to wait, where the run knows: a deferral's hint, what a run that gave way leaves to others, or the server's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
}

impl Message for CycleReport {
    const KIND: &'static str = "cycle-report";
    const VERSION: u32 = 1;
    const QUEUE: Queue = Queue::SchedulerReport;
}
