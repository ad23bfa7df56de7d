//! Why mail is where it is: the chain of decisions about a mailbox or a message, in the order in which an administrator
//! looks at them. Facts in, steps out; no I/O.

mod incoming;
mod message;
mod outgoing;
mod reasons;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use incoming::steps as incoming;
pub(crate) use message::steps as message;
pub(crate) use outgoing::steps as outgoing;
pub(crate) use reasons::sentence as reason_sentence;

use chrono::{DateTime, Utc};
use lockstep_store::explain::{MailboxFacts, OpenAlert};
use serde::Serialize;
use utoipa::ToSchema;

use words::{count, when};

/// What a decision comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Mail passes here.
    Ok,
    /// Not decided, because something before stops.
    NotReached,
    /// It goes on by itself, later.
    Waits,
    /// It cannot be told from here.
    Unknown,
    /// It goes no further until somebody acts.
    Stops,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Step {
    /// Which chain it belongs to: `incoming`, `outgoing`, `message`, `record`, or the address of a mailbox.
    pub(crate) part: String,
    /// Which decision: a stable name.
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// The decision with the values it was made of.
    pub(crate) sentence: String,
    /// What to do, where it does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// The verdict of a whole chain: that of its worst step.
pub(crate) fn worst(steps: &[Step]) -> Verdict {
    let passed = |step: &&Step| step.verdict != Verdict::NotReached;
    steps.iter().filter(passed).map(|step| step.verdict).max().unwrap_or(Verdict::Unknown)
}

/// The steps of one chain, as they are put together.
struct Chain {
    part: String,
    steps: Vec<Step>,
}

impl Chain {
    fn new(part: impl Into<String>) -> Self {
        Self { part: part.into(), steps: Vec::new() }
    }

    fn ok(&mut self, name: &'static str, sentence: impl Into<String>) {
        self.add(name, Verdict::Ok, sentence.into(), None);
    }

    fn not_reached(&mut self, name: &'static str, sentence: impl Into<String>) {
        self.add(name, Verdict::NotReached, sentence.into(), None);
    }

    fn waits(&mut self, name: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Waits, sentence.into(), Some(remedy.into()));
    }

    fn unknown(&mut self, name: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Unknown, sentence.into(), Some(remedy.into()));
    }

    fn stops(&mut self, name: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Stops, sentence.into(), Some(remedy.into()));
    }

    fn add(&mut self, name: &'static str, verdict: Verdict, sentence: String, remedy: Option<String>) {
        self.steps.push(Step { part: self.part.clone(), name, verdict, sentence, remedy });
    }

    /// Whether a step so far lets nothing through.
    fn is_stopped(&self) -> bool {
        self.steps.iter().any(|step| step.verdict == Verdict::Stops)
    }
}

/// The two directions of a mailbox, as far as they are asked alike.
struct Direction<'f> {
    name: &'static str,
    /// What is done in it, such as "read".
    done: &'static str,
    method: &'f str,
    test: &'f str,
    enabled: bool,
    /// The fault that has disabled it, and since when.
    disabled: Option<(&'f str, Option<DateTime<Utc>>)>,
}

/// Record, owner, method, profile, address, tested and enabled: what a person has to have done once.
fn configuration(chain: &mut Chain, facts: &MailboxFacts, direction: &Direction<'_>, now: DateTime<Utc>) {
    let mailbox = &facts.mailbox;
    if facts.router {
        chain.stops(
            "engine",
            format!(
                "The organisation has its email processed by the Email Router: nothing is {} from here.",
                direction.done
            ),
            "Where the router is stopped: lockstep organisation update --set \
             process_email_using=server-side-synchronization",
        );
    }
    if mailbox.active {
        chain.ok("record", format!("The mailbox {} is active.", mailbox.address));
    } else {
        chain.stops(
            "record",
            format!("The mailbox {} is inactive.", mailbox.address),
            "Set the mailbox's active to true, then test and enable it.",
        );
    }
    match &facts.owner {
        Some(owner) if owner.active => {
            chain.ok("owner", format!("It belongs to the active {} {}.", owner.kind, owner.name));
        }
        // The mailbox goes the way of its owner; one that was activated by itself since is served.
        Some(owner) if mailbox.active => chain.ok(
            "owner",
            format!("It belongs to the inactive {} {}, and was activated by itself.", owner.kind, owner.name),
        ),
        Some(owner) => chain.stops(
            "owner",
            format!("It belongs to the inactive {} {}.", owner.kind, owner.name),
            format!("Set the {}'s active to true; its mailbox follows.", owner.kind),
        ),
        None if mailbox.is_forward_mailbox => {
            chain.ok("owner", "It is a forward mailbox: its mail is that of whoever has forwarded it.");
        }
        None => chain.stops("owner", "It belongs to nobody.", "Make a user or queue with this address."),
    }
    if direction.method == "server-side" {
        chain.ok("method", format!("{} email is server-side.", direction.name));
    } else if direction.method == "forward-mailbox" {
        chain.stops(
            "method",
            "The method of incoming email is forward-mailbox: this mailbox itself is not read.",
            "Look at the forward mailbox its mail is forwarded to: lockstep mailbox list --filter forward=true",
        );
    } else if mailbox.is_forward_mailbox && direction.name == "outgoing" {
        chain.stops("method", "It is a forward mailbox: nothing is sent from it.", "Nothing needs doing.");
    } else {
        chain.stops(
            "method",
            format!("The method of {} email is {}: nothing is {}.", direction.name, direction.method, direction.done),
            format!("Set the mailbox's {}_method to server-side, then test and enable it.", direction.name),
        );
    }
    match &facts.profile {
        Some(profile) if profile.active => chain.ok("profile", format!("The profile {} is active.", profile.name)),
        Some(profile) => chain.stops(
            "profile",
            format!("The profile {} is inactive: none of its mailboxes is served.", profile.name),
            "Set the profile's active to true.",
        ),
        None => chain.stops(
            "profile",
            "The mailbox has no profile, so that its server is not known.",
            "Set the mailbox's profile_id, or make one profile the default.",
        ),
    }
    address(chain, facts);
    enabled(chain, facts, direction, now);
}

fn address(chain: &mut Chain, facts: &MailboxFacts) {
    let mailbox = &facts.mailbox;
    match mailbox.address_status.as_str() {
        "approved" => {
            let by = mailbox.approved_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            chain.ok("address", format!("The address is approved{by}."));
        }
        "pending" if !facts.approval_required => {
            chain.ok("address", "The address is not approved, and the organisation does not ask for it.");
        }
        "pending" => chain.stops(
            "address",
            "The address waits for its approval, which the organisation asks for.",
            format!("Approve it: lockstep mailbox approve {}", mailbox.id),
        ),
        "rejected" => chain.stops(
            "address",
            "The address was rejected.",
            format!("Approve it if that was a mistake: lockstep mailbox approve {}", mailbox.id),
        ),
        _ => chain.stops("address", "The mailbox has no address.", "Set the owner's address."),
    }
}

fn enabled(chain: &mut Chain, facts: &MailboxFacts, direction: &Direction<'_>, now: DateTime<Utc>) {
    let test = format!("Remove the cause, then test and enable: lockstep mailbox test {}", facts.mailbox.id);
    if let Some((code, since)) = direction.disabled {
        let since = since.map(|at| format!(" since {}", when(at, now))).unwrap_or_default();
        let remedy = lockstep_model::catalogue::find(code).map_or(test.clone(), |e| format!("{} {test}", e.remedy));
        return chain.stops("enabled", format!("{} email is disabled by {code}{since}.", direction.name), remedy);
    }
    let tested = facts.mailbox.tested_at.map(|at| format!(" {}", when(at, now))).unwrap_or_default();
    match (direction.enabled, direction.test) {
        (true, _) => chain.ok("enabled", format!("{} email was tested{tested} and is enabled.", direction.name)),
        (false, "failure") => {
            let remedy = alert_remedy(facts, direction.name).map_or(test.clone(), |remedy| format!("{remedy} {test}"));
            chain.stops("enabled", format!("The test of {} email failed{tested}.", direction.name), remedy);
        }
        (false, _) => chain.stops(
            "enabled",
            format!("{} email was never tested and enabled since its settings were changed.", direction.name),
            format!("Test and enable: lockstep mailbox test {}", facts.mailbox.id),
        ),
    }
}

/// What the catalogue advises on the first open alert about a direction.
fn alert_remedy(facts: &MailboxFacts, direction: &str) -> Option<&'static str> {
    let alert = facts.alerts.iter().find(|alert| alert.part.as_deref() == Some(direction))?;
    lockstep_model::catalogue::find(&alert.code).map(|entry| entry.remedy)
}

/// The open alerts that concern a direction. Items that could not be read have a step of their own; emails that could
/// not be sent are looked at here.
fn alerts(chain: &mut Chain, facts: &MailboxFacts, direction: &str, now: DateTime<Utc>) {
    let (elsewhere, items) =
        if direction == "incoming" { (["outgoing", "act"], false) } else { (["incoming", "listing"], true) };
    let concerns = |alert: &&OpenAlert| match (alert.scope.as_str(), alert.part.as_deref()) {
        ("item", _) => items && alert.severity == "error",
        (_, Some(part)) => alert.severity != "information" && !elsewhere.contains(&part),
        _ => alert.severity != "information",
    };
    let open: Vec<_> = facts.alerts.iter().filter(concerns).collect();
    let Some(first) = open.first() else { return chain.ok("alerts", "No alert is open.") };
    let mut codes: Vec<_> = open.iter().map(|alert| alert.code.as_str()).collect();
    codes.dedup();
    let sentence = format!(
        "{} open: {}; the first since {}.",
        count(open.len(), "alert is", "alerts are"),
        codes.join(", "),
        when(first.first_at, now)
    );
    let remedy = lockstep_model::catalogue::find(&first.code).map_or("Look at lockstep alerts.", |entry| entry.remedy);
    chain.waits("alerts", sentence, remedy);
}

/// Whether one of the roles a direction needs has not been heard of lately.
fn silent_role(facts: &MailboxFacts, needed: &[&str], now: DateTime<Utc>) -> Option<String> {
    let heard = |role: &str| {
        facts.roles.iter().any(|seen| seen.role == role && seen.seen_at > now - chrono::TimeDelta::minutes(1))
    };
    needed.iter().find(|role| !heard(role)).map(|role| (*role).to_owned())
}
