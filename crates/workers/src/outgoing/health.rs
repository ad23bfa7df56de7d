//! What an attempt says beyond its email: that the mailbox may no longer send, or that the server of its profile fails.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::{
    breaker::{self, Breaker, Transition},
    health::{self as rules, Health, Verdict},
};
use lockstep_model::{
    clock::TimeScale,
    fault::{Fault, FaultClass, FaultScope},
    mailbox::Lane,
};
use lockstep_store::{
    Result, Tx,
    alerts::{self, Part, Severity, Subject},
    deliveries::health::{self, UNREACHABLE},
    schedules::BreakerRow,
    settings,
};
use serde_json::json;

use crate::{Context, outgoing::send::Job};

/// So much of the pause has to pass before another transient fault counts: attempts come early by their jitter.
const OF_THE_PAUSE: f64 = 0.9;

/// What follows beyond the email.
pub(crate) struct Findings {
    mailbox: Option<Mailbox>,
    server: Option<Server>,
}

/// What becomes of the mailbox's sending.
enum Mailbox {
    /// It goes on; what has failed counts, or has failed together with what counted.
    Goes { counted: Option<u32> },
    /// It stops until a person has mended the cause.
    Stops,
}

/// What the attempt says of the server.
struct Server {
    before: Breaker,
    after: Breaker,
    transition: Transition,
    failed: bool,
}

impl Findings {
    /// The mailbox's sending stops.
    pub(crate) fn stops(&self) -> bool {
        matches!(self.mailbox, Some(Mailbox::Stops))
    }

    /// How long the server is left alone, where this attempt has found it failing.
    pub(crate) fn wait(&self, now: DateTime<Utc>) -> Option<Duration> {
        match &self.server {
            Some(Server { failed: true, after: Breaker::Open { until, .. }, .. }) => {
                Some((*until - now).to_std().unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// Finds out what follows, and locks what it concerns; the delivery is locked already. `fault` is what has ended the
/// attempt, `spoke` whether the server was asked for anything at all, and `silent` that its answer to the whole message is
/// missing, which is no fault of the mailbox.
///
/// A fault of the account counts against the mailbox that has met it, also where its profile has one account for all: so
/// reading does.
pub(crate) async fn find(
    tx: &mut Tx,
    context: &Context,
    job: &Job,
    fault: Option<&Fault>,
    (spoke, silent): (bool, bool),
) -> Result<Findings> {
    let of_mailbox =
        fault.filter(|fault| fault.scope == FaultScope::Mailbox && fault.class != FaultClass::Throttled && !silent);
    let mailbox = match of_mailbox {
        Some(fault) => Some(judge(tx, context, job, fault).await?),
        None => None,
    };
    let server = if spoke { observe(tx, job, fault).await? } else { None };
    Ok(Findings { mailbox, server })
}

async fn judge(tx: &mut Tx, context: &Context, job: &Job, fault: &Fault) -> Result<Mailbox> {
    let standing = health::lock(tx, job.delivery.mailbox).await?;
    let numbers = rules::Settings::of(&settings::read(tx).await?, Lane::Incoming);
    // Emails that fail at the same moment have met one fault.
    let pause = context.scale.apply(numbers.backoff.mul_f64(OF_THE_PAUSE));
    let pause = TimeDelta::from_std(pause).unwrap_or_default();
    let together = standing.failures > 0 && standing.counted_at.is_some_and(|at| tx.now() - at < pause);
    if fault.may_heal() && (together || fault.local) {
        return Ok(Mailbox::Goes { counted: None });
    }
    let known = Health { transient_failures: standing.failures };
    Ok(match rules::judge(Some(fault), known, &numbers, 0.0) {
        Verdict::Disable => Mailbox::Stops,
        Verdict::Postpone { failures, .. } => Mailbox::Goes { counted: Some(failures) },
        Verdict::Healthy => Mailbox::Goes { counted: None },
    })
}

async fn observe(tx: &mut Tx, job: &Job, fault: Option<&Fault>) -> Result<Option<Server>> {
    let failed = fault.is_some_and(|fault| {
        fault.scope == FaultScope::Profile && fault.class != FaultClass::Throttled && !fault.local
    });
    let Some(row) = health::breaker(tx, job.access.profile.id, failed).await? else { return Ok(None) };
    let before = match row.open_until {
        Some(until) => Breaker::Open { until, opened_at: until, step: row.step },
        None => Breaker::Closed { failures: row.failures },
    };
    let (after, transition) = before.observe(fault, tx.now(), &breaker::Settings::default(), rand::random());
    Ok(Some(Server { before, after, transition, failed }))
}

/// Writes down what follows, and tells it. Call it last, after the figures, in the transaction of [`find`].
pub(crate) async fn apply(
    tx: &mut Tx,
    context: &Context,
    job: &Job,
    fault: Option<&Fault>,
    findings: &Findings,
) -> Result<()> {
    if let (Some(found), Some(fault)) = (&findings.mailbox, fault) {
        let mailbox = job.delivery.mailbox;
        let (severity, failures) = match found {
            Mailbox::Stops if health::disable(tx, mailbox, job.delivery.email, &fault.code).await? => {
                (Severity::Error, None)
            }
            Mailbox::Stops => (Severity::Warning, None),
            Mailbox::Goes { counted } => (Severity::Warning, *counted),
        };
        let mut parameters = json!({ "message": fault.message });
        if let Some(failures) = failures {
            health::count(tx, mailbox, failures).await?;
            parameters["failures"] = failures.into();
        }
        alerts::raise(tx, &fault.code, severity, Subject::Part(mailbox, Part::Outgoing), parameters).await?;
    }
    let Some(server) = &findings.server else { return Ok(()) };
    let profile = job.access.profile.id;
    match (server.transition, fault) {
        (Transition::Opened, Some(fault)) => {
            let parameters = json!({ "cause": fault.code, "message": fault.message });
            alerts::raise(tx, UNREACHABLE, Severity::Error, Subject::Profile(profile), parameters).await?;
        }
        (Transition::Closed, _) => {
            alerts::resolve(tx, UNREACHABLE, Subject::Profile(profile)).await?;
            // Whatever has waited for the server goes without waiting for the next look.
            lockstep_store::nudge(tx).await?;
        }
        _ => {}
    }
    if server.after != server.before {
        let row = stored(server.after, tx.now(), context.scale);
        health::write_breaker(tx, profile, row).await?;
    }
    Ok(())
}

fn stored(breaker: Breaker, now: DateTime<Utc>, scale: TimeScale) -> BreakerRow {
    match breaker {
        Breaker::Closed { failures } => BreakerRow { failures, ..BreakerRow::default() },
        Breaker::Open { until, step, .. } => {
            let wait = scale.apply((until - now).to_std().unwrap_or_default());
            BreakerRow { failures: 0, step, open_until: Some(now + wait) }
        }
        Breaker::HalfOpen { step, .. } => BreakerRow { failures: 0, step, open_until: Some(now) },
    }
}
