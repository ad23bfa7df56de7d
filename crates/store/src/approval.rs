//! The alert of a mailbox that would work if its address were approved.

use lockstep_model::id::{AlertId, MailboxId};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Result, Tx,
    alerts::{Severity, Subject},
};

/// Its code.
const NOT_APPROVED: &str = "AddressNotApproved";

/// Raises and ends the alert for these mailboxes. Whoever was never tested waits for more than an approval and is left
/// alone, so that a thousand new users are no thousand alerts.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn tell(tx: &mut Tx, mailboxes: &[Uuid]) -> Result<()> {
    let now = tx.now();
    let waiting = sqlx::query!(
        "/* approval::tell */ SELECT m.id, m.address, m.address_status FROM mailboxes m CROSS JOIN organisations o
         WHERE m.id = ANY($1) AND m.active AND m.tested_at IS NOT NULL AND m.profile_id IS NOT NULL
           AND 'server-side' IN (m.incoming_method, m.outgoing_method)
           AND (m.address_status = 'rejected' OR m.address_status = 'pending'
               AND CASE WHEN m.owner_user_id IS NOT NULL THEN o.approve_users
                        WHEN m.owner_queue_id IS NOT NULL THEN o.approve_queues
                        ELSE o.approve_users OR o.approve_queues END)
         ORDER BY m.id",
        mailboxes,
    )
    .fetch_all(tx.connection())
    .await?;
    let (mut ids, mut keys, mut subjects, mut parameters) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for mailbox in waiting {
        ids.push(AlertId::new().0);
        keys.push(Subject::Mailbox(MailboxId(mailbox.id)).key(NOT_APPROVED));
        subjects.push(mailbox.id);
        let state = if mailbox.address_status == "rejected" { "rejected" } else { "not approved yet" };
        parameters.push(json!({ "address": mailbox.address, "state": state }));
    }
    // It stays one occurrence until something else is to be said.
    sqlx::query!(
        "/* approval::tell */ INSERT INTO alerts
             (id, key, code, severity, scope, mailbox_id, parameters, first_at, last_at)
         SELECT n.id, n.key, $5, $6, 'mailbox', n.mailbox_id, n.parameters, $7, $7
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::jsonb[]) AS n(id, key, mailbox_id, parameters)
         ON CONFLICT (key) WHERE resolved_at IS NULL
         DO UPDATE SET occurrences = alerts.occurrences + 1, last_at = EXCLUDED.last_at,
             parameters = EXCLUDED.parameters
         WHERE alerts.parameters <> EXCLUDED.parameters",
        &ids,
        &keys,
        &subjects,
        &parameters,
        NOT_APPROVED,
        Severity::Error.as_str(),
        now,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* approval::tell */ UPDATE alerts SET resolved_at = $3
         WHERE mailbox_id = ANY($1) AND code = $4 AND resolved_at IS NULL AND mailbox_id <> ALL($2)",
        mailboxes,
        &subjects,
        now,
        NOT_APPROVED,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
