//! Lanes: the fence, and the one function that makes everything in flight or on its way stale.

use lockstep_model::id::MailboxId;

use crate::{Result, Tx};

/// Brings the lanes of these mailboxes in line with their records and raises version *and* generation: whoever is at
/// work is fenced at its next page, whatever is queued is stale. Enabling, disabling, a change of profile,
/// credentials, start date or owner, and a takeover all come through here.
///
/// A lane is enabled when its mailbox is active, has an approved address (where the organisation asks for that), an
/// active profile, the server-side method, and was tested and enabled. An enabled lane is due at once.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn realign(tx: &mut Tx, mailboxes: &[MailboxId]) -> Result<()> {
    let ids: Vec<_> = mailboxes.iter().map(|m| m.0).collect();
    let now = tx.now();
    sqlx::query!(
        "/* lanes::realign */ INSERT INTO lanes (mailbox_id, lane) SELECT unnest($1::uuid[]), 'incoming'
         ON CONFLICT (mailbox_id, lane) DO UPDATE SET version = lanes.version + 1, touching = NULL",
        &ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* lanes::realign */ INSERT INTO lane_schedules (mailbox_id, lane, profile_id, enabled, due_at)
         SELECT m.id, 'incoming', m.profile_id, e.enabled, $2
         FROM mailboxes m
         JOIN email_server_profiles p ON p.id = m.profile_id
         CROSS JOIN organisations o
         CROSS JOIN LATERAL (SELECT m.active AND p.active AND m.incoming_method = 'server-side' AND m.incoming_enabled
             AND (m.address_status = 'approved'
                  OR (m.owner_user_id IS NOT NULL AND NOT o.approve_users AND m.address_status = 'pending')
                  OR (m.owner_queue_id IS NOT NULL AND NOT o.approve_queues AND m.address_status = 'pending'))
             AS enabled) AS e
         WHERE m.id = ANY($1::uuid[])
         ORDER BY m.id
         ON CONFLICT (mailbox_id, lane) DO UPDATE SET
             profile_id = EXCLUDED.profile_id, enabled = EXCLUDED.enabled, due_at = EXCLUDED.due_at,
             generation = lane_schedules.generation + 1, claimed_until = NULL, claims = 0, not_before = NULL,
             transient_failures = 0, disabled_code = NULL",
        &ids,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
