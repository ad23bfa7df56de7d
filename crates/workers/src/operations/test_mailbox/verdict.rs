//! What an attempt at a test comes to: its results are stored, and it is over or made again. Results, figures and the
//! step of the operation are one transaction.

use lockstep_model::{fault::Fault, id::MailboxId};
use lockstep_store::{
    Tx,
    mailbox_tests::{self, Tested, waiting},
    operations::{self, Operation, Step},
    settings,
};
use serde_json::{Value, json};

use super::{Arguments, Looked, Position, Sent, Test, UnderWay, retry};

/// How a run at a test ends.
pub(crate) struct Ending {
    /// What becomes of the operation.
    pub(crate) step: Step,
    /// What was found; nothing where the run had to wait, or there is nothing to test.
    verdict: Option<Verdict>,
}

/// Results of both directions, and of appointments, contacts and tasks.
struct Verdict {
    incoming: Tested,
    outgoing: Tested,
    act: Tested,
}

impl Ending {
    /// Without results.
    pub(crate) fn of(step: Step) -> Self {
        Self { step, verdict: None }
    }
}

impl Test<'_> {
    /// Decides what follows from both results. `message` is the one of this attempt: while there is no permit for the rest
    /// of the test, it is kept.
    pub(super) async fn verdict(
        &self,
        incoming: Tested,
        outgoing: Tested,
        sent: Sent,
        message: Option<UnderWay>,
    ) -> lockstep_store::Result<Ending> {
        let act = match self.act().await? {
            Looked::Tested(act) => act,
            Looked::Sent(_) => Tested::NotConfigured,
            Looked::Later(after) => return Ok(self.later(after, message)),
        };
        let mut so_far =
            json!({ "mailbox": self.mailbox.id, "incoming": told(&incoming), "outgoing": told(&outgoing) });
        if act != Tested::NotConfigured
            && let Some(members) = so_far.as_object_mut()
        {
            members.insert("act".to_owned(), told(&act));
        }
        let mut position = self.after(&incoming, &outgoing, sent);
        position.taken_over |= act == Tested::Works;
        position.act = fault_of(&act).filter(|fault| !retry::heals(fault)).cloned();
        let faults: Vec<_> = [&incoming, &outgoing, &act].into_iter().filter_map(fault_of).collect();
        let healing: Vec<_> = faults.iter().copied().filter(|fault| !position.is_settled(fault)).collect();
        let mut pause = None;
        if !healing.is_empty() {
            let mut tx = self.context.store.begin().await?;
            pause = retry::pause(position.retries, &healing, &settings::read(&mut tx).await?, rand::random());
        }
        let step = match pause {
            Some(pause) => Step::Later {
                after: self.context.scale.apply(pause),
                position: json!(position),
                failed: true,
                so_far: Some(so_far),
            },
            None if faults.is_empty() => Step::Done(so_far),
            None => Step::Failed(so_far),
        };
        Ok(Ending { step, verdict: Some(Verdict { incoming, outgoing, act }) })
    }

    /// Where the next attempt would begin.
    fn after(&self, incoming: &Tested, outgoing: &Tested, sent: Sent) -> Position {
        let for_good = |tested: &Tested| fault_of(tested).filter(|fault| !retry::heals(fault)).cloned();
        let lost = self.position.lost + u32::from(matches!(sent, Sent::Lost));
        let message = if let Sent::UnderWay(message) = sent { Some(UnderWay { looks: 0, ..message }) } else { None };
        // Of messages whose fate nobody knows there are not to be more and more.
        let enough = !retry::may_send_again(lost);
        let outgoing = for_good(outgoing).or_else(|| fault_of(outgoing).filter(|_| enough).cloned());
        Position {
            message,
            retries: self.position.retries + 1,
            lost,
            incoming: for_good(incoming),
            outgoing,
            act: None,
            taken_over: self.position.taken_over,
        }
    }
}

impl Position {
    fn is_settled(&self, fault: &Fault) -> bool {
        [&self.incoming, &self.outgoing, &self.act].into_iter().any(|settled| settled.as_ref() == Some(fault))
    }
}

fn fault_of(tested: &Tested) -> Option<&Fault> {
    if let Tested::Fails(fault) = tested { Some(fault) } else { None }
}

fn told(tested: &Tested) -> Value {
    match tested {
        Tested::NotConfigured => json!({ "status": "not-run" }),
        Tested::Works => json!({ "status": "success" }),
        Tested::Fails(fault) => json!({ "status": "failure", "code": fault.code, "message": fault.message }),
    }
}

/// The mailbox that an operation of this kind tests.
fn mailbox_of(operation: &Operation) -> Option<MailboxId> {
    serde_json::from_value::<Arguments>(operation.arguments.clone()).ok().map(|arguments| arguments.mailbox)
}

/// Notes, with the beginning of a run, which host is at it.
pub(crate) async fn begun(tx: &mut Tx, operation: &Operation, host: &str) -> lockstep_store::Result<()> {
    match mailbox_of(operation) {
        Some(mailbox) => waiting::begun(tx, operation.id, mailbox, host).await,
        None => Ok(()),
    }
}

/// Writes how a run has ended, unless somebody else has written since it began; returns whether it was written.
pub(crate) async fn conclude(tx: &mut Tx, operation: &Operation, ending: &Ending) -> lockstep_store::Result<bool> {
    let Some(mailbox) = mailbox_of(operation) else {
        return operations::step(tx, operation.id, operation.version, &ending.step).await;
    };
    waiting::lock(tx, mailbox).await?;
    if !operations::step(tx, operation.id, operation.version, &ending.step).await? {
        return Ok(false);
    }
    let verdict = ending.verdict.as_ref();
    let fault =
        verdict.and_then(|verdict| [&verdict.incoming, &verdict.outgoing, &verdict.act].into_iter().find_map(fault_of));
    waiting::stepped(tx, operation.id, mailbox, &ending.step, fault).await?;
    let Some(Verdict { incoming, outgoing, act }) = verdict else { return Ok(true) };
    let by = &operation.requested_by;
    if let Step::Later { position, .. } = &ending.step {
        let position = serde_json::from_value::<Position>(position.clone()).unwrap_or_default();
        let again = |tested| fault_of(tested).is_some_and(|fault| !position.is_settled(fault));
        mailbox_tests::act::record(tx, mailbox, act, again(act)).await?;
        let (incoming, outgoing) = ((incoming, again(incoming)), (outgoing, again(outgoing)));
        mailbox_tests::record_so_far(tx, mailbox, by, incoming, outgoing).await?;
    } else {
        mailbox_tests::act::record(tx, mailbox, act, false).await?;
        mailbox_tests::record(tx, mailbox, by, incoming, outgoing).await?;
    }
    Ok(true)
}
