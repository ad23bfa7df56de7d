//! What is asked of servers and workers, and what they can give.

use std::time::Duration;

use lockstep_model::id::ProfileId;

use crate::{Result, Tx};

/// A profile that is in use: what its lanes ask for, and its own limits.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileDemand {
    /// The profile.
    pub profile: ProfileId,
    /// Its name.
    pub name: String,
    /// Enabled lanes.
    pub lanes: u32,
    /// Sum of one divided by each enabled lane's interval in seconds, before scaling.
    pub starts_per_second: f64,
    /// What the last run of a lane took that did its work, averaged over the lanes; nothing before the first.
    pub mean_cycle: Duration,
    /// Accounts its enabled lanes log in with.
    pub accounts: u32,
    /// Connections at once to one account.
    pub max_connections: u32,
    /// Limit of occasions handed out.
    pub max_in_flight: u32,
    /// Whether an alert of the code asked for is open about it.
    pub alerted: bool,
}

/// Every profile, in id order. One that is not active asks for nothing.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn profiles(tx: &mut Tx, code: &str) -> Result<Vec<ProfileDemand>> {
    let rows = sqlx::query!(
        "/* capacity::profiles */ SELECT p.id, p.name, p.credentials, p.max_connections, p.max_in_flight,
             count(s.mailbox_id) AS \"lanes!\", count(DISTINCT s.mailbox_id) AS \"mailboxes!\",
             COALESCE(sum(1 / greatest(s.interval_seconds, 1)), 0) AS \"rate!\",
             COALESCE(avg(extract(epoch FROM s.last_ended_at - s.last_started_at)::double precision)
                 FILTER (WHERE s.last_outcome IN ('completed', 'yielded')), 0) AS \"cycle!\",
             EXISTS (SELECT FROM alerts a WHERE a.resolved_at IS NULL AND a.key = $1 || '/profile/' || p.id)
                 AS \"alerted!\"
         FROM email_server_profiles p
         LEFT JOIN lane_schedules s ON s.profile_id = p.id AND s.enabled AND p.active
         GROUP BY p.id ORDER BY p.id",
        code,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|row| ProfileDemand {
        profile: ProfileId(row.id),
        name: row.name,
        lanes: u32::try_from(row.lanes).unwrap_or(u32::MAX),
        starts_per_second: row.rate,
        mean_cycle: Duration::try_from_secs_f64(row.cycle).unwrap_or_default(),
        accounts: if row.credentials != "mailbox" { 1 } else { u32::try_from(row.mailboxes).unwrap_or(u32::MAX) },
        max_connections: row.max_connections.unsigned_abs(),
        max_in_flight: row.max_in_flight.unsigned_abs(),
        alerted: row.alerted,
    });
    Ok(found.collect())
}

/// How many runs each living replica of a role does at one time; 0 where it does not say. See
/// [`crate::replicas::beat`].
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn replicas(tx: &mut Tx, role: &str, lifetime: Duration) -> Result<Vec<u32>> {
    let since = tx.now() - lifetime;
    let capacities = sqlx::query_scalar!(
        "/* capacity::replicas */ SELECT capacity FROM replicas WHERE role = $1 AND seen_at > $2",
        role,
        since,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(capacities.into_iter().map(i32::unsigned_abs).collect())
}
