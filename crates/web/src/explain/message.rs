//! The chain of one message: who has seen it, what was decided about it, and what became of it.

use chrono::{DateTime, Utc};
use lockstep_store::explain::{DeliveryFacts, Elsewhere, EmailFacts, ItemFacts, MailboxFacts, MessageFacts};
use uuid::Uuid;

use super::{
    Chain, Step, Verdict, incoming, outgoing, reasons,
    words::{count, said, when},
};

/// Places named in a sentence before the rest is counted.
const NAMED: usize = 5;

/// What was decided about the message. `asked` is the mailbox in which it was looked for, when one was named; `senders`
/// are the mailboxes from which its emails are sent.
pub(crate) fn steps(
    facts: &MessageFacts,
    asked: Option<&MailboxFacts>,
    senders: &[MailboxFacts],
    now: DateTime<Utc>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let here = asked.map(|mailbox| mailbox.mailbox.id);
    seen(&mut steps, facts, asked, now);
    for email in &facts.emails {
        record(&mut steps, email, now);
        if let Some(delivery) = &email.delivery {
            let sender = senders.iter().find(|mailbox| mailbox.mailbox.id == delivery.mailbox_id);
            sending(&mut steps, delivery, sender, now);
        }
    }
    for found in &facts.items {
        item(&mut steps, found, here, now);
    }
    let was_seen_here = here.is_none_or(|mailbox| is_in(facts, mailbox));
    if let Some(mailbox) = asked.filter(|_| !was_seen_here) {
        steps.extend(incoming(mailbox, now));
    } else if facts.emails.is_empty() && facts.items.is_empty() {
        steps.push(elsewhere(facts.elsewhere));
    }
    steps
}

fn is_in(facts: &MessageFacts, mailbox: Uuid) -> bool {
    facts.items.iter().any(|item| item.mailbox_id == mailbox)
        || facts.emails.iter().any(|email| {
            email.found_in.iter().any(|place| place.mailbox_id == mailbox)
                || email.delivery.as_ref().is_some_and(|delivery| delivery.mailbox_id == mailbox)
        })
}

fn seen(steps: &mut Vec<Step>, facts: &MessageFacts, asked: Option<&MailboxFacts>, now: DateTime<Utc>) {
    let mut chain = Chain::new("message");
    let found = facts.emails.iter().flat_map(|email| &email.found_in).map(|place| (place.at, place.address.as_str()));
    let refused = facts.items.iter().map(|item| (item.seen_at, item.address.as_str()));
    let mut places: Vec<_> = found.chain(refused).collect();
    places.sort_unstable();
    let mut named: Vec<_> =
        places.iter().take(NAMED).map(|(at, address)| format!("{address} at {}", when(*at, now))).collect();
    if places.len() > NAMED {
        named.push(format!("{} more", places.len() - NAMED));
    }
    let named = named.join("; ");
    let is_ours = facts.emails.iter().any(|email| email.direction == "outgoing");
    let looking = "The causes that can be told from here follow. A message that was refused for its size before it was \
                   read, and one the server has not delivered, are not known by their Message-ID.";
    match asked {
        Some(mailbox) if !is_in(facts, mailbox.mailbox.id) => {
            let elsewhere = match (places.is_empty(), is_ours) {
                (false, _) => format!(" It was seen in {named}."),
                (true, true) => " It was sent from here.".to_owned(),
                (true, false) => " Nor was it in any other.".to_owned(),
            };
            let sentence = format!("The message was never seen in {}.{elsewhere}", mailbox.mailbox.address);
            chain.unknown("seen", sentence, looking);
        }
        _ if !places.is_empty() => {
            chain.ok("seen", format!("Seen in {}: {named}.", count(places.len(), "mailbox", "mailboxes")));
        }
        _ if is_ours => chain.ok("seen", "It was written here, to be sent."),
        _ if !facts.emails.is_empty() => {
            chain.ok("seen", "There is a record of it; the mailbox it was found in is known no more.");
        }
        _ => chain.unknown("seen", "Nobody has seen a message with this Message-ID.", looking),
    }
    steps.append(&mut chain.steps);
}

/// Why there is a record, and which.
fn record(steps: &mut Vec<Step>, email: &EmailFacts, now: DateTime<Utc>) {
    let mut chain = Chain::new("record");
    if email.direction == "incoming" {
        let whom = match (&email.accepting_kind, &email.accepting_name) {
            (Some(kind), Some(name)) => format!("the {kind} {name}"),
            (Some(kind), None) => format!("a {kind} there is no more"),
            _ => "a person, by hand".to_owned(),
        };
        chain.ok("acceptance", format!("Accepted for {whom}."));
    }
    chain.ok(
        "correlation",
        match email.correlated_email_id {
            Some(other) => format!("It belongs to the email {other}, found by {}.", email.correlation_method),
            None => "It answers no email that is known.".to_owned(),
        },
    );
    let mut sentence = format!("Email {}, {}, recorded {}.", email.id, email.status, when(email.created_at, now));
    let notes = [
        (email.attachments_left_out, " Files were left out."),
        (email.body_truncated, " Its text was cut."),
        (email.unparsable.is_some(), " It could not be read as a message; its raw form was kept."),
    ];
    notes.iter().filter(|(holds, _)| *holds).for_each(|(_, note)| sentence.push_str(note));
    chain.ok("record", sentence);
    steps.append(&mut chain.steps);
}

/// How far the sending has come, and to whom.
fn sending(steps: &mut Vec<Step>, delivery: &DeliveryFacts, sender: Option<&MailboxFacts>, now: DateTime<Utc>) {
    let mut chain = Chain::new("outgoing");
    let from = &delivery.address;
    let fault = match (&delivery.fault_code, &delivery.fault_message) {
        (Some(code), Some(words)) => format!(" Last fault: {code}: {}.", said(words)),
        (Some(code), None) => format!(" Last fault: {code}."),
        _ => String::new(),
    };
    let tries = count(delivery.attempt, "attempt", "attempts");
    let remedy = |otherwise: &str| {
        let entry = delivery.fault_code.as_deref().and_then(lockstep_model::catalogue::find);
        entry.map_or(otherwise, |entry| entry.remedy).to_owned()
    };
    match delivery.state.as_str() {
        "sent" => {
            let reply = delivery.reply.as_deref().map(|text| format!(" The server said: {}.", said(text)));
            let sentence = format!("Sent from {from} {}, after {tries}.", when(delivery.updated_at, now));
            chain.ok("delivery", sentence + reply.as_deref().unwrap_or_default());
        }
        "pending" | "retry" => chain.waits(
            "delivery",
            format!(
                "It waits to be sent from {from}; {tries} so far, the next due {}.{fault}",
                when(delivery.due_at, now)
            ),
            remedy("Nothing needs doing; it goes as soon as a worker is free."),
        ),
        "sending" | "in-flight" => chain.waits(
            "delivery",
            format!("It is being sent from {from}, attempt {}.{fault}", delivery.attempt),
            "Nothing needs doing. If the worker was lost, it is found when its claim ends.",
        ),
        "unknown" => chain.stops(
            "delivery",
            format!("The connection was lost after the whole message was handed over from {from}: sent or not.{fault}"),
            "Ask a recipient or look into the server's log, then decide: lockstep email resolve.",
        ),
        state => chain.stops(
            "delivery",
            format!("Given up ({state}) from {from}, after {tries}.{fault}"),
            remedy("Correct what the server complains of, and send the email again."),
        ),
    }
    for recipient in &delivery.recipients {
        let reply = recipient.reply.as_deref().filter(|text| !text.trim().is_empty());
        let reply = reply.map(|text| format!(": {}", said(text))).unwrap_or_default();
        let sentence = format!("{} {}{reply}.", recipient.address, recipient.state);
        match recipient.state.as_str() {
            "accepted" => chain.ok("recipient", sentence),
            "refused" => {
                chain.stops(
                    "recipient",
                    sentence,
                    "Make a draft to those who were refused (lockstep email copy-to-refused), correct the address in it and send \
                     it: it does not go to those who accepted.",
                );
            }
            _ => chain.add("recipient", Verdict::Waits, sentence, None),
        }
    }
    steps.append(&mut chain.steps);
    // What stops the mailbox stops what waits in it.
    if matches!(delivery.state.as_str(), "pending" | "retry")
        && let Some(sender) = sender
    {
        steps.extend(outgoing(sender, now).into_iter().filter(|step| step.verdict == Verdict::Stops));
    }
}

/// An item that is no record. Where a mailbox was named, what was decided elsewhere stops nothing here.
fn item(steps: &mut Vec<Step>, item: &ItemFacts, here: Option<Uuid>, now: DateTime<Utc>) {
    let mut chain = Chain::new(&item.address);
    let reason = item.reason.as_deref().unwrap_or("Unknown");
    let detail = item.detail.as_deref().map(|text| format!(" ({})", said(text))).unwrap_or_default();
    let concerns = here.is_none_or(|mailbox| mailbox == item.mailbox_id);
    if item.disposition == "refused" {
        let sentence = format!("Refused {}: {reason}. {}{detail}", when(item.seen_at, now), reasons::sentence(reason));
        match item.next_attempt_at {
            _ if !concerns => chain.not_reached("acceptance", sentence),
            Some(_) => {
                let sentence = format!("{sentence} It is judged again when the mailbox is read next.");
                chain.waits("acceptance", sentence, "Nothing needs doing; the rules of then decide.");
            }
            None => chain.stops("acceptance", sentence, reasons::remedy(reason, item.mailbox_id, &item.key)),
        }
    } else {
        let tries = count(item.attempts, "attempt", "attempts");
        let sentence = format!("Set aside since {}, {tries}: {reason}{detail}.", when(item.seen_at, now));
        let decide = format!("lockstep item release {0} {1}, or lockstep item drop {0} {1}", item.mailbox_id, item.key);
        match item.next_attempt_at {
            _ if !concerns => chain.not_reached("quarantine", sentence),
            Some(next) => chain.waits(
                "quarantine",
                format!("{sentence} The next attempt is {}.", when(next, now)),
                format!("It is tried again by itself. To decide at once: {decide}"),
            ),
            None => chain.stops("quarantine", format!("{sentence} It is given up."), format!("Decide: {decide}")),
        }
    }
    steps.append(&mut chain.steps);
}

/// The usual causes, by how the mailboxes stand.
fn elsewhere(all: Elsewhere) -> Step {
    let mut chain = Chain::new("message");
    let causes = [
        (all.open_breakers, "server is kept away from", "servers are kept away from"),
        (all.stopped, "mailbox is disabled by a fault", "mailboxes are disabled by a fault"),
        (all.failing, "mailbox waits after a fault", "mailboxes wait after a fault"),
        (all.overdue, "mailbox is overdue", "mailboxes are overdue"),
        (
            all.mailboxes - all.read - all.stopped,
            "mailbox is not read (inactive, unconfigured, unapproved or untested)",
            "mailboxes are not read (inactive, unconfigured, unapproved or untested)",
        ),
        (all.quarantined, "message is set aside unread", "messages are set aside, some of them unread"),
    ];
    let mut found: Vec<_> =
        causes.iter().filter(|(number, ..)| *number > 0).map(|(number, one, many)| count(*number, one, many)).collect();
    let read = format!("{} of {} read", all.read, count(all.mailboxes, "mailbox is", "mailboxes are"));
    found.insert(0, read);
    chain.unknown(
        "elsewhere",
        format!("{}.", found.join("; ")),
        "Name the mailbox it should have come to (--mailbox ADDRESS) to see what holds there. If all is well, ask the \
         mail server's log for the Message-ID.",
    );
    chain.steps.remove(0)
}
