//! How many replicas share the connection caps while nobody counts connections for all of them.

use std::time::Duration;

use crate::{Result, Tx};

/// Replicas of any of these roles that were heard of within `lifetime`; see [`crate::replicas::beat`].
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn live(tx: &mut Tx, roles: &[&str], lifetime: Duration) -> Result<u32> {
    let since = tx.now() - lifetime;
    let roles: Vec<String> = roles.iter().copied().map(str::to_owned).collect();
    let live = sqlx::query_scalar!(
        "/* shares::live */ SELECT count(*) AS \"live!\" FROM replicas WHERE role = ANY($1) AND seen_at > $2",
        &roles,
        since,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(u32::try_from(live).unwrap_or(u32::MAX))
}
