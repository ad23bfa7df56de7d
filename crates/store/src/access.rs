//! Who may come in: administrators with a password, and API keys. Only hashes are stored; hashing passwords is the
//! caller's work, because it takes long.

use aws_lc_rs::rand;
use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::id::{ApiKeyId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Error, Result, Tx, audit};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Administrator,
    /// Sees states, not the content of emails.
    Operator,
    /// A program that keeps records and emails.
    Service,
    /// One user of the organisation: what its security roles give, see [`crate::rights`].
    User,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = &[Self::Administrator, Self::Operator, Self::Service, Self::User];

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::Service => "service",
            Self::User => "user",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == word)
    }
}

/// What every key begins with, so that scanners recognise a leaked one.
pub const KEY_PREFIX: &str = "lsk_";
/// Random bytes in a key.
const KEY_RANDOM_BYTES: usize = 32;

/// An API key as it is listed. The key itself is shown once, when it is made, and not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Identity.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// `administrator`, `operator`, `service` or `user`.
    pub role: String,
    /// Whose key it is, when it is a user's.
    pub user_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Who a valid key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The key.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The user it stands for; there is one exactly when the role is [`Role::User`].
    pub user: Option<UserId>,
}

fn hash(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

fn new_key() -> Result<SecretString> {
    let mut random = [0_u8; KEY_RANDOM_BYTES];
    rand::fill(&mut random).map_err(|_| crate::vault::SealError::Failed)?;
    let mut key = String::with_capacity(KEY_PREFIX.len() + 2 * KEY_RANDOM_BYTES);
    key.push_str(KEY_PREFIX);
    for byte in random {
        use std::fmt::Write as _;
        let _ = write!(key, "{byte:02x}");
    }
    Ok(SecretString::from(key))
}

/// Makes a key of a role that belongs to no user, and returns it: the only time it can be seen. `None` as expiry means
/// it never expires.
///
/// # Errors
/// [`Error::Unavailable`], [`Error::Rule`] for [`Role::User`] (see [`create_user_key`]), or [`Error::Sealed`] when the
/// machine gives no randomness.
pub async fn create_api_key(
    tx: &mut Tx,
    name: &str,
    role: Role,
    expires_at: Option<DateTime<Utc>>,
    actor: &str,
) -> Result<(ApiKeyId, SecretString)> {
    insert_key(tx, name, role, None, expires_at, actor).await
}

/// Makes a key of a user and returns it: the only time it can be seen. It is refused while the user is inactive.
///
/// # Errors
/// [`Error::Unavailable`], [`Error::Reference`] when there is no such user, or [`Error::Sealed`] when the machine gives
/// no randomness.
pub async fn create_user_key(
    tx: &mut Tx,
    name: &str,
    user: UserId,
    expires_at: Option<DateTime<Utc>>,
    actor: &str,
) -> Result<(ApiKeyId, SecretString)> {
    insert_key(tx, name, Role::User, Some(user), expires_at, actor).await
}

async fn insert_key(
    tx: &mut Tx,
    name: &str,
    role: Role,
    user: Option<UserId>,
    expires_at: Option<DateTime<Utc>>,
    actor: &str,
) -> Result<(ApiKeyId, SecretString)> {
    let (id, key, now) = (ApiKeyId::new(), new_key()?, tx.now());
    let user = user.map(|user| user.0);
    sqlx::query!(
        "/* access::insert_key */ INSERT INTO api_keys (id, name, role, user_id, key_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id.0,
        name,
        role.as_str(),
        user,
        hash(key.expose_secret()),
        now,
        expires_at,
    )
    .execute(tx.connection())
    .await?;
    let mut detail = json!({ "name": name, "role": role.as_str() });
    if let (Some(user), Some(detail)) = (user, detail.as_object_mut()) {
        detail.insert("user_id".to_owned(), json!(user));
    }
    audit::note(tx, actor, "created", "api-key", Some(id.0), detail).await?;
    Ok((id, key))
}

/// Who this key belongs to, or `None` when it is unknown, expired or revoked, or that of an inactive user. The lookup is
/// by hash: how long it takes tells nothing about the key.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn key_holder(tx: &mut Tx, key: &str) -> Result<Option<KeyHolder>> {
    let now = tx.now();
    let row = sqlx::query!(
        "/* access::key_holder */ SELECT id, name, role, user_id FROM api_keys k
         WHERE key_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
             AND (user_id IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = k.user_id AND u.active))",
        hash(key),
        now,
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let role = Role::of(&row.role).ok_or_else(|| Error::unreadable("api_keys", "role", row.id, &row.role))?;
    Ok(Some(KeyHolder { id: ApiKeyId(row.id), name: row.name, role, user: row.user_id.map(UserId) }))
}

/// Keys in order of their making, after `after`, at most `limit`; revoked ones too.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list_api_keys(tx: &mut Tx, after: Option<Uuid>, limit: i64) -> Result<Vec<ApiKey>> {
    Ok(sqlx::query_as!(
        ApiKey,
        "/* access::list_api_keys */ SELECT id, name, role, user_id, created_at, expires_at, revoked_at
         FROM api_keys
         WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// One key.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get_api_key(tx: &mut Tx, id: ApiKeyId) -> Result<Option<ApiKey>> {
    Ok(sqlx::query_as!(
        ApiKey,
        "/* access::get_api_key */ SELECT id, name, role, user_id, created_at, expires_at, revoked_at
         FROM api_keys WHERE id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Revokes a key at once. Returns whether there was one to revoke.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn revoke_api_key(tx: &mut Tx, id: ApiKeyId, actor: &str) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* access::revoke_api_key */ UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        id.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    audit::note(tx, actor, "revoked", "api-key", Some(id.0), json!({})).await?;
    Ok(true)
}

/// Removes keys that expired more than thirty days ago, at most `limit`; returns how many.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn forget_expired(tx: &mut Tx, limit: i64) -> Result<u64> {
    let before = tx.now() - TimeDelta::days(30);
    let done = sqlx::query!(
        "/* access::forget_expired */ DELETE FROM api_keys
         WHERE id IN (SELECT id FROM api_keys WHERE expires_at < $1 LIMIT $2)",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Makes a local administrator, or gives an existing one another password. `password_hash` is a PHC string.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn create_administrator(tx: &mut Tx, name: &str, password_hash: &str, actor: &str) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* access::create_administrator */ INSERT INTO administrators (name, password_hash, created_at)
         VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET password_hash = EXCLUDED.password_hash",
        name,
        password_hash,
        now,
    )
    .execute(tx.connection())
    .await?;
    audit::note(tx, actor, "created", "administrator", None, json!({ "name": name })).await
}

/// The password hash of an administrator, or `None` when there is none of that name.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn password_hash(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        "/* access::password_hash */ SELECT password_hash FROM administrators WHERE name = $1",
        name,
    )
    .fetch_optional(tx.connection())
    .await?)
}
