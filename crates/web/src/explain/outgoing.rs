//! The chain of a mailbox that is sent from.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::explain::MailboxFacts;

use super::{
    Chain,
    Decision::{Acceptance, Breaker, Correlation, Due, Filter, Lease, Result},
    Found, Step, account,
    configuration::{self, Direction},
    is_of_item, silent_role,
    words::{count, when},
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
        disabled: None,
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
    configuration::alerts(&mut found, facts, "outgoing", now);
    chain.found(Result, found);
    chain.steps
}

/// The breaker is about reading: what is to be sent is tried all the same, and has pauses of its own.
fn breaker(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let Some(profile) = &facts.profile else { return chain.not_reached(Breaker, "No server is known.") };
    chain.ok(
        Breaker,
        match profile.breaker_open_until {
            Some(until) if until > now => format!(
                "Reading from the server of {} rests until {}; sending is tried all the same.",
                profile.name,
                when(until, now)
            ),
            _ => format!("The server of {} is not known to fail.", profile.name),
        },
    );
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
                "{} with a worker; which one and until when tells: lockstep explain message MESSAGE-ID.",
                count(sending, "email is", "emails are")
            ),
        ),
    }
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
