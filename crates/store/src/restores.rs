//! After a backup was restored: what was on its way waits for a person, the change feed begins a new epoch, and whoever
//! is still at work is fenced. And how a database that was copied or restored from a dump is recognised.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::id::{AlertId, EmailId, MailboxId};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Result, Tx,
    alerts::{Severity, Subject},
    audit,
    emails::sending::{self, Decision},
};

/// The cause of emails of which nobody knows whether they were sent, because a backup was restored.
pub const CAUSE: &str = "RestoredBackup";
/// What people read about it.
const MESSAGE: &str =
    "a backup was restored in which this email was still waiting or on its way; it may have been sent since";

/// Versions and generations are raised by so much: more than what they can have gone on by after the backup was taken, so
/// that nothing that was in flight then is taken for something of now.
const FENCE: i64 = 1_000_000;

/// Roles that were seen within this time count as running.
const ALIVE: Duration = Duration::from_secs(30);

/// Emails decided on in one go, at most.
pub const DECIDED_AT_ONCE: i64 = 200;

/// What there is to deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The feed's epoch.
    pub epoch: Uuid,
    /// Emails that wait or are being sent.
    pub emails: i64,
    /// Emails of an earlier restore on which nobody has decided.
    pub undecided: i64,
    /// Active webhook endpoints: each stops until it is resumed.
    pub endpoints: i64,
    /// Lanes of mailboxes.
    pub lanes: i64,
    /// Asynchronous operations that go on.
    pub operations: i64,
    /// Replicas of roles that have given a sign of life just now.
    pub running: i64,
    /// When a restored backup was last dealt with.
    pub last: Option<DateTime<Utc>>,
    /// Nothing was written and nothing waits since then.
    pub untouched: bool,
}

/// Looks at what [`restored`] would change; `None` when no organisation is set up.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn survey(tx: &mut Tx) -> Result<Option<Found>> {
    let alive = tx.now() - ALIVE;
    let row = sqlx::query!(
        "/* restores::survey */ SELECT f.epoch, f.restored_at, f.restored_sequence, f.database_identity,
             (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'retry', 'sending', 'in-flight')) AS \"emails!\",
             (SELECT count(*) FROM deliveries WHERE state = 'unknown' AND fault_code = 'RestoredBackup') AS \"undecided!\",
             (SELECT count(*) FROM webhook_endpoints WHERE active AND disabled_code IS NULL) AS \"endpoints!\",
             (SELECT count(*) FROM lanes) AS \"lanes!\",
             (SELECT count(*) FROM operations WHERE state = 'pending') AS \"operations!\",
             (SELECT count(*) FROM replicas WHERE seen_at > $1) AS \"running!\",
             COALESCE((SELECT max(sequence) FROM feed_entries), 0) AS \"newest!\"
         FROM feed_state f",
        alive,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let here = identity(tx).await?;
    let same_place = here.is_none() || here == row.database_identity;
    Ok(Some(Found {
        epoch: row.epoch,
        emails: row.emails,
        undecided: row.undecided,
        endpoints: row.endpoints,
        lanes: row.lanes,
        operations: row.operations,
        running: row.running,
        last: row.restored_at,
        untouched: row.emails == 0 && same_place && row.restored_sequence.is_some_and(|then| row.newest <= then),
    }))
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The epoch that began.
    pub epoch: Uuid,
    /// Emails that wait for a decision now and did not before.
    pub emails: usize,
}

/// Deals with a restored backup. The feed begins a new epoch; every email that waits or is being sent becomes one of which
/// nobody knows whether it was sent, with an alert, whatever its profile says of such; whoever is at work is fenced.
/// `None`, and nothing is changed, when that was done before and nothing has happened since, unless `again`; and when no
/// organisation is set up.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn restored(tx: &mut Tx, again: bool, actor: &str) -> Result<Option<Restored>> {
    sqlx::query!("/* restores::restored */ SELECT epoch FROM feed_state FOR UPDATE")
        .fetch_optional(tx.connection())
        .await?;
    let Some(before) = survey(tx).await? else { return Ok(None) };
    if before.untouched && !again {
        return Ok(None);
    }
    let emails = ask(tx).await?;
    fence(tx).await?;
    let (epoch, here, now) = (Uuid::now_v7(), identity(tx).await?, tx.now());
    sqlx::query!(
        "/* restores::restored */ UPDATE feed_state SET epoch = $1, restored_at = $2,
             database_identity = COALESCE($3, database_identity),
             restored_sequence = COALESCE((SELECT max(sequence) FROM feed_entries), 0)",
        epoch,
        now,
        here,
    )
    .execute(tx.connection())
    .await?;
    let detail = json!({ "epoch": epoch, "epoch_before": before.epoch, "emails": emails });
    audit::note(tx, actor, "restored", "organisation", None, detail).await?;
    Ok(Some(Restored { epoch, emails }))
}

/// Makes every delivery that is not over one that a person decides on. Returns how many.
async fn ask(tx: &mut Tx) -> Result<usize> {
    let now = tx.now();
    let asked = sqlx::query!(
        "/* restores::ask */ WITH open AS MATERIALIZED (
             SELECT email_id FROM deliveries WHERE state IN ('pending', 'retry', 'sending', 'in-flight')
             ORDER BY email_id FOR UPDATE)
         UPDATE deliveries AS d SET state = 'unknown', was_unknown = true, due_at = $1, claimed_until = NULL, claims = 0,
             fault_code = $2, fault_class = 'unclear', fault_message = $3, updated_at = $1
         FROM open WHERE d.email_id = open.email_id RETURNING d.email_id, d.mailbox_id",
        now,
        CAUSE,
        MESSAGE,
    )
    .fetch_all(tx.connection())
    .await?;
    let emails: Vec<_> = asked.iter().map(|row| row.email_id).collect();
    sqlx::query!(
        "/* restores::ask */ WITH changed AS (
             UPDATE emails SET status = 'sending', version = version + 1, updated_at = $2
             WHERE id = ANY($1) AND status = 'pending-send' RETURNING id, version)
         INSERT INTO feed_entries (record_kind, record_id, change, fields, record_version, changed_at)
         SELECT 'email', id, 'updated', '{status}', version, $2 FROM changed ORDER BY id",
        &emails,
        now,
    )
    .execute(tx.connection())
    .await?;
    let mailboxes: Vec<_> = asked.iter().map(|row| row.mailbox_id).collect();
    let subject = |email, mailbox| Subject::Email(EmailId(email), MailboxId(mailbox));
    let keys: Vec<_> = asked.iter().map(|row| subject(row.email_id, row.mailbox_id).key("OutcomeUnknown")).collect();
    let ids: Vec<_> = asked.iter().map(|_| AlertId::new().0).collect();
    sqlx::query!(
        "/* restores::ask */ INSERT INTO alerts
             (id, key, code, severity, scope, mailbox_id, email_id, parameters, first_at, last_at)
         SELECT a.id, a.key, 'OutcomeUnknown', $5, 'item', a.mailbox_id, a.email_id, $6, $7, $7
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[]) AS a(id, key, mailbox_id, email_id)
         ON CONFLICT (key) WHERE resolved_at IS NULL
         DO UPDATE SET occurrences = alerts.occurrences + 1, last_at = EXCLUDED.last_at,
             parameters = EXCLUDED.parameters, severity = EXCLUDED.severity",
        &ids,
        &keys,
        &mailboxes,
        &emails,
        Severity::Error.as_str(),
        json!({ "cause": CAUSE, "message": MESSAGE }),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(emails.len())
}

/// Whoever has begun something can write nothing down any more, and what is queued is stale.
async fn fence(tx: &mut Tx) -> Result<()> {
    // In the order in which everybody locks them.
    sqlx::query!("/* restores::fence */ SELECT mailbox_id FROM lanes ORDER BY mailbox_id, lane FOR UPDATE")
        .fetch_all(tx.connection())
        .await?;
    sqlx::query!("/* restores::fence */ UPDATE lanes SET version = version + $1, touching = NULL", FENCE)
        .execute(tx.connection())
        .await?;
    sqlx::query!("/* restores::fence */ SELECT mailbox_id FROM lane_schedules ORDER BY mailbox_id, lane FOR UPDATE")
        .fetch_all(tx.connection())
        .await?;
    sqlx::query!(
        "/* restores::fence */ UPDATE lane_schedules SET generation = generation + $1, claimed_until = NULL, claims = 0",
        FENCE,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "/* restores::fence */ UPDATE operations SET generation = generation + $1, version = version + $1,
             claimed_until = NULL, claims = 0
         WHERE state = 'pending'",
        FENCE,
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("/* restores::fence */ UPDATE webhook_endpoints SET run_fenced = true WHERE run_id IS NOT NULL")
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What came of a decision on many emails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Emails it was taken for.
    pub emails: u64,
    /// There are more of them: ask again.
    pub more: bool,
}

/// Takes one decision for emails that a restored backup has left unknown, at most [`DECIDED_AT_ONCE`], of one mailbox or of
/// all. The caller nudges.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn decide(tx: &mut Tx, decision: Decision, mailbox: Option<MailboxId>, actor: &str) -> Result<Decided> {
    let waiting = sqlx::query!(
        "/* restores::decide */ SELECT email_id, mailbox_id FROM deliveries
         WHERE state = 'unknown' AND fault_code = 'RestoredBackup' AND ($1::uuid IS NULL OR mailbox_id = $1)
         ORDER BY email_id LIMIT $2 FOR UPDATE",
        mailbox.map(|mailbox| mailbox.0),
        DECIDED_AT_ONCE,
    )
    .fetch_all(tx.connection())
    .await?;
    for one in &waiting {
        sending::resolve(tx, EmailId(one.email_id), MailboxId(one.mailbox_id), decision, actor).await?;
    }
    let more = sqlx::query_scalar!(
        "/* restores::decide */ SELECT EXISTS (SELECT FROM deliveries WHERE state = 'unknown'
             AND fault_code = 'RestoredBackup' AND ($1::uuid IS NULL OR mailbox_id = $1)) AS \"more!\"",
        mailbox.map(|mailbox| mailbox.0),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Decided { emails: waiting.len() as u64, more })
}

/// Cluster and database, as they stay at a restart and at a fail-over to a replica: a dump that was restored, and a copy,
/// have others. `None` where this user may not read the cluster's.
async fn identity(tx: &mut Tx) -> Result<Option<String>> {
    let readable = sqlx::query_scalar!(
        "/* restores::identity */ SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS \"readable!\"",
    )
    .fetch_one(tx.connection())
    .await?;
    if !readable {
        return Ok(None);
    }
    let row = sqlx::query!(
        "/* restores::identity */ SELECT s.system_identifier AS \"cluster!\", d.oid::bigint AS \"database!\"
         FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Some(format!("{}/{}", row.cluster, row.database)))
}

/// Whether this is the database in which the roles were last started. The first who asks notes which one it is. `true` too
/// where nobody can know.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn recognise(tx: &mut Tx) -> Result<bool> {
    let Some(here) = identity(tx).await? else { return Ok(true) };
    let known = sqlx::query_scalar!("/* restores::recognise */ SELECT database_identity FROM feed_state")
        .fetch_optional(tx.connection())
        .await?;
    match known {
        Some(Some(known)) => Ok(known == here),
        Some(None) => {
            sqlx::query!(
                "/* restores::recognise */ UPDATE feed_state SET database_identity = $1 WHERE database_identity IS NULL",
                here,
            )
            .execute(tx.connection())
            .await?;
            Ok(true)
        }
        None => Ok(true),
    }
}

/// Notes that the database was moved whole, while every role was stopped: nothing was lost, and work goes on here.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn moved(tx: &mut Tx, actor: &str) -> Result<()> {
    let here = identity(tx).await?;
    sqlx::query!("/* restores::moved */ UPDATE feed_state SET database_identity = $1", here)
        .execute(tx.connection())
        .await?;
    audit::note(tx, actor, "moved", "organisation", None, json!({ "database": here })).await
}
