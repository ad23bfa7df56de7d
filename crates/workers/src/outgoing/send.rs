//! One attempt: begin, connect, write, cross, record.

use std::time::Duration;

use lockstep_connector::Envelope;
use lockstep_engine::outgoing::{self, Aftermath, Attempt, RecipientState, Step};
use lockstep_model::{
    crashpoint::CrashPoint,
    fault::{Fault, FaultClass, FaultScope},
    id::RunId,
};
use lockstep_store::{
    Tx,
    alerts::{self, Part, Severity, Subject},
    deliveries::{
        self, Delivery, Ended, Outgoing,
        figures::{self, Attempted},
    },
    emails::refused,
    lanes::Access,
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Context,
    airlock::Airlock,
    outgoing::{
        authority, compose,
        gate::{self, Gate},
        health, told,
    },
    target,
};

/// What is sent, to whom, by which run.
pub(crate) struct Job {
    pub(crate) delivery: Delivery,
    pub(crate) attempt: i32,
    pub(crate) outgoing: Outgoing,
    /// Recipients that have not accepted yet.
    pub(crate) to: Vec<String>,
    pub(crate) accepted_before: bool,
    pub(crate) access: Access,
    pub(crate) run: RunId,
    /// So many attempts are made.
    pub(crate) max_attempts: u32,
}

/// An attempt that is over.
struct Concluded<'a> {
    attempt: &'a Attempt,
    /// The server's own words.
    reply: &'a str,
    /// Whether the server was asked for anything at all.
    spoke: bool,
}

/// The number of an attempt among those that count, from 1.
pub(crate) fn number(delivery: &Delivery, attempt: i32) -> u32 {
    u32::try_from(attempt.saturating_sub(delivery.uncounted)).unwrap_or_default().max(1)
}

/// Makes the attempt and records how it ended.
///
/// # Errors
/// When the database stays away after the attempt; the scheduler then finds it begun and never ended.
pub(crate) async fn send(context: &Context, job: &Job, airlock: &Airlock) -> lockstep_store::Result<&'static str> {
    let (mut reply, mut spoke) = (String::new(), false);
    let begun = Instant::now();
    let attempt = attempt(context, job, airlock, (&mut reply, &mut spoke)).await;
    let took = begun.elapsed();
    if matches!(attempt, Attempt::Taken { .. }) {
        CrashPoint::ACCEPTED.reach();
    }
    let concluded = Concluded { attempt: &attempt, reply: &reply, spoke };
    let result = record_patiently(context, job, &concluded).await?;
    CrashPoint::SENT.reach();
    if job.access.verbose {
        tracing::info!(
            mailbox.id = %job.delivery.mailbox,
            email.id = %job.delivery.email,
            host = job.access.profile.outgoing.host,
            port = job.access.profile.outgoing.port,
            attempt = number(&job.delivery, job.attempt),
            of = job.max_attempts,
            recipients = job.to.len(),
            result,
            fault = broken_by(&attempt).map(|fault| fault.code.as_str()),
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "detail: an attempt was made to send"
        );
    }
    Ok(result)
}

/// Connects and sends; `reply` becomes the server's own words, and `spoke` tells whether it was asked for anything.
async fn attempt(context: &Context, job: &Job, airlock: &Airlock, (reply, spoke): (&mut String, &mut bool)) -> Attempt {
    let broken = |fault: Fault| Attempt::Broken { fault, crossed: false, recipients: Vec::new() };
    match authority::refusal_now(&context.store, job.delivery.email).await {
        Ok(None) => {}
        Ok(Some(fault)) => return broken(fault),
        Err(error) => return broken(gate::stopped("DatabaseUnavailable", &error.to_string())),
    }
    let Some(composed) = compose::compose(context.organisation, &job.delivery, &job.outgoing) else {
        let message = "the email has no author";
        return broken(Fault::new(FaultScope::Item, FaultClass::Refused, "NoSender", message));
    };
    let from = job.outgoing.parties.iter().find(|(role, _, _)| *role == lockstep_model::email::PartyRole::From);
    let envelope = Envelope {
        from: from.map(|(_, _, address)| address.clone()).unwrap_or_default(),
        to: job.to.clone(),
        size: Some(composed.size),
        save_copy: job.outgoing.save_copy,
    };
    let target = match target(context, &job.access, &job.access.profile.outgoing, Some(&envelope.from)) {
        Ok(target) => target,
        Err(fault) => return broken(fault),
    };
    let connector = match context.connectors.get(&target.endpoint.protocol) {
        Ok(connector) => connector,
        Err(fault) => return broken(fault),
    };
    *spoke = true;
    let mut session = match connector.open(&target, &airlock.deadline).await {
        Ok(session) => session,
        Err(fault) => return broken(fault),
    };
    let mut gate = Gate {
        store: &context.store,
        deadline: &airlock.deadline,
        email: job.delivery.email,
        attempt: job.attempt,
        run: job.run,
        crossed: false,
        answers: Vec::new(),
    };
    let sent = session.send(&envelope, composed.reader(&context.store), &mut gate, &airlock.deadline).await;
    let (crossed, answers) = (gate.crossed, gate.answers);
    // The result is known; how the conversation ends changes nothing about it.
    let _ = session.close(&airlock.deadline).await;
    match sent {
        Ok(receipt) => {
            *reply = receipt.reply;
            Attempt::Taken { recipients: receipt.recipients.into_iter().map(|r| r.result).collect() }
        }
        Err(fault) => {
            airlock.obey(&fault).await;
            Attempt::Broken { fault, crossed, recipients: answers }
        }
    }
}

/// Records the result; while the database is away it tries again for a while, because after the point of no return
/// only this run knows what the server said.
async fn record_patiently(context: &Context, job: &Job, ended: &Concluded<'_>) -> lockstep_store::Result<&'static str> {
    const TRIES: u32 = 8;
    let mut pause = Duration::from_millis(200);
    for _ in 1..TRIES {
        match record(context, job, ended).await {
            Err(error) if error.is_unavailable() || matches!(error, lockstep_store::Error::Collided(_)) => {
                tracing::warn!(%error, email.id = %job.delivery.email, "the result of an attempt is not recorded yet");
            }
            done => return done,
        }
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    record(context, job, ended).await
}

/// What becomes of the email, once it is known what becomes of its mailbox's sending and of the server.
async fn aftermath(
    tx: &mut Tx,
    context: &Context,
    job: &Job,
    concluded: &Concluded<'_>,
) -> lockstep_store::Result<(Aftermath, health::Findings)> {
    // Before whatever stands for more than this email, as everybody does who locks both.
    deliveries::lock(tx, job.delivery.email).await?;
    let schedule = context.config.send_schedule(job.max_attempts);
    let delivery = outgoing::Delivery {
        attempt: number(&job.delivery, job.attempt),
        envelope: job.to.len(),
        accepted_before: job.accepted_before,
        held: false,
    };
    let jitter = rand::random();
    let mut aftermath = outgoing::after_attempt(concluded.attempt, &delivery, &schedule, jitter);
    let silent = matches!(aftermath.step, Step::Unknown { .. });
    let fault = broken_by(concluded.attempt);
    let findings = health::find(tx, context, job, fault, (concluded.spoke, silent)).await?;
    if findings.stops() {
        let held = outgoing::Delivery { held: true, ..delivery };
        aftermath = outgoing::after_attempt(concluded.attempt, &held, &schedule, jitter);
    }
    if let (Step::Retry { after, counted: false }, Some(wait)) = (&mut aftermath.step, findings.wait(tx.now())) {
        *after = wait;
    }
    Ok((aftermath, findings))
}

async fn record(context: &Context, job: &Job, concluded: &Concluded<'_>) -> lockstep_store::Result<&'static str> {
    let Concluded { attempt, reply, .. } = *concluded;
    let email = job.delivery.email;
    let mut tx = context.store.begin().await?;
    let (aftermath, findings) = aftermath(&mut tx, context, job, concluded).await?;
    let mut answers: Vec<_> = job
        .to
        .iter()
        .zip(&aftermath.recipients)
        .enumerate()
        .filter_map(|(at, (address, state))| {
            let words = words_to(attempt, at);
            match state {
                RecipientState::Accepted => Some((address.clone(), "accepted", words)),
                RecipientState::Refused => Some((address.clone(), "refused", words)),
                RecipientState::Waiting | RecipientState::Unknown => {
                    (!words.is_empty()).then(|| (address.clone(), "pending", words))
                }
            }
        })
        .collect();
    let subject = Subject::Email(email, job.delivery.mailbox);
    let ended = match &aftermath.step {
        Step::Sent => Ended::Sent(reply.to_owned()),
        Step::Retry { after, counted: true } => Ended::Retry(context.scale.apply(*after), fault_of(attempt)),
        Step::Retry { after, counted: false } => Ended::Postponed(context.scale.apply(*after), fault_of(attempt)),
        Step::Failed { fault } => Ended::Failed(fault.clone()),
        Step::Unknown { fault } => Ended::Unknown(fault.clone()),
    };
    let before = deliveries::end(&mut tx, email, job.attempt, Some(job.run), &ended).await?;
    if before.is_none() {
        // Somebody else goes on with this email: all that still counts is who must not get it again.
        answers.retain(|(_, state, _)| *state == "accepted");
    }
    deliveries::note_recipients(&mut tx, email, &answers).await?;
    if let Some(before) = before {
        match &aftermath.step {
            Step::Sent => {
                alerts::resolve(&mut tx, "OutcomeUnknown", subject).await?;
                alerts::resolve(&mut tx, "DeliveryFailed", subject).await?;
                alerts::resolve_part(&mut tx, job.delivery.mailbox, Part::Outgoing).await?;
                told::waits_no_longer(&mut tx, subject).await?;
                if job.attempt > 1 || aftermath.recipients.contains(&RecipientState::Refused) {
                    refused::tell(&mut tx, email, job.delivery.mailbox).await?;
                }
            }
            Step::Failed { fault } => {
                told::waits_no_longer(&mut tx, subject).await?;
                let parameters = json!({ "cause": fault.code, "message": fault.message });
                alerts::raise(&mut tx, "DeliveryFailed", Severity::Error, subject, parameters).await?;
            }
            Step::Unknown { fault } => {
                told::unknown(&mut tx, context, number(&job.delivery, job.attempt), subject, fault).await?;
            }
            Step::Retry { .. } => told::waits(&mut tx, subject, &fault_of(attempt)).await?,
        }
        let count = |wanted| aftermath.recipients.iter().filter(|state| **state == wanted).count();
        let (accepted, refused) = (count(RecipientState::Accepted), count(RecipientState::Refused));
        let attempted = Attempted { email, run: Some(job.run), before, ended: &ended, accepted, refused };
        figures::note(&mut tx, &attempted).await?;
        health::apply(&mut tx, context, job, broken_by(attempt), &findings).await?;
    }
    tx.commit().await?;
    Ok(match &aftermath.step {
        Step::Sent => "sent",
        Step::Retry { .. } => "retry",
        Step::Failed { .. } => "failed",
        Step::Unknown { .. } => "unknown",
    })
}

fn broken_by(attempt: &Attempt) -> Option<&Fault> {
    if let Attempt::Broken { fault, .. } = attempt { Some(fault) } else { None }
}

fn words_to(attempt: &Attempt, at: usize) -> String {
    let recipients = match attempt {
        Attempt::Taken { recipients } | Attempt::Broken { recipients, .. } => recipients.as_slice(),
    };
    recipients.get(at).and_then(|answer| answer.as_ref().err()).map(|f| f.message.clone()).unwrap_or_default()
}

/// Said of recipients about whom the server has said nothing, though it took the message for others.
const UNANSWERED: &str = "the server has not answered about a recipient";

fn fault_of(attempt: &Attempt) -> Fault {
    let first_refusal = match attempt {
        Attempt::Broken { fault, .. } => return fault.clone(),
        Attempt::Taken { recipients } => recipients.iter().find_map(|r| r.as_ref().err()),
    };
    first_refusal
        .cloned()
        .unwrap_or_else(|| Fault::new(FaultScope::Item, FaultClass::Transient, "RecipientDeferred", UNANSWERED))
}
