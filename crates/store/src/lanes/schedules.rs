//! Whether lanes are worked at all, and when: the one function that makes everything in flight or on its way stale, and those
//! that make lanes due or call their work back.

use lockstep_model::{id::MailboxId, mailbox::Lane, record::RecordId};

use crate::{Result, Tx, approval};

/// Brings the lanes of these mailboxes in line with their records and raises version *and* generation: whoever is at
/// work is fenced at its next page, whatever is queued is stale. Enabling, disabling, a change of profile,
/// credentials, start date or owner, and a takeover all come through here.
///
/// A lane is enabled when its mailbox is active, has an approved address (where the organisation asks for that), an
/// active profile, the server-side method, and was tested and enabled; that of appointments, contacts and tasks only where
/// a user owns the mailbox. An enabled lane is due at once. One that a fault has disabled stays so until a test succeeds
/// (`revive`): no other edit is a reason to believe that it works again.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn realign(tx: &mut Tx, mailboxes: &[MailboxId]) -> Result<()> {
    let ids: Vec<_> = mailboxes.iter().map(|m| m.0).collect();
    let now = tx.now();
    sqlx::query!(
        "/* lanes::realign */ INSERT INTO lanes (mailbox_id, lane)
         SELECT DISTINCT m.id, w.lane FROM mailboxes m CROSS JOIN LATERAL (VALUES ('incoming'), ('act')) AS w(lane)
         WHERE m.id = ANY($1::uuid[])
           AND (w.lane = 'incoming' OR m.act_method = 'server-side'
                OR EXISTS (SELECT FROM lanes known WHERE known.mailbox_id = m.id AND known.lane = 'act'))
         ORDER BY m.id, w.lane
         ON CONFLICT (mailbox_id, lane) DO UPDATE SET version = lanes.version + 1, touching = NULL",
        &ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* lanes::realign */ SELECT mailbox_id FROM lane_schedules WHERE mailbox_id = ANY($1::uuid[])
         ORDER BY mailbox_id, lane FOR UPDATE",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    // A mailbox without a profile has nowhere to go; its lane keeps where it stands for the next profile.
    sqlx::query!(
        "/* lanes::realign */ DELETE FROM lane_schedules s USING mailboxes m
         WHERE m.id = s.mailbox_id AND m.profile_id IS NULL AND m.id = ANY($1::uuid[])",
        &ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* lanes::realign */ INSERT INTO lane_schedules (mailbox_id, lane, profile_id, enabled, due_at)
         SELECT m.id, l.lane, m.profile_id, e.enabled, $2
         FROM mailboxes m
         JOIN lanes l ON l.mailbox_id = m.id
         JOIN email_server_profiles p ON p.id = m.profile_id
         CROSS JOIN organisations o
         CROSS JOIN LATERAL (SELECT m.active AND p.active
             AND CASE l.lane
                 WHEN 'incoming' THEN m.incoming_method = 'server-side' AND m.incoming_enabled
                 ELSE m.act_method = 'server-side' AND m.act_enabled AND m.owner_user_id IS NOT NULL END
             AND (m.address_status = 'approved'
                  OR (m.owner_user_id IS NOT NULL AND NOT o.approve_users AND m.address_status = 'pending')
                  OR (m.owner_queue_id IS NOT NULL AND NOT o.approve_queues AND m.address_status = 'pending')
                  OR (m.is_forward_mailbox AND NOT (o.approve_users OR o.approve_queues)
                      AND m.address_status = 'pending'))
             AS enabled) AS e
         WHERE m.id = ANY($1::uuid[])
         ORDER BY m.id, l.lane
         ON CONFLICT (mailbox_id, lane) DO UPDATE SET
             profile_id = EXCLUDED.profile_id, enabled = EXCLUDED.enabled AND lane_schedules.disabled_code IS NULL,
             due_at = EXCLUDED.due_at, generation = lane_schedules.generation + 1, claimed_until = NULL, claims = 0,
             not_before = NULL",
        &ids,
        now,
    )
    .execute(tx.connection())
    .await?;
    approval::tell(tx, &ids).await
}

/// Takes back that a fault has disabled a lane: its test has succeeded. [`realign`] then enables it.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub(crate) async fn revive(tx: &mut Tx, mailbox: MailboxId, lane: Lane) -> Result<()> {
    sqlx::query!(
        "/* lanes::revive */ UPDATE lane_schedules SET disabled_code = NULL, transient_failures = 0
         WHERE mailbox_id = $1 AND lane = $2",
        mailbox.0,
        lane.as_str(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes the lanes of appointments, contacts and tasks due that these records concern, other than `but`'s: those of
/// mailboxes that have them linked, of their owners, and of the people who take part. A server's wish to be left alone
/// holds, and so does the profile's minimum polling interval. Call it last in a transaction that has written the records.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn wake(tx: &mut Tx, records: &[RecordId], but: Option<MailboxId>) -> Result<()> {
    let ids: Vec<_> = records.iter().map(|record| record.0).collect();
    let now = tx.now();
    let woken = sqlx::query!(
        "/* lanes::wake */ WITH concerned AS (
             SELECT mailbox_id AS id FROM links WHERE record_id = ANY($1)
             UNION SELECT m.id FROM owned_records r JOIN mailboxes m ON m.owner_user_id = r.owner_user_id
                 WHERE r.id = ANY($1)
             UNION SELECT m.id FROM owned_records r JOIN team_members t ON t.team_id = r.owner_team_id
                 JOIN mailboxes m ON m.owner_user_id = t.user_id WHERE r.id = ANY($1)
             UNION SELECT m.id FROM activity_parties p JOIN mailboxes m ON m.address_key = p.address_key
                 WHERE p.activity_id = ANY($1)),
         waiting AS MATERIALIZED (
             SELECT s.mailbox_id FROM lane_schedules s
             WHERE s.lane = 'act' AND s.enabled AND s.due_at > $2 AND s.fault_class IS DISTINCT FROM 'throttled'
               AND s.mailbox_id IN (SELECT id FROM concerned) AND s.mailbox_id IS DISTINCT FROM $3
             ORDER BY s.mailbox_id FOR UPDATE)
         UPDATE lane_schedules AS s SET due_at = greatest($2,
             COALESCE(s.last_ended_at + make_interval(mins => p.min_polling_minutes), $2))
         FROM waiting w, email_server_profiles p
         WHERE s.mailbox_id = w.mailbox_id AND s.lane = 'act' AND p.id = s.profile_id",
        &ids,
        now,
        but.map(|mailbox| mailbox.0),
    )
    .execute(tx.connection())
    .await?;
    if woken.rows_affected() > 0 { crate::nudge(tx).await } else { Ok(()) }
}

/// Makes everything in flight or on its way stale, in every mailbox, and leaves due times and counters as they are: the
/// organisation has email processed by something else now, or again by this (E1).
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn recall(tx: &mut Tx) -> Result<()> {
    // In the order in which everybody locks them.
    sqlx::query!("/* lanes::recall */ SELECT mailbox_id FROM lanes ORDER BY mailbox_id, lane FOR UPDATE")
        .fetch_all(tx.connection())
        .await?;
    sqlx::query!("/* lanes::recall */ UPDATE lanes SET version = version + 1, touching = NULL")
        .execute(tx.connection())
        .await?;
    sqlx::query!("/* lanes::recall */ SELECT mailbox_id FROM lane_schedules ORDER BY mailbox_id, lane FOR UPDATE")
        .fetch_all(tx.connection())
        .await?;
    sqlx::query!(
        "/* lanes::recall */ UPDATE lane_schedules SET generation = generation + 1, claimed_until = NULL, claims = 0",
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
