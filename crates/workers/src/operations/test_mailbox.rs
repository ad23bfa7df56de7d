//! Test & enable: tries a mailbox's incoming and outgoing access, and enables what works.

use std::time::Duration;

use lockstep_connector::Deadline;
use lockstep_model::{
    fault::Fault,
    id::{MailboxId, RunId},
    profile::Endpoint,
};
use lockstep_store::{
    lanes::{self, Access},
    mailbox_tests::{self, Tested},
    operations::{Operation, Step},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    airlock::{self, Entry, Request},
    target,
};

/// The kind under which the operation is stored.
pub(crate) const KIND: &str = "test-and-enable-mailbox";

#[derive(Deserialize)]
struct Arguments {
    mailbox: MailboxId,
}

/// Runs the test. Waits for a permit like everybody else, but may take the last one.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Step> {
    let arguments = match serde_json::from_value::<Arguments>(operation.arguments.clone()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(failed("InvalidArguments", &error.to_string())),
    };
    let mailbox = arguments.mailbox;
    let mut tx = context.store.begin().await?;
    let methods = mailbox_tests::methods(&mut tx, mailbox).await?;
    let access = lanes::access(&mut tx, mailbox).await?;
    tx.commit().await?;
    let Some((incoming, outgoing)) = methods else { return Ok(failed("MailboxGone", "the mailbox does not exist")) };
    let Some((_, access)) = access else {
        return Ok(failed("InvalidIncomingEmailServerProfile", "the mailbox has no email server profile"));
    };
    let request = Request {
        access: &access,
        lease: None,
        run: RunId::new(),
        reserve: true,
        heartbeat: Box::new(|| Box::pin(std::future::ready(()))),
    };
    let airlock = match airlock::enter(context, request).await? {
        Entry::Open(airlock) => airlock,
        Entry::Deferred(wait) => return Ok(later(operation, wait)),
        Entry::Busy => return Ok(later(operation, Duration::from_secs(1))),
    };
    let incoming = test(context, &access, &access.profile.incoming, incoming, &airlock.deadline).await;
    let outgoing = test(context, &access, &access.profile.outgoing, outgoing, &airlock.deadline).await;
    airlock.leave().await;
    let mut tx = context.store.begin().await?;
    mailbox_tests::record(&mut tx, mailbox, &incoming, &outgoing).await?;
    tx.commit().await?;
    let result = json!({ "mailbox": mailbox, "incoming": told(&incoming), "outgoing": told(&outgoing) });
    let fails = matches!(incoming, Tested::Fails(_)) || matches!(outgoing, Tested::Fails(_));
    Ok(if fails { Step::Failed(result) } else { Step::Done(result) })
}

async fn test(
    context: &Context,
    access: &Access,
    endpoint: &Endpoint,
    configured: bool,
    deadline: &Deadline,
) -> Tested {
    if !configured {
        return Tested::NotConfigured;
    }
    match probe(context, access, endpoint, deadline).await {
        Ok(()) => Tested::Works,
        Err(fault) => Tested::Fails(fault),
    }
}

/// Connects, protects, authenticates and leaves.
async fn probe(context: &Context, access: &Access, endpoint: &Endpoint, deadline: &Deadline) -> Result<(), Fault> {
    let target = target(context, access, endpoint)?;
    let session = context.connectors.get(&endpoint.protocol)?.open(&target, deadline).await?;
    session.close(deadline).await
}

fn told(tested: &Tested) -> Value {
    match tested {
        Tested::NotConfigured => json!({ "status": "not-run" }),
        Tested::Works => json!({ "status": "success" }),
        Tested::Fails(fault) => json!({ "status": "failure", "code": fault.code, "message": fault.message }),
    }
}

fn failed(code: &str, message: &str) -> Step {
    Step::Failed(json!({ "code": code, "message": message }))
}

fn later(operation: &Operation, after: Duration) -> Step {
    Step::Later { after, position: operation.position.clone(), failed: false }
}
