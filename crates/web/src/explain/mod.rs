//! Why mail is where it is: the chain of decisions about a mailbox or a message, in the order in which an administrator
//! looks at them. Facts in, steps out; no I/O.

mod account;
mod configuration;
mod incoming;
mod item;
mod message;
mod outgoing;
mod reasons;
#[cfg(test)]
mod samples;
mod sending;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use incoming::steps as incoming;
pub(crate) use message::steps as message;
pub(crate) use outgoing::steps as outgoing;
pub(crate) use reasons::sentence as reason_sentence;

use std::cmp::Reverse;

use lockstep_store::explain::{MailboxFacts, OpenAlert};
use serde::Serialize;
use utoipa::ToSchema;

/// What is decided, in the order in which an administrator looks. Every chain has each of them once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decision {
    /// The address may be used.
    Approved,
    /// Mailbox, owner, method and profile let it be processed, and it was tested and enabled.
    Enabled,
    /// Its turn has come, or when it comes.
    Due,
    /// The server is not kept away from.
    Breaker,
    /// A connection of the account is free.
    Permit,
    /// Which worker has it, since when and until when.
    Lease,
    /// What dates, sizes and the owner's choice let through.
    Filter,
    /// Who accepts it.
    Acceptance,
    /// What it answers.
    Correlation,
    /// What came of it.
    Result,
}

use Decision::{Acceptance, Approved, Breaker, Correlation, Due, Enabled, Filter, Lease, Permit};

/// The decisions that are about the mailbox, before any message is looked at.
const BEFORE_MESSAGES: [Decision; 6] = [Approved, Enabled, Due, Breaker, Permit, Lease];

/// The decisions about one message.
const ABOUT_MESSAGES: [Decision; 3] = [Filter, Acceptance, Correlation];

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
    /// Which decision.
    pub(crate) name: Decision,
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

/// What was found for one decision, with what to do about it.
#[derive(Default)]
struct Found(Vec<(Verdict, String, Option<String>)>);

impl Found {
    fn ok(&mut self, sentence: impl Into<String>) {
        self.0.push((Verdict::Ok, sentence.into(), None));
    }

    fn waits(&mut self, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.0.push((Verdict::Waits, sentence.into(), Some(remedy.into())));
    }

    fn stops(&mut self, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.0.push((Verdict::Stops, sentence.into(), Some(remedy.into())));
    }

    /// Where something stops, what is well need not be told.
    fn decisive(mut self) -> Self {
        if self.0.iter().any(|(verdict, ..)| *verdict == Verdict::Stops) {
            self.0.retain(|(verdict, ..)| *verdict != Verdict::Ok);
        }
        self
    }
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

    fn ok(&mut self, name: Decision, sentence: impl Into<String>) {
        self.add(name, Verdict::Ok, sentence.into(), None);
    }

    fn not_reached(&mut self, name: Decision, sentence: impl Into<String>) {
        self.add(name, Verdict::NotReached, sentence.into(), None);
    }

    fn waits(&mut self, name: Decision, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Waits, sentence.into(), Some(remedy.into()));
    }

    fn unknown(&mut self, name: Decision, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Unknown, sentence.into(), Some(remedy.into()));
    }

    fn stops(&mut self, name: Decision, sentence: impl Into<String>, remedy: impl Into<String>) {
        self.add(name, Verdict::Stops, sentence.into(), Some(remedy.into()));
    }

    /// One step of all that was found: the worst comes first and gives the verdict.
    fn found(&mut self, name: Decision, found: Found) {
        let mut found = found.0;
        found.sort_by_key(|(verdict, ..)| Reverse(*verdict));
        let verdict = found.first().map_or(Verdict::Ok, |(verdict, ..)| *verdict);
        let remedies: Vec<_> = found.iter().filter_map(|(_, _, remedy)| remedy.clone()).collect();
        let sentences: Vec<_> = found.into_iter().map(|(_, sentence, _)| sentence).collect();
        self.add(name, verdict, sentences.join(" "), (!remedies.is_empty()).then(|| remedies.join(" — ")));
    }

    /// Each of these decisions was made already.
    fn passed(&mut self, names: &[Decision], sentence: &str) {
        names.iter().for_each(|name| self.ok(*name, sentence));
    }

    fn add(&mut self, name: Decision, verdict: Verdict, sentence: String, remedy: Option<String>) {
        self.steps.push(Step { part: self.part.clone(), name, verdict, sentence, remedy });
    }

    /// Steps of another chain, as steps of this one.
    fn adopt(&mut self, steps: impl IntoIterator<Item = Step>) {
        let part = self.part.clone();
        self.steps.extend(steps.into_iter().map(|step| Step { part: part.clone(), ..step }));
    }

    /// Whether a step so far lets nothing through.
    fn is_stopped(&self) -> bool {
        self.steps.iter().any(|step| step.verdict == Verdict::Stops)
    }
}

/// Whether an alert is about single items or emails.
fn is_of_item(alert: &OpenAlert) -> bool {
    alert.scope == "item"
}

/// Whether one of the roles a direction needs has not been heard of lately.
fn silent_role(facts: &MailboxFacts, needed: &[&str], now: chrono::DateTime<chrono::Utc>) -> Option<String> {
    let heard = |role: &str| {
        facts.roles.iter().any(|seen| seen.role == role && seen.seen_at > now - chrono::TimeDelta::minutes(1))
    };
    needed.iter().find(|role| !heard(role)).map(|role| (*role).to_owned())
}

/// What the owner's choice lets through, in words; `None` where it lets nothing through.
fn tracked(option: &str) -> Option<&'static str> {
    match option {
        "all" => Some("every message"),
        "in-response" => Some("answers to recorded email"),
        "from-customers" => Some("mail from contacts, accounts and leads"),
        "from-email-enabled" => Some("mail from anybody who is a record"),
        _ => None,
    }
}
