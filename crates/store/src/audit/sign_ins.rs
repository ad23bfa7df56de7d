//! Failed attempts to sign in. Anybody can make them, as many as they like, so they are counted in a bounded number of
//! rows instead of being told one by one.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::{Result, Tx};

/// Whoever fails is nobody yet.
const ACTOR: &str = "unknown";
const ACTION: &str = "sign-in-failed";
/// Attempts at one administrator from one source count as one within so long of the first.
const TOGETHER: TimeDelta = TimeDelta::minutes(10);
/// Rows within an hour; what exceeds them is counted together, whoever it was.
const MOST_AN_HOUR: i64 = 60;
/// The source of what is counted together.
const OTHERS: &str = "others";

/// Notes a failed attempt to sign in as an administrator, or under a name that is nobody's, from an address or network:
/// a new entry, or one more attempt of the entry there is. Either is one write, so that how long it takes tells nobody
/// which names there are.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sign_in_failed(tx: &mut Tx, administrator: Option<&str>, source: Option<&str>) -> Result<()> {
    // One after the other: what is counted stays so until this one is written.
    sqlx::query!("/* audit::sign_in_failed */ SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", ACTION)
        .execute(tx.connection())
        .await?;
    if counted(tx, administrator, source).await? {
        return Ok(());
    }
    let (administrator, source) = if noted_since(tx, tx.now() - TimeDelta::hours(1)).await? < MOST_AN_HOUR {
        (administrator, source)
    } else if counted(tx, None, Some(OTHERS)).await? {
        return Ok(());
    } else {
        (None, Some(OTHERS))
    };
    let detail = json!({ "administrator": administrator, "source": source, "attempts": 1, "last_at": tx.now() });
    super::note(tx, ACTOR, ACTION, "administrator", None, detail).await
}

/// Counts the attempt where there is an entry to count it in.
async fn counted(tx: &mut Tx, administrator: Option<&str>, source: Option<&str>) -> Result<bool> {
    let (now, since) = (tx.now(), tx.now() - TOGETHER);
    let done = sqlx::query!(
        "/* audit::sign_in_failed */ UPDATE audit_entries SET detail = detail ||
             jsonb_build_object('attempts', (detail->>'attempts')::bigint + 1, 'last_at', $5::jsonb)
         WHERE action = $1 AND done_at > $2 AND detail->>'administrator' IS NOT DISTINCT FROM $3
             AND detail->>'source' IS NOT DISTINCT FROM $4",
        ACTION,
        since,
        administrator,
        source,
        json!(now),
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn noted_since(tx: &mut Tx, since: DateTime<Utc>) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "/* audit::sign_in_failed */ SELECT count(*) AS \"count!\" FROM audit_entries WHERE action = $1 AND done_at > $2",
        ACTION,
        since,
    )
    .fetch_one(tx.connection())
    .await?)
}
