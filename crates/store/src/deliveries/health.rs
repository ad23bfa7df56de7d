//! What stops sending beyond one email: the account of a mailbox, and the server of a profile.

use chrono::{DateTime, Utc};
use lockstep_model::id::{EmailId, MailboxId, ProfileId};
use uuid::Uuid;

use crate::{
    Result, Tx,
    alerts::{self, Subject},
    audit::{self, Written},
    feed::Change,
    schedules::BreakerRow,
};

/// The alert that the server of a profile fails for what is sent.
pub const UNREACHABLE: &str = "OutgoingServerUnreachable";

/// Most servers that one round of claims probes.
pub(super) const MOST_PROBES: i64 = 100;

/// Who disables the sending of a mailbox, as the audit names it.
const ACTOR: &str = "outgoing-worker";

/// What is remembered of a mailbox's transient faults of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many counted, in a row.
    pub failures: u32,
    /// When the last one did.
    pub counted_at: Option<DateTime<Utc>>,
}

/// Locks a mailbox and tells how its sending stands. Call it after the delivery was locked.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn lock(tx: &mut Tx, mailbox: MailboxId) -> Result<Standing> {
    sqlx::query!("/* deliveries::health::lock */ SELECT id FROM mailboxes WHERE id = $1 FOR NO KEY UPDATE", mailbox.0)
        .fetch_optional(tx.connection())
        .await?;
    let row = sqlx::query!(
        "/* deliveries::health::lock */ SELECT counted_failures, counted_at FROM mailbox_sending WHERE mailbox_id = $1",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map_or_else(Standing::default, |r| Standing {
        failures: r.counted_failures.unsigned_abs(),
        counted_at: r.counted_at,
    }))
}

/// Keeps the count of transient faults. Call it after [`super::figures::note`], which makes the row.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn count(tx: &mut Tx, mailbox: MailboxId, failures: u32) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* deliveries::health::count */ UPDATE mailbox_sending SET counted_failures = $2, counted_at = $3
         WHERE mailbox_id = $1",
        mailbox.0,
        i32::try_from(failures).unwrap_or(i32::MAX),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Disables the sending of a mailbox locked by [`lock`], and nothing else of it; its emails wait as Pending Send. An attempt that
/// was begun before somebody mended the cause disables nothing. Returns whether sending is disabled now. Call it after
/// [`super::figures::note`], which makes the row.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn disable(tx: &mut Tx, mailbox: MailboxId, email: EmailId, code: &str) -> Result<bool> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* deliveries::health::disable */ UPDATE mailboxes m SET outgoing_enabled = false, version = version + 1,
             updated_at = $3
         WHERE m.id = $1 AND m.outgoing_enabled AND NOT EXISTS (
             SELECT FROM deliveries d WHERE d.email_id = $2 AND d.begun_at < m.enabled_at)
         RETURNING version",
        mailbox.0,
        email.0,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(version) = version else {
        let enabled = sqlx::query_scalar!(
            "/* deliveries::health::disable */ SELECT outgoing_enabled FROM mailboxes WHERE id = $1",
            mailbox.0,
        )
        .fetch_optional(tx.connection())
        .await?;
        return Ok(enabled == Some(false));
    };
    sqlx::query!(
        "/* deliveries::health::disable */ UPDATE mailbox_sending SET disabled_code = $2, disabled_at = $3
         WHERE mailbox_id = $1",
        mailbox.0,
        code,
        now,
    )
    .execute(tx.connection())
    .await?;
    let fields = &["outgoing_enabled"];
    let written = Written { kind: "mailbox", id: mailbox.0, change: Change::Updated, fields, version };
    audit::record(tx, ACTOR, written).await?;
    Ok(true)
}

/// Forgets what has disabled the sending of a mailbox: it was tested, or set up anew. Where it `works`, what has waited for
/// that is due now.
pub(crate) async fn forget(tx: &mut Tx, mailbox: MailboxId, works: bool) -> Result<()> {
    let now = tx.now();
    let disabled = sqlx::query_scalar!(
        "/* deliveries::health::forget */ UPDATE mailbox_sending n SET counted_failures = 0, counted_at = NULL,
             disabled_code = NULL, disabled_at = NULL
         FROM mailbox_sending o
         WHERE n.mailbox_id = $1 AND o.mailbox_id = n.mailbox_id AND (n.counted_failures > 0 OR n.disabled_code IS NOT NULL)
         RETURNING o.disabled_code",
        mailbox.0,
    )
    .fetch_optional(tx.connection())
    .await?
    .flatten();
    let (Some(code), true) = (disabled, works) else { return Ok(()) };
    // Those that are locked are being ended at this moment, by somebody who may wait for this mailbox.
    sqlx::query!(
        "/* deliveries::health::forget */ UPDATE deliveries SET due_at = $2 WHERE email_id IN (
             SELECT email_id FROM deliveries
             WHERE mailbox_id = $1 AND state IN ('pending', 'retry') AND due_at > $2 AND fault_code = $3
             FOR UPDATE SKIP LOCKED)",
        mailbox.0,
        now,
        code,
    )
    .execute(tx.connection())
    .await?;
    crate::nudge(tx).await
}

/// Locks the breaker of a profile's outgoing server, where there is one; `make` where there is to be.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn breaker(tx: &mut Tx, profile: ProfileId, make: bool) -> Result<Option<BreakerRow>> {
    if make {
        sqlx::query!(
            "/* deliveries::health::breaker */ INSERT INTO sending_breakers (profile_id) VALUES ($1) ON CONFLICT DO NOTHING",
            profile.0,
        )
        .execute(tx.connection())
        .await?;
    }
    let row = sqlx::query!(
        "/* deliveries::health::breaker */ SELECT failures, step, open_until FROM sending_breakers
         WHERE profile_id = $1 FOR UPDATE",
        profile.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    let row = row.map(|r| BreakerRow {
        failures: r.failures.unsigned_abs(),
        step: r.step.unsigned_abs(),
        open_until: r.open_until,
    });
    Ok(row.or_else(|| make.then(BreakerRow::default)))
}

/// Stores it; of a server that answers nothing is kept.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn write_breaker(tx: &mut Tx, profile: ProfileId, breaker: BreakerRow) -> Result<()> {
    if breaker == BreakerRow::default() {
        sqlx::query!(
            "/* deliveries::health::write_breaker */ DELETE FROM sending_breakers WHERE profile_id = $1",
            profile.0
        )
        .execute(tx.connection())
        .await?;
        return Ok(());
    }
    sqlx::query!(
        "/* deliveries::health::write_breaker */ INSERT INTO sending_breakers (profile_id, failures, step, open_until)
         VALUES ($1, $2, $3, $4) ON CONFLICT (profile_id) DO UPDATE SET
             failures = EXCLUDED.failures, step = EXCLUDED.step, open_until = EXCLUDED.open_until",
        profile.0,
        i32::try_from(breaker.failures).unwrap_or(i32::MAX),
        i32::try_from(breaker.step).unwrap_or(i32::MAX),
        breaker.open_until,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The server has answered somebody who sends no email: whoever tests a mailbox.
pub(crate) async fn answers(tx: &mut Tx, profile: ProfileId) -> Result<()> {
    if breaker(tx, profile, false).await?.is_some() {
        write_breaker(tx, profile, BreakerRow::default()).await?;
        alerts::resolve(tx, UNREACHABLE, Subject::Profile(profile)).await?;
        crate::nudge(tx).await?;
    }
    Ok(())
}

/// The profile has changed, and perhaps its server: whether it answers is found out now. The alert stands until it does.
pub(crate) async fn probe_now(tx: &mut Tx, profile: ProfileId) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* deliveries::health::probe_now */ UPDATE sending_breakers SET failures = 0, step = 0,
             open_until = least(open_until, $2)
         WHERE profile_id = $1",
        profile.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Locks the breakers of profiles with emails that are due, whose server may be probed and is not: at most `limit`.
pub(super) async fn to_probe(tx: &mut Tx, limit: i64) -> Result<Vec<ProfileId>> {
    let now = tx.now();
    let profiles: Vec<Uuid> = sqlx::query_scalar!(
        "/* deliveries::health::to_probe */ SELECT b.profile_id FROM sending_breakers b
         WHERE b.open_until <= $1
           AND NOT EXISTS (SELECT FROM deliveries p WHERE p.email_id = b.probe_email_id AND p.claimed_until > $1
               AND p.state IN ('pending', 'retry', 'sending', 'in-flight'))
           AND EXISTS (SELECT FROM deliveries d JOIN mailboxes m ON m.id = d.mailbox_id
               WHERE m.profile_id = b.profile_id AND d.state IN ('pending', 'retry') AND d.due_at <= $1)
         ORDER BY b.open_until LIMIT $2 FOR UPDATE OF b SKIP LOCKED",
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(profiles.into_iter().map(ProfileId).collect())
}

/// Notes the email that finds out whether the server of a profile is back.
pub(super) async fn note_probe(tx: &mut Tx, profile: ProfileId, email: EmailId) -> Result<()> {
    sqlx::query!(
        "/* deliveries::health::note_probe */ UPDATE sending_breakers SET probe_email_id = $2 WHERE profile_id = $1",
        profile.0,
        email.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
