//! The handler of `RunOperation`: read the row, run its kind, write what came of it against the row's version.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_queue::{DeliveryInfo, Handler as Handles, Outcome as Settled};
use lockstep_store::operations::{self, Operation, Step};
use lockstep_wire::{Envelope, RunOperation};
use serde_json::json;

use crate::{
    Context,
    operations::{
        deliver_webhooks, erase_person,
        test_mailbox::{self, Ending},
        test_profile, test_webhook,
    },
};

/// Failed runs after which an operation has failed.
const MAX_ATTEMPTS: i32 = 5;

/// Pause after a failed run; it doubles.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs operations.
pub struct Handler {
    context: Context,
}

impl Handler {
    /// A handler over this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    async fn occasion(&self, hint: &RunOperation) -> lockstep_store::Result<&'static str> {
        let mut tx = self.context.store.begin().await?;
        let Some(operation) = operations::begin(&mut tx, hint.operation, hint.generation).await? else {
            return Ok("stale");
        };
        let is_test = operation.kind == test_mailbox::KIND;
        if is_test {
            test_mailbox::begun(&mut tx, &operation, &self.context.host).await?;
        }
        tx.commit().await?;
        let ending = match run(&self.context, &operation).await {
            Ok(ending) => ending,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                tracing::error!(%error, operation.id = %operation.id, "a run of an operation failed");
                Ending::of(after_failure(&operation, self.context.scale))
            }
        };
        let mut tx = self.context.store.begin().await?;
        let ours = if is_test {
            test_mailbox::conclude(&mut tx, &operation, &ending).await?
        } else {
            operations::step(&mut tx, operation.id, operation.version, &ending.step).await?
        };
        tx.commit().await?;
        Ok(match ending.step {
            _ if !ours => "overtaken",
            Step::Done(_) => "done",
            Step::Failed(_) => "failed",
            Step::Later { .. } => "later",
        })
    }
}

/// The one list of operations.
async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Ending> {
    let step = match operation.kind.as_str() {
        test_mailbox::KIND => return test_mailbox::run(context, operation).await,
        test_profile::KIND => test_profile::run(context, operation).await,
        deliver_webhooks::KIND => deliver_webhooks::run(context, operation).await,
        erase_person::KIND => erase_person::run(context, operation).await,
        test_webhook::KIND => test_webhook::run(context, operation).await,
        unknown => {
            Ok(Step::Failed(json!({ "code": "UnknownOperation", "message": format!("no operation {unknown:?}") })))
        }
    };
    step.map(Ending::of)
}

fn after_failure(operation: &Operation, scale: lockstep_model::clock::TimeScale) -> Step {
    if operation.attempts + 1 >= MAX_ATTEMPTS {
        return Step::Failed(json!({ "code": "InternalError", "message": "see the worker's log" }));
    }
    let doubled = PAUSE * 2_u32.pow(operation.attempts.unsigned_abs().min(6));
    let after = scale.apply(doubled).mul_f64(1.0 - 0.1 * rand::random::<f64>());
    Step::Later { after, position: operation.position.clone(), failed: true, so_far: operation.result.clone() }
}

#[async_trait]
impl Handles<RunOperation> for Handler {
    async fn handle(&self, envelope: Envelope<RunOperation>, _delivery: DeliveryInfo) -> Settled {
        match self.occasion(&envelope.body).await {
            Ok(result) => {
                self.context.metrics.operations.with_label_values(&[result]).inc();
                Settled::Done
            }
            Err(error) if error.is_unavailable() => Settled::Unavailable,
            Err(error) => {
                tracing::error!(%error, "an operation could not be recorded");
                Settled::Refused { reason: "the operation could not be recorded; see the log".to_owned() }
            }
        }
    }
}
