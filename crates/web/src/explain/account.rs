//! The account of a mailbox on its server: whether the server is kept away from, and whether a connection is free.

use chrono::{DateTime, Utc};
use lockstep_store::{
    explain::{self, MailboxFacts},
    mailboxes::status::LaneStatus,
};

use super::{
    Chain,
    Decision::{Breaker, Permit},
    words::{count, when},
};

/// What can be told of connections, and what cannot.
const CAVEAT: &str = "So say the claims and reports in the database; the connections that are open now, and a pause the \
                      server asked for, are counted in Redis, which is not asked from here.";

/// The server of a mailbox that is read.
pub(super) fn breaker(chain: &mut Chain, facts: &MailboxFacts, now: DateTime<Utc>) {
    let Some(profile) = &facts.profile else { return chain.not_reached(Breaker, "No server is known.") };
    let remedy = "Look at the server and the network; one connection at a time finds out whether it is back.";
    match (profile.breaker_open_until, profile.breaker_failures) {
        (Some(until), _) if until > now => chain.waits(
            Breaker,
            format!("The server of {} fails: nothing goes there until {}.", profile.name, when(until, now)),
            remedy,
        ),
        (Some(_), _) => chain.waits(
            Breaker,
            format!("The server of {} has failed: one mailbox at a time probes it now.", profile.name),
            remedy,
        ),
        (None, 0) => chain.ok(Breaker, format!("The server of {} answers.", profile.name)),
        (None, failures) => chain.ok(
            Breaker,
            format!(
                "The server of {} has failed {} in a row, too few to keep away.",
                profile.name,
                count(failures, "time", "times")
            ),
        ),
    }
}

/// Whether a lane that is read gets a connection.
pub(super) fn reading(chain: &mut Chain, facts: &MailboxFacts, lane: Option<&LaneStatus>, now: DateTime<Utc>) {
    let Some(permit) = &facts.permit else { return without(chain) };
    let sending = if permit.sends_apart { 0 } else { permit.sending };
    let used = permit.claimed + sending;
    let whose = if permit.shared { "the profile's one account" } else { "the mailbox's own account" };
    let mut sentence = format!("{} {}. {CAVEAT}", in_use(permit, used, whose), parts(permit, sending));
    let deferred = lane.filter(|lane| lane.last_outcome.as_deref() == Some("deferred"));
    let until = deferred.and_then(|lane| lane.not_before).filter(|until| *until > now);
    if let Some(until) = until {
        let last = deferred.and_then(|lane| lane.last_ended_at).map(|at| format!(" {}", when(at, now)));
        let sentence = format!(
            "The last run{} got no connection and is put off until {}: all were in use, the server had asked for a \
             pause, the worker had no free place, or Redis was away; its report does not say which. {sentence}",
            last.unwrap_or_default(),
            when(until, now)
        );
        return chain.waits(Permit, sentence, remedy(permit));
    }
    let is_claimed = lane.is_some_and(|lane| lane.claimed_until.is_some_and(|until| until > now));
    if used >= i64::from(permit.cap) && !is_claimed {
        return chain.waits(Permit, sentence, remedy(permit));
    }
    if permit.deferred > 0 {
        sentence.push_str(&format!(" {} for one.", count(permit.deferred, "lane waits", "lanes wait")));
    }
    chain.ok(Permit, sentence);
}

/// Whether an email that is sent gets a connection.
pub(super) fn sending(chain: &mut Chain, facts: &MailboxFacts) {
    let Some(permit) = &facts.permit else { return without(chain) };
    let (used, whose) = match (permit.sends_apart, permit.shared) {
        (true, _) => (permit.sending, "the account the profile sends with"),
        (false, true) => (permit.claimed + permit.sending, "the profile's one account"),
        (false, false) => (permit.claimed + permit.sending, "the mailbox's own account"),
    };
    let parts = if permit.sends_apart {
        format!("{} being sent", emails(permit.sending))
    } else {
        parts(permit, permit.sending)
    };
    let sentence = format!("{} {parts}. {CAVEAT}", in_use(permit, used, whose));
    if used >= i64::from(permit.cap) && facts.outbox.waiting > 0 && facts.outbox.sending == 0 {
        chain.waits(Permit, sentence, remedy(permit));
    } else {
        chain.ok(Permit, sentence);
    }
}

fn without(chain: &mut Chain) {
    chain.not_reached(Permit, "No server is known, and so no account.");
}

fn in_use(permit: &explain::Permit, used: i64, whose: &str) -> String {
    format!("{used} of the {} of {whose} claimed:", count(permit.cap, "connection", "connections"))
}

fn parts(permit: &explain::Permit, sending: i64) -> String {
    let room = match permit.capacity {
        0 => String::new(),
        capacity => format!(" with room for {capacity}"),
    };
    format!(
        "{} handed out ({} known to be at work), {} being sent; {}{room} heard of in the last minute",
        count(permit.claimed, "lane", "lanes"),
        permit.at_work,
        emails(sending),
        count(permit.workers, "mailbox-worker", "mailbox-workers"),
    )
}

fn emails(number: i64) -> String {
    count(number, "email", "emails")
}

fn remedy(permit: &explain::Permit) -> String {
    format!(
        "It is tried again by itself. If this happens often, raise the profile's max_connections ({} now) to what the server \
         allows, and look at the mailbox-workers' log for what Redis and the server say.",
        permit.cap
    )
}
