//! Queue items: which emails appear in which queue's list of work.

use chrono::{DateTime, Utc};
use lockstep_model::id::{EmailId, QueueId};
use uuid::Uuid;

use crate::{Result, Tx};

/// An email in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueItem {
    /// Identity.
    pub id: Uuid,
    /// The email.
    pub email_id: Uuid,
    /// When it entered.
    pub entered_at: DateTime<Utc>,
}

/// Puts emails into queues and tells the feed; an email that is in a queue already stays as it is.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn enter(tx: &mut Tx, items: &[(QueueId, EmailId)]) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = items.iter().map(|_| Uuid::now_v7()).collect();
    let queues: Vec<_> = items.iter().map(|(queue, _)| queue.0).collect();
    let emails: Vec<_> = items.iter().map(|(_, email)| email.0).collect();
    let now = tx.now();
    sqlx::query!(
        "/* queue_items::enter */ WITH entered AS (
             INSERT INTO queue_items (id, queue_id, email_id, entered_at)
             SELECT i.id, i.queue_id, i.email_id, $4
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS i(id, queue_id, email_id)
             ORDER BY i.queue_id, i.email_id
             ON CONFLICT (queue_id, email_id) DO NOTHING RETURNING id)
         INSERT INTO feed_entries (record_kind, record_id, change, record_version, changed_at)
         SELECT 'queue-item', id, 'created', 1, $4 FROM entered ORDER BY id",
        &ids,
        &queues,
        &emails,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The items of a queue in order of their entering, after `after`, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(tx: &mut Tx, queue: QueueId, after: Option<Uuid>, limit: i64) -> Result<Vec<QueueItem>> {
    Ok(sqlx::query_as!(
        QueueItem,
        "/* queue_items::list */ SELECT id, email_id, entered_at FROM queue_items
         WHERE queue_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        queue.0,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}
