//! Test Connection: looks at a profile's two servers, step by step, and logs in where the profile has the account.

use std::time::{Duration, Instant};

use lockstep_connector::{Deadline, Probe, ProbeStep, Session};
use lockstep_model::{
    fault::{Fault, FaultClass},
    id::{ProfileId, RunId},
    profile::Endpoint,
};
use lockstep_store::{
    lanes::{self, Access},
    operations::{Operation, Step},
    profiles,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::listing;
use crate::{
    Context,
    airlock::{self, Entry, Request},
    target,
};

/// The kind under which the operation is stored.
pub(crate) const KIND: &str = "test-profile-connection";

/// What is told of an application that its issuer knows.
const ISSUED: &str = "a token was issued";

#[derive(Deserialize)]
struct Arguments {
    profile: ProfileId,
}

/// What is done with a server one is logged in at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Incoming,
    Outgoing,
}

/// Runs the test, with a permit for each direction, and keeps the result with the profile.
pub(crate) async fn run(context: &Context, operation: &Operation) -> lockstep_store::Result<Step> {
    let arguments = match serde_json::from_value::<Arguments>(operation.arguments.clone()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(failed("InvalidArguments", &error.to_string())),
    };
    let mut tx = context.store.begin().await?;
    let begun_at = tx.now();
    let access = lanes::profile_access(&mut tx, arguments.profile).await?;
    let example = profiles::example_address(&mut tx, arguments.profile).await?;
    tx.commit().await?;
    let example = example.as_deref();
    let Some(access) = access else { return Ok(failed("ProfileGone", "the profile does not exist")) };
    let begun = Instant::now();
    let (incoming, outgoing) = (access.profile.incoming.clone(), access.profile.outgoing.clone());
    let incoming = match test(context, &access, &incoming, example, Direction::Incoming).await? {
        Ok(told) => told,
        Err(wait) => return Ok(later(operation, wait)),
    };
    let outgoing = match test(context, &access.for_outgoing(), &outgoing, example, Direction::Outgoing).await? {
        Ok(told) => told,
        Err(wait) => return Ok(later(operation, wait)),
    };
    let fails = [&incoming, &outgoing].iter().any(|told| is_failure(told));
    let result = json!({
        "profile": arguments.profile,
        "status": if fails { "failure" } else { "success" },
        "started_at": begun_at,
        "took_ms": milliseconds(begun.elapsed()),
        "incoming": incoming,
        "outgoing": outgoing,
    });
    let mut tx = context.store.begin().await?;
    profiles::note_test(&mut tx, arguments.profile, &result).await?;
    tx.commit().await?;
    Ok(if fails { Step::Failed(result) } else { Step::Done(result) })
}

/// Tests one direction; `Err` is how long to wait for a permit.
async fn test(
    context: &Context,
    access: &Access,
    endpoint: &Endpoint,
    example: Option<&str>,
    direction: Direction,
) -> lockstep_store::Result<Result<Value, Duration>> {
    let request = Request {
        access,
        lease: None,
        run: RunId::new(),
        reserve: true,
        heartbeat: Box::new(|| Box::pin(std::future::ready(()))),
    };
    let airlock = match airlock::enter(context, request).await? {
        Entry::Open(airlock) => airlock,
        Entry::Deferred(wait) => return Ok(Err(wait)),
        Entry::Busy => return Ok(Err(Duration::from_secs(1))),
    };
    let told = direction_told(context, access, endpoint, example, direction, &airlock.deadline).await;
    airlock.leave().await;
    Ok(Ok(told))
}

async fn direction_told(
    context: &Context,
    access: &Access,
    endpoint: &Endpoint,
    example: Option<&str>,
    direction: Direction,
    deadline: &Deadline,
) -> Value {
    let connector = match context.connectors.get(&endpoint.protocol) {
        Ok(connector) => connector,
        Err(fault) => return in_order(failure(&fault, None), None),
    };
    let own = "each mailbox has its own account; Test & Enable of a mailbox tries it";
    let whom = whom(access, example);
    let found = match &access.profile.discovery {
        None => endpoint.clone(),
        Some(_) if access.login.is_none() => return in_order(not_run(own), Some((not_run(own), not_run(own)))),
        Some(_) if whom.is_none() && !is_address(access) => {
            let nobody = "no mailbox uses this profile yet, whose server could be asked for";
            let begun = Instant::now();
            let authorised = match (&access.profile.application, target(context, access, endpoint, None)) {
                (None, _) => not_run(nobody),
                (Some(_), Err(fault)) => failure(&fault, None),
                (Some(_), Ok(target)) => match connector.authorise(&target, deadline).await {
                    Ok(()) => success(begun.elapsed(), ISSUED),
                    Err(fault) => failure(&fault, Some(begun.elapsed())),
                },
            };
            return in_order(not_run(nobody), Some((authorised, not_run(nobody))));
        }
        Some(_) => {
            let begun = Instant::now();
            let located = match target(context, access, endpoint, whom) {
                Ok(target) => connector.locate(&target, deadline).await,
                Err(fault) => Err(fault),
            };
            match located {
                Ok(found) => found,
                // Only whoever is known there is told anything.
                Err(fault) if fault.class == FaultClass::Auth => {
                    let unasked = not_run("the server is asked for with the account");
                    let refused = failure(&fault, Some(begun.elapsed()));
                    return in_order(unasked, Some((refused, not_run("nobody is logged in"))));
                }
                Err(fault) => return in_order(failure(&fault, Some(begun.elapsed())), None),
            }
        }
    };
    let begun = Instant::now();
    let probe = connector.probe(&found, access.profile.request_timeout, deadline).await;
    let location = located(&probe, begun.elapsed());
    if probe.fault.is_some() {
        return in_order(location, None);
    }
    if access.login.is_none() {
        return in_order(location, Some((not_run(own), not_run(own))));
    }
    let begun = Instant::now();
    let opened = match target(context, access, endpoint, whom) {
        Ok(target) => match connector.authorise(&target, deadline).await {
            Ok(()) if access.profile.application.is_some() && whom.is_none() => {
                let nobody = "an application has no mailbox of its own, and no mailbox uses this profile yet";
                let issued = success(begun.elapsed(), ISSUED);
                return in_order(location, Some((issued, not_run(nobody))));
            }
            Ok(()) => connector.open(&target, deadline).await,
            Err(fault) => Err(fault),
        },
        Err(fault) => Err(fault),
    };
    let took = begun.elapsed();
    match opened {
        Err(fault) => in_order(location, Some((failure(&fault, Some(took)), not_run("nobody is logged in")))),
        Ok(session) => {
            let executed = executed(session, direction, deadline).await;
            in_order(location, Some((success(took, "logged in"), executed)))
        }
    }
}

/// Whose mailbox the test is about: the account's own, and one of the profile's where the account has none or its name does
/// not tell where it is.
fn whom<'a>(access: &Access, example: Option<&'a str>) -> Option<&'a str> {
    let unknown = access.profile.discovery.is_some() && !is_address(access);
    example.filter(|_| access.profile.application.is_some() || unknown)
}

/// Whether the account's name is the address of its mailbox.
fn is_address(access: &Access) -> bool {
    access.login.as_deref().is_some_and(|login| login.contains('@'))
}

/// Does what can be done without harm: lists what there is to read; for sending, the order of the conversation.
async fn executed(mut session: Box<dyn Session>, direction: Direction, deadline: &Deadline) -> Value {
    let begun = Instant::now();
    let done = match direction {
        Direction::Incoming => match listing::newest(&mut *session, 1, deadline).await {
            Ok(_) => session.close(deadline).await.map(|()| "the mailbox was listed"),
            Err(fault) => {
                let _ = session.close(deadline).await;
                Err(fault)
            }
        },
        Direction::Outgoing => {
            session.close(deadline).await.map(|()| "ended in order; Test & Enable of a mailbox sends a message")
        }
    };
    match done {
        Ok(said) => success(begun.elapsed(), said),
        Err(fault) => failure(&fault, Some(begun.elapsed())),
    }
}

fn located(probe: &Probe, took: Duration) -> Value {
    let step = |step: &ProbeStep| json!({ "name": step.name, "asked": step.asked, "said": step.said, "took_ms": milliseconds(step.took) });
    let steps: Vec<_> = probe.steps.iter().map(step).collect();
    let mut told = match &probe.fault {
        None => success(took, "reached"),
        Some(fault) => failure(fault, Some(took)),
    };
    told["steps"] = json!(steps);
    told
}

/// Location, authorisation, execution; without the latter two where the first has failed.
fn in_order(location: Value, rest: Option<(Value, Value)>) -> Value {
    let unreached = || not_run("the server was not reached");
    let (authorisation, execution) = rest.unwrap_or_else(|| (unreached(), unreached()));
    json!({ "location": location, "authorisation": authorisation, "execution": execution })
}

fn success(took: Duration, message: &str) -> Value {
    json!({ "status": "success", "message": message, "took_ms": milliseconds(took) })
}

fn failure(fault: &Fault, took: Option<Duration>) -> Value {
    json!({ "status": "failure", "code": fault.code, "message": fault.message, "took_ms": took.map(milliseconds) })
}

fn not_run(why: &str) -> Value {
    json!({ "status": "not-run", "message": why })
}

fn is_failure(told: &Value) -> bool {
    ["location", "authorisation", "execution"].iter().any(|part| told[*part]["status"] == "failure")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn failed(code: &str, message: &str) -> Step {
    Step::Failed(json!({ "code": code, "message": message }))
}

fn later(operation: &Operation, after: Duration) -> Step {
    Step::Later { after, position: operation.position.clone(), failed: false, so_far: None }
}
