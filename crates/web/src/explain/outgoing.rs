//! The chain of a mailbox that is sent from.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_store::explain::MailboxFacts;

use super::{
    Chain, Direction, Step, alerts, configuration, silent_role,
    words::{count, when},
};

/// An attempt may be late by so much before it counts as overdue.
const LATE: TimeDelta = TimeDelta::minutes(1);

/// From the record to what waits, in order.
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
    configuration(&mut chain, facts, &direction, now);
    let stopped = chain.is_stopped();
    breaker(&mut chain, facts, now);
    outbox(&mut chain, facts, stopped, now);
    alerts(&mut chain, facts, "outgoing", now);
    chain.steps
}

/// The breaker is about reading: what is to be sent is tried all the same, and has pauses of its own.
fn breaker(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let Some(profile) = &facts.profile else { return chain.not_reached("breaker", "No server is known.") };
    chain.ok(
        "breaker",
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

fn outbox(chain: &mut Chain, facts: &MailboxFacts, stopped: bool, now: DateTime<Utc>) {
    let outbox = facts.outbox;
    let sending = if outbox.sending > 0 { format!(" {} being sent.", outbox.sending) } else { String::new() };
    let Some(due) = outbox.due_at.filter(|_| outbox.waiting > 0) else {
        return chain.ok("outbox", format!("No email waits to be sent.{sending}"));
    };
    let waiting = count(outbox.waiting, "email waits", "emails wait");
    if stopped {
        return chain.waits(
            "outbox",
            format!("{waiting} to be sent, the first since {}.{sending}", when(due, now)),
            "They go as soon as what stops above is mended.",
        );
    }
    let sentence = format!("{waiting} to be sent, the first attempt due {}.{sending}", when(due, now));
    if due > now - LATE {
        return chain.ok("outbox", sentence);
    }
    let remedy = match silent_role(facts, &["scheduler", "outgoing-worker"], now) {
        Some(role) => format!("No {role} was heard of in the last minute: start one, or look at its readiness."),
        None => "Look at the outgoing-workers' log; the account's connections may all be in use.".to_owned(),
    };
    chain.waits("outbox", sentence, remedy);
}
