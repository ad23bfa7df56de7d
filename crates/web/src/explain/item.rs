//! The chain of a message that is no record: what refused it, or set it aside.

use chrono::{DateTime, Utc};
use lockstep_engine::acceptance::Reason;
use lockstep_store::{
    erasure::ERASED,
    explain::{ItemFacts, MailboxFacts},
    item_failures::DROPPED,
};
use uuid::Uuid;

use super::{
    ABOUT_MESSAGES, BEFORE_MESSAGES, Chain, Decision,
    Decision::{Acceptance, Correlation, Filter, Result},
    Step, incoming, reasons, tracked,
    words::{count, said, when},
};

/// What was decided about an item. `mailbox` is the one it is in, where it is to be read again. Where a mailbox was named
/// (`here`), what was decided elsewhere stops nothing here.
pub(super) fn steps(
    item: &ItemFacts,
    mailbox: Option<&MailboxFacts>,
    here: Option<Uuid>,
    now: DateTime<Utc>,
) -> Vec<Step> {
    let mut chain = Chain::new(&item.address);
    let concerns = here.is_none_or(|mailbox| mailbox == item.mailbox_id);
    match mailbox.filter(|_| concerns && item.next_attempt_at.is_some()) {
        // It is to be read again, for which the mailbox has to be read.
        Some(mailbox) => {
            chain.adopt(incoming(mailbox, now).into_iter().filter(|step| BEFORE_MESSAGES.contains(&step.name)));
        }
        None => chain.passed(&BEFORE_MESSAGES, &format!("Passed: the message was seen {}.", when(item.seen_at, now))),
    }
    if item.disposition == "refused" {
        refused(&mut chain, item, concerns, now);
    } else {
        aside(&mut chain, item, concerns, now);
    }
    chain.steps
}

/// Which decision a reason belongs to.
fn decision(reason: &str) -> Decision {
    match Reason::from_code(reason) {
        Some(Reason::OwnMessage | Reason::TestMessage | Reason::TooLarge | Reason::RightsManaged | Reason::TooOld) => {
            Filter
        }
        Some(Reason::NoRecipientMatch) => Acceptance,
        Some(Reason::NoCorrelationMatch) => Correlation,
        None if reason == DROPPED || reason == ERASED => Filter,
        None => Result,
    }
}

/// What the owner of the mailbox lets through at present.
fn option(item: &ItemFacts) -> String {
    match item.track_option.as_deref() {
        None => "Whoever has forwarded a message tells what of it is tracked.".to_owned(),
        Some(option) => {
            let lets = tracked(option).unwrap_or("no email");
            format!("The owner of the mailbox tracks {lets} at present (track option {option}).")
        }
    }
}

fn refused(chain: &mut Chain, item: &ItemFacts, concerns: bool, now: DateTime<Utc>) {
    let reason = item.reason.as_deref().unwrap_or("Unknown");
    let decisive = decision(reason);
    let detail = item.detail.as_deref().map(|text| format!(" ({})", said(text))).unwrap_or_default();
    for name in ABOUT_MESSAGES.into_iter().chain([Result]) {
        if name != decisive {
            match name {
                _ if name > decisive => chain.not_reached(name, "Not decided: it was refused before."),
                Filter => chain.ok(Filter, format!("Neither its date nor its size rules it out. {}", option(item))),
                Acceptance => chain.ok(Acceptance, "A user or queue is among its recipients."),
                _ => chain.ok(name, "Nothing was found against it."),
            }
            continue;
        }
        let by = if name == Filter { format!(" {}", option(item)) } else { String::new() };
        let sentence =
            format!("Refused {}: {reason}. {}{detail}{by}", when(item.seen_at, now), reasons::sentence(reason));
        match item.next_attempt_at {
            _ if !concerns => chain.not_reached(name, sentence),
            Some(_) => chain.waits(
                name,
                format!("{sentence} It is judged again when the mailbox is read next."),
                "Nothing needs doing; the rules of then decide.",
            ),
            None => chain.stops(name, sentence, reasons::remedy(reason, item.mailbox_id, &item.key)),
        }
    }
}

fn aside(chain: &mut Chain, item: &ItemFacts, concerns: bool, now: DateTime<Utc>) {
    chain.not_reached(Filter, format!("Not decided: the message could not be read. {}", option(item)));
    chain.not_reached(Acceptance, "Not decided: the message could not be read.");
    chain.not_reached(Correlation, "Not decided: the message could not be read.");
    let reason = item.reason.as_deref().unwrap_or("Unknown");
    let detail = item.detail.as_deref().map(|text| format!(" ({})", said(text))).unwrap_or_default();
    let tries = count(item.attempts, "attempt", "attempts");
    let sentence = format!("Set aside since {}, {tries}: {reason}{detail}.", when(item.seen_at, now));
    let decide = format!("lockstep item release {0} {1}, or lockstep item drop {0} {1}", item.mailbox_id, item.key);
    match item.next_attempt_at {
        _ if !concerns => chain.not_reached(Result, sentence),
        Some(next) => chain.waits(
            Result,
            format!("{sentence} The next attempt is {}.", when(next, now)),
            format!("It is tried again by itself. To decide at once: {decide}"),
        ),
        None => chain.stops(Result, format!("{sentence} It is given up."), format!("Decide: {decide}")),
    }
}
