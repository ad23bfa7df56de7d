//! The chain of an email that is sent: how far it has come, and to whom.

use chrono::{DateTime, Utc};
use lockstep_store::explain::{DeliveryFacts, EmailFacts, MailboxFacts};

use super::{
    BEFORE_MESSAGES, Chain,
    Decision::{Acceptance, Approved, Breaker, Correlation, Due, Enabled, Filter, Lease, Permit, Result},
    Step, message, outgoing,
    outgoing::UNFILTERED,
    words::{count, said, when},
};

/// Recipients named in a sentence before the rest is counted.
const NAMED: usize = 5;

/// How far an email has come. `sender` is the mailbox it is sent from.
pub(super) fn steps(email: &EmailFacts, sender: Option<&MailboxFacts>, now: DateTime<Utc>) -> Vec<Step> {
    let mut chain = Chain::new("outgoing");
    let Some(delivery) = &email.delivery else { return unsent(chain, email, now) };
    let waiting = matches!(delivery.state.as_str(), "pending" | "retry");
    match sender.filter(|_| waiting) {
        // What stops the mailbox stops what waits in it.
        Some(sender) => {
            let of_mailbox = outgoing(sender, now);
            let is = |names: &'static [super::Decision]| move |step: &&Step| names.contains(&step.name);
            chain.adopt(of_mailbox.iter().filter(is(&[Approved, Enabled])).cloned());
            due(&mut chain, delivery, now);
            chain.adopt(of_mailbox.iter().filter(is(&[Breaker, Permit])).cloned());
        }
        None => {
            chain.passed(&[Approved, Enabled], "Passed: an attempt was begun.");
            due(&mut chain, delivery, now);
            chain.passed(&[Breaker, Permit], "Passed: an attempt was begun.");
        }
    }
    lease(&mut chain, delivery, now);
    chain.ok(Filter, UNFILTERED);
    recipients(&mut chain, delivery);
    if email.withheld {
        chain.ok(Correlation, "The record is somebody else's, and not yours to read.");
    } else {
        message::correlation(&mut chain, email);
    }
    result(&mut chain, delivery, now);
    chain.steps
}

/// A record of what was sent elsewhere, or of which nothing is kept but the record.
fn unsent(mut chain: Chain, email: &EmailFacts, now: DateTime<Utc>) -> Vec<Step> {
    for name in BEFORE_MESSAGES.into_iter().chain([Filter, Acceptance]) {
        chain.not_reached(name, "Nothing is kept of its sending; it may have been sent by another program.");
    }
    if email.withheld {
        chain.ok(Correlation, "The record is somebody else's, and not yours to read.");
        chain.ok(Result, format!("It was recorded {}, for somebody else.", when(email.created_at, now)));
    } else {
        message::correlation(&mut chain, email);
        chain.ok(Result, message::made(email, now));
    }
    chain.steps
}

/// What the server complained of last.
fn fault(delivery: &DeliveryFacts) -> String {
    match (&delivery.fault_code, &delivery.fault_message) {
        (Some(code), Some(words)) => format!(" Last fault: {code}: {}.", said(words)),
        (Some(code), None) => format!(" Last fault: {code}."),
        _ => String::new(),
    }
}

fn remedy(delivery: &DeliveryFacts, otherwise: &str) -> String {
    let entry = delivery.fault_code.as_deref().and_then(lockstep_model::catalogue::find);
    entry.map_or(otherwise, |entry| entry.remedy).to_owned()
}

fn due(chain: &mut Chain, delivery: &DeliveryFacts, now: DateTime<Utc>) {
    let tries = count(delivery.attempt, "attempt", "attempts");
    if matches!(delivery.state.as_str(), "pending" | "retry") {
        let sentence = format!(
            "It waits to be sent from {}; {tries} so far, the next due {}.{}",
            delivery.address,
            when(delivery.due_at, now),
            fault(delivery)
        );
        let otherwise = "Nothing needs doing; it goes as soon as a worker is free.";
        return chain.waits(Due, sentence, remedy(delivery, otherwise));
    }
    chain.ok(Due, format!("Its turn came: {tries} from {}.", delivery.address));
}

fn lease(chain: &mut Chain, delivery: &DeliveryFacts, now: DateTime<Utc>) {
    let until = delivery.claimed_until.filter(|until| *until > now);
    let ends = until.map(|until| format!(" The claim ends {}.", when(until, now))).unwrap_or_default();
    match (delivery.state.as_str(), until) {
        ("sending" | "in-flight", _) => {
            let point = match delivery.in_flight_at {
                Some(at) => format!(" The whole message was being handed over since {}.", when(at, now)),
                None => String::new(),
            };
            let who = delivery.worker.as_deref().map(|host| format!("The worker on {}", said(host)));
            chain.waits(
                Lease,
                format!(
                    "{} has it since {}: it is being sent from {}, attempt {}.{point}{ends}",
                    who.as_deref().unwrap_or("A worker"),
                    when(delivery.begun_at.unwrap_or(delivery.updated_at), now),
                    delivery.address,
                    delivery.attempt
                ),
                "Nothing needs doing. If the worker was lost, it is found when its claim ends.",
            );
        }
        ("pending" | "retry", Some(_)) => {
            chain.ok(Lease, format!("It is handed out, and no worker has begun yet.{ends}"));
        }
        ("pending" | "retry", None) => chain.not_reached(Lease, "No worker has it at present."),
        _ => chain.ok(Lease, "A worker had it; nobody has it now."),
    }
}

/// What was said of each recipient: those who were refused by name.
fn recipients(chain: &mut Chain, delivery: &DeliveryFacts) {
    let of = |state: &'static str| delivery.recipients.iter().filter(move |recipient| recipient.state == state);
    let (accepted, refused, pending) = (of("accepted").count(), of("refused").count(), of("pending").count());
    let all = count(delivery.recipients.len(), "recipient", "recipients");
    if delivery.recipients.is_empty() {
        return chain.ok(Acceptance, "Who was asked, and what was said, is not shown.");
    }
    let mut sentence = format!("Of {all} {accepted} accepted, {refused} refused, {pending} not asked yet.");
    let mut listed: Vec<_> = of("refused")
        .chain(of("pending"))
        .chain(of("accepted"))
        .take(NAMED)
        .map(|recipient| {
            let reply = recipient.reply.as_deref().filter(|text| !text.trim().is_empty());
            let reply = reply.map(|text| format!(": {}", said(text).trim_end_matches('.'))).unwrap_or_default();
            format!("{} {}{reply}.", recipient.address, recipient.state)
        })
        .collect();
    if delivery.recipients.len() > NAMED {
        listed.push(format!("And {} more.", delivery.recipients.len() - NAMED));
    }
    for recipient in &listed {
        sentence.push_str(&format!(" {recipient}"));
    }
    let settled = matches!(delivery.state.as_str(), "sent" | "failed" | "unknown");
    if refused > 0 {
        chain.stops(
            Acceptance,
            sentence,
            "Make a draft to those who were refused (lockstep email copy-to-refused), correct the address in it and send \
             it: it does not go to those who accepted.",
        );
    } else if accepted > 0 || settled {
        chain.ok(Acceptance, sentence);
    } else {
        chain.not_reached(Acceptance, sentence);
    }
}

fn result(chain: &mut Chain, delivery: &DeliveryFacts, now: DateTime<Utc>) {
    let from = &delivery.address;
    let tries = count(delivery.attempt, "attempt", "attempts");
    match delivery.state.as_str() {
        "sent" => {
            let reply = delivery.reply.as_deref().map(|text| format!(" The server said: {}.", said(text)));
            let sentence = format!("Sent from {from} {}, after {tries}.", when(delivery.updated_at, now));
            chain.ok(Result, sentence + reply.as_deref().unwrap_or_default());
        }
        "pending" | "retry" | "sending" | "in-flight" => chain.not_reached(Result, "It is not sent yet."),
        "unknown" => chain.stops(
            Result,
            format!(
                "The connection was lost after the whole message was handed over from {from}: sent or not.{}",
                fault(delivery)
            ),
            "Ask a recipient or look into the server's log, then decide: lockstep email resolve.",
        ),
        state => chain.stops(
            Result,
            format!("Given up ({state}) from {from}, after {tries}.{}", fault(delivery)),
            remedy(delivery, "Correct what the server complains of, and send the email again."),
        ),
    }
}
