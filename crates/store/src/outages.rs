//! Profiles most of whose mailboxes fail, and the email by which their owners hear of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_model::{
    address::AddressKey,
    email::PartyRole,
    id::{EmailId, MailboxId, ProfileId, QueueId, UserId},
    mailbox::Owner,
};

use crate::{
    Result, Tx,
    emails::{
        self,
        drafts::{self, Answered, Draft, Recipient},
        sending::{self, Heading},
    },
};

/// Who the installation's own emails are from, in the audit.
const ACTOR: &str = "lockstep";

/// A profile in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileHealth {
    /// The profile.
    pub profile: ProfileId,
    /// Its name.
    pub name: String,
    /// Its mailboxes that are to be read.
    pub active: u64,
    /// Of these, those that have failed within the window asked for, and not succeeded since.
    pub failed: u64,
    /// Of these, those that fail, since whenever.
    pub failing: u64,
    /// The words of the last failure.
    pub last_message: Option<String>,
    /// Whether an alert of the code asked for is open about it.
    pub alerted: bool,
    /// Who is to be told by email: the owner's address.
    pub tell: Option<(UserId, String)>,
    /// When the owner was told.
    pub told_at: Option<DateTime<Utc>>,
}

/// Every active profile that has mailboxes or an open alert.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn profiles(tx: &mut Tx, code: &str, window: Duration) -> Result<Vec<ProfileHealth>> {
    let since = tx.now() - window;
    let rows = sqlx::query!(
        "/* outages::profiles */ WITH health AS (
             SELECT s.profile_id, m.id,
                 bool_or(s.fault_at > $1) AS failed, bool_or(s.fault_at IS NOT NULL) AS failing,
                 (array_agg(s.fault_message ORDER BY s.fault_at DESC NULLS LAST))[1] AS message,
                 max(s.fault_at) AS fault_at
             FROM lane_schedules s JOIN mailboxes m ON m.id = s.mailbox_id
             WHERE m.active AND (s.enabled OR s.disabled_code IS NOT NULL)
             GROUP BY s.profile_id, m.id)
         SELECT p.id, p.name, count(h.id) AS \"active!\", count(*) FILTER (WHERE h.failed) AS \"failed!\",
             count(*) FILTER (WHERE h.failing) AS \"failing!\",
             (array_agg(h.message ORDER BY h.fault_at DESC NULLS LAST))[1] AS message,
             EXISTS (SELECT FROM alerts a WHERE a.resolved_at IS NULL AND a.key = $2 || '/profile/' || p.id)
                 AS \"alerted!\",
             CASE WHEN p.send_alert_email AND u.active THEN u.id END AS tell, u.address AS \"address?\",
             p.outage_told_at
         FROM email_server_profiles p
         LEFT JOIN health h ON h.profile_id = p.id
         LEFT JOIN users u ON u.id = p.owner_user_id
         WHERE p.active
         GROUP BY p.id, u.id ORDER BY p.id",
        since,
        code,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = rows.into_iter().map(|row| ProfileHealth {
        profile: ProfileId(row.id),
        name: row.name,
        active: row.active.unsigned_abs(),
        failed: row.failed.unsigned_abs(),
        failing: row.failing.unsigned_abs(),
        last_message: row.message,
        alerted: row.alerted,
        tell: row.tell.map(UserId).zip(row.address),
        told_at: row.outage_told_at,
    });
    Ok(found.collect())
}

/// The mailbox that can tell a user: that of the organisation's notification queue, else the user's own; of these the
/// first that may send and does not fail itself.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn messenger(tx: &mut Tx, user: UserId) -> Result<Option<(MailboxId, Owner)>> {
    let row = sqlx::query!(
        "/* outages::messenger */ SELECT m.id, m.owner_user_id, m.owner_queue_id
         FROM mailboxes m
         JOIN email_server_profiles p ON p.id = m.profile_id
         CROSS JOIN organisations o
         WHERE (m.owner_queue_id = o.notification_queue_id OR m.owner_user_id = $1)
           AND m.active AND p.active AND m.outgoing_method = 'server-side' AND m.outgoing_enabled
           AND (m.address_status = 'approved' OR (m.address_status = 'pending'
                AND CASE WHEN m.owner_user_id IS NOT NULL THEN NOT o.approve_users ELSE NOT o.approve_queues END))
           AND NOT EXISTS (SELECT FROM lane_schedules s WHERE s.mailbox_id = m.id AND s.fault_at IS NOT NULL)
         ORDER BY m.owner_queue_id IS NULL LIMIT 1",
        user.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.and_then(|row| {
        let owner = row.owner_user_id.map(|id| Owner::User(UserId(id)));
        let owner = owner.or(row.owner_queue_id.map(|id| Owner::Queue(QueueId(id))))?;
        Some((MailboxId(row.id), owner))
    }))
}

/// Notes that the owner of a profile is told now. `false`: somebody else has told them already.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn begin_telling(tx: &mut Tx, profile: ProfileId) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* outages::begin_telling */ UPDATE email_server_profiles SET outage_told_at = $2
         WHERE id = $1 AND outage_told_at IS NULL",
        profile.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Most of its mailboxes work again; the next outage is told anew.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn forget_telling(tx: &mut Tx, profile: ProfileId) -> Result<()> {
    sqlx::query!(
        "/* outages::forget_telling */ UPDATE email_server_profiles SET outage_told_at = NULL WHERE id = $1",
        profile.0,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// An email that the installation writes by itself, in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Whom it goes to.
    pub address: &'a str,
    /// Subject.
    pub subject: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Puts a notice into Pending Send, from this mailbox, marked as written by a machine (RFC 3834). `None` when the
/// mailbox has gone, or an address is none.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn send_notice(
    tx: &mut Tx,
    (mailbox, owner): (MailboxId, Owner),
    notice: &Notice<'_>,
) -> Result<Option<EmailId>> {
    let Some(sender) = drafts::sender(tx, owner).await? else { return Ok(None) };
    let (Some(to), Some(from)) = (AddressKey::of(notice.address), AddressKey::of(sender.address())) else {
        return Ok(None);
    };
    let recipient = Recipient {
        role: PartyRole::To,
        name: String::new(),
        address: notice.address.to_owned(),
        address_key: Some(to.as_str().to_owned()),
    };
    let draft = Draft {
        origin: None,
        sender,
        acting: None,
        answered: Answered::default(),
        recipients: vec![recipient],
        regarding: None,
        subject: notice.subject.to_owned(),
        body_text: Some(notice.text.to_owned()),
        body_html: None,
    };
    let id = drafts::create(tx, &draft, &[], &["from", "to", "subject", "body_text"], ACTOR).await?;
    sqlx::query!("/* outages::send_notice */ UPDATE emails SET auto_submitted = true WHERE id = $1", id.0)
        .execute(tx.connection())
        .await?;
    let Some(email) = emails::get(tx, id).await? else { return Ok(None) };
    let heading = Heading { sender_domain: from.domain(), subject: notice.subject, token: None, sender: None };
    sending::request(tx, &email, mailbox, &heading, &[notice.address.to_owned()], ACTOR).await?;
    Ok(Some(id))
}
