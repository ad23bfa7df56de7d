//! How long what has happened is kept: the change feed and the audit by day, ended operations and resolved alerts row
//! by row. Of values that gave way in synchronisation see [`crate::lost_values`].

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use sqlx::AssertSqlSafe;

use crate::{Result, Tx};

/// Something that is kept by day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Which records changed.
    Feed,
    /// Who did what.
    Audit,
}

impl Journal {
    /// Its table, and the column its days are counted by.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Feed => ("feed_entries", "changed_at"),
            Self::Audit => ("audit_entries", "done_at"),
        }
    }

    fn partition(self, day: NaiveDate) -> String {
        format!("{}_{}", self.names().0, day.format("%Y%m%d"))
    }

    fn day(self, partition: &str) -> Option<NaiveDate> {
        let day = partition.strip_prefix(self.names().0)?.strip_prefix('_')?;
        NaiveDate::parse_from_str(day, "%Y%m%d").ok()
    }
}

/// Longest wait for a lock on a journal. Writers wait behind whoever waits for it, so it gives up soon; the next sweep
/// tries again.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// Makes the partitions of tomorrow and the days after it, `ahead` in all, that are not there; returns how many. Today has
/// one since yesterday, or never: its rows may be in the partition "other" already. `None`: somebody else is at it.
///
/// # Errors
/// [`crate::Error::Unavailable`]; also when a lock was not to be had in two seconds.
pub async fn prepare(tx: &mut Tx, journal: Journal, ahead: u32) -> Result<Option<u32>> {
    if !alone(tx).await? {
        return Ok(None);
    }
    let (table, column) = journal.names();
    let today = tx.now().date_naive();
    let mut made = 0;
    for day in (1..=u64::from(ahead)).filter_map(|n| today.checked_add_days(Days::new(n))) {
        let (from, to) = (start(day), start(day + Days::new(1)));
        let partition = journal.partition(day);
        let needed: bool = sqlx::query_scalar(AssertSqlSafe(format!(
            "/* retention::prepare */ SELECT to_regclass($1) IS NULL
                 AND NOT EXISTS (SELECT 1 FROM {table}_other WHERE {column} >= $2 AND {column} < $3)"
        )))
        .bind(&partition)
        .bind(from)
        .bind(to)
        .fetch_one(tx.connection())
        .await?;
        if needed {
            let create = format!(
                "/* retention::prepare */ CREATE TABLE {partition} PARTITION OF {table}
                     FOR VALUES FROM ('{}') TO ('{}')",
                from.to_rfc3339(),
                to.to_rfc3339(),
            );
            sqlx::query(AssertSqlSafe(create)).execute(tx.connection()).await?;
            made += 1;
        }
    }
    Ok(Some(made))
}

/// Drops the days of a journal that ended before `before`; returns how many. Of the feed only days that are numbered to
/// the last row: a change that nobody could have read is not too old. `None`: somebody else is at it.
///
/// # Errors
/// [`crate::Error::Unavailable`]; also when a lock was not to be had in two seconds.
pub async fn drop_days(tx: &mut Tx, journal: Journal, before: DateTime<Utc>) -> Result<Option<u32>> {
    if !alone(tx).await? {
        return Ok(None);
    }
    let (table, _) = journal.names();
    let partitions: Vec<String> = sqlx::query_scalar(
        "/* retention::drop_days */ SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass($1)",
    )
    .bind(table)
    .fetch_all(tx.connection())
    .await?;
    let mut dropped = 0;
    for partition in partitions {
        let over = journal.day(&partition).is_some_and(|day| start(day + Days::new(1)) <= before);
        if over && !(journal == Journal::Feed && waiting(tx, &partition).await?) {
            let drop = format!("/* retention::drop_days */ DROP TABLE {partition}");
            sqlx::query(AssertSqlSafe(drop)).execute(tx.connection()).await?;
            dropped += 1;
        }
    }
    Ok(Some(dropped))
}

/// Whether a partition of the feed has rows without a position.
async fn waiting(tx: &mut Tx, partition: &str) -> Result<bool> {
    let query = format!("/* retention::waiting */ SELECT EXISTS (SELECT 1 FROM {partition} WHERE position IS NULL)");
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(tx.connection()).await?)
}

/// Removes rows from before `before` that came on a day without a partition, at most `limit`; returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sweep_other(tx: &mut Tx, journal: Journal, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = match journal {
        Journal::Feed => {
            sqlx::query!(
                "/* retention::sweep_other */ DELETE FROM feed_entries_other WHERE (sequence, changed_at) IN (
                     SELECT sequence, changed_at FROM feed_entries_other
                     WHERE changed_at < $1 AND position IS NOT NULL ORDER BY position LIMIT $2 FOR UPDATE SKIP LOCKED)",
                before,
                limit,
            )
            .execute(tx.connection())
            .await?
        }
        Journal::Audit => {
            sqlx::query!(
                "/* retention::sweep_other */ DELETE FROM audit_entries_other WHERE (id, done_at) IN (
                     SELECT id, done_at FROM audit_entries_other
                     WHERE done_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
                before,
                limit,
            )
            .execute(tx.connection())
            .await?
        }
    };
    Ok(done.rows_affected())
}

/// Removes operations that ended before `before`, at most `limit`; returns how many. A webhook endpoint's stays as long
/// as the endpoint.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sweep_operations(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "/* retention::sweep_operations */ DELETE FROM operations WHERE id IN (
             SELECT o.id FROM operations o WHERE o.ended_at < $1
               AND NOT EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.id = o.id)
             ORDER BY o.ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Removes alerts that were resolved before `before`, at most `limit`; returns how many.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn sweep_alerts(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "/* retention::sweep_alerts */ DELETE FROM alerts WHERE id IN (
             SELECT id FROM alerts WHERE resolved_at < $1 ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Whether nobody else changes partitions now. The claim ends with the transaction.
async fn alone(tx: &mut Tx) -> Result<bool> {
    /// Any constant; it names the keeper's advisory lock within the database.
    const KEEPER_LOCK: i64 = 0x6c6f_636b_6b65_6501;
    sqlx::query(LOCK_TIMEOUT).execute(tx.connection()).await?;
    Ok(sqlx::query_scalar!("/* retention::alone */ SELECT pg_try_advisory_xact_lock($1) AS \"held!\"", KEEPER_LOCK)
        .fetch_one(tx.connection())
        .await?)
}

fn start(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
