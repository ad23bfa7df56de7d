//! Test & enable: tries a mailbox's incoming and outgoing access, and enables what works. The outgoing test sends a
//! message to the mailbox itself, and the incoming test finds it there.

mod act;
mod message;
mod retry;
mod verdict;

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
use serde_json::json;

pub(crate) use mailbox_tests::KIND;
pub(crate) use message::is_test;
pub(crate) use verdict::{Ending, begun, conclude};

use crate::{
    Context,
    airlock::{self, Entry, Request},
    operations::test_mailbox::message::Once,
    target,
};

/// The test message is looked for so long after it was handed over.
const ARRIVES_WITHIN: TimeDelta = TimeDelta::seconds(120);

/// Pause before it is looked for again; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Arguments {
    mailbox: MailboxId,
    /// The mailbox's appointments, contacts and tasks are this organisation's from now on, whosever they were.
    #[serde(default)]
    take_over_items: bool,
}

/// Where a test stands between two runs. What an older version wrote is read as a test at its beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// The message under way.
    message: Option<UnderWay>,
    /// Attempts that have failed by what may heal.
    retries: u32,
    /// Messages that may or may not have been sent and were not found.
    lost: u32,
    /// What incoming email fails by for good; it is not tested again.
    incoming: Option<Fault>,
    /// What outgoing email fails by for good.
    outgoing: Option<Fault>,
    /// What appointments, contacts and tasks fail by for good.
    act: Option<Fault>,
    /// The mailbox was claimed as it was asked for.
    taken_over: bool,
}

/// A test message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UnderWay {
    message_id: String,
    sent_at: DateTime<Utc>,
    looks: u32,
    /// Why nobody knows whether the server has taken it. When it has, sending works, and no other message is sent.
    unclear: Option<Fault>,
}

/// What is tested.
struct Test<'a> {
    context: &'a Context,
    operation: &'a Operation,
    mailbox: Mailbox,
    reads: bool,
    sends: bool,
    take_over: bool,
    access: Access,
    position: Position,
}

/// How a look at one direction ended.
enum Looked {
    Tested(Tested),
    /// The message was handed over, or may have been.
    Sent(UnderWay),
    /// No permit.
    Later(Duration),
}

/// The message, when an attempt is over.
enum Sent {
    /// There was none, or it was found.
    Nothing,
    /// It is looked for by the next attempt.
    UnderWay(UnderWay),
    /// Nobody knows, and it is not looked for any longer.
    Lost,
}

impl Sent {
    fn of(message: Option<UnderWay>) -> Self {
        message.map_or(Self::Nothing, Self::UnderWay)
    }
}

/// How a look for the message ended.
enum Found {
    Tested(Tested),
    /// It was not there in time, though the mailbox could be looked into.
    Nowhere,
    /// No permit, or the message is not there yet.
    Later(Duration, Option<UnderWay>),
}

/// Runs the test. Waits for a permit like everybody else, but may take the last one.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Ending> {
    let arguments = match serde_json::from_value::<Arguments>(operation.arguments.clone()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(failed("InvalidArguments", &error.to_string())),
    };
    let mut tx = context.store.begin().await?;
    let wanted = mailbox_tests::wanted(&mut tx, arguments.mailbox).await?;
    let access = lanes::access(&mut tx, arguments.mailbox).await?;
    tx.commit().await?;
    let Some(wanted) = wanted else { return Ok(failed("MailboxGone", "the mailbox does not exist")) };
    if !wanted.active {
        return Ok(failed("MailboxInactive", "the mailbox was made inactive before its test was over"));
    }
    let Some((mailbox, access)) = access else {
        return Ok(failed("InvalidIncomingEmailServerProfile", "the mailbox has no email server profile"));
    };
    let position = serde_json::from_value::<Position>(operation.position.clone()).unwrap_or_default();
    let (reads, sends) = (wanted.incoming, wanted.outgoing);
    let take_over = arguments.take_over_items;
    Test { context, operation, mailbox, reads, sends, take_over, access, position }.run().await
}

impl Test<'_> {
    async fn run(&self) -> lockstep_store::Result<Ending> {
        let (outgoing, message) = match (&self.position.message, &self.position.outgoing) {
            (Some(message), _) if self.sends => (Tested::Works, Some(message.clone())),
            (_, Some(fault)) if self.sends => (Tested::Fails(fault.clone()), None),
            _ => match self.outgoing().await? {
                Looked::Tested(tested) => (tested, None),
                Looked::Sent(message) => (Tested::Works, Some(message)),
                Looked::Later(after) => return Ok(self.later(after, None)),
            },
        };
        let unclear = message.as_ref().and_then(|message| message.unclear.clone());
        let is_unclear = unclear.is_some();
        let outgoing_unless_found = unclear.map_or(outgoing.clone(), Tested::Fails);
        let sent = if is_unclear { Sent::Lost } else { Sent::of(message.clone()) };
        let kept = message.clone();
        let (incoming, outgoing, sent) = match (&self.position.incoming, self.reads) {
            (_, false) => (Tested::NotConfigured, outgoing_unless_found, sent),
            (Some(fault), true) => (Tested::Fails(fault.clone()), outgoing_unless_found, sent),
            (None, true) => match self.incoming(message.clone()).await? {
                Found::Later(after, message) => return Ok(self.later(after, message)),
                // Whether it was sent is known now: it is there.
                Found::Tested(Tested::Works) => (Tested::Works, outgoing, Sent::Nothing),
                Found::Tested(incoming) => (incoming, outgoing_unless_found, Sent::of(message)),
                Found::Nowhere if is_unclear => (Tested::Works, outgoing_unless_found, sent),
                Found::Nowhere => (Tested::Fails(not_found()), outgoing, sent),
            },
        };
        self.verdict(incoming, outgoing, sent, kept).await
    }

    /// Sends the message, where the mailbox sends.
    async fn outgoing(&self) -> lockstep_store::Result<Looked> {
        if !self.sends {
            return Ok(Looked::Tested(Tested::NotConfigured));
        }
        let access = self.access.clone().for_outgoing();
        let airlock = match self.enter(&access).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Looked::Later(wait)),
            Entry::Busy => return Ok(Looked::Later(PAUSE)),
        };
        let now = now(self.context).await?;
        let message = message::compose(self.context, self.operation.id, self.position.retries, &self.mailbox, now);
        let mut under_way =
            UnderWay { message_id: message.message_id.clone(), sent_at: now, looks: 0, unclear: Some(died()) };
        let position = Position { message: Some(under_way.clone()), ..self.position.clone() };
        let mut once = Once::new(self.context, self.operation, json!(position));
        let sent = self.send(&access, &message, &mut once, &airlock.deadline).await;
        airlock.leave().await;
        under_way.unclear = match sent {
            Ok(()) => None,
            // Another run of this test sends it.
            Err(_) if once.overtaken => under_way.unclear,
            Err(fault) if once.crossed && retry::is_unclear(&fault) => Some(fault),
            Err(fault) => return Ok(Looked::Tested(Tested::Fails(fault))),
        };
        Ok(Looked::Sent(under_way))
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
    async fn incoming(&self, message: Option<UnderWay>) -> lockstep_store::Result<Found> {
        let airlock = match self.enter(&self.access).await? {
            Entry::Open(airlock) => airlock,
            Entry::Deferred(wait) => return Ok(Found::Later(wait, message)),
            Entry::Busy => return Ok(Found::Later(PAUSE, message)),
        };
        let found = self.look(message.is_some(), &airlock.deadline).await;
        airlock.leave().await;
        let Some(message) = message else {
            return Ok(Found::Tested(found.map_or_else(Tested::Fails, |_| Tested::Works)));
        };
        let nowhere = match found {
            Ok(true) => return Ok(Found::Tested(Tested::Works)),
            Ok(false) => Found::Nowhere,
            // Another program, or our own worker, has the mailbox open at this moment.
            Err(fault) if fault.code == "MailboxInUse" || fault.local => Found::Tested(Tested::Fails(fault)),
            Err(fault) => return Ok(Found::Tested(Tested::Fails(fault))),
        };
        if now(self.context).await? - message.sent_at >= ARRIVES_WITHIN {
            return Ok(nowhere);
        }
        let pause = PAUSE.saturating_mul(1 << message.looks.min(8)).min(LONGEST_PAUSE);
        Ok(Found::Later(pause, Some(UnderWay { looks: message.looks + 1, ..message })))
    }

    async fn look(&self, under_way: bool, deadline: &Deadline) -> Result<bool, Fault> {
        let mut session = self.open(&self.access, &self.access.profile.incoming, deadline).await?;
        let operation = under_way.then_some(self.operation.id);
        let found = message::find(&mut *session, operation, self.mailbox.delete_after_processing, deadline).await;
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

    /// The test goes on with this message under way, and nothing was learnt.
    fn later(&self, after: Duration, message: Option<UnderWay>) -> Ending {
        let message = message.or_else(|| self.position.message.clone());
        let position = json!(Position { message, ..self.position.clone() });
        Ending::of(Step::Later { after, position, failed: false, so_far: self.operation.result.clone() })
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

/// Stands in the operation while a run sends the message, and is what is known where the run says no more.
fn died() -> Fault {
    let message = "the worker ended without a word while it sent the test message";
    Fault::new(FaultScope::Mailbox, FaultClass::Unclear, "ConnectionLost", message).local()
}

fn failed(code: &str, message: &str) -> Ending {
    Ending::of(Step::Failed(json!({ "code": code, "message": message })))
}
