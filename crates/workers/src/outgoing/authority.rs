//! Whether whoever sends in somebody else's name may do so at the very moment the message leaves (H7).

use lockstep_engine::send_as::{self, Refusal, Wish};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::EmailId,
    mailbox::Owner,
};
use lockstep_store::{Result, Store, Tx, emails::on_behalf};

/// What an email that may no longer leave is given up for.
const CODE: &str = "SendAsWithdrawn";

/// Why this email may not leave; `None` when it may. What was asked stays so until the transaction ends.
pub(crate) async fn refusal(tx: &mut Tx, email: EmailId) -> Result<Option<Fault>> {
    let Some(asked) = on_behalf::of(tx, email).await? else { return Ok(None) };
    let wish = Wish {
        sender: Some(Owner::User(asked.sender)),
        from: asked.from,
        privileged: asked.privileged,
        consents: asked.consents,
        reads_queue: asked.reads_queue,
    };
    let Err(refusal) = send_as::decide(&wish) else { return Ok(None) };
    let message = match refusal {
        Refusal::NoPrivilege => "the sender no longer holds the privilege to send as the user in From",
        Refusal::NoConsent => "the user in From no longer lets others send on their behalf",
        Refusal::QueueNotReadable => "the sender may no longer read the queue in From",
    };
    Ok(Some(Fault::new(FaultScope::Item, FaultClass::Refused, CODE, message)))
}

/// The same before anything is begun, so that no server is bothered with an email that may not leave.
pub(crate) async fn refusal_now(store: &Store, email: EmailId) -> Result<Option<Fault>> {
    let mut tx = store.begin().await?;
    let refusal = refusal(&mut tx, email).await?;
    tx.commit().await?;
    Ok(refusal)
}
