//! Walls: which alerts are shown to whom, and how they are taken down. Users have a wall of their own (`wall_of` of the
//! schema decides what hangs there); administrators, operators and programs see every alert.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lockstep_model::id::{AlertId, EmailId, MailboxId, ProfileId, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Result, Tx, audit};

/// Codes of profile alerts that only the profile's owner and administrators are shown: they speak of other people's
/// mailboxes or of planning, not of a fault that keeps the reader's own mailbox waiting.
const FOR_PROFILE_OWNERS: &[&str] = &["MailboxTestFailed", "CapacityShort"];

/// Most alerts taken down at once.
pub const MOST: i64 = 1000;

/// An alert as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity.
    pub id: Uuid,
    /// Stable name.
    pub code: String,
    /// `error`, `warning` or `information`.
    pub severity: String,
    /// `item`, `mailbox`, `profile` or `organisation`.
    pub scope: String,
    /// The profile it is about.
    pub profile_id: Option<Uuid>,
    /// The mailbox it is about.
    pub mailbox_id: Option<Uuid>,
    /// The email it is about.
    pub email_id: Option<Uuid>,
    /// What the text is made of.
    pub parameters: Value,
    /// How often it was raised.
    pub occurrences: i64,
    /// When first.
    pub first_at: DateTime<Utc>,
    /// When last.
    pub last_at: DateTime<Utc>,
    /// When it ended.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Whether the reader is asked to do something. Not so for a fault of a profile on the wall of a mailbox's owner.
    pub action_asked: bool,
}

/// Which alerts are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Of this severity.
    pub severity: Option<&'a str>,
    /// Of this scope.
    pub scope: Option<&'a str>,
    /// About this profile.
    pub profile: Option<ProfileId>,
    /// About this mailbox, or an item or email of it.
    pub mailbox: Option<MailboxId>,
    /// About this email.
    pub email: Option<EmailId>,
    /// Only open ones, or only resolved ones.
    pub open: Option<bool>,
    /// Only of levels that the organisation has not switched off.
    pub shown_levels: bool,
    /// On the wall of this user. None: all there are.
    pub reader: Option<UserId>,
}

/// Alerts in order of their first occurrence, after `after`, at most `limit`.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn list(tx: &mut Tx, filter: &Filter<'_>, after: Option<Uuid>, limit: i64) -> Result<Vec<Alert>> {
    let hung = match filter.reader {
        Some(reader) => Some(hung(tx, reader).await?),
        None => None,
    };
    let near: Option<Vec<Uuid>> = hung.as_ref().map(|hung| hung.keys().copied().collect());
    let mut alerts = sqlx::query_as!(
        Alert,
        "/* alerts::list */ SELECT id, code, severity, scope, profile_id, mailbox_id, email_id, parameters,
             occurrences, first_at, last_at, resolved_at, true AS \"action_asked!\"
         FROM alerts
         WHERE ($1::text IS NULL OR severity = $1) AND ($2::text IS NULL OR scope = $2)
           AND ($3::uuid IS NULL OR mailbox_id = $3) AND ($4::boolean IS NULL OR (resolved_at IS NULL) = $4)
           AND ($5::uuid IS NULL OR id > $5)
           AND ($7::uuid IS NULL OR profile_id = $7) AND ($8::uuid IS NULL OR email_id = $8)
           AND (NOT $9 OR severity IN (SELECT severity FROM shown_alert_levels))
           AND ($10::uuid[] IS NULL OR id = ANY($10))
         ORDER BY id LIMIT $6",
        filter.severity,
        filter.scope,
        filter.mailbox.map(|id| id.0),
        filter.open,
        after,
        limit,
        filter.profile.map(|id| id.0),
        filter.email.map(|id| id.0),
        filter.shown_levels,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?;
    for alert in &mut alerts {
        alert.action_asked = hung.as_ref().is_none_or(|hung| hung.get(&alert.id).copied().unwrap_or(true));
    }
    Ok(alerts)
}

/// What hangs on a user's wall, and whether the user is asked to do something about it.
async fn hung(tx: &mut Tx, reader: UserId) -> Result<HashMap<Uuid, bool>> {
    let kept: Vec<String> = FOR_PROFILE_OWNERS.iter().map(|&code| code.to_owned()).collect();
    let rows = sqlx::query!(
        "/* alerts::hung */ SELECT alert_id AS \"id!\", action_asked AS \"asked!\" FROM wall_of($1, $2)",
        reader.0,
        &kept,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.asked)).collect())
}

/// One alert, if it is shown to this reader; every one is to those who are no users.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: AlertId, reader: Option<UserId>) -> Result<Option<Alert>> {
    let hung = match reader {
        Some(reader) => Some(hung(tx, reader).await?),
        None => None,
    };
    let asked = match hung {
        Some(hung) => match hung.get(&id.0) {
            Some(asked) => *asked,
            None => return Ok(None),
        },
        None => true,
    };
    Ok(sqlx::query_as!(
        Alert,
        "/* alerts::get */ SELECT id, code, severity, scope, profile_id, mailbox_id, email_id, parameters, occurrences,
             first_at, last_at, resolved_at, $2::boolean AS \"action_asked!\"
         FROM alerts
         WHERE id = $1 AND ($3::boolean OR severity IN (SELECT severity FROM shown_alert_levels))",
        id.0,
        asked,
        reader.is_none(),
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// A person has seen the alert and wants it gone; should its cause last, it is raised again. A user takes it off the own
/// wall, where it hangs again as soon as it is raised again, and everybody else's stays as it is; anybody else closes
/// it. Ask [`get`] before whether it is the reader's. Returns whether there was anything to do.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn dismiss(tx: &mut Tx, id: AlertId, reader: Option<UserId>, actor: &str) -> Result<bool> {
    if take_down(tx, &[id.0], reader).await? == 0 {
        return Ok(false);
    }
    audit::note(tx, actor, "dismissed", "alert", Some(id.0), json!({})).await?;
    Ok(true)
}

/// What became of [`dismiss_all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dismissed {
    /// How many were taken down.
    pub count: u64,
    /// There are more than [`MOST`]: ask again.
    pub more: bool,
}

/// Like [`dismiss`], of every open alert a filter matches, [`MOST`] at a time.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn dismiss_all(tx: &mut Tx, filter: &Filter<'_>, actor: &str) -> Result<Dismissed> {
    let filter = Filter { open: Some(true), ..filter.clone() };
    let mut ids: Vec<Uuid> = list(tx, &filter, None, MOST + 1).await?.into_iter().map(|alert| alert.id).collect();
    let more = ids.len() > usize::try_from(MOST).unwrap_or(usize::MAX);
    ids.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
    let count = take_down(tx, &ids, filter.reader).await?;
    if count > 0 {
        let detail = json!({
            "count": count,
            "severity": filter.severity,
            "scope": filter.scope,
            "profile": filter.profile,
            "mailbox": filter.mailbox,
            "email": filter.email,
        });
        audit::note(tx, actor, "dismissed", "alert", None, detail).await?;
    }
    Ok(Dismissed { count, more })
}

async fn take_down(tx: &mut Tx, ids: &[Uuid], reader: Option<UserId>) -> Result<u64> {
    // In one order, as whoever else takes several down; an alert that is raised meanwhile has to wait or comes first.
    sqlx::query!("/* alerts::take_down */ SELECT id FROM alerts WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids)
        .fetch_all(tx.connection())
        .await?;
    let now = tx.now();
    let done =
        match reader {
            None => sqlx::query!(
                "/* alerts::take_down */ UPDATE alerts SET resolved_at = $2 WHERE id = ANY($1) AND resolved_at IS NULL",
                ids,
                now,
            )
            .execute(tx.connection())
            .await?,
            Some(reader) => {
                sqlx::query!(
                    "/* alerts::take_down */ INSERT INTO alert_dismissals (alert_id, user_id, occurrences)
                 SELECT id, $2, occurrences FROM alerts WHERE id = ANY($1)
                 ON CONFLICT (alert_id, user_id) DO UPDATE SET occurrences = EXCLUDED.occurrences
                 WHERE alert_dismissals.occurrences < EXCLUDED.occurrences",
                    ids,
                    reader.0,
                )
                .execute(tx.connection())
                .await?
            }
        };
    Ok(done.rows_affected())
}

/// How many open alerts of each level there are about a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Work has stopped until somebody acts.
    pub error: i64,
    /// Something may heal by itself.
    pub warning: i64,
    /// Good to know.
    pub information: i64,
}

/// The open alerts about these records, be they mailboxes, profiles or emails, by record: of the levels that are shown,
/// and for a user those on the own wall. Records without any are left out.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn counts(tx: &mut Tx, records: &[Uuid], reader: Option<UserId>) -> Result<HashMap<Uuid, Counts>> {
    let near: Option<Vec<Uuid>> = match reader {
        Some(reader) => Some(hung(tx, reader).await?.into_keys().collect()),
        None => None,
    };
    let rows = sqlx::query!(
        "/* alerts::counts */ SELECT r.id AS \"record!\", a.severity, count(*) AS \"count!\"
         FROM unnest($1::uuid[]) AS r(id)
         JOIN alerts a ON a.mailbox_id = r.id OR a.profile_id = r.id OR a.email_id = r.id
         WHERE a.resolved_at IS NULL AND a.severity IN (SELECT severity FROM shown_alert_levels)
           AND ($2::uuid[] IS NULL OR a.id = ANY($2))
         GROUP BY r.id, a.severity",
        records,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?;
    let mut counts: HashMap<Uuid, Counts> = HashMap::new();
    for row in rows {
        let of = counts.entry(row.record).or_default();
        match row.severity.as_str() {
            "error" => of.error = row.count,
            "warning" => of.warning = row.count,
            _ => of.information = row.count,
        }
    }
    Ok(counts)
}
