//! What goes on after the API has answered: operations, and how long a command waits for them.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    Error, Result,
    client::{Api, Request},
};

/// A command gives up waiting when no operation ended for so long.
pub(super) const STALLED: Duration = Duration::from_secs(180);
/// Pause between two looks at operations.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The operation an answer names.
pub(super) fn named(answer: &Value) -> Result<Uuid> {
    let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
    id.parse().map_err(|_| Error::new("the answer names no operation"))
}

/// Waits for one operation. `what` is how an error calls it, such as "the test".
pub(super) async fn outcome(api: &Api, id: Uuid, what: &str) -> Result<Value> {
    let mut ended = outcomes(api, &[id]).await?;
    match ended.pop().flatten() {
        Some(operation) => Ok(operation),
        None => Err(Error::new(format!(
            "{what} is not finished after {} s; look with `lockstep api GET /operations/{id}`, and whether an \
             async-worker runs",
            STALLED.as_secs()
        ))),
    }
}

/// Waits for operations: each as it ended, or as it is put off with a result so far, in the same order; or `None` of those
/// of which nothing was known when none ended any more.
pub(super) async fn outcomes(api: &Api, ids: &[Uuid]) -> Result<Vec<Option<Value>>> {
    let mut ended: Vec<Option<Value>> = vec![None; ids.len()];
    let mut deadline = Instant::now() + STALLED;
    loop {
        for (id, ended) in ids.iter().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            let operation = api.call(Method::GET, &format!("operations/{id}"), Request::default()).await?.body;
            if state(&operation) != "pending" || is_tried_again(&operation) {
                *ended = Some(operation);
                deadline = Instant::now() + STALLED;
            }
        }
        if ended.iter().all(Option::is_some) || Instant::now() > deadline {
            return Ok(ended);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// `pending`, `done` or `failed`.
pub(super) fn state(operation: &Value) -> &str {
    operation.get("state").and_then(Value::as_str).unwrap_or_default()
}

/// It has failed so far and goes on by itself, later than anybody wants to wait.
pub(super) fn is_tried_again(operation: &Value) -> bool {
    state(operation) == "pending" && operation.get("result").is_some_and(Value::is_object)
}

/// The operation ended well.
pub(super) fn succeeded(operation: &Value) -> bool {
    state(operation) == "done"
}
