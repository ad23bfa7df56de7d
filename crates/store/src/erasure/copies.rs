//! What synchronisation keeps of values beside the records: what both sides of a link last agreed on, what is under way to
//! a server, values that gave way, questions about the records, and words about what could not be synchronised.

use uuid::Uuid;

use crate::{Result, Tx, questions};

/// Clears what is kept of records that are about to be erased. Where a mailbox is synchronised and has an item that its next
/// run deletes, it needs what was agreed on to tell that nobody has changed the item; that is gone with the item. Call it
/// before the records are locked: runs are fenced here, lanes before records, as pages do.
pub(super) async fn of_records(tx: &mut Tx, ids: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "/* erasure::of_records */ WITH concerned AS MATERIALIZED (
             SELECT mailbox_id FROM lanes WHERE lane = 'act' AND mailbox_id IN (
                 SELECT mailbox_id FROM links WHERE record_id = ANY($1)
                 UNION SELECT mailbox_id FROM intents WHERE record_id = ANY($1))
             ORDER BY mailbox_id FOR UPDATE)
         UPDATE lanes AS l SET version = version + 1 FROM concerned c WHERE l.mailbox_id = c.mailbox_id AND l.lane = 'act'",
        ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* erasure::of_records */ UPDATE links AS l
         SET crm_fields = '{}', server_fields = '{}', unclear = '{}', settled_record = NULL, settled_remote = NULL
         FROM mailboxes m
         WHERE l.record_id = ANY($1) AND m.id = l.mailbox_id
           AND (l.unlinked IS NOT NULL OR l.owner_id IS NOT DISTINCT FROM m.owner_user_id
                OR NOT EXISTS (SELECT FROM lane_schedules s WHERE s.mailbox_id = m.id AND s.lane = 'act' AND s.enabled))",
        ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* erasure::of_records */ UPDATE intents SET planned = '{}', lost = '[]' WHERE record_id = ANY($1)",
        ids,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* erasure::of_records */ UPDATE item_retries SET message = '' WHERE record_id = ANY($1)", ids)
        .execute(tx.connection())
        .await?;
    sqlx::query!("/* erasure::of_records */ DELETE FROM lost_values WHERE record_id = ANY($1)", ids)
        .execute(tx.connection())
        .await?;
    questions::erase(tx, ids).await
}

/// Clears what names the address and is kept of other records. Returns how many values and words there were.
pub(super) async fn naming(tx: &mut Tx, address_key: &str) -> Result<u64> {
    let values = sqlx::query!(
        "/* erasure::naming */ DELETE FROM lost_values WHERE position($1 IN lower(value::text)) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let words = sqlx::query!(
        "/* erasure::naming */ UPDATE item_retries SET message = '' WHERE position($1 IN lower(message)) > 0",
        address_key,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(values + words)
}
