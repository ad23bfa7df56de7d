//! The chain of a mailbox that is read.

use chrono::{DateTime, Utc};
use lockstep_engine::start_date;
use lockstep_store::{explain::MailboxFacts, mailboxes::status::LaneStatus};

use super::{
    Chain,
    Decision::{Acceptance, Correlation, Due, Filter, Lease, Result},
    Found, Step, account,
    configuration::{self, Direction},
    silent_role, tracked,
    words::{count, length, said, when},
};

/// An occasion may be late by so much before it counts as overdue.
const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// From the approval to what was found, in order.
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
    configuration::steps(&mut chain, facts, &direction, now);
    let scheduled = match lane {
        _ if chain.is_stopped() => {
            chain.not_reached(Due, "The mailbox is not scheduled.");
            None
        }
        None => {
            chain.unknown(Due, "The mailbox is not scheduled yet.", "Test and enable it.");
            None
        }
        Some(lane) if !lane.enabled => {
            let sentence = "The mailbox is not scheduled, though nothing speaks against it.";
            let remedy = format!("Test and enable it: lockstep mailbox test {}", mailbox.id);
            chain.stops(Due, sentence, remedy);
            None
        }
        Some(lane) => {
            due(&mut chain, facts, lane, now);
            Some(lane)
        }
    };
    account::breaker(&mut chain, facts, now);
    account::reading(&mut chain, facts, scheduled, now);
    match scheduled {
        Some(lane) => lease(&mut chain, lane, now),
        None => chain.not_reached(Lease, "Nobody is to read it."),
    }
    filter(&mut chain, facts, now);
    acceptance(&mut chain, facts, lane);
    correlation(&mut chain, facts);
    result(&mut chain, facts, lane, now);
    chain.steps
}

fn due(chain: &mut Chain, facts: &MailboxFacts, lane: &LaneStatus, now: DateTime<Utc>) {
    let interval = chrono::TimeDelta::seconds(seconds(lane.interval_seconds));
    let claimed = lane.claimed_until.is_some_and(|until| until > now);
    if let Some(until) = lane.not_before.filter(|until| *until > now && !claimed) {
        // Why it got none is the step permit's.
        let why = match lane.last_outcome.as_deref() {
            Some("deferred") => "for want of a connection",
            _ => "so that others on the server have their turn",
        };
        return chain.waits(
            Due,
            format!("It was due {} and is put off until {}, {why}.", when(lane.due_at, now), when(until, now)),
            "Nothing needs doing. If it happens often, raise the profile's max_connections.",
        );
    }
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
        return chain.ok(Due, format!("It is read next {}, {why}.", when(lane.due_at, now)));
    }
    let remedy = match silent_role(facts, &["scheduler", "mailbox-worker"], now) {
        Some(role) => format!("No {role} was heard of in the last minute: start one, or look at its readiness."),
        None => "Look at lockstep_scheduler_lag_seconds: other mailboxes of this server may be before it, or \
                 RabbitMQ is away."
            .to_owned(),
    };
    chain.waits(Due, format!("It is overdue since {}, and nobody has it.", when(lane.due_at, now)), remedy);
}

fn seconds(interval: f64) -> i64 {
    // A polling interval: hours at most, and never negative.
    std::time::Duration::try_from_secs_f64(interval).map_or(0, |i| i64::try_from(i.as_secs()).unwrap_or(i64::MAX))
}

fn lease(chain: &mut Chain, lane: &LaneStatus, now: DateTime<Utc>) {
    let Some(until) = lane.claimed_until.filter(|until| *until > now) else {
        let last = match (&lane.last_worker, lane.last_started_at, lane.last_ended_at) {
            (Some(worker), Some(from), Some(to)) => {
                format!(" The last was the worker on {}, from {} to {}.", said(worker), when(from, now), when(to, now))
            }
            _ => String::new(),
        };
        return chain.ok(Lease, format!("Nobody has it at present.{last}"));
    };
    // When it was handed out is not kept; it is never before it is due.
    let since = lane.not_before.map_or(lane.due_at, |put_off| put_off.max(lane.due_at)).min(now);
    let who = match lane.worker.as_deref() {
        Some(worker) => format!("The worker on {} has it", said(worker)),
        None => "It is handed out, and no worker has given a sign of life yet".to_owned(),
    };
    let sentence = format!("{who}, since {} at the earliest; the claim ends {}.", when(since, now), when(until, now));
    if lane.claims > 1 {
        chain.waits(
            Lease,
            format!("{sentence} It was handed out {} without a report.", count(lane.claims, "time", "times")),
            "A worker was lost, or none runs. It is handed out again by itself; look at the mailbox-workers' log.",
        );
    } else {
        chain.ok(Lease, sentence);
    }
}

/// What is left alone by rule.
pub(super) fn filter(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let mut found = Found::default();
    let own = facts.mailbox.process_email_from;
    let from = start_date::effective(facts.profile.as_ref().and_then(|profile| profile.process_emails_from), own);
    match from {
        Some(from) if from > now => found.waits(
            format!("Only mail received after {} is processed, which is to come.", when(from, now)),
            "Set process_email_from of the mailbox and process_emails_from of its profile to an earlier date.",
        ),
        Some(from) => found.ok(format!("Mail received before {} is left alone.", when(from, now))),
        None if facts.mailbox.incoming_enabled => found.ok("Mail of any date is processed."),
        None => found.ok(
            "Nothing is processed yet: unless a date is set before, mail received before incoming email is enabled \
             is left alone.",
        ),
    }
    match &facts.owner {
        None => found.ok("Whoever has forwarded a message tells what of it is tracked."),
        Some(owner) => match tracked(&owner.track_option) {
            Some(accepts) => found.ok(format!(
                "The {} {} tracks {accepts} (track option {}).",
                owner.kind, owner.name, owner.track_option
            )),
            None => found.stops(
                format!(
                    "The {} {} tracks no email: a message is recorded only where another recipient accepts it.",
                    owner.kind, owner.name
                ),
                format!("Set the {}'s track_option to what is to be recorded.", owner.kind),
            ),
        },
    }
    if !facts.filters.is_empty() {
        let kinds: Vec<_> = facts.filters.iter().map(|of| format!("{} ({})", of.record_kind, of.filters)).collect();
        found.ok(format!(
            "Synchronisation filters in force, by kind of record: {}; they are about records, and no email is \
             held back by them.",
            kinds.join(", ")
        ));
    } else if facts.mailbox.owner_user_id.is_some() {
        found.ok("No synchronisation filter is in force for the user; email does not need one.");
    }
    chain.found(Filter, found);
}

fn acceptance(chain: &mut Chain, facts: &MailboxFacts, lane: Option<&LaneStatus>) {
    let only_here = facts.rules.only_receiving_accepts;
    let nothing = facts.owner.as_ref().filter(|owner| only_here && tracked(&owner.track_option).is_none());
    if let Some(owner) = nothing {
        return chain.stops(
            Acceptance,
            format!(
                "Only the owner of the mailbox accepts its mail, as the organisation wants it, and the {} {} tracks none.",
                owner.kind, owner.name
            ),
            format!(
                "Set the {}'s track_option, or let other recipients accept: lockstep organisation update --set \
                 only_receiving_mailbox_accepts=false",
                owner.kind
            ),
        );
    }
    let who = if only_here {
        "Only the owner of the mailbox accepts its mail, as the organisation wants it."
    } else {
        "The owner accepts first, then whoever else among the recipients is a user or queue, each by the own option."
    };
    let figures = lane.map(|lane| {
        format!(
            " So far {} seen, {} recorded, {} refused, {} failed.",
            count(lane.seen, "message was", "messages were"),
            lane.tracked,
            lane.refused,
            lane.failed
        )
    });
    chain.ok(Acceptance, format!("{who}{}", figures.unwrap_or_default()));
}

fn correlation(chain: &mut Chain, facts: &MailboxFacts) {
    let rules = facts.rules;
    let by_headers = rules.use_correlation && !rules.ignore_reply_headers;
    let known = match (by_headers, rules.use_tracking_tokens) {
        (true, true) => "what In-Reply-To and References name, and by the tracking token in the subject",
        (true, false) => "what In-Reply-To and References name",
        (false, true) => "the tracking token in the subject",
        (false, false) => {
            let in_response = facts.owner.as_ref().filter(|owner| owner.track_option == "in-response");
            let sentence = "The organisation recognises no message as an answer";
            return match in_response {
                Some(owner) => chain.stops(
                    Correlation,
                    format!("{sentence}, and the {} {} tracks nothing but answers.", owner.kind, owner.name),
                    format!(
                        "Switch use_correlation or use_tracking_tokens on (lockstep organisation update --set \
                         use_correlation=true --set ignore_reply_headers=false), or set another track_option of the {}.",
                        owner.kind
                    ),
                ),
                None => chain.ok(Correlation, format!("{sentence}; whoever tracks more than answers is not concerned.")),
            };
        }
    };
    chain.ok(Correlation, format!("An answer is recognised by {known}."));
}

/// What the last run came to, what stands in the way of the next, and what needs attention.
fn result(chain: &mut Chain, facts: &MailboxFacts, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let mut found = Found::default();
    last_run(&mut found, lane, now);
    fault(&mut found, lane, now);
    quarantine(&mut found, facts, now);
    configuration::alerts(&mut found, facts, "incoming", now);
    chain.found(Result, found);
}

fn last_run(found: &mut Found, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let ran = lane.and_then(|lane| Some((lane, lane.last_started_at?, lane.last_ended_at?)));
    let Some((lane, started, ended)) = ran else { return found.ok("It was never read.") };
    let outcome = lane.last_outcome.as_deref().unwrap_or("unknown");
    let success = match lane.last_succeeded_at {
        Some(at) if at == ended => String::new(),
        Some(at) => format!(" The last success was {}.", when(at, now)),
        None => " It has never succeeded.".to_owned(),
    };
    let sentence = format!(
        "The last run ended {} as {outcome}, after {}.{success} In all {}.",
        when(ended, now),
        length(ended - started),
        count(lane.cycles, "good cycle", "good cycles"),
    );
    match outcome {
        "deferred" => found.waits(sentence, "See the step permit."),
        _ => found.ok(sentence),
    }
}

/// The standing fault, where it has not disabled anything (yet).
fn fault(found: &mut Found, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let Some(lane) = lane else { return };
    let Some(code) = lane.fault_code.as_deref() else { return };
    let at = lane.fault_at.map(|at| format!(" at {}", when(at, now))).unwrap_or_default();
    let words = lane.fault_message.as_deref().map(|text| format!(": {}", said(text))).unwrap_or_default();
    let is_disabled = lane.disabled_code.is_some();
    let row = match lane.transient_failures {
        0 => String::new(),
        failures if is_disabled => format!(" It was number {failures} in a row, and has disabled incoming email."),
        failures => format!(" It is number {failures} in a row; too many disable incoming email."),
    };
    let entry = lockstep_model::catalogue::find(code);
    let remedy = entry.map_or("Look at the server; it is tried again by itself.", |entry| entry.remedy);
    found.waits(format!("{code}{at}{words}.{row}"), remedy);
}

fn quarantine(found: &mut Found, facts: &MailboxFacts, now: DateTime<Utc>) {
    let aside = facts.quarantine;
    if aside.items == 0 {
        return found.ok("No message is set aside.");
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
    found.waits(sentence, remedy);
}
