//! Deliveries: who may move them, what follows from an attempt, and that nothing is sent twice.

use lockstep_engine::{
    outgoing::{Actor, Answer, Attempt, Delivery, RecipientState, Step, after_attempt, after_death, may_become},
    retry::Schedule,
};
use lockstep_model::{
    email::DeliveryState,
    fault::{Fault, FaultClass, FaultScope},
};
use proptest::prelude::*;

use crate::values::{fault, minutes};

const FIRST: Delivery = Delivery { attempt: 1, envelope: 2, accepted_before: false, held: false };
const LAST: Delivery = Delivery { attempt: 10, ..FIRST };

fn item(class: FaultClass) -> Fault {
    fault(FaultScope::Item, class)
}

fn taken(recipients: Vec<Answer>) -> Attempt {
    Attempt::Taken { recipients }
}

fn broken(fault: Fault, crossed: bool, recipients: Vec<Answer>) -> Attempt {
    Attempt::Broken { fault, crossed, recipients }
}

fn ends(attempt: &Attempt, delivery: &Delivery) -> (Step, Vec<RecipientState>) {
    let after = after_attempt(attempt, delivery, &Schedule::OUTGOING, 0.0);
    (after.step, after.recipients)
}

/// H2: every transition there is, and no other.
#[test]
fn h2_transitions() {
    use DeliveryState::{Failed, InFlight, Pending, Retry, Sending, Sent, Unknown};
    let allowed = [
        (Pending, Sending, Actor::Worker),
        (Retry, Sending, Actor::Worker),
        (Sending, InFlight, Actor::Worker),
        (Sending, Retry, Actor::Worker),
        (Sending, Failed, Actor::Worker),
        (Sending, Sent, Actor::Worker),
        (InFlight, Sent, Actor::Worker),
        (InFlight, Unknown, Actor::Worker),
        (InFlight, Retry, Actor::Worker),
        (InFlight, Failed, Actor::Worker),
        (Unknown, Sent, Actor::Probe),
        (Unknown, Retry, Actor::Person),
        (Unknown, Sent, Actor::Person),
        (Unknown, Failed, Actor::Person),
        (Failed, Pending, Actor::Person),
    ];
    for from in DeliveryState::ALL {
        for to in DeliveryState::ALL {
            for by in [Actor::Worker, Actor::Probe, Actor::Person] {
                let expected = allowed.contains(&(*from, *to, by));
                assert_eq!(may_become(*from, *to, by), expected, "{from} to {to} by {by:?}");
                // What is shown to people follows its own rules (H1).
                let (shown, then) = (from.status(), to.status());
                assert!(!expected || shown == then || shown.may_become(then), "{shown} to {then}");
            }
        }
    }
}

/// H10: a worker that dies before the point of no return has done nothing; after it nobody knows.
#[test]
fn h10_death_of_a_worker() {
    for state in DeliveryState::ALL {
        let expected = match state {
            DeliveryState::Sending => Some(DeliveryState::Retry),
            DeliveryState::InFlight => Some(DeliveryState::Unknown),
            _ => None,
        };
        assert_eq!(after_death(*state), expected);
        assert!(expected.is_none_or(|to| may_become(*state, to, Actor::Worker)));
    }
}

#[test]
fn all_accepted_is_sent() {
    let (step, recipients) = ends(&taken(vec![Ok(()), Ok(())]), &FIRST);
    assert_eq!((step, recipients), (Step::Sent, vec![RecipientState::Accepted; 2]));
}

/// H9: who is refused is recorded, the others have it.
#[test]
fn h9_some_refused_is_sent() {
    let (step, recipients) = ends(&taken(vec![Err(item(FaultClass::Refused)), Ok(())]), &FIRST);
    assert_eq!((step, recipients), (Step::Sent, vec![RecipientState::Refused, RecipientState::Accepted]));
}

#[test]
fn some_put_off_are_tried_again_without_the_accepted() {
    let answers = vec![Ok(()), Err(item(FaultClass::Transient))];
    let (step, recipients) = ends(&taken(answers.clone()), &FIRST);
    assert_eq!(step, Step::Retry { after: minutes(5), counted: true });
    assert_eq!(recipients, [RecipientState::Accepted, RecipientState::Waiting]);
    let (step, recipients) = ends(&taken(answers), &LAST);
    assert_eq!((step, recipients), (Step::Sent, vec![RecipientState::Accepted, RecipientState::Refused]), "given up");
    let (step, _) = ends(&taken(vec![Ok(()), Err(item(FaultClass::Throttled))]), &LAST);
    assert_eq!(step, Step::Retry { after: minutes(1), counted: false }, "greylisting by rate costs nothing");
    let (step, recipients) = ends(&taken(vec![Ok(())]), &FIRST);
    assert_eq!(step, Step::Retry { after: minutes(5), counted: true }, "one was never asked");
    assert_eq!(recipients, [RecipientState::Accepted, RecipientState::Waiting]);
}

/// H4: all refused, or the last attempt gone, is Failed with the server's words.
#[test]
fn h4_failed() {
    let refused = item(FaultClass::Refused);
    for attempt in [
        taken(vec![Err(refused.clone()), Err(refused.clone())]),
        broken(refused.clone(), false, vec![]),
        broken(refused.clone(), true, vec![Ok(()), Ok(())]),
        broken(item(FaultClass::Transient), false, vec![Err(refused.clone()), Err(refused.clone())]),
    ] {
        let (step, recipients) = ends(&attempt, &FIRST);
        assert_eq!(step, Step::Failed { fault: refused.clone() }, "{attempt:?}");
        assert_eq!(recipients, [RecipientState::Refused; 2]);
    }
    let (step, _) = ends(&broken(item(FaultClass::Transient), false, vec![]), &LAST);
    assert_eq!(step, Step::Failed { fault: item(FaultClass::Transient) });
    let later = Delivery { accepted_before: true, ..LAST };
    let (step, _) = ends(&broken(item(FaultClass::Transient), false, vec![]), &later);
    assert_eq!(step, Step::Sent, "somebody has it: the rest is recorded as refused");
}

/// Before the point of no return everything that may heal is tried again, lost connections too.
#[test]
fn before_the_point() {
    for class in [FaultClass::Transient, FaultClass::Unreachable, FaultClass::Unclear, FaultClass::Bug] {
        let (step, recipients) = ends(&broken(item(class), false, vec![Ok(())]), &FIRST);
        assert_eq!(step, Step::Retry { after: minutes(5), counted: true }, "{class}");
        assert_eq!(recipients, [RecipientState::Waiting; 2], "the server's yes to a recipient alone sends nothing");
    }
}

/// H8: a changed password, a full account or a dead server is not the message's fault: it waits, and no attempt counts.
/// What may heal with the account uses attempts up, but for the one that disables the mailbox's sending.
#[test]
fn h8_a_fault_of_the_mailbox_or_server_is_waited_for() {
    for found in [
        fault(FaultScope::Mailbox, FaultClass::Auth),
        fault(FaultScope::Mailbox, FaultClass::Refused),
        fault(FaultScope::Profile, FaultClass::Auth),
        fault(FaultScope::Profile, FaultClass::Unreachable),
        fault(FaultScope::Profile, FaultClass::Transient),
    ] {
        for delivery in [FIRST, LAST] {
            let (step, recipients) = ends(&broken(found.clone(), false, vec![Ok(())]), &delivery);
            assert_eq!(step, Step::Retry { after: minutes(5), counted: false }, "{found}");
            assert_eq!(recipients, [RecipientState::Waiting; 2]);
        }
    }
    let heals = broken(fault(FaultScope::Mailbox, FaultClass::Transient), false, vec![]);
    assert_eq!(ends(&heals, &FIRST).0, Step::Retry { after: minutes(5), counted: true });
    assert_eq!(ends(&heals, &LAST).0.state(), DeliveryState::Failed);
    let held = Delivery { held: true, ..LAST };
    assert_eq!(ends(&heals, &held).0, Step::Retry { after: minutes(5), counted: false });
}

/// H10: after the point of no return silence is *unknown*, whatever the attempt; the server's own no is believed.
#[test]
fn h10_after_the_point() {
    for delivery in [FIRST, LAST] {
        for class in [FaultClass::Unreachable, FaultClass::Unclear, FaultClass::Bug] {
            let (step, recipients) =
                ends(&broken(item(class), true, vec![Ok(()), Err(item(FaultClass::Refused))]), &delivery);
            assert_eq!(step, Step::Unknown { fault: item(class) });
            assert_eq!(recipients, [RecipientState::Unknown, RecipientState::Refused]);
        }
    }
    let (step, recipients) = ends(&broken(item(FaultClass::Unclear), true, vec![]), &FIRST);
    assert_eq!((step.state(), recipients), (DeliveryState::Unknown, vec![RecipientState::Unknown; 2]));
    let (step, _) = ends(&broken(item(FaultClass::Transient), true, vec![Ok(()), Ok(())]), &FIRST);
    assert_eq!(step, Step::Retry { after: minutes(5), counted: true });
}

/// H8: being told to slow down never uses up an attempt.
#[test]
fn h8_waiting_costs_nothing() {
    let throttled = item(FaultClass::Throttled).after(minutes(7));
    for crossed in [false, true] {
        let (step, _) = ends(&broken(throttled.clone(), crossed, vec![]), &LAST);
        assert_eq!(step, Step::Retry { after: minutes(7), counted: false });
    }
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Ok(())), proptest::sample::select(FaultClass::ALL).prop_map(|class| Err(item(class)))]
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let answers = || proptest::collection::vec(any_answer(), 0..5);
    let any_fault = (proptest::sample::select(FaultScope::ALL), proptest::sample::select(FaultClass::ALL));
    prop_oneof![
        answers().prop_map(taken),
        (any_fault, any::<bool>(), answers()).prop_map(|((scope, class), crossed, answers)| broken(
            fault(scope, class),
            crossed,
            answers
        )),
    ]
}

proptest! {
    /// Whatever happens: the states fit the step, and the machine allows it.
    #[test]
    fn steps_and_states_agree(attempt in any_attempt(), number in 1..12_u32, envelope in 0..5_usize, accepted_before in any::<bool>(), held in any::<bool>()) {
        use RecipientState::{Accepted, Unknown, Waiting};
        let delivery = Delivery { attempt: number, envelope, accepted_before, held };
        let after = after_attempt(&attempt, &delivery, &Schedule::OUTGOING, 0.0);
        let any = |state| after.recipients.contains(&state);
        prop_assert_eq!(after.recipients.len(), envelope);
        match &after.step {
            Step::Sent => prop_assert!(!any(Waiting) && !any(Unknown) && (any(Accepted) || accepted_before)),
            Step::Retry { counted, .. } => {
                prop_assert!(any(Waiting) && !any(Unknown));
                prop_assert!(!counted || number < 10);
            }
            Step::Failed { .. } => prop_assert!(!any(Waiting) && !any(Unknown) && !any(Accepted) && !accepted_before),
            Step::Unknown { .. } => prop_assert!(!any(Accepted)),
        }
        let crossed = matches!(attempt, Attempt::Taken { .. } | Attempt::Broken { crossed: true, .. });
        let from = if crossed { DeliveryState::InFlight } else { DeliveryState::Sending };
        let allowed = may_become(from, after.step.state(), Actor::Worker);
        prop_assert!(allowed, "{:?} to {:?}", from, after.step);
    }

    /// Simulated to its end with a server that answers at random: no recipient is ever taken twice, and it ends.
    #[test]
    fn nobody_gets_it_twice(script in proptest::collection::vec(any_attempt(), 1..40), people in 1..5_usize) {
        let mut received = vec![0_u32; people];
        let mut waiting: Vec<usize> = (0..people).collect();
        let (mut attempt, mut accepted_before) = (1, false);
        for happening in script {
            if let Attempt::Taken { recipients } = &happening {
                for (person, answer) in waiting.iter().zip(recipients) {
                    received[*person] += u32::from(answer.is_ok());
                }
            }
            let delivery = Delivery { attempt, envelope: waiting.len(), accepted_before, held: false };
            let after = after_attempt(&happening, &delivery, &Schedule::OUTGOING, 0.5);
            accepted_before |= after.recipients.contains(&RecipientState::Accepted);
            let Step::Retry { counted, .. } = after.step else { break };
            attempt += u32::from(counted);
            prop_assert!(attempt <= 10);
            waiting = waiting.iter().zip(&after.recipients).filter(|(_, s)| **s == RecipientState::Waiting).map(|(p, _)| *p).collect();
        }
        prop_assert!(received.iter().all(|times| *times <= 1), "{:?}", received);
    }
}
