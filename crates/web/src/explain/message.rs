//! The chain of one message: who has seen it, what was decided about it, and what became of it.

use chrono::{DateTime, Utc};
use lockstep_store::explain::{Elsewhere, EmailFacts, MailboxFacts, MessageFacts};
use uuid::Uuid;

use super::{
    ABOUT_MESSAGES, BEFORE_MESSAGES, Chain,
    Decision::{Acceptance, Approved, Breaker, Correlation, Due, Enabled, Filter, Lease, Permit, Result},
    Step, incoming, item, sending, tracked,
    words::{count, when},
};

/// Places named in a sentence before the rest is counted.
const NAMED: usize = 5;

/// Why nobody has seen it cannot be told of every message.
const UNKNOWN: &str = "A message that was refused for its size before it was read, and one the server has not delivered, are \
                       not known by their Message-ID.";

/// What was decided about the message. `asked` is the mailbox in which it was looked for, when one was named; `known`
/// are mailboxes that its emails are sent from, or in which it waits to be read again.
pub(crate) fn steps(
    facts: &MessageFacts,
    asked: Option<&MailboxFacts>,
    known: &[MailboxFacts],
    now: DateTime<Utc>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let here = asked.map(|mailbox| mailbox.mailbox.id);
    if let Some(mailbox) = asked.filter(|mailbox| !is_in(facts, mailbox.mailbox.id)) {
        steps.extend(unseen(facts, mailbox, now));
    } else if facts.emails.is_empty() && facts.items.is_empty() {
        steps.extend(elsewhere(facts.elsewhere));
    }
    for email in &facts.emails {
        // What was found among somebody's sent mail was not sent from here.
        if email.direction == "outgoing" && (email.delivery.is_some() || email.found_in.is_empty()) {
            let sender = |mailbox: &&MailboxFacts| {
                email.delivery.as_ref().is_some_and(|delivery| delivery.mailbox_id == mailbox.mailbox.id)
            };
            steps.extend(sending::steps(email, known.iter().find(sender), now));
        } else {
            steps.extend(record(email, now));
        }
    }
    for found in &facts.items {
        let mailbox = known.iter().find(|mailbox| mailbox.mailbox.id == found.mailbox_id);
        steps.extend(item::steps(found, mailbox, here, now));
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

/// Where it was seen, the first places by name.
fn named(mut places: Vec<(DateTime<Utc>, &str)>, now: DateTime<Utc>) -> String {
    places.sort_unstable();
    let mut named: Vec<_> =
        places.iter().take(NAMED).map(|(at, address)| format!("{address} at {}", when(*at, now))).collect();
    if places.len() > NAMED {
        named.push(format!("{} more", places.len() - NAMED));
    }
    named.join("; ")
}

fn found_in(email: &EmailFacts) -> Vec<(DateTime<Utc>, &str)> {
    email.found_in.iter().map(|place| (place.at, place.address.as_str())).collect()
}

/// The mailbox in which the message is missed, as it stands, and that it was never seen there.
fn unseen(facts: &MessageFacts, mailbox: &MailboxFacts, now: DateTime<Utc>) -> Vec<Step> {
    let address = &mailbox.mailbox.address;
    let mut chain = Chain::new(address.as_str());
    let standing = |step: &Step| BEFORE_MESSAGES.contains(&step.name) || step.name == Filter;
    chain.adopt(incoming(mailbox, now).into_iter().filter(standing));
    chain.not_reached(Acceptance, "Nothing is known here that anybody could have accepted.");
    chain.not_reached(Correlation, "What it answers was never looked at here.");
    let refused = facts.items.iter().map(|item| (item.seen_at, item.address.as_str()));
    let places: Vec<_> = facts.emails.iter().flat_map(found_in).chain(refused).collect();
    let is_ours = facts.emails.iter().any(|email| email.direction == "outgoing");
    let elsewhere = match (places.is_empty(), is_ours) {
        (false, _) => format!(" It was seen in {}.", named(places, now)),
        (true, true) => " It was sent from here.".to_owned(),
        (true, false) => " Nor was it in any other that may be looked into.".to_owned(),
    };
    chain.unknown(
        Result,
        format!("The message was never seen in {address}.{elsewhere}"),
        format!("What can be told stands above. {UNKNOWN} If all is well there, ask the mail server's log for the Message-ID."),
    );
    chain.steps
}

/// Why there is a record, and which.
fn record(email: &EmailFacts, now: DateTime<Utc>) -> Vec<Step> {
    let mut chain = Chain::new("record");
    let places = found_in(email);
    chain.passed(&[Approved, Enabled, Due, Breaker, Permit], "Passed: the message was read.");
    if places.is_empty() {
        chain.ok(Lease, "It was read; the mailbox it was found in is known no more.");
    } else {
        let seen = count(places.len(), "mailbox", "mailboxes");
        chain.ok(Lease, format!("Seen in {seen}: {}.", named(places, now)));
    }
    if email.withheld {
        let sentence = "Passed; the record is somebody else's, and not yours to read.";
        chain.passed(&ABOUT_MESSAGES, sentence);
        chain.ok(Result, format!("It was recorded {}, for somebody else.", when(email.created_at, now)));
        return chain.steps;
    }
    let whom = match (&email.accepting_kind, &email.accepting_name) {
        (Some(kind), Some(name)) => Some(format!("the {kind} {name}")),
        (Some(kind), None) => Some(format!("a {kind} there is no more")),
        _ => None,
    };
    match (&whom, email.accepting_option.as_deref()) {
        (Some(whom), Some(option)) => {
            let now_tracked = tracked(option).unwrap_or("no email any more");
            chain.ok(Filter, format!("Passed; at present {whom} tracks {now_tracked} (track option {option})."));
        }
        (Some(_), None) => chain.ok(Filter, "Passed, by a track option that is known no more."),
        (None, _) => chain.ok(Filter, "No track option was asked: a person has made the record."),
    }
    chain.ok(Acceptance, format!("Accepted for {}.", whom.as_deref().unwrap_or("a person, by hand")));
    correlation(&mut chain, email);
    chain.ok(Result, made(email, now));
    chain.steps
}

pub(super) fn correlation(chain: &mut Chain, email: &EmailFacts) {
    chain.ok(
        Correlation,
        match email.correlated_email_id {
            Some(other) => format!("It belongs to the email {other}, found by {}.", email.correlation_method),
            None => "It answers no email that is known.".to_owned(),
        },
    );
}

/// Which record it is.
pub(super) fn made(email: &EmailFacts, now: DateTime<Utc>) -> String {
    let mut sentence = format!("Email {}, {}, recorded {}.", email.id, email.status, when(email.created_at, now));
    let notes = [
        (email.attachments_left_out, " Files were left out."),
        (email.body_truncated, " Its text was cut."),
        (email.unparsable.is_some(), " It could not be read as a message; its raw form was kept."),
    ];
    notes.iter().filter(|(holds, _)| *holds).for_each(|(_, note)| sentence.push_str(note));
    sentence
}

/// Nobody has seen it: where it may be, by how all mailboxes stand.
fn elsewhere(all: Elsewhere) -> Vec<Step> {
    let mut chain = Chain::new("message");
    let remedy = "Name the mailbox it should have come to (--mailbox ADDRESS) to see what holds there.";
    let causes = [
        (
            Approved,
            all.unapproved,
            "address is not approved",
            "addresses are not approved",
            "No address is unapproved.",
        ),
        (Due, all.overdue, "mailbox is overdue", "mailboxes are overdue", "No mailbox is overdue."),
        (
            Breaker,
            all.open_breakers,
            "server is kept away from",
            "servers are kept away from",
            "No server is kept away from.",
        ),
        (
            Permit,
            all.deferred,
            "mailbox waits for a connection",
            "mailboxes wait for a connection",
            "No mailbox waits for a connection.",
        ),
        (
            Lease,
            all.lost,
            "mailbox was given out again",
            "mailboxes were given out again",
            "No worker was lost lately.",
        ),
    ];
    for (name, number, one, many, well) in causes {
        if number > 0 {
            chain.unknown(name, format!("{}.", count(number, one, many)), remedy);
        } else {
            chain.ok(name, well);
        }
        if name == Approved {
            enabled(&mut chain, all, remedy);
        }
    }
    for name in ABOUT_MESSAGES {
        chain.not_reached(name, "Nobody has seen the message, so that nothing was decided about it.");
    }
    let aside = match all.quarantined {
        0 => String::new(),
        set_aside => format!(
            " {}, and may be it.",
            count(set_aside, "message is set aside unread", "messages are set aside, some of them unread")
        ),
    };
    chain.unknown(
        Result,
        format!("Nobody has seen a message with this Message-ID.{aside}"),
        format!("{remedy} {UNKNOWN} If all is well, ask the mail server's log for the Message-ID."),
    );
    chain.steps
}

/// How many mailboxes are read, and why the others are not.
fn enabled(chain: &mut Chain, all: Elsewhere, remedy: &str) {
    let causes = [
        (all.stopped, "mailbox is disabled by a fault", "mailboxes are disabled by a fault"),
        (all.failing, "mailbox waits after a fault", "mailboxes wait after a fault"),
        (
            all.mailboxes - all.read - all.stopped,
            "mailbox is not read (inactive, unconfigured, unapproved or untested)",
            "mailboxes are not read (inactive, unconfigured, unapproved or untested)",
        ),
    ];
    let mut found = vec![format!("{} of {} read", all.read, count(all.mailboxes, "mailbox is", "mailboxes are"))];
    found.extend(causes.iter().filter(|(number, ..)| *number > 0).map(|(number, one, many)| count(*number, one, many)));
    let sentence = format!("{}.", found.join("; "));
    if found.len() == 1 { chain.ok(Enabled, sentence) } else { chain.unknown(Enabled, sentence, remedy) }
}
