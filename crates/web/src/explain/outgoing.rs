//! The chain of a mailbox that is sent from.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::explain::MailboxFacts;

use super::{
    Chain,
    Decision::{Acceptance, Breaker, Correlation, Due, Filter, Lease, Result},
    Found, Step, account,
    configuration::{self, Direction},
    is_of_item, silent_role,
    words::{count, said, when},
};

/// An attempt may be late by so much before it counts as overdue.
const LATE: TimeDelta = TimeDelta::minutes(1);

/// That sending knows no filter.
pub(super) const UNFILTERED: &str = "No filter is asked: every email that is to be sent from the mailbox goes.";

/// From the approval to what waits, in order.
pub(crate) fn steps(facts: &MailboxFacts, now: DateTime<Utc>) -> Vec<Step> {
    let mut chain = Chain::new("outgoing");
    let mailbox = &facts.mailbox;
    let direction = Direction {
        name: "outgoing",
        done: "sent",
        method: &mailbox.outgoing_method,
        test: &mailbox.outgoing_test,
        enabled: mailbox.outgoing_enabled,
        disabled: facts.sending.disabled_code.as_deref().map(|code| (code, facts.sending.disabled_at)),
    };
    configuration::steps(&mut chain, facts, &direction, now);
    let stopped = chain.is_stopped();
    due(&mut chain, facts, stopped, now);
    breaker(&mut chain, facts, now);
    account::sending(&mut chain, facts);
    lease(&mut chain, facts, stopped);
    chain.ok(Filter, UNFILTERED);
    acceptance(&mut chain, facts, now);
    correlation(&mut chain, facts);
    let mut found = Found::default();
    last_attempt(&mut found, facts, now);
    configuration::alerts(&mut found, facts, "outgoing", now);
    chain.found(Result, found);
    chain.steps
}

/// Sending has a breaker of its own: that reading rests keeps nothing from being sent.
fn breaker(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let Some(profile) = &facts.profile else { return chain.not_reached(Breaker, "No server is known.") };
    let remedy =
        "Look at the server, the network and the profile's outgoing part; emails wait, and use up no attempts.";
    match (profile.sending_open_until, profile.sending_failures) {
        (Some(until), _) if until > now => chain.waits(
            Breaker,
            format!("The outgoing server of {} fails: nothing is sent until {}.", profile.name, when(until, now)),
            remedy,
        ),
        (Some(_), _) => chain.waits(
            Breaker,
            format!("The outgoing server of {} has failed: one email at a time probes it now.", profile.name),
            remedy,
        ),
        (None, 0) => chain.ok(
            Breaker,
            match profile.breaker_open_until {
                Some(until) if until > now => format!(
                    "Reading from the server of {} rests until {}; sending is tried all the same.",
                    profile.name,
                    when(until, now)
                ),
                _ => format!("The outgoing server of {} is not known to fail.", profile.name),
            },
        ),
        (None, failures) => chain.ok(
            Breaker,
            format!(
                "The outgoing server of {} has failed {} in a row, too few to keep away.",
                profile.name,
                count(failures, "time", "times")
            ),
        ),
    }
}

fn due(chain: &mut Chain, facts: &MailboxFacts, stopped: bool, now: DateTime<Utc>) {
    let outbox = facts.outbox;
    let Some(due) = outbox.due_at.filter(|_| outbox.waiting > 0) else {
        return chain.ok(Due, "No email waits to be sent.");
    };
    let waiting = count(outbox.waiting, "email waits", "emails wait");
    if stopped {
        return chain.waits(
            Due,
            format!("{waiting} to be sent, the first since {}.", when(due, now)),
            "They go as soon as what stops above is mended.",
        );
    }
    let sentence = format!("{waiting} to be sent, the first attempt due {}.", when(due, now));
    if due > now - LATE {
        return chain.ok(Due, sentence);
    }
    let remedy = match silent_role(facts, &["scheduler", "outgoing-worker"], now) {
        Some(role) => format!("No {role} was heard of in the last minute: start one, or look at its readiness."),
        None => "Look at the outgoing-workers' log; the account's connections may all be in use.".to_owned(),
    };
    chain.waits(Due, sentence, remedy);
}

fn lease(chain: &mut Chain, facts: &MailboxFacts, stopped: bool) {
    match facts.outbox.sending {
        0 if stopped => chain.not_reached(Lease, "Nobody is to send from it."),
        0 => chain.ok(Lease, "No worker has an email of it at present."),
        sending => chain.ok(
            Lease,
            format!(
                "{} with a worker{}; since when and until when of each tells: lockstep explain message MESSAGE-ID.",
                count(sending, "email is", "emails are"),
                if facts.sending.workers.is_empty() {
                    String::new()
                } else {
                    format!(" on {}", said(&facts.sending.workers.join(", ")))
                }
            ),
        ),
    }
}

/// What the last attempt came to, whichever email it was about, and what stands in the way of the next.
fn last_attempt(found: &mut Found, facts: &MailboxFacts, now: DateTime<Utc>) {
    let sending = &facts.sending;
    let (Some(outcome), Some(ended)) = (sending.last_outcome.as_deref(), sending.last_ended_at) else {
        return found.ok("Nothing was sent from it yet.");
    };
    let success = match sending.last_succeeded_at {
        Some(at) if at == ended => String::new(),
        Some(at) => format!(" The last success was {}.", when(at, now)),
        None => " None has succeeded yet.".to_owned(),
    };
    let worker = sending.last_worker.as_deref().map(|host| format!(" on {}", said(host))).unwrap_or_default();
    found.ok(format!(
        "The last attempt{worker} ended {} as {outcome}.{success} In all {}: {} sent, {} tried again, {} given up, {} of \
         which nobody knows.",
        when(ended, now),
        count(sending.attempts, "attempt", "attempts"),
        sending.sent,
        sending.retried,
        sending.failed,
        sending.unknown
    ));
    if sending.transient_failures == 0 {
        return;
    }
    let code = sending.last_error_code.as_deref().unwrap_or("Unknown");
    let at = sending.last_error_at.map(|at| format!(" at {}", when(at, now))).unwrap_or_default();
    let words = sending.last_error_message.as_deref().map(|text| format!(": {}", said(text))).unwrap_or_default();
    let entry = lockstep_model::catalogue::find(code);
    found.waits(
        format!("{code}{at}{words}. It is number {} in a row.", sending.transient_failures),
        entry.map_or("Look at the server; it is tried again by itself.", |entry| entry.remedy),
    );
}

/// What the server has refused, or left unsaid.
fn acceptance(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let open: Vec<_> = facts.alerts.iter().filter(|alert| is_of_item(alert) && alert.severity == "error").collect();
    let mut found = Found::default();
    if open.is_empty() {
        found.ok("No email is known that the server has refused.");
    }
    configuration::told(&mut found, &open, now);
    chain.found(Acceptance, found);
}

fn correlation(chain: &mut Chain, facts: &MailboxFacts) {
    let token = match facts.rules.use_tracking_tokens {
        true => ", and by the tracking token that their subject is given",
        false => "",
    };
    chain.ok(Correlation, format!("What is sent carries a Message-ID, by which its answers are recognised{token}."));
}
