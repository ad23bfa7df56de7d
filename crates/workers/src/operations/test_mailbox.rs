//! Test & enable: tries a mailbox's incoming and outgoing access, and enables what works. The outgoing test sends a
//! message to the mailbox itself, and the incoming test finds it there.

mod message;

pub(crate) use message::is_test;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_connector::{Deadline, Session};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, RunId},
    mailbox::Mailbox,
    profile::Endpoint,
};
use lockstep_store::{
    lanes::{self, Access},
    mailbox_tests::{self, Tested},
    operations::{Operation, Step},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Context,
    airlock::{self, Entry, Request},
    operations::test_mailbox::message::Once,
    target,
};

/// The kind under which the operation is stored.
pub(crate) const KIND: &str = "test-and-enable-mailbox";

/// The test message is looked for so long after it was handed over.
const ARRIVES_WITHIN: TimeDelta = TimeDelta::seconds(120);

/// Pause before it is looked for again; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Arguments {
    mailbox: MailboxId,
}

/// A test whose message is under way.
#[derive(Clone, Serialize, Deserialize)]
struct Position {
    message_id: String,
    sent_at: DateTime<Utc>,
    looks: u32,
}

/// What is tested.
struct Test<'a> {
    context: &'a Context,
    operation: &'a Operation,
    mailbox: Mailbox,
    reads: bool,
    sends: bool,
    access: Access,
}

/// How a look at one direction ended.
enum Looked {
    Tested(Tested),
    /// The message was handed over.
    Sent(Position),
    /// No permit, or the message is not there yet.
    Later(Duration, Option<Position>),
}

/// Runs the test. Waits for a permit like everybody else, but may take the last one.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Step> {
    let arguments = match serde_json::from_value::<Arguments>(operation.arguments.clone()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(failed("InvalidArguments", &error.to_string())),
    };
    let mut tx = context.store.begin().await?;
    let methods = mailbox_tests::methods(&mut tx, arguments.mailbox).await?;
    let access = lanes::access(&mut tx, arguments.mailbox).await?;
    tx.commit().await?;
    let Some((reads, sends)) = methods else { return Ok(failed("MailboxGone", "the mailbox does not exist")) };
    let Some((mailbox, access)) = access else {
        return Ok(failed("InvalidIncomingEmailServerProfile", "the mailbox has no email server profile"));
    };
    let test = Test { context, operation, mailbox, reads, sends, access };
    let under_way = serde_json::from_value::<Position>(operation.position.clone()).ok();
    let (outgoing, position) = match under_way {
        Some(position) => (Tested::Works, Some(position)),
        None => match test.outgoing().await? {
            Looked::Tested(tested) => (tested, None),
            Looked::Sent(position) => (Tested::Works, Some(position)),
            Looked::Later(after, _) => return Ok(later(operation, after, None)),
        },
    };
    match test.incoming(position).await? {
        Looked::Later(after, position) => Ok(later(operation, after, position)),
        Looked::Tested(incoming) => test.record(&incoming, &outgoing).await,
        Looked::Sent(_) => test.record(&Tested::NotConfigured, &outgoing).await,
    }
}

impl Test<'_> {
    /// Sends the message, where the mailbox sends.
    async fn outgoing(&self) -> lockstep_store::Result<Looked> {
        if !self.sends {
            return Ok(Looked::Tested(Tested::NotConfigured));
        }
        let access = self.access.clone().for_outgoing();
        let airlock = match self.enter(&access).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Looked::Later(wait, None)),
            Entry::Busy => return Ok(Looked::Later(PAUSE, None)),
        };
        let now = now(self.context).await?;
        let message = message::compose(self.context, self.operation.id, &self.mailbox, now);
        let position = Position { message_id: message.message_id.clone(), sent_at: now, looks: 0 };
        let mut once =
            Once { context: self.context, operation: self.operation, position: json!(position), overtaken: false };
        let sent = self.send(&access, &message, &mut once, &airlock.deadline).await;
        airlock.leave().await;
        Ok(match sent {
            Err(fault) if !once.overtaken => Looked::Tested(Tested::Fails(fault)),
            _ => Looked::Sent(position),
        })
    }

    async fn send(
        &self,
        access: &Access,
        message: &message::Message,
        once: &mut Once<'_>,
        deadline: &Deadline,
    ) -> Result<(), Fault> {
        let mut session = self.open(access, &access.profile.outgoing, deadline).await?;
        let sent = message::send(&mut *session, &self.mailbox, message, once, deadline).await;
        let _ = session.close(deadline).await;
        sent
    }

    /// Logs in and lists, and looks for the message, where one is under way.
    async fn incoming(&self, position: Option<Position>) -> lockstep_store::Result<Looked> {
        if !self.reads {
            return Ok(Looked::Tested(Tested::NotConfigured));
        }
        let airlock = match self.enter(&self.access).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Looked::Later(wait, position)),
            Entry::Busy => return Ok(Looked::Later(PAUSE, position)),
        };
        let message_id = position.as_ref().map(|position| position.message_id.as_str());
        let found = self.look(message_id, &airlock.deadline).await;
        airlock.leave().await;
        let Some(position) = position else {
            return Ok(Looked::Tested(found.map_or_else(Tested::Fails, |_| Tested::Works)));
        };
        let fault = match found {
            Ok(true) => return Ok(Looked::Tested(Tested::Works)),
            Ok(false) => not_found(),
            // Another program, or our own worker, has the mailbox open at this moment.
            Err(fault) if fault.code == "MailboxInUse" || fault.local => fault,
            Err(fault) => return Ok(Looked::Tested(Tested::Fails(fault))),
        };
        if now(self.context).await? - position.sent_at >= ARRIVES_WITHIN {
            return Ok(Looked::Tested(Tested::Fails(fault)));
        }
        let pause = PAUSE.saturating_mul(1 << position.looks.min(8)).min(LONGEST_PAUSE);
        Ok(Looked::Later(pause, Some(Position { looks: position.looks + 1, ..position })))
    }

    async fn look(&self, message_id: Option<&str>, deadline: &Deadline) -> Result<bool, Fault> {
        let mut session = self.open(&self.access, &self.access.profile.incoming, deadline).await?;
        let found = message::find(&mut *session, message_id, self.mailbox.delete_after_processing, deadline).await;
        let closed = session.close(deadline).await;
        let found = found?;
        closed.map(|()| found)
    }

    async fn open(&self, access: &Access, endpoint: &Endpoint, deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let target = target(self.context, access, endpoint, Some(&self.mailbox.address))?;
        self.context.connectors.get(&endpoint.protocol)?.open(&target, deadline).await
    }

    async fn enter(&self, access: &Access) -> lockstep_store::Result<Entry> {
        let request = Request {
            access,
            lease: None,
            run: RunId::new(),
            reserve: true,
            heartbeat: Box::new(|| Box::pin(std::future::ready(()))),
        };
        airlock::enter(self.context, request).await
    }

    async fn record(&self, incoming: &Tested, outgoing: &Tested) -> lockstep_store::Result<Step> {
        let mailbox = self.mailbox.id;
        let mut tx = self.context.store.begin().await?;
        mailbox_tests::record(&mut tx, mailbox, &self.operation.requested_by, incoming, outgoing).await?;
        tx.commit().await?;
        let result = json!({ "mailbox": mailbox, "incoming": told(incoming), "outgoing": told(outgoing) });
        let fails = matches!(incoming, Tested::Fails(_)) || matches!(outgoing, Tested::Fails(_));
        Ok(if fails { Step::Failed(result) } else { Step::Done(result) })
    }
}

async fn now(context: &Context) -> lockstep_store::Result<DateTime<Utc>> {
    Ok(context.store.begin().await?.now())
}

fn not_found() -> Fault {
    let message = format!(
        "the test message was accepted for delivery and did not arrive in this mailbox within {} seconds",
        ARRIVES_WITHIN.num_seconds()
    );
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "TestMessageNotFound", message)
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

fn later(operation: &Operation, after: Duration, position: Option<Position>) -> Step {
    let position = position.map_or_else(|| operation.position.clone(), |position| json!(position));
    Step::Later { after, position, failed: false }
}
