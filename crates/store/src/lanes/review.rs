//! Looking at everything again, because what counts is another now.

use uuid::Uuid;

use crate::{Result, Tx};

/// Lets the lanes of appointments, contacts and tasks hold every record against filters, rights and options again: those of
/// these users' mailboxes, or all. Whoever is at work is fenced, whatever is queued is stale. Where a lane stands in listings
/// and in the feed stays; only that it has looked at everything counts no more. Lanes of named users are due at once, unless
/// their server or profile says otherwise; of all, each is looked at when its turn comes.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn review_again(tx: &mut Tx, users: Option<&[Uuid]>) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* lanes::review_again */ WITH concerned AS MATERIALIZED (
             SELECT mailbox_id FROM lanes
             WHERE lane = 'act' AND ($1::uuid[] IS NULL
                 OR mailbox_id IN (SELECT id FROM mailboxes WHERE owner_user_id = ANY($1)))
             ORDER BY mailbox_id FOR UPDATE)
         UPDATE lanes AS l SET version = l.version + 1, touching = NULL, review_generation = review_generation + 1
         FROM concerned c WHERE l.mailbox_id = c.mailbox_id AND l.lane = 'act'",
        users as Option<&[Uuid]>,
    )
    .execute(tx.connection())
    .await?;
    let recalled = sqlx::query!(
        "/* lanes::review_again */ WITH concerned AS MATERIALIZED (
             SELECT mailbox_id FROM lane_schedules
             WHERE lane = 'act' AND ($1::uuid[] IS NULL
                 OR mailbox_id IN (SELECT id FROM mailboxes WHERE owner_user_id = ANY($1)))
             ORDER BY mailbox_id FOR UPDATE)
         UPDATE lane_schedules AS s SET generation = s.generation + 1, claimed_until = NULL, claims = 0,
             due_at = CASE WHEN $1::uuid[] IS NULL OR NOT s.enabled OR s.fault_class = 'throttled' THEN s.due_at
                 ELSE least(s.due_at, greatest($2,
                     COALESCE(s.last_ended_at + make_interval(mins => p.min_polling_minutes), $2))) END
         FROM concerned c, email_server_profiles p
         WHERE s.mailbox_id = c.mailbox_id AND s.lane = 'act' AND p.id = s.profile_id",
        users as Option<&[Uuid]>,
        now,
    )
    .execute(tx.connection())
    .await?;
    if users.is_some() && recalled.rows_affected() > 0 { crate::nudge(tx).await } else { Ok(()) }
}
