//! Who is running, by heartbeat. Says how many replicas share a connection cap while Redis is away, and how much they
//! can do.

use std::time::Duration;

use lockstep_model::id::ReplicaId;

use crate::{Result, Tx};

/// Notes that this replica is alive, with the runs it does at one time (0: none to speak of), and returns how many of its role are, itself included. Rows not seen for ten
/// times `lifetime` are removed.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn beat(tx: &mut Tx, replica: ReplicaId, role: &str, capacity: u16, lifetime: Duration) -> Result<u32> {
    let now = tx.now();
    sqlx::query!(
        "/* replicas::beat */ INSERT INTO replicas (id, role, started_at, seen_at, capacity)
         VALUES ($1, $2, $3, $3, $4)
         ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at, capacity = EXCLUDED.capacity",
        replica.0,
        role,
        now,
        i32::from(capacity),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* replicas::beat */ DELETE FROM replicas WHERE seen_at < $1", now - lifetime * 10)
        .execute(tx.connection())
        .await?;
    let alive = sqlx::query_scalar!(
        "/* replicas::beat */ SELECT count(*) AS \"alive!\" FROM replicas WHERE role = $1 AND seen_at > $2",
        role,
        now - lifetime,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(u32::try_from(alive).unwrap_or(u32::MAX).max(1))
}

/// Says goodbye, so that the others' share grows at once.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn leave(tx: &mut Tx, replica: ReplicaId) -> Result<()> {
    sqlx::query!("/* replicas::leave */ DELETE FROM replicas WHERE id = $1", replica.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}
