//! The chain of a mailbox that is read.

use chrono::{DateTime, Utc};
use lockstep_engine::start_date;
use lockstep_store::{explain::MailboxFacts, mailboxes::status::LaneStatus};

use super::{
    Chain, Direction, Step, alerts, configuration, silent_role,
    words::{count, length, said, when},
};

/// An occasion may be late by so much before it counts as overdue.
const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// From the record to what was found, in order.
pub(crate) fn steps(facts: &MailboxFacts, now: DateTime<Utc>) -> Vec<Step> {
    let mut chain = Chain::new("incoming");
    let mailbox = &facts.mailbox;
    let lane = facts.incoming.as_ref();
    let direction = Direction {
        name: "incoming",
        done: "read",
        method: &mailbox.incoming_method,
        test: &mailbox.incoming_test,
        enabled: mailbox.incoming_enabled,
        disabled: lane.and_then(|lane| lane.disabled_code.as_deref().map(|code| (code, lane.fault_at))),
    };
    configuration(&mut chain, facts, &direction, now);
    let stopped = chain.is_stopped();
    fault(&mut chain, lane, now);
    breaker(&mut chain, facts, now);
    match lane {
        _ if stopped => {
            chain.not_reached("due", "The mailbox is not scheduled.");
            chain.not_reached("claimed", "Nobody is to read it.");
        }
        None => {
            chain.unknown("due", "The mailbox is not scheduled yet.", "Test and enable it.");
            chain.not_reached("claimed", "Nobody is to read it.");
        }
        Some(lane) if !lane.enabled => {
            let sentence = "The mailbox is not scheduled, though nothing speaks against it.";
            let remedy = format!("Test and enable it: lockstep mailbox test {}", mailbox.id);
            chain.stops("due", sentence, remedy);
            chain.not_reached("claimed", "Nobody is to read it.");
        }
        Some(lane) => {
            due(&mut chain, facts, lane, now);
            claimed(&mut chain, lane, now);
        }
    }
    last_run(&mut chain, lane, now);
    filter(&mut chain, facts, now);
    quarantine(&mut chain, facts, now);
    alerts(&mut chain, facts, "incoming", now);
    chain.steps
}

/// The standing fault, where it has not disabled anything (yet).
fn fault(chain: &mut Chain, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let Some(lane) = lane else { return chain.not_reached("fault", "It was never read.") };
    let Some(code) = lane.fault_code.as_deref() else {
        return chain.ok("fault", "The last look at the server met no fault.");
    };
    let at = lane.fault_at.map(|at| format!(" at {}", when(at, now))).unwrap_or_default();
    let words = lane.fault_message.as_deref().map(|text| format!(": {}", said(text))).unwrap_or_default();
    let is_disabled = lane.disabled_code.is_some();
    let row = match lane.transient_failures {
        0 => String::new(),
        failures if is_disabled => format!(" It was {} in a row, and has disabled incoming email.", nth(failures)),
        failures => format!(" It is {} in a row; too many disable incoming email.", nth(failures)),
    };
    let entry = lockstep_model::catalogue::find(code);
    let remedy = entry.map_or("Look at the server; it is tried again by itself.", |entry| entry.remedy);
    chain.waits("fault", format!("{code}{at}{words}.{row}"), remedy);
}

fn nth(number: i32) -> String {
    format!("number {number}")
}

fn breaker(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let Some(profile) = &facts.profile else { return chain.not_reached("breaker", "No server is known.") };
    let remedy = "Look at the server and the network; one connection at a time finds out whether it is back.";
    match (profile.breaker_open_until, profile.breaker_failures) {
        (Some(until), _) if until > now => chain.waits(
            "breaker",
            format!("The server of {} fails: nothing goes there until {}.", profile.name, when(until, now)),
            remedy,
        ),
        (Some(_), _) => chain.waits(
            "breaker",
            format!("The server of {} has failed: one mailbox at a time probes it now.", profile.name),
            remedy,
        ),
        (None, 0) => chain.ok("breaker", format!("The server of {} answers.", profile.name)),
        (None, failures) => chain.ok(
            "breaker",
            format!(
                "The server of {} has failed {} in a row, too few to keep away.",
                profile.name,
                count(failures, "time", "times")
            ),
        ),
    }
}

fn due(chain: &mut Chain, facts: &MailboxFacts, lane: &LaneStatus, now: DateTime<Utc>) {
    let interval = chrono::TimeDelta::seconds(seconds(lane.interval_seconds));
    if let Some(until) = lane.not_before.filter(|until| *until > now) {
        return chain.waits(
            "due",
            format!(
                "It was due {} and is put off until {}, for want of a connection or because another run holds it.",
                when(lane.due_at, now),
                when(until, now)
            ),
            "Nothing needs doing. If it happens often, raise the profile's max_connections.",
        );
    }
    let claimed = lane.claimed_until.is_some_and(|until| until > now);
    if claimed || lane.due_at > now - LATE {
        let why = if lane.fault_code.is_some() {
            "after a fault".to_owned()
        } else {
            let minimum = facts.profile.as_ref().map_or(0, |profile| profile.min_polling_minutes);
            let bound = if minimum > 0 { format!(", never under {minimum} min") } else { String::new() };
            let quiet = match lane.empty_cycles {
                0 => "the last look found something or was the first".to_owned(),
                empty => format!("{} in a row found nothing", count(empty, "look", "looks")),
            };
            format!("every {}{bound}: {quiet}", length(interval))
        };
        return chain.ok("due", format!("It is read next {}, {why}.", when(lane.due_at, now)));
    }
    let remedy = match silent_role(facts, &["scheduler", "mailbox-worker"], now) {
        Some(role) => format!("No {role} was heard of in the last minute: start one, or look at its readiness."),
        None => "Look at lockstep_scheduler_lag_seconds: other mailboxes of this server may be before it, or \
                 RabbitMQ is away."
            .to_owned(),
    };
    chain.waits("due", format!("It is overdue since {}, and nobody has it.", when(lane.due_at, now)), remedy);
}

fn seconds(interval: f64) -> i64 {
    // A polling interval: hours at most, and never negative.
    std::time::Duration::try_from_secs_f64(interval).map_or(0, |i| i64::try_from(i.as_secs()).unwrap_or(i64::MAX))
}

fn claimed(chain: &mut Chain, lane: &LaneStatus, now: DateTime<Utc>) {
    match lane.claimed_until.filter(|until| *until > now) {
        Some(until) if lane.claims > 1 => chain.waits(
            "claimed",
            format!(
                "It was handed out {} without a report; the present claim ends {}.",
                count(lane.claims, "time", "times"),
                when(until, now)
            ),
            "A worker was lost, or none runs. It is handed out again by itself; look at the mailbox-workers' log.",
        ),
        Some(until) => chain.ok("claimed", format!("A worker has it; its claim ends {}.", when(until, now))),
        None => chain.ok("claimed", "Nobody has it at present."),
    }
}

fn last_run(chain: &mut Chain, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let ran = lane.and_then(|lane| Some((lane, lane.last_started_at?, lane.last_ended_at?)));
    let Some((lane, started, ended)) = ran else {
        return chain.not_reached("last-run", "It was never read.");
    };
    let outcome = lane.last_outcome.as_deref().unwrap_or("unknown");
    let success = match lane.last_succeeded_at {
        Some(at) if at == ended => String::new(),
        Some(at) => format!(" The last success was {}.", when(at, now)),
        None => " It has never succeeded.".to_owned(),
    };
    let sentence = format!(
        "The last run ended {} as {outcome}, after {}.{success} In all {}: {} seen, {} recorded, {} refused, {} failed.",
        when(ended, now),
        length(ended - started),
        count(lane.cycles, "good cycle", "good cycles"),
        lane.seen,
        lane.tracked,
        lane.refused,
        lane.failed
    );
    match outcome {
        "deferred" => chain.waits(
            "last-run",
            sentence,
            "It got no connection: raise the profile's max_connections if this happens often.",
        ),
        "failed" => chain.waits("last-run", sentence, "See the step fault."),
        _ => chain.ok("last-run", sentence),
    }
}

/// What is left alone by rule.
fn filter(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let own = facts.mailbox.process_email_from;
    let from = start_date::effective(facts.profile.as_ref().and_then(|profile| profile.process_emails_from), own);
    match from {
        Some(from) if from > now => chain.waits(
            "process-from",
            format!("Only mail received after {} is processed, which is to come.", when(from, now)),
            "Set process_email_from of the mailbox and process_emails_from of its profile to an earlier date.",
        ),
        Some(from) => {
            chain.ok("process-from", format!("Mail received before {} is left alone.", when(from, now)));
        }
        None if facts.mailbox.incoming_enabled => chain.ok("process-from", "Mail of any date is processed."),
        None => chain.ok(
            "process-from",
            "Nothing is processed yet: unless a date is set before, mail received before incoming email is enabled \
             is left alone.",
        ),
    }
    let Some(owner) = &facts.owner else { return };
    let accepts = match owner.track_option.as_str() {
        "all" => "every message",
        "in-response" => "answers to recorded email",
        "from-customers" => "mail from contacts, accounts and leads",
        "from-email-enabled" => "mail from anybody who is a record",
        _ => {
            return chain.stops(
                "track-option",
                format!(
                    "The {} {} tracks no email: a message is recorded only where another recipient accepts it.",
                    owner.kind, owner.name
                ),
                format!("Set the {}'s track_option to what is to be recorded.", owner.kind),
            );
        }
    };
    chain.ok("track-option", format!("The {} {} tracks {accepts}.", owner.kind, owner.name));
}

fn quarantine(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let aside = facts.quarantine;
    if aside.items == 0 {
        return chain.ok("quarantine", "No message is set aside.");
    }
    let next = aside.next_attempt_at.map(|at| format!("; the next one is tried again {}", when(at, now)));
    let sentence = format!(
        "{} set aside, {} of them given up{}.",
        count(aside.items, "message is", "messages are"),
        aside.given_up,
        next.unwrap_or_default()
    );
    let remedy = format!(
        "Look at them: lockstep item list {} --filter disposition=quarantined; then release or drop each.",
        facts.mailbox.id
    );
    chain.waits("quarantine", sentence, remedy);
}
