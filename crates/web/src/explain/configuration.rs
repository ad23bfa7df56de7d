//! What a person has to have done once: the address is approved, the mailbox has what it needs, and was tested and
//! enabled.

use chrono::{DateTime, Utc};
use lockstep_store::explain::{MailboxFacts, OpenAlert};

use super::{
    Chain,
    Decision::{Approved, Enabled},
    Found, is_of_item,
    words::{count, when},
};

/// The two directions of a mailbox, as far as they are asked alike.
pub(super) struct Direction<'f> {
    pub(super) name: &'static str,
    /// What is done in it, such as "read".
    pub(super) done: &'static str,
    pub(super) method: &'f str,
    pub(super) test: &'f str,
    pub(super) enabled: bool,
    /// The fault that has disabled it, and since when.
    pub(super) disabled: Option<(&'f str, Option<DateTime<Utc>>)>,
}

/// The steps approved and enabled.
pub(super) fn steps(chain: &mut Chain, facts: &MailboxFacts, direction: &Direction<'_>, now: DateTime<Utc>) {
    approved(chain, facts);
    let mut found = Found::default();
    router(&mut found, facts, direction);
    record(&mut found, facts);
    method(&mut found, facts, direction);
    profile(&mut found, facts);
    enabled(&mut found, facts, direction, now);
    chain.found(Enabled, found.decisive());
}

fn approved(chain: &mut Chain, facts: &MailboxFacts) {
    let mailbox = &facts.mailbox;
    match mailbox.address_status.as_str() {
        "approved" => {
            let by = mailbox.approved_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            chain.ok(Approved, format!("The address {} is approved{by}.", mailbox.address));
        }
        "pending" if !facts.approval_required => {
            chain.ok(Approved, "The address is not approved, and the organisation does not ask for it.");
        }
        "pending" => chain.stops(
            Approved,
            "The address waits for its approval, which the organisation asks for.",
            format!("Approve it: lockstep mailbox approve {}", mailbox.id),
        ),
        "rejected" => chain.stops(
            Approved,
            "The address was rejected.",
            format!("Approve it if that was a mistake: lockstep mailbox approve {}", mailbox.id),
        ),
        _ => chain.stops(Approved, "The mailbox has no address.", "Set the owner's address."),
    }
}

fn router(found: &mut Found, facts: &MailboxFacts, direction: &Direction<'_>) {
    if facts.router {
        found.stops(
            format!(
                "The organisation has its email processed by the Email Router: nothing is {} from here.",
                direction.done
            ),
            "Where the router is stopped: lockstep organisation update --set \
             process_email_using=server-side-synchronization",
        );
    }
}

fn record(found: &mut Found, facts: &MailboxFacts) {
    let mailbox = &facts.mailbox;
    if mailbox.active {
        found.ok(format!("The mailbox {} is active.", mailbox.address));
    } else {
        found.stops(
            format!("The mailbox {} is inactive.", mailbox.address),
            "Set the mailbox's active to true, then test and enable it.",
        );
    }
    match &facts.owner {
        Some(owner) if owner.active => {
            found.ok(format!("It belongs to the active {} {}.", owner.kind, owner.name));
        }
        // The mailbox goes the way of its owner; one that was activated by itself since is served.
        Some(owner) if mailbox.active => {
            found.ok(format!("It belongs to the inactive {} {}, and was activated by itself.", owner.kind, owner.name));
        }
        Some(owner) => found.stops(
            format!("It belongs to the inactive {} {}.", owner.kind, owner.name),
            format!("Set the {}'s active to true; its mailbox follows.", owner.kind),
        ),
        None if mailbox.is_forward_mailbox => {
            found.ok("It is a forward mailbox: its mail is that of whoever has forwarded it.");
        }
        None => found.stops("It belongs to nobody.", "Make a user or queue with this address."),
    }
}

fn method(found: &mut Found, facts: &MailboxFacts, direction: &Direction<'_>) {
    if direction.method == "server-side" {
        found.ok(format!("{} email is server-side.", direction.name));
    } else if direction.method == "forward-mailbox" {
        found.stops(
            "The method of incoming email is forward-mailbox: this mailbox itself is not read.",
            "Look at the forward mailbox its mail is forwarded to: lockstep mailbox list --filter forward=true",
        );
    } else if facts.mailbox.is_forward_mailbox && direction.name == "outgoing" {
        found.stops("It is a forward mailbox: nothing is sent from it.", "Nothing needs doing.");
    } else {
        found.stops(
            format!("The method of {} email is {}: nothing is {}.", direction.name, direction.method, direction.done),
            format!("Set the mailbox's {}_method to server-side, then test and enable it.", direction.name),
        );
    }
}

fn profile(found: &mut Found, facts: &MailboxFacts) {
    match &facts.profile {
        Some(profile) if profile.active => found.ok(format!("The profile {} is active.", profile.name)),
        Some(profile) => found.stops(
            format!("The profile {} is inactive: none of its mailboxes is served.", profile.name),
            "Set the profile's active to true.",
        ),
        None => found.stops(
            "The mailbox has no profile, so that its server is not known.",
            "Set the mailbox's profile_id, or make one profile the default.",
        ),
    }
}

fn enabled(found: &mut Found, facts: &MailboxFacts, direction: &Direction<'_>, now: DateTime<Utc>) {
    let test = format!("Remove the cause, then test and enable: lockstep mailbox test {}", facts.mailbox.id);
    if let Some((code, since)) = direction.disabled {
        let since = since.map(|at| format!(" since {}", when(at, now))).unwrap_or_default();
        let remedy = lockstep_model::catalogue::find(code).map_or(test.clone(), |e| format!("{} {test}", e.remedy));
        return found.stops(format!("{} email is disabled by {code}{since}.", direction.name), remedy);
    }
    let tested = facts.mailbox.tested_at.map(|at| format!(" {}", when(at, now))).unwrap_or_default();
    match (direction.enabled, direction.test) {
        (true, _) => found.ok(format!("{} email was tested{tested} and is enabled.", direction.name)),
        (false, "failure") if let Some(at) = tested_again(facts, direction.name, now) => {
            let remedy = alert_remedy(facts, direction.name).unwrap_or("Nothing needs doing unless it stays.");
            found.waits(
                format!("The test of {} email failed, and is made again {}.", direction.name, when(at, now)),
                remedy,
            );
        }
        (false, "failure") => {
            let remedy = alert_remedy(facts, direction.name).map_or(test.clone(), |remedy| format!("{remedy} {test}"));
            found.stops(format!("The test of {} email failed{tested}.", direction.name), remedy);
        }
        (false, _) => found.stops(
            format!("{} email was never tested and enabled since its settings were changed.", direction.name),
            format!("Test and enable: lockstep mailbox test {}", facts.mailbox.id),
        ),
    }
}

/// When a direction is tested again by itself, because its test failed by what may pass.
fn tested_again(facts: &MailboxFacts, direction: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let test = facts.test.as_ref().filter(|test| test.retries > 0 && test.completed_at.is_none())?;
    let warned = |alert: &OpenAlert| alert.part.as_deref() == Some(direction) && alert.severity == "warning";
    facts.alerts.iter().any(warned).then_some(test.postponed_until.unwrap_or(now))
}

/// What the catalogue advises on the first open alert about a direction.
fn alert_remedy(facts: &MailboxFacts, direction: &str) -> Option<&'static str> {
    let alert = facts.alerts.iter().find(|alert| alert.part.as_deref() == Some(direction))?;
    lockstep_model::catalogue::find(&alert.code).map(|entry| entry.remedy)
}

/// The open alerts that concern a direction but for those about single items, which its other steps tell of.
pub(super) fn alerts(found: &mut Found, facts: &MailboxFacts, direction: &str, now: DateTime<Utc>) {
    let elsewhere = if direction == "incoming" { ["outgoing", "act"] } else { ["incoming", "listing"] };
    let concerns = |alert: &&OpenAlert| {
        let here = alert.part.as_deref().is_none_or(|part| !elsewhere.contains(&part));
        !is_of_item(alert) && alert.severity != "information" && here
    };
    let open: Vec<_> = facts.alerts.iter().filter(concerns).collect();
    match open.first() {
        None => found.ok("No alert is open."),
        Some(_) => told(found, &open, now),
    }
}

/// Alerts by their codes, with the remedy of the first.
pub(super) fn told(found: &mut Found, open: &[&OpenAlert], now: DateTime<Utc>) {
    let Some(first) = open.first() else { return };
    let mut codes: Vec<_> = open.iter().map(|alert| alert.code.as_str()).collect();
    codes.dedup();
    let sentence = format!(
        "{} open: {}; the first since {}.",
        count(open.len(), "alert is", "alerts are"),
        codes.join(", "),
        when(first.first_at, now)
    );
    let remedy = lockstep_model::catalogue::find(&first.code).map_or("Look at lockstep alerts.", |entry| entry.remedy);
    found.waits(sentence, remedy);
}
