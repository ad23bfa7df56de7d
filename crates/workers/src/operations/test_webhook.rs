//! Sends a `ping` to a webhook endpoint and tells how it was answered. Works for disabled endpoints too.

use lockstep_engine::webhook::{Verdict, verdict};
use lockstep_model::id::WebhookEndpointId;
use lockstep_store::{
    operations::{Operation, Step},
    webhooks::runs,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Context,
    webhooks::{Sent, ping},
};

/// The kind under which the operation is stored.
pub(crate) const KIND: &str = lockstep_store::webhooks::TEST;

#[derive(Deserialize)]
struct Arguments {
    endpoint: WebhookEndpointId,
}

/// Sends one event and keeps the answer.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Step> {
    let failed = |code: &str, message: &str| Step::Failed(json!({ "code": code, "message": message }));
    let endpoint = match serde_json::from_value::<Arguments>(operation.arguments.clone()) {
        Ok(arguments) => arguments.endpoint,
        Err(error) => return Ok(failed("InvalidArguments", &error.to_string())),
    };
    let mut tx = context.store.begin().await?;
    let found = runs::look(&mut tx, endpoint).await?;
    tx.commit().await?;
    let Some(found) = found else { return Ok(failed("EndpointGone", "the webhook endpoint does not exist")) };
    let event = ping(endpoint, operation.id, operation.created_at);
    let sent = match found.secrets(&context.store) {
        Ok(secrets) => context.webhooks.send(&found.url, &event, &secrets, context.store.clock().now()).await,
        Err(error) => Sent { status: None, retry_after: None, words: format!("the secret cannot be opened: {error}") },
    };
    let result = json!({ "endpoint": endpoint, "webhook_id": event.id, "status": sent.status, "answer": sent.words });
    let accepted = sent.status.is_some_and(|status| verdict(status) == Verdict::Accepted);
    Ok(if accepted { Step::Done(result) } else { Step::Failed(result) })
}
