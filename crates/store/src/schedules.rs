//! Lane schedules: what is due, who was handed what, and how it went.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, ProfileId},
    mailbox::Lane,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Result, Tx,
    error::{json, word},
};

/// A mailbox, its lane, and which of its occasions.
pub type Occasion = (MailboxId, Lane, i64);

/// What the claims of one profile are limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLoad {
    /// The profile.
    pub profile: ProfileId,
    /// Sum of the connection caps of its accounts.
    pub caps: u64,
    /// Its own limit of claimed occasions.
    pub max_in_flight: u32,
    /// How many occasions are claimed now.
    pub claimed: u32,
    /// Its breaker.
    pub breaker: BreakerRow,
}

/// A profile's breaker as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerRow {
    /// Failures in a row.
    pub failures: u32,
    /// How often it has opened in a row.
    pub step: u32,
    /// Until when it stays open; in the past: one probe at a time.
    pub open_until: Option<DateTime<Utc>>,
}

/// An occasion handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneClaim {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its lane.
    pub lane: Lane,
    /// The profile.
    pub profile: ProfileId,
    /// The occasion.
    pub generation: i64,
    /// When it was due.
    pub due_at: DateTime<Utc>,
    /// How often it has been handed out, this time included.
    pub claims: i32,
}

/// Locks profiles that have overdue lanes, the longest overdue first, and tells their load. A profile that another
/// scheduler holds is skipped.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn lock_due_profiles(tx: &mut Tx, limit: i64) -> Result<Vec<ProfileLoad>> {
    let now = tx.now();
    let rows = sqlx::query!(
        "/* lanes::lock_due_profiles */ SELECT p.id, p.max_connections, p.max_in_flight, p.credentials,
             p.breaker_failures, p.breaker_step, p.breaker_open_until
         FROM email_server_profiles p
         CROSS JOIN LATERAL (SELECT min(s.due_at) AS first FROM lane_schedules s
             WHERE s.profile_id = p.id AND s.enabled AND s.due_at <= $1
               AND (s.not_before IS NULL OR s.not_before <= $1)
               AND (s.claimed_until IS NULL OR s.claimed_until <= $1)) AS due
         WHERE p.active AND due.first IS NOT NULL
           AND EXISTS (SELECT 1 FROM organisations o WHERE o.process_email_using = 'server-side-synchronization')
           AND (p.breaker_open_until IS NULL OR p.breaker_open_until <= $1)
         ORDER BY due.first LIMIT $2 FOR NO KEY UPDATE OF p SKIP LOCKED",
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<_> = rows.iter().map(|r| r.id).collect();
    let counts = sqlx::query!(
        "/* lanes::lock_due_profiles */ SELECT profile_id, count(*) FILTER (WHERE enabled) AS \"enabled!\",
             count(*) FILTER (WHERE claimed_until > $2) AS \"claimed!\"
         FROM lane_schedules WHERE profile_id = ANY($1) GROUP BY profile_id",
        &ids,
        now,
    )
    .fetch_all(tx.connection())
    .await?;
    let loads = rows.into_iter().map(|row| {
        let count = counts.iter().find(|c| c.profile_id == row.id);
        let cap = u64::from(row.max_connections.unsigned_abs());
        let accounts = if row.credentials != "mailbox" { 1 } else { count.map_or(0, |c| c.enabled.unsigned_abs()) };
        ProfileLoad {
            profile: ProfileId(row.id),
            caps: cap * accounts,
            max_in_flight: row.max_in_flight.unsigned_abs(),
            claimed: count.map_or(0, |c| u32::try_from(c.claimed).unwrap_or(u32::MAX)),
            breaker: BreakerRow {
                failures: row.breaker_failures.unsigned_abs(),
                step: row.breaker_step.unsigned_abs(),
                open_until: row.breaker_open_until,
            },
        }
    });
    Ok(loads.collect())
}

/// Claims the oldest due lanes of each profile up to its allowance. A claim lasts `lifetime`, and longer each time it
/// has ended without a report (1, 2, 4 times). An occasion whose claim has ended so is taken from whoever had it, which is
/// counted (N10).
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn claim(tx: &mut Tx, allowances: &[(ProfileId, u32)], lifetime: Duration) -> Result<Vec<LaneClaim>> {
    let now = tx.now();
    let profiles: Vec<_> = allowances.iter().map(|(p, _)| p.0).collect();
    let counts: Vec<_> = allowances.iter().map(|(_, n)| i64::from(*n)).collect();
    // Materialized, so that no plan picks twice and goes beyond the allowance.
    let rows = sqlx::query!(
        "/* lanes::claim */ WITH picked AS MATERIALIZED (
             SELECT d.mailbox_id, d.lane FROM unnest($1::uuid[], $2::bigint[]) AS a(profile_id, allowance)
             CROSS JOIN LATERAL (
                 SELECT l.mailbox_id, l.lane FROM lane_schedules l
                 WHERE l.profile_id = a.profile_id AND l.enabled AND l.due_at <= $3
                   AND (l.not_before IS NULL OR l.not_before <= $3)
                   AND (l.claimed_until IS NULL OR l.claimed_until <= $3)
                 ORDER BY l.due_at LIMIT a.allowance FOR UPDATE SKIP LOCKED) AS d)
         UPDATE lane_schedules AS s
         SET claimed_until = $3 + make_interval(secs => $4 * power(2, least(s.claims, 2))), claims = s.claims + 1,
             worker = NULL, forced_unlocks = s.forced_unlocks + CASE WHEN s.claims > 0 THEN 1 ELSE 0 END,
             forced_unlocked_at = CASE WHEN s.claims > 0 THEN $3 ELSE s.forced_unlocked_at END
         FROM picked
         WHERE s.mailbox_id = picked.mailbox_id AND s.lane = picked.lane
         RETURNING s.mailbox_id, s.lane, s.profile_id, s.generation, s.due_at, s.claims",
        &profiles,
        &counts,
        now,
        lifetime.as_secs_f64(),
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(LaneClaim {
                mailbox: MailboxId(r.mailbox_id),
                lane: word("lane_schedules", "lane", r.mailbox_id, &r.lane)?,
                profile: ProfileId(r.profile_id),
                generation: r.generation,
                due_at: r.due_at,
                claims: r.claims,
            })
        })
        .collect()
}

/// What the fold needs to know of a lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its lane.
    pub lane: Lane,
    /// The profile.
    pub profile: ProfileId,
    /// The occasion.
    pub generation: i64,
    /// Not polled closer than this.
    pub min_polling_interval: Duration,
    /// Exponentially weighted items per cycle.
    pub activity: f64,
    /// Empty cycles in a row.
    pub empty_cycles: u32,
    /// Transient faults in a row.
    pub transient_failures: u32,
    /// The code of the standing fault, if there is one.
    pub fault_code: Option<String>,
}

/// The profiles these occasions belong to, and their breakers, as they stand now; nothing is locked.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn profiles_of(
    tx: &mut Tx,
    reported: &[(MailboxId, Lane, i64)],
) -> Result<Vec<((MailboxId, Lane, i64), ProfileId, BreakerRow)>> {
    let (mailboxes, lanes, generations) = columns(reported);
    let rows = sqlx::query!(
        "/* lanes::profiles_of */ SELECT r.place AS \"place!\", p.id, p.breaker_failures, p.breaker_step,
             p.breaker_open_until
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY AS r(mailbox_id, lane, generation, place)
         JOIN lane_schedules s ON s.mailbox_id = r.mailbox_id AND s.lane = r.lane AND s.generation = r.generation
         JOIN email_server_profiles p ON p.id = s.profile_id",
        &mailboxes,
        &lanes,
        &generations,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().filter_map(|r| {
        let key = reported.get(usize::try_from(r.place).ok()?.checked_sub(1)?)?;
        let breaker = BreakerRow {
            failures: r.breaker_failures.unsigned_abs(),
            step: r.breaker_step.unsigned_abs(),
            open_until: r.breaker_open_until,
        };
        Some((*key, ProfileId(r.id), breaker))
    });
    Ok(found.collect())
}

fn columns(reported: &[(MailboxId, Lane, i64)]) -> (Vec<Uuid>, Vec<String>, Vec<i64>) {
    let mailboxes = reported.iter().map(|(mailbox, _, _)| mailbox.0).collect();
    let lanes = reported.iter().map(|(_, lane, _)| lane.as_str().to_owned()).collect();
    (mailboxes, lanes, reported.iter().map(|(_, _, generation)| *generation).collect())
}

/// Locks the lanes that are still at the reported occasion, in id order. A lane that is missing from the answer was
/// folded before, or realigned since.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn lock_reported(tx: &mut Tx, reported: &[(MailboxId, Lane, i64)]) -> Result<Vec<Schedule>> {
    let (mailboxes, lanes, generations) = columns(reported);
    let rows = sqlx::query!(
        "/* lanes::lock_reported */ SELECT s.mailbox_id, s.lane, s.profile_id, s.generation, s.activity,
             s.empty_cycles, s.transient_failures, s.fault_code, p.min_polling_minutes
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS r(mailbox_id, lane, generation)
         JOIN lane_schedules s ON s.mailbox_id = r.mailbox_id AND s.lane = r.lane AND s.generation = r.generation
         JOIN email_server_profiles p ON p.id = s.profile_id
         ORDER BY s.mailbox_id, s.lane FOR UPDATE OF s",
        &mailboxes,
        &lanes,
        &generations,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Schedule {
                mailbox: MailboxId(r.mailbox_id),
                lane: word("lane_schedules", "lane", r.mailbox_id, &r.lane)?,
                profile: ProfileId(r.profile_id),
                generation: r.generation,
                min_polling_interval: Duration::from_secs(u64::from(r.min_polling_minutes.unsigned_abs()) * 60),
                activity: r.activity,
                empty_cycles: r.empty_cycles.unsigned_abs(),
                transient_failures: r.transient_failures.unsigned_abs(),
                fault_code: r.fault_code,
            })
        })
        .collect()
}

/// What the fold decided for a lane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Folded {
    /// The mailbox.
    pub mailbox_id: Uuid,
    /// Its lane.
    pub lane: Lane,
    /// Moves the due time, unless this was a deferral.
    pub due_at: Option<DateTime<Utc>>,
    /// Not handed out before this instant.
    pub not_before: Option<DateTime<Utc>>,
    /// The interval chosen, for people to see.
    pub interval_seconds: Option<f64>,
    /// Exponentially weighted items per cycle.
    pub activity: f64,
    /// Empty cycles in a row.
    pub empty_cycles: i64,
    /// Transient faults in a row.
    pub transient_failures: i64,
    /// The standing fault; `None` clears it, where the cycle learnt anything.
    pub fault_code: Option<String>,
    /// Its class.
    pub fault_class: Option<String>,
    /// Its words.
    pub fault_message: Option<String>,
    /// Switches the lane off for this reason.
    pub disabled_code: Option<String>,
    /// Whether the cycle did its work.
    pub succeeded: bool,
    /// Whether the cycle learnt anything of the mailbox; otherwise what stood against it stands.
    pub informed: bool,
    /// The run.
    pub run: Uuid,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How it ended.
    pub outcome: String,
    /// The host it ran on, where it said so.
    pub worker: Option<String>,
    /// Items seen, tracked, refused and failed.
    pub seen: i64,
    /// See `seen`.
    pub tracked: i64,
    /// See `seen`.
    pub refused: i64,
    /// See `seen`.
    pub failed: i64,
}

/// Writes the decisions for lanes locked by [`lock_reported`]: next occasion, counters, fault.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn write_folded(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let rows = json("lane_schedules", folded)?;
    sqlx::query!(
        "/* lanes::write_folded */ UPDATE lane_schedules AS s SET
             generation = s.generation + 1, claimed_until = NULL, claims = 0,
             due_at = COALESCE(f.due_at, s.due_at), not_before = f.not_before,
             interval_seconds = COALESCE(f.interval_seconds, s.interval_seconds),
             activity = f.activity, empty_cycles = f.empty_cycles, transient_failures = f.transient_failures,
             fault_code = CASE WHEN f.informed THEN f.fault_code ELSE s.fault_code END,
             fault_class = CASE WHEN f.informed THEN f.fault_class ELSE s.fault_class END,
             fault_message = CASE WHEN f.informed THEN f.fault_message ELSE s.fault_message END,
             fault_at = CASE WHEN NOT f.informed THEN s.fault_at WHEN f.fault_code IS NULL THEN NULL ELSE f.ended_at END,
             disabled_code = COALESCE(f.disabled_code, s.disabled_code),
             enabled = s.enabled AND f.disabled_code IS NULL,
             last_run = f.run, last_started_at = f.started_at, last_ended_at = f.ended_at,
             last_succeeded_at = CASE WHEN f.succeeded THEN f.ended_at ELSE s.last_succeeded_at END,
             worker = NULL,
             last_worker = CASE WHEN f.informed THEN COALESCE(f.worker, s.last_worker) ELSE s.last_worker END,
             last_processed = CASE WHEN f.informed THEN f.tracked + f.refused ELSE s.last_processed END,
             last_failed = CASE WHEN f.informed THEN f.failed ELSE s.last_failed END,
             last_duration_seconds = CASE WHEN f.informed THEN t.took ELSE s.last_duration_seconds END,
             average_duration_seconds = CASE WHEN NOT f.informed THEN s.average_duration_seconds
                 ELSE COALESCE(s.average_duration_seconds + 0.2 * (t.took - s.average_duration_seconds), t.took) END,
             last_error_count = CASE WHEN NOT f.informed OR f.fault_code IS NULL THEN s.last_error_count
                 WHEN f.fault_code = s.fault_code THEN s.last_error_count + 1 ELSE 1 END,
             last_error_code = COALESCE(t.error, s.last_error_code),
             last_error_message = CASE WHEN t.error IS NULL THEN s.last_error_message ELSE f.fault_message END,
             last_error_at = CASE WHEN t.error IS NULL THEN s.last_error_at ELSE f.ended_at END,
             last_error_worker = CASE WHEN t.error IS NULL THEN s.last_error_worker ELSE f.worker END,
             last_outcome = f.outcome, cycles = s.cycles + CASE WHEN f.succeeded THEN 1 ELSE 0 END,
             seen = s.seen + f.seen, tracked = s.tracked + f.tracked, refused = s.refused + f.refused,
             failed = s.failed + f.failed
         FROM jsonb_to_recordset($1) AS f(mailbox_id uuid, lane text, due_at timestamptz, not_before timestamptz,
             interval_seconds double precision, activity double precision, empty_cycles int, transient_failures int,
             fault_code text, fault_class text, fault_message text, disabled_code text, succeeded boolean,
             informed boolean, run uuid,
             started_at timestamptz, ended_at timestamptz, outcome text, worker text, seen bigint, tracked bigint,
             refused bigint, failed bigint)
         CROSS JOIN LATERAL (SELECT greatest(extract(epoch FROM f.ended_at - f.started_at), 0)::double precision AS took,
             CASE WHEN f.informed THEN f.fault_code END AS error) AS t
         WHERE s.mailbox_id = f.mailbox_id AND s.lane = f.lane",
        rows,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Extends the claims of lanes, locked by [`lock_reported`], whose runs are still at work, and notes on which hosts.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn extend_claims(tx: &mut Tx, running: &[(Occasion, Option<String>)], lifetime: Duration) -> Result<()> {
    let (running, workers): (Vec<_>, Vec<_>) =
        running.iter().map(|(key, worker)| (*key, worker.clone().unwrap_or_default())).unzip();
    let (mailboxes, lanes, generations) = columns(&running);
    let until = tx.now() + lifetime;
    sqlx::query!(
        "/* lanes::extend_claims */ UPDATE lane_schedules AS s SET claimed_until = greatest(s.claimed_until, $4),
             worker = COALESCE(NULLIF(r.worker, ''), s.worker)
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $5::text[]) AS r(mailbox_id, lane, generation, worker)
         WHERE s.mailbox_id = r.mailbox_id AND s.lane = r.lane AND s.generation = r.generation",
        &mailboxes,
        &lanes,
        &generations,
        until,
        &workers,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Locks these profiles in id order and tells their breakers.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn lock_breakers(tx: &mut Tx, profiles: &[ProfileId]) -> Result<Vec<(ProfileId, BreakerRow)>> {
    let ids: Vec<_> = profiles.iter().map(|p| p.0).collect();
    let rows = sqlx::query!(
        "/* lanes::lock_breakers */ SELECT id, breaker_failures, breaker_step, breaker_open_until
         FROM email_server_profiles WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let breakers = rows.into_iter().map(|r| {
        let breaker = BreakerRow {
            failures: r.breaker_failures.unsigned_abs(),
            step: r.breaker_step.unsigned_abs(),
            open_until: r.breaker_open_until,
        };
        (ProfileId(r.id), breaker)
    });
    Ok(breakers.collect())
}

/// Stores a profile's breaker.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn write_breaker(tx: &mut Tx, profile: ProfileId, breaker: BreakerRow) -> Result<()> {
    sqlx::query!(
        "/* lanes::write_breaker */ UPDATE email_server_profiles
         SET breaker_failures = $2, breaker_step = $3, breaker_open_until = $4 WHERE id = $1",
        profile.0,
        i32::try_from(breaker.failures).unwrap_or(i32::MAX),
        i32::try_from(breaker.step).unwrap_or(i32::MAX),
        breaker.open_until,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes the lanes of a mailbox due now, for a person who cannot wait (A12). Nothing else changes: a profile's minimum
/// polling interval, a server's wish to be left alone, a deferral, the breaker and the lease hold as ever. Returns how many
/// of its lanes are scheduled at all.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn hasten(tx: &mut Tx, mailbox: MailboxId) -> Result<u64> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* lanes::hasten */ UPDATE lane_schedules AS s SET due_at = CASE
             WHEN s.fault_class = 'throttled' THEN s.due_at
             ELSE least(s.due_at, greatest($2,
                 COALESCE(s.last_ended_at + make_interval(mins => p.min_polling_minutes), $2))) END
         FROM email_server_profiles p
         WHERE s.mailbox_id = $1 AND s.enabled AND p.id = s.profile_id",
        mailbox.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}
