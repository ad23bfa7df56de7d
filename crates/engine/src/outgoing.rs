//! Sending as a state machine: who may move a delivery where, and what follows from an attempt.

use std::time::Duration;

use lockstep_model::{
    email::DeliveryState,
    fault::{Fault, FaultClass, FaultScope},
};

use crate::retry::{self, Retry, Schedule};

/// Who moves a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The worker that holds the attempt, or the scheduler in its place when it has died.
    Worker,
    /// A look into the server's sent items.
    Probe,
    /// A person, or the policy a person has set for the profile.
    Person,
}

/// Whether a delivery may go from one state to another. Out of *unknown* nothing leads to another attempt but a
/// person's decision: nothing is ever sent twice by itself. From *sending* straight to *sent* goes a delivery that an earlier attempt
/// brought to somebody, when the rest is given up.
pub fn may_become(from: DeliveryState, to: DeliveryState, by: Actor) -> bool {
    use DeliveryState::{Failed, InFlight, Pending, Retry, Sending, Sent, Unknown};
    match by {
        Actor::Worker => matches!(
            (from, to),
            (Pending | Retry, Sending)
                | (Sending, InFlight | Retry | Failed | Sent)
                | (InFlight, Sent | Unknown | Retry | Failed)
        ),
        Actor::Probe => matches!((from, to), (Unknown, Sent)),
        Actor::Person => matches!((from, to), (Unknown, Retry | Sent | Failed) | (Failed, Pending)),
    }
}

/// What becomes of a delivery whose worker has died; `None` where no attempt was under way. Before the point of no
/// return nothing has happened; after it nobody knows.
pub fn after_death(state: DeliveryState) -> Option<DeliveryState> {
    match state {
        DeliveryState::Sending => Some(DeliveryState::Retry),
        DeliveryState::InFlight => Some(DeliveryState::Unknown),
        _ => None,
    }
}

/// What the server said to one recipient: accepted, or a fault (`refused` is for good, `transient` may heal).
pub type Answer = Result<(), Fault>;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The server took the message for every recipient it accepted.
    Taken {
        /// Each recipient's answer, in the envelope's order.
        recipients: Vec<Answer>,
    },
    /// It ended by a fault.
    Broken {
        /// What ended it. After the point of no return, every class but `unreachable`, `unclear` and `bug` says that the
        /// *server itself* answered that it does not take the message.
        fault: Fault,
        /// Whether the point of no return was crossed.
        crossed: bool,
        /// The answers there were until then, in the envelope's order; shorter than the envelope if it did not get
        /// that far.
        recipients: Vec<Answer>,
    },
}

/// Where one recipient stands after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be tried again.
    Waiting,
    /// The server is responsible for the message; never in an envelope again.
    Accepted,
    /// Given up.
    Refused,
    /// May or may not have been accepted.
    Unknown,
}

/// What becomes of the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Done: somebody has it, and nobody is left to try.
    Sent,
    /// Another attempt, with the recipients that are waiting.
    Retry {
        /// After this long.
        after: Duration,
        /// Whether this attempt counts.
        counted: bool,
    },
    /// Given up: nobody has it.
    Failed {
        /// Why, in the server's words.
        fault: Fault,
    },
    /// A person must decide.
    Unknown {
        /// What happened.
        fault: Fault,
    },
}

impl Step {
    /// The state the delivery goes to.
    pub fn state(&self) -> DeliveryState {
        match self {
            Self::Sent => DeliveryState::Sent,
            Self::Retry { .. } => DeliveryState::Retry,
            Self::Failed { .. } => DeliveryState::Failed,
            Self::Unknown { .. } => DeliveryState::Unknown,
        }
    }
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// What becomes of the delivery.
    pub step: Step,
    /// Where each recipient of the envelope stands, in its order.
    pub recipients: Vec<RecipientState>,
}

/// The delivery an attempt was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Number of the attempt among those that count, from 1.
    pub attempt: u32,
    /// Recipients in this attempt's envelope.
    pub envelope: usize,
    /// Whether an earlier attempt was accepted for somebody.
    pub accepted_before: bool,
    /// The fault of this attempt disables the mailbox's sending, so that the email waits until a person has mended it.
    pub held: bool,
}

/// What follows from an attempt. Who has accepted is never sent to again; who is refused is recorded and the others go
/// on; the delivery has failed only when nobody has accepted and nobody is left to try.
pub fn after_attempt(attempt: &Attempt, delivery: &Delivery, schedule: &Schedule, jitter: f64) -> Aftermath {
    match attempt {
        Attempt::Taken { recipients } => {
            let states = states(recipients, delivery.envelope, RecipientState::Accepted);
            settle(states, recipients, None, delivery, schedule, jitter)
        }
        Attempt::Broken { fault, crossed: true, recipients } if is_silence(fault.class) => Aftermath {
            step: Step::Unknown { fault: fault.clone() },
            recipients: states(recipients, delivery.envelope, RecipientState::Unknown),
        },
        Attempt::Broken { fault, recipients, .. } => {
            let states = states(recipients, delivery.envelope, RecipientState::Waiting);
            settle(states, recipients, Some(fault), delivery, schedule, jitter)
        }
    }
}

/// After the point of no return these mean that the server's answer is missing.
fn is_silence(class: FaultClass) -> bool {
    matches!(class, FaultClass::Unreachable | FaultClass::Unclear | FaultClass::Bug)
}

/// Where the recipients stand, `agreed` being the state of those the server said yes to.
fn states(answers: &[Answer], envelope: usize, agreed: RecipientState) -> Vec<RecipientState> {
    let state = |answer: Option<&Answer>| match answer {
        Some(Ok(())) => agreed,
        Some(Err(fault)) if is_final(fault) => RecipientState::Refused,
        // In a broken attempt the later recipients were never asked; what a lost answer means, `agreed` says.
        None if agreed == RecipientState::Unknown => RecipientState::Unknown,
        Some(Err(_)) | None => RecipientState::Waiting,
    };
    (0..envelope).map(|at| state(answers.get(at))).collect()
}

fn is_final(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Refused | FaultClass::Gone)
}

/// Decides from where the recipients stand. `ended_by` is the fault of the whole attempt, if there was one.
fn settle(
    mut states: Vec<RecipientState>,
    answers: &[Answer],
    ended_by: Option<&Fault>,
    delivery: &Delivery,
    schedule: &Schedule,
    jitter: f64,
) -> Aftermath {
    let waiting = states.contains(&RecipientState::Waiting);
    let verdict = match (waiting, ended_by) {
        (false, _) => Retry::GiveUp,
        (true, Some(fault)) => of_message(fault, delivery, schedule, jitter),
        (true, None) => of_recipients(answers, delivery, schedule, jitter),
    };
    if let Retry::Again { after, counted } = verdict {
        return Aftermath { step: Step::Retry { after, counted }, recipients: states };
    }
    for state in states.iter_mut().filter(|state| **state == RecipientState::Waiting) {
        *state = RecipientState::Refused;
    }
    let step = if delivery.accepted_before || states.contains(&RecipientState::Accepted) {
        Step::Sent
    } else {
        Step::Failed { fault: reason(answers, ended_by, waiting) }
    };
    Aftermath { step, recipients: states }
}

/// A fault of the whole attempt. One that lies with the server, or for good with the account (a changed password), is not
/// the message's, so the message waits for it to be mended however long that takes. What may heal with the account uses
/// up attempts, unless it disables the mailbox's sending.
fn of_message(fault: &Fault, delivery: &Delivery, schedule: &Schedule, jitter: f64) -> Retry {
    let for_good = matches!(fault.class, FaultClass::Auth | FaultClass::Refused | FaultClass::Gone);
    match fault.scope {
        _ if fault.class == FaultClass::Throttled => retry::after_fault(fault, delivery.attempt, schedule, jitter),
        FaultScope::Item => retry::after_fault(fault, delivery.attempt, schedule, jitter),
        FaultScope::Mailbox if !for_good && !delivery.held => retry::again(fault, delivery.attempt, schedule, jitter),
        FaultScope::Mailbox | FaultScope::Profile => {
            Retry::Again { after: retry::uncounted_wait(fault, schedule, jitter), counted: false }
        }
    }
}

/// The message was taken, some recipients were put off. If all of those were only throttled, the attempt does not
/// count. A recipient without an answer was not asked, and is tried like one that was put off.
fn of_recipients(answers: &[Answer], delivery: &Delivery, schedule: &Schedule, jitter: f64) -> Retry {
    let put_off = answers.iter().filter_map(|answer| answer.as_ref().err()).filter(|fault| !is_final(fault));
    let unasked = (answers.len() < delivery.envelope).then(|| {
        let wait = retry::backoff(delivery.attempt, schedule, jitter);
        wait.map_or(Retry::GiveUp, |after| Retry::Again { after, counted: true })
    });
    put_off
        .map(|fault| of_message(fault, delivery, schedule, jitter))
        .chain(unasked)
        .reduce(|one, other| match (one, other) {
            (Retry::Again { after: a, counted: c }, Retry::Again { after: b, counted: d }) => {
                Retry::Again { after: a.max(b), counted: c || d }
            }
            (again @ Retry::Again { .. }, Retry::GiveUp) | (Retry::GiveUp, again) => again,
        })
        .unwrap_or(Retry::GiveUp)
}

/// Why nobody has the message: the fault of the attempt while somebody was still waiting for it, else what the last
/// recipient was told.
fn reason(answers: &[Answer], ended_by: Option<&Fault>, waiting: bool) -> Fault {
    let told = answers.iter().rev().find_map(|answer| answer.as_ref().err());
    let (first, second) = if waiting { (ended_by, told) } else { (told, ended_by) };
    first.or(second).cloned().unwrap_or_else(|| {
        Fault::new(FaultScope::Item, FaultClass::Refused, "NoRecipients", "The email has nobody to be sent to.")
    })
}
