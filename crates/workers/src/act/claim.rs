//! Whose the mailbox is (D8, D9): asked of the mailbox itself before anything is written to it.

use chrono::{DateTime, SubsecRound, Utc};
use lockstep_connector::{
    Deadline,
    items::{Claim, Items},
};
use lockstep_engine::claim::{self, Verdict};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::OrganisationId,
};

use crate::{act::Act, mailbox::Stopped};

/// The alert of a mailbox that another organisation keeps in step.
const ANOTHERS: &str = "MailboxOfAnotherOrganization";

/// Makes sure that the mailbox is ours, before something is written to it; a cycle that writes nothing does not ask. One
/// that nobody has claimed is claimed.
pub(super) async fn hold(act: &Act<'_>, items: &mut dyn Items) -> Result<(), Stopped> {
    let now = act.context.store.clock().now();
    ours(items, act.context.organisation, false, now, act.deadline).await.map_err(Stopped::Remote)
}

/// Makes sure that the mailbox is this organisation's: claims it where it is nobody's, or where a person has said that it
/// is to be `taken_over`.
///
/// # Errors
/// That it is another's; what ended the session.
pub(crate) async fn ours(
    items: &mut dyn Items,
    organisation: OrganisationId,
    take_over: bool,
    now: DateTime<Utc>,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let there = items.claim(deadline).await?;
    let whose = there.map(|claim| (claim.organisation, claim.synchronised_at));
    match claim::judge(whose, organisation, take_over, now) {
        Verdict::Own => Ok(()),
        Verdict::OwnAndSaysSo => items.note_synchronised(now, deadline).await,
        Verdict::KeepAway(_) => Err(anothers(there)),
        Verdict::Claim => {
            let ours = Claim { organisation, synchronised_at: Some(now.trunc_subsecs(0)) };
            items.set_claim(&ours, deadline).await?;
            tracing::info!(before = ?whose, "the mailbox was claimed");
            // Of two who claim it at once the later one has it, and the other sees that here or before its first write.
            let now_there = items.claim(deadline).await?;
            if now_there.is_some_and(|claim| claim.organisation == organisation) {
                return Ok(());
            }
            Err(anothers(now_there))
        }
    }
}

fn anothers(claim: Option<Claim>) -> Fault {
    let message = match claim {
        Some(Claim { organisation, synchronised_at: Some(at) }) => {
            format!("it is that of the organisation {organisation}, which was at work there at {}", at.to_rfc3339())
        }
        Some(Claim { organisation, .. }) => format!("it is that of the organisation {organisation}"),
        None => "the mailbox does not keep whose it is".to_owned(),
    };
    Fault::new(FaultScope::Mailbox, FaultClass::Refused, ANOTHERS, message).local()
}
