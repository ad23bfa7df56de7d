//! The test of appointments, contacts and tasks.

use lockstep_model::{id::MailboxId, mailbox::Lane};
use serde_json::json;

use super::Tested;
use crate::{
    Result, Tx,
    alerts::{self, Part, Severity, Subject},
    lanes,
};

/// Whether appointments, contacts and tasks of a mailbox are served by Lockstep.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn wanted(tx: &mut Tx, mailbox: MailboxId) -> Result<bool> {
    let method = sqlx::query_scalar!(
        "/* mailbox_tests::act::wanted */ SELECT act_method FROM mailboxes WHERE id = $1",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(method.is_some_and(|method| method == "server-side"))
}

/// Stores its result: what works is enabled; what fails is disabled, unless it is tried `again` by itself. Call it before
/// [`super::record`], which realigns the lanes, in the same transaction.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn record(tx: &mut Tx, mailbox: MailboxId, act: &Tested, again: bool) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* mailbox_tests::act::record */ UPDATE mailboxes SET act_test = $2,
             act_enabled = ($2 = 'success' OR ($3 AND act_enabled)),
             act_tested_at = CASE WHEN $2 = 'not-run' THEN act_tested_at ELSE $4 END
         WHERE id = $1",
        mailbox.0,
        act.word(),
        again,
        now,
    )
    .execute(tx.connection())
    .await?;
    if *act == Tested::Works {
        lanes::revive(tx, mailbox, Lane::Act).await?;
    }
    if let Tested::Fails(fault) = act {
        alerts::resolve_part_but(tx, mailbox, Part::Act, Some(&fault.code)).await?;
        let parameters = json!({ "message": fault.message });
        let severity = if again { Severity::Warning } else { Severity::Error };
        alerts::raise(tx, &fault.code, severity, Subject::Part(mailbox, Part::Act), parameters).await
    } else {
        alerts::resolve_part(tx, mailbox, Part::Act).await.map(drop)
    }
}
