//! Email server profiles, as administrators keep them.

use chrono::{DateTime, Utc};
use lockstep_model::id::{MailboxId, ProfileId};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    deliveries::health,
    feed::Change,
    lanes, mailboxes,
};

/// A profile as an administrator sees it: whether there is a password, never which.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRecord {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Protocol of the incoming server.
    pub incoming_protocol: String,
    /// Its host.
    pub incoming_host: String,
    /// Path of its endpoint, where it is not the usual one.
    pub incoming_path: Option<String>,
    /// Its port.
    pub incoming_port: i32,
    /// `implicit`, `start-tls` or `plain`.
    pub incoming_tls: String,
    /// `auto`, `login`, `plain`, `xoauth2`, `negotiate`, `ntlm` or `basic`.
    pub incoming_auth: String,
    /// Protocol of the outgoing server.
    pub outgoing_protocol: String,
    /// Its host.
    pub outgoing_host: String,
    /// Path of its endpoint, where it is not the usual one.
    pub outgoing_path: Option<String>,
    /// Its port.
    pub outgoing_port: i32,
    /// `implicit`, `start-tls` or `plain`.
    pub outgoing_tls: String,
    /// `auto`, `login`, `plain`, `xoauth2`, `negotiate`, `ntlm` or `basic`.
    pub outgoing_auth: String,
    /// The hosts are empty: the endpoint of each mailbox is asked of Autodiscover.
    pub use_autodiscover: bool,
    /// Where that is asked first.
    pub autodiscover_location: Option<String>,
    /// `profile`, `mailbox` or `server-to-server`.
    pub credentials: String,
    /// Tenant of the application that signs in, with credentials `server-to-server`.
    pub tenant_id: Option<String>,
    /// Where its tokens are issued, where that is not the tenant's usual place.
    pub token_endpoint: Option<String>,
    /// Its id.
    pub client_id: Option<String>,
    /// What its tokens are for.
    pub token_scope: Option<String>,
    /// Account name, with credentials of the profile.
    pub login: Option<String>,
    /// Whether a password, or the application's secret, is stored.
    pub password_set: bool,
    /// Connections at once to one account (1–65,536).
    pub max_connections: i32,
    /// Claimed occasions at one time (1–65,536).
    pub max_in_flight: i32,
    /// Longest wait for one answer (100–100,000 ms).
    pub request_timeout_ms: i32,
    /// Mailboxes are not polled closer than this (0–1,440 minutes).
    pub min_polling_minutes: i32,
    /// Mail received before is not processed.
    pub process_emails_from: Option<DateTime<Utc>>,
    /// Code page for content that names none.
    pub encoding_code_page: String,
    /// Mailboxes of inactive profiles are not processed.
    pub active: bool,
    /// New mailboxes get this profile.
    pub is_default: bool,
    /// Mailboxes send with the account they read with.
    pub same_settings_for_outgoing: bool,
    /// Account name all mailboxes send with, where that is another one.
    pub outgoing_login: Option<String>,
    /// Whether a password is stored for it.
    pub outgoing_password_set: bool,
    /// An email whose outcome was lost is sent again by itself.
    pub resend_unknown: bool,
    /// Mail that was given up is moved to a folder of its own.
    pub move_undeliverable: bool,
    /// Who answers for it.
    pub owner_user_id: Option<Uuid>,
    /// The owner is told by email when most mailboxes fail.
    pub send_alert_email: bool,
    /// What the last test of its servers came to.
    pub last_test: Option<Value>,
    /// When the server is tried again after failures of many mailboxes.
    pub breaker_open_until: Option<DateTime<Utc>>,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// The name under which a profile's password is sealed.
pub fn secret_identity(id: ProfileId) -> String {
    format!("email-server-profile/{id}")
}

/// What a write does with the stored password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretChange {
    /// It stays.
    Keep,
    /// It goes.
    Clear,
    /// It is replaced by this sealed one.
    Set(Vec<u8>),
}

impl SecretChange {
    /// For `CASE WHEN $keep THEN sealed_secret ELSE $sealed END`.
    pub(crate) fn parts(&self) -> (bool, Option<&[u8]>) {
        match self {
            Self::Keep => (true, None),
            Self::Clear => (false, None),
            Self::Set(sealed) => (false, Some(sealed)),
        }
    }
}

/// Makes a profile under `profile.id` (chosen by the caller, because the password is sealed for it); `fields` are those
/// it was given.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken, [`Error::Rule`] when a limit is out of range.
pub async fn create(
    tx: &mut Tx,
    profile: &ProfileRecord,
    secret: &SecretChange,
    fields: &[&str],
    actor: &str,
) -> Result<()> {
    if profile.is_default {
        clear_default(tx, profile.id, actor).await?;
    }
    let now = tx.now();
    let (_, sealed) = secret.parts();
    sqlx::query!(
        "/* profiles::create */ INSERT INTO email_server_profiles (id, name, description,
             incoming_protocol, incoming_host, incoming_port, incoming_tls, incoming_auth,
             outgoing_protocol, outgoing_host, outgoing_port, outgoing_tls, outgoing_auth,
             credentials, login, sealed_secret, max_connections, max_in_flight, request_timeout_ms,
             min_polling_minutes, process_emails_from, encoding_code_page, active, is_default, created_at, updated_at,
             use_autodiscover, autodiscover_location, incoming_path, outgoing_path, tenant_id, token_endpoint, client_id,
             token_scope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
             $23, $24, $25, $25, $26, $27, $28, $29, $30, $31, $32, $33)",
        profile.id,
        profile.name,
        profile.description,
        profile.incoming_protocol,
        profile.incoming_host,
        profile.incoming_port,
        profile.incoming_tls,
        profile.incoming_auth,
        profile.outgoing_protocol,
        profile.outgoing_host,
        profile.outgoing_port,
        profile.outgoing_tls,
        profile.outgoing_auth,
        profile.credentials,
        profile.login,
        sealed,
        profile.max_connections,
        profile.max_in_flight,
        profile.request_timeout_ms,
        profile.min_polling_minutes,
        profile.process_emails_from,
        profile.encoding_code_page,
        profile.active,
        profile.is_default,
        now,
        profile.use_autodiscover,
        profile.autodiscover_location,
        profile.incoming_path,
        profile.outgoing_path,
        profile.tenant_id,
        profile.token_endpoint,
        profile.client_id,
        profile.token_scope,
    )
    .execute(tx.connection())
    .await?;
    save_sending(tx, profile).await?;
    let written = Written { kind: "email-server-profile", id: profile.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await
}

/// Profiles in order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(tx: &mut Tx, after: Option<Uuid>, limit: i64) -> Result<Vec<ProfileRecord>> {
    select(tx, None, after, limit).await
}

/// One profile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: ProfileId) -> Result<Option<ProfileRecord>> {
    Ok(select(tx, Some(id.0), None, 1).await?.pop())
}

async fn select(tx: &mut Tx, id: Option<Uuid>, after: Option<Uuid>, limit: i64) -> Result<Vec<ProfileRecord>> {
    Ok(sqlx::query_as!(
        ProfileRecord,
        "/* profiles::select */ SELECT id, name, description,
             incoming_protocol, incoming_host, incoming_port, incoming_tls, incoming_auth,
             outgoing_protocol, outgoing_host, outgoing_port, outgoing_tls, outgoing_auth,
             credentials, login, sealed_secret IS NOT NULL AS \"password_set!\", max_connections, max_in_flight,
             request_timeout_ms, min_polling_minutes, process_emails_from, encoding_code_page, active, is_default,
             use_autodiscover, autodiscover_location, incoming_path, outgoing_path, tenant_id, token_endpoint, client_id,
             token_scope, same_settings_for_outgoing, outgoing_login, sealed_outgoing_secret IS NOT NULL AS \"outgoing_password_set!\",
             resend_unknown, move_undeliverable, owner_user_id, send_alert_email, last_test,
             breaker_open_until, version, created_at, updated_at
         FROM email_server_profiles
         WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        id,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The profile that new mailboxes get.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn default(tx: &mut Tx) -> Result<Option<ProfileId>> {
    let found = sqlx::query_scalar!("/* profiles::default */ SELECT id FROM email_server_profiles WHERE is_default")
        .fetch_optional(tx.connection())
        .await?;
    Ok(found.map(ProfileId))
}

/// Like [`get`], locked until the transaction ends. The default profile is locked with it, in id order, because a write
/// may take its place. Mailboxes may refer to the profile meanwhile, so that writing one of them waits for nothing.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: ProfileId, expected: Option<i64>) -> Result<Option<ProfileRecord>> {
    sqlx::query!(
        "/* profiles::lock */ SELECT id FROM email_server_profiles WHERE id = $1 OR is_default ORDER BY id
         FOR NO KEY UPDATE",
        id.0,
    )
    .fetch_all(tx.connection())
    .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|p| p.version))?;
    Ok(found)
}

/// Writes a profile that was locked; `fields` are the changed ones. Its mailboxes' lanes are realigned, so that
/// whoever is at work with the old settings is fenced. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the name, or a login on the new server, is taken; [`Error::Rule`] when a limit is out of
/// range.
pub async fn save(
    tx: &mut Tx,
    profile: &ProfileRecord,
    secret: &SecretChange,
    fields: &[&str],
    actor: &str,
) -> Result<i64> {
    if profile.is_default {
        clear_default(tx, profile.id, actor).await?;
    }
    let now = tx.now();
    let (keep, sealed) = secret.parts();
    let version = sqlx::query_scalar!(
        "/* profiles::save */ UPDATE email_server_profiles SET name = $2, description = $3,
             incoming_protocol = $4, incoming_host = $5, incoming_port = $6, incoming_tls = $7, incoming_auth = $8,
             outgoing_protocol = $9, outgoing_host = $10, outgoing_port = $11, outgoing_tls = $12, outgoing_auth = $13,
             credentials = $14, login = $15, sealed_secret = CASE WHEN $16 THEN sealed_secret ELSE $17 END,
             max_connections = $18, max_in_flight = $19, request_timeout_ms = $20, min_polling_minutes = $21,
             process_emails_from = $22, encoding_code_page = $23, active = $24, is_default = $25,
             breaker_failures = 0, breaker_step = 0, breaker_open_until = NULL,
             use_autodiscover = $27, autodiscover_location = $28, incoming_path = $29, outgoing_path = $30,
             tenant_id = $31, token_endpoint = $32, client_id = $33, token_scope = $34,
             version = version + 1, updated_at = $26
         WHERE id = $1 RETURNING version",
        profile.id,
        profile.name,
        profile.description,
        profile.incoming_protocol,
        profile.incoming_host,
        profile.incoming_port,
        profile.incoming_tls,
        profile.incoming_auth,
        profile.outgoing_protocol,
        profile.outgoing_host,
        profile.outgoing_port,
        profile.outgoing_tls,
        profile.outgoing_auth,
        profile.credentials,
        profile.login,
        keep,
        sealed,
        profile.max_connections,
        profile.max_in_flight,
        profile.request_timeout_ms,
        profile.min_polling_minutes,
        profile.process_emails_from,
        profile.encoding_code_page,
        profile.active,
        profile.is_default,
        now,
        profile.use_autodiscover,
        profile.autodiscover_location,
        profile.incoming_path,
        profile.outgoing_path,
        profile.tenant_id,
        profile.token_endpoint,
        profile.client_id,
        profile.token_scope,
    )
    .fetch_one(tx.connection())
    .await?;
    save_sending(tx, profile).await?;
    let written = Written { kind: "email-server-profile", id: profile.id, change: Change::Updated, fields, version };
    audit::record(tx, actor, written).await?;
    if fields.iter().any(|field| !CONCERNS_NO_RUN.contains(field)) {
        let used_by = sqlx::query_scalar!(
            "/* profiles::save */ SELECT id FROM mailboxes WHERE profile_id = $1 ORDER BY id FOR UPDATE",
            profile.id,
        )
        .fetch_all(tx.connection())
        .await?;
        mailboxes::write_login_keys(tx, &used_by).await?;
        health::probe_now(tx, ProfileId(profile.id)).await?;
        lanes::realign(tx, &used_by.into_iter().map(MailboxId).collect::<Vec<_>>()).await?;
    }
    Ok(version)
}

/// Fields a run never reads: changing one of them disturbs nobody.
const CONCERNS_NO_RUN: &[&str] =
    &["name", "description", "is_default", "owner_user_id", "send_alert_email", "resend_unknown"];

/// The part about sending, about what is given up, and about who is told.
async fn save_sending(tx: &mut Tx, profile: &ProfileRecord) -> Result<()> {
    sqlx::query!(
        "/* profiles::save_sending */ UPDATE email_server_profiles SET same_settings_for_outgoing = $2,
             outgoing_login = $3, resend_unknown = $4, owner_user_id = $5, send_alert_email = $6,
             move_undeliverable = $7
         WHERE id = $1",
        profile.id,
        profile.same_settings_for_outgoing,
        profile.outgoing_login,
        profile.resend_unknown,
        profile.owner_user_id,
        profile.send_alert_email,
        profile.move_undeliverable,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes the password a profile's mailboxes send with; its record is written in the same transaction.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn set_outgoing_secret(tx: &mut Tx, id: ProfileId, secret: &SecretChange) -> Result<()> {
    let (keep, sealed) = secret.parts();
    sqlx::query!(
        "/* profiles::set_outgoing_secret */ UPDATE email_server_profiles
         SET sealed_outgoing_secret = CASE WHEN $2 THEN sealed_outgoing_secret ELSE $3 END WHERE id = $1",
        id.0,
        keep,
        sealed,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes what a test of its servers came to. It changes nothing for anybody at work, so no version is raised.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn note_test(tx: &mut Tx, id: ProfileId, result: &Value) -> Result<()> {
    sqlx::query!(
        "/* profiles::note_test */ UPDATE email_server_profiles SET last_test = $2 WHERE id = $1",
        id.0,
        result
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the default flag from the profile that has it, unless that is `id`.
async fn clear_default(tx: &mut Tx, id: Uuid, actor: &str) -> Result<()> {
    let now = tx.now();
    let before = sqlx::query!(
        "/* profiles::clear_default */ UPDATE email_server_profiles
         SET is_default = false, version = version + 1, updated_at = $2
         WHERE is_default AND id <> $1 RETURNING id, version",
        id,
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(before) = before else { return Ok(()) };
    let written = Written {
        kind: "email-server-profile",
        id: before.id,
        change: Change::Updated,
        fields: &["is_default"],
        version: before.version,
    };
    audit::record(tx, actor, written).await
}

/// The address of a mailbox that uses a profile: the first active one. A test of the profile may need somebody to ask for.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn example_address(tx: &mut Tx, id: ProfileId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        "/* profiles::example_address */ SELECT address FROM mailboxes WHERE profile_id = $1 AND active AND address <> ''
         ORDER BY id LIMIT 1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// How many mailboxes use a profile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn count_mailboxes(tx: &mut Tx, id: ProfileId) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "/* profiles::count_mailboxes */ SELECT count(*) AS \"count!\" FROM mailboxes WHERE profile_id = $1",
        id.0,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Removes a profile that was locked.
///
/// # Errors
/// [`Error::Reference`] while mailboxes use it.
pub async fn delete(tx: &mut Tx, profile: &ProfileRecord, actor: &str) -> Result<()> {
    sqlx::query!("/* profiles::delete */ DELETE FROM email_server_profiles WHERE id = $1", profile.id)
        .execute(tx.connection())
        .await?;
    let written = Written {
        kind: "email-server-profile",
        id: profile.id,
        change: Change::Deleted,
        fields: &[],
        version: profile.version + 1,
    };
    audit::record(tx, actor, written).await
}
