//! Alerts: one open row for each state that needs attention; texts are rendered when read. Who is shown what: [`wall`].

pub mod wall;

use lockstep_model::{
    catalogue,
    id::{AlertId, EmailId, MailboxId, ProfileId, WebhookEndpointId},
    mailbox::Lane,
    remote::RemoteKey,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Tx};

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Work has stopped until somebody acts.
    Error,
    /// Something goes wrong and may heal by itself.
    Warning,
    /// Good to know.
    Information,
}

impl Severity {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

/// The part of a mailbox's work that an alert is about, and whose success ends it: that incoming email works says
/// nothing of outgoing email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reading email.
    Incoming,
    /// Sending email.
    Outgoing,
    /// Appointments, contacts and tasks.
    Act,
    /// What the server lists.
    Listing,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::Act => "act",
            Self::Listing => "listing",
        }
    }
}

impl From<Lane> for Part {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Incoming => Self::Incoming,
            Lane::Act => Self::Act,
        }
    }
}

/// What an alert is about. An open alert is one per code and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The organisation as a whole.
    Organisation,
    /// A server.
    Profile(ProfileId),
    /// A mailbox as a whole.
    Mailbox(MailboxId),
    /// One part of a mailbox's work.
    Part(MailboxId, Part),
    /// An item on the server that is no record.
    Item(MailboxId, &'a RemoteKey),
    /// An email of a mailbox.
    Email(EmailId, MailboxId),
    /// A place where another program is told of changes.
    WebhookEndpoint(WebhookEndpointId),
}

impl Subject<'_> {
    fn scope(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Profile(_) => "profile",
            Self::Mailbox(_) | Self::Part(..) => "mailbox",
            Self::Item(..) | Self::Email(..) => "item",
            Self::WebhookEndpoint(_) => "organisation",
        }
    }

    pub(crate) fn key(self, code: &str) -> String {
        match self {
            Self::Organisation => format!("{code}/organisation"),
            Self::Profile(id) => format!("{code}/profile/{id}"),
            Self::Mailbox(id) => format!("{code}/mailbox/{id}"),
            Self::Part(id, part) => format!("{code}/mailbox/{id}/{}", part.as_str()),
            Self::Item(id, key) => format!("{code}/item/{id}/{}", hex::encode(key.as_bytes())),
            Self::Email(id, _) => format!("{code}/email/{id}"),
            Self::WebhookEndpoint(id) => format!("{code}/webhook-endpoint/{id}"),
        }
    }

    fn ids(self) -> (Option<Uuid>, Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Organisation => (None, None, None),
            Self::Profile(id) => (Some(id.0), None, None),
            Self::Mailbox(id) | Self::Part(id, _) | Self::Item(id, _) => (None, Some(id.0), None),
            Self::Email(email, mailbox) => (None, Some(mailbox.0), Some(email.0)),
            Self::WebhookEndpoint(_) => (None, None, None),
        }
    }
}

/// Raises an alert, or counts one more occurrence of it when it is already open.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn raise(tx: &mut Tx, code: &str, severity: Severity, subject: Subject<'_>, parameters: Value) -> Result<()> {
    let (profile, mailbox, email) = subject.ids();
    debug_assert!(
        catalogue::find(code).is_none_or(|entry| entry
            .parameters()
            .all(|name| parameters.get(name).is_some_and(|value| !value.is_null()))),
        "{code} was raised without all that its text speaks of: {parameters}"
    );
    let now = tx.now();
    sqlx::query!(
        "/* alerts::raise */ INSERT INTO alerts
             (id, key, code, severity, scope, profile_id, mailbox_id, email_id, parameters, first_at, last_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
         ON CONFLICT (key) WHERE resolved_at IS NULL
         DO UPDATE SET occurrences = alerts.occurrences + 1, last_at = EXCLUDED.last_at,
             parameters = EXCLUDED.parameters, severity = EXCLUDED.severity",
        AlertId::new().0,
        subject.key(code),
        code,
        severity.as_str(),
        subject.scope(),
        profile,
        mailbox,
        email,
        parameters,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Resolves the open alert of this code and subject, if there is one. Returns whether there was.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn resolve(tx: &mut Tx, code: &str, subject: Subject<'_>) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* alerts::resolve */ UPDATE alerts SET resolved_at = $2 WHERE key = $1 AND resolved_at IS NULL",
        subject.key(code),
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether an alert of this code and subject is open.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn is_open(tx: &mut Tx, code: &str, subject: Subject<'_>) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "/* alerts::is_open */ SELECT EXISTS (SELECT FROM alerts WHERE key = $1 AND resolved_at IS NULL) AS \"open!\"",
        subject.key(code),
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Resolves every open alert about this part of a mailbox's work: it succeeds. Alerts about other parts, about the
/// mailbox as a whole and about its items stand.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn resolve_part(tx: &mut Tx, mailbox: MailboxId, part: Part) -> Result<u64> {
    resolve_part_but(tx, mailbox, part, None).await
}

/// As [`resolve_part`], but for the alert of one code: its cause is what was found now, and the others' are not.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn resolve_part_but(tx: &mut Tx, mailbox: MailboxId, part: Part, code: Option<&str>) -> Result<u64> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* alerts::resolve_part */ UPDATE alerts SET resolved_at = $3
         WHERE mailbox_id = $1 AND resolved_at IS NULL AND key = code || '/mailbox/' || $1::uuid || '/' || $2::text
           AND ($4::text IS NULL OR code <> $4)",
        mailbox.0,
        part.as_str(),
        now,
        code,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Resolves the open alerts of one code about these items.
pub(crate) async fn resolve_items<'k>(
    tx: &mut Tx,
    code: &str,
    mailbox: MailboxId,
    items: impl IntoIterator<Item = &'k RemoteKey>,
) -> Result<()> {
    let keys: Vec<_> = items.into_iter().map(|key| Subject::Item(mailbox, key).key(code)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "/* alerts::resolve_items */ UPDATE alerts SET resolved_at = $2 WHERE key = ANY($1) AND resolved_at IS NULL",
        &keys,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub use wall::{Alert, Filter, dismiss, get, list};
