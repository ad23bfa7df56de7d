//! Mailbox records, as administrators keep them; how their lanes stand is in [`status`].

pub mod status;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, ProfileId, QueueId, UserId},
    mailbox::Owner,
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
    forwarding, lanes, mailbox_tests,
    profiles::SecretChange,
    queues, users,
};

/// A mailbox as an administrator sees it: whether there is a password, never which.
#[derive(Clone, Debug, PartialEq)]
pub struct MailboxRecord {
    /// Identity.
    pub id: Uuid,
    /// The owner's name; a forward mailbox has its own.
    pub name: String,
    /// How its server is reached.
    pub profile_id: Option<Uuid>,
    /// The user whose it is, or
    pub owner_user_id: Option<Uuid>,
    /// the queue whose it is.
    pub owner_queue_id: Option<Uuid>,
    /// Nobody's own: what is read here is treated as received by whoever forwarded it.
    pub is_forward_mailbox: bool,
    /// Address as written; the owner's.
    pub address: String,
    /// Its key.
    pub address_key: String,
    /// `empty`, `approved`, `pending` or `rejected`.
    pub address_status: String,
    /// Who approved the address.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<DateTime<Utc>>,
    /// `none`, `server-side` or `forward-mailbox`.
    pub incoming_method: String,
    /// `none` or `server-side`.
    pub outgoing_method: String,
    /// `none` or `server-side`.
    pub act_method: String,
    /// Its own account may be used.
    pub allow_credentials: bool,
    /// Name of its own account.
    pub login: Option<String>,
    /// Whether a password is stored.
    pub password_set: bool,
    /// `not-run`, `success` or `failure`.
    pub incoming_test: String,
    /// `not-run`, `success` or `failure`.
    pub outgoing_test: String,
    /// Tested and enabled.
    pub incoming_enabled: bool,
    /// Tested and enabled.
    pub outgoing_enabled: bool,
    /// Result of the last test of appointments, contacts and tasks: `not-run`, `success` or `failure`.
    pub act_test: String,
    /// They were tested and enabled.
    pub act_enabled: bool,
    /// When they were last tested.
    pub act_tested_at: Option<DateTime<Utc>>,
    /// Who asked for a test last, whatever became of it.
    pub test_attempted_by: Option<String>,
    /// When.
    pub test_attempted_at: Option<DateTime<Utc>>,
    /// Who asked for the last test that came to a result.
    pub tested_by: Option<String>,
    /// When it ended.
    pub tested_at: Option<DateTime<Utc>>,
    /// When reading was last tested.
    pub incoming_tested_at: Option<DateTime<Utc>>,
    /// When sending was last tested.
    pub outgoing_tested_at: Option<DateTime<Utc>>,
    /// Who asked for the last test by which a direction was enabled.
    pub enabled_by: Option<String>,
    /// When that was.
    pub enabled_at: Option<DateTime<Utc>>,
    /// Mail received before is not processed.
    pub process_email_from: Option<DateTime<Utc>>,
    /// Processed messages are deleted on the server.
    pub delete_after_processing: bool,
    /// 0: as usual; 1 to 100: workers log its runs in detail.
    pub verbose_logging: i16,
    /// Inactive mailboxes are not processed.
    pub active: bool,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

impl MailboxRecord {
    /// Whose it is.
    pub fn owner(&self) -> Option<Owner> {
        let user = self.owner_user_id.map(|id| Owner::User(UserId(id)));
        user.or_else(|| self.owner_queue_id.map(|id| Owner::Queue(QueueId(id))))
    }
}

/// The name under which a mailbox's password is sealed.
pub fn secret_identity(id: MailboxId) -> String {
    format!("mailbox/{id}")
}

/// What a mailbox takes from its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    name: &'a str,
    address: &'a str,
    address_key: &'a str,
    active: bool,
}

impl<'a> Held<'a> {
    pub(crate) fn of(name: &'a str, address: &'a str, address_key: &'a str, active: bool) -> Self {
        Self { name, address, address_key, active }
    }
}

/// Makes the mailbox of a new user or queue, with the default profile and the organisation's methods.
pub(crate) async fn create_for(tx: &mut Tx, owner: Owner, held: Held<'_>, actor: &str) -> Result<()> {
    let (id, now) = (MailboxId::new(), tx.now());
    let (user, queue) = match owner {
        Owner::User(id) => (Some(id.0), None),
        Owner::Queue(id) => (None, Some(id.0)),
    };
    let has_profile = sqlx::query_scalar!(
        "/* mailboxes::create_for */ INSERT INTO mailboxes (id, name, profile_id, owner_user_id, owner_queue_id,
             address, address_key, incoming_method, outgoing_method, active, created_at, updated_at)
         SELECT $1, $2, (SELECT id FROM email_server_profiles WHERE is_default), $3, $4, $5, $6,
             COALESCE((SELECT default_incoming FROM organisations), 'server-side'),
             COALESCE((SELECT default_outgoing FROM organisations), 'server-side'), $7, $8, $8
         RETURNING profile_id IS NOT NULL AS \"has_profile!\"",
        id.0,
        held.name,
        user,
        queue,
        held.address,
        held.address_key,
        held.active,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let fields = ["name", "address", "active", "incoming_method", "outgoing_method", "profile_id"];
    let fields = if has_profile { &fields[..] } else { &fields[..5] };
    let written = Written { kind: "mailbox", id: id.0, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    forwards_now(tx, id, actor).await?;
    lanes::realign(tx, &[id]).await
}

/// What waits in forward mailboxes may be this one's by now.
async fn forwards_now(tx: &mut Tx, id: MailboxId, actor: &str) -> Result<()> {
    let method =
        sqlx::query_scalar!("/* mailboxes::forwards_now */ SELECT incoming_method FROM mailboxes WHERE id = $1", id.0,)
            .fetch_optional(tx.connection())
            .await?;
    if method.as_deref() == Some("forward-mailbox") { forwarding::changed(tx, id, actor).await } else { Ok(()) }
}

/// Makes a forward mailbox. It reads as soon as it is approved, tested and enabled.
///
/// # Errors
/// [`Error::Conflict`] when the address or the account is another mailbox's, [`Error::Reference`] when the profile is
/// unknown.
pub async fn create_forward(
    tx: &mut Tx,
    new: &MailboxRecord,
    secret: &SecretChange,
    fields: &[&str],
    actor: &str,
) -> Result<()> {
    let now = tx.now();
    let (_, sealed) = secret.parts();
    sqlx::query!(
        "/* mailboxes::create_forward */ INSERT INTO mailboxes (id, name, is_forward_mailbox, profile_id, address,
             address_key, incoming_method, outgoing_method, allow_credentials, login, sealed_secret,
             process_email_from, delete_after_processing, active, created_at, updated_at)
         VALUES ($1, $2, true, $3, $4, $5, $6, 'none', $7, $8, $9, $10, $11, $12, $13, $13)",
        new.id,
        new.name,
        new.profile_id,
        new.address,
        new.address_key,
        new.incoming_method,
        new.allow_credentials,
        new.login,
        sealed,
        new.process_email_from,
        new.delete_after_processing,
        new.active,
        now,
    )
    .execute(tx.connection())
    .await?;
    write_login_keys(tx, &[new.id]).await?;
    let written = Written { kind: "mailbox", id: new.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    lanes::realign(tx, &[MailboxId(new.id)]).await
}

/// Removes a forward mailbox that was locked, with what is known of its items. The records stay.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn delete_forward(tx: &mut Tx, mailbox: &MailboxRecord, actor: &str) -> Result<()> {
    sqlx::query!(
        "/* mailboxes::delete_forward */ DELETE FROM mailboxes WHERE id = $1 AND is_forward_mailbox",
        mailbox.id
    )
    .execute(tx.connection())
    .await?;
    let written =
        Written { kind: "mailbox", id: mailbox.id, change: Change::Deleted, fields: &[], version: mailbox.version + 1 };
    audit::record(tx, actor, written).await
}

/// The mailbox follows its owner's name, address and state.
pub(crate) async fn follow(tx: &mut Tx, owner: Owner, held: Held<'_>, fields: &[&str], actor: &str) -> Result<()> {
    let fields: Vec<&str> =
        fields.iter().copied().filter(|field| matches!(*field, "name" | "address" | "active")).collect();
    if fields.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let row = sqlx::query!(
        "/* mailboxes::follow */ UPDATE mailboxes SET name = $2, address = $3, address_key = $4, active =
             CASE WHEN $5 THEN $6 ELSE active END,
             address_status = CASE WHEN address_key = $4 THEN address_status ELSE 'pending' END,
             approved_by = CASE WHEN address_key = $4 THEN approved_by END,
             approved_at = CASE WHEN address_key = $4 THEN approved_at END,
             version = version + 1, updated_at = $7
         WHERE $1 IN (owner_user_id, owner_queue_id) RETURNING id, version",
        owner.uuid(),
        held.name,
        held.address,
        held.address_key,
        fields.contains(&"active"),
        held.active,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let written =
        Written { kind: "mailbox", id: row.id, change: Change::Updated, fields: &fields, version: row.version };
    audit::record(tx, actor, written).await?;
    if fields == ["name"] {
        return Ok(());
    }
    forwards_now(tx, MailboxId(row.id), actor).await?;
    lanes::realign(tx, &[MailboxId(row.id)]).await
}

/// Which mailboxes to list.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// With this id.
    pub id: Option<MailboxId>,
    /// Of this profile.
    pub profile: Option<ProfileId>,
    /// Of this user or queue.
    pub owner: Option<Uuid>,
    /// Whose address key contains this, in lower case.
    pub address: Option<&'a str>,
    /// In this state ([`status`]'s words).
    pub state: Option<&'a str>,
    /// Only forward mailboxes, or only others.
    pub forward: Option<bool>,
    /// From which nothing was read at this instant or later.
    pub idle_since: Option<DateTime<Utc>>,
    /// That this user may read.
    pub reader: Option<UserId>,
}

/// One mailbox.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: MailboxId) -> Result<Option<MailboxRecord>> {
    Ok(sqlx::query_as!(
        MailboxRecord,
        "/* mailboxes::get */ SELECT id, name, profile_id, owner_user_id, owner_queue_id, is_forward_mailbox, address,
             address_key, address_status, approved_by, approved_at, incoming_method, outgoing_method, act_method, allow_credentials,
             login, sealed_secret IS NOT NULL AS \"password_set!\", incoming_test, outgoing_test, incoming_enabled,
             outgoing_enabled, act_test, act_enabled, act_tested_at, test_attempted_by, test_attempted_at, tested_by, tested_at, incoming_tested_at,
             outgoing_tested_at, enabled_by, enabled_at, process_email_from, delete_after_processing, verbose_logging, active,
             version, created_at,
             updated_at
         FROM mailboxes WHERE id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// A mailbox whose address waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaiting {
    /// Id.
    pub id: Uuid,
    /// The owner's name.
    pub name: String,
    /// The address to decide on.
    pub address: String,
    /// `pending`.
    pub address_status: String,
    /// Version of the mailbox.
    pub version: i64,
}

/// Mailboxes whose address waits for an approval that the organisation asks for, in order of their making, after
/// `after`, at most `limit`.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn awaiting_approval(tx: &mut Tx, after: Option<Uuid>, limit: i64) -> Result<Vec<Awaiting>> {
    Ok(sqlx::query_as!(
        Awaiting,
        "/* mailboxes::awaiting_approval */ SELECT m.id, m.name, m.address, m.address_status, m.version
         FROM mailboxes m LEFT JOIN organisations o ON true
         WHERE m.address_status = 'pending' AND ($1::uuid IS NULL OR m.id > $1)
             AND CASE WHEN m.owner_user_id IS NOT NULL THEN COALESCE(o.approve_users, true)
                      WHEN m.owner_queue_id IS NOT NULL THEN COALESCE(o.approve_queues, true)
                      ELSE COALESCE(o.approve_users OR o.approve_queues, true) END
         ORDER BY m.id LIMIT $2",
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends; its owner is locked first, because an owner's write reaches its
/// mailbox.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: MailboxId, expected: Option<i64>) -> Result<Option<MailboxRecord>> {
    sqlx::query!(
        "/* mailboxes::lock */ SELECT u.id FROM users u JOIN mailboxes m ON m.owner_user_id = u.id
         WHERE m.id = $1 FOR UPDATE OF u",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    sqlx::query!(
        "/* mailboxes::lock */ SELECT q.id FROM queues q JOIN mailboxes m ON m.owner_queue_id = q.id
         WHERE m.id = $1 FOR UPDATE OF q",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?;
    sqlx::query!("/* mailboxes::lock */ SELECT id FROM mailboxes WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|m| m.version))?;
    Ok(found)
}

/// Writes a mailbox that was locked; `fields` are the changed ones. Another server or account puts its tests back to
/// not run and disables it until it is tested again; another address returns it to waiting for approval and is
/// written to its owner too. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the address or the account is another mailbox's, [`Error::Reference`] when the profile is
/// unknown.
pub async fn save(
    tx: &mut Tx,
    mailbox: &MailboxRecord,
    secret: &SecretChange,
    fields: &[&str],
    actor: &str,
) -> Result<i64> {
    let retest = fields.iter().any(|f| matches!(*f, "profile_id" | "login" | "password" | "allow_credentials"));
    let now = tx.now();
    let (keep, sealed) = secret.parts();
    let profile =
        sqlx::query_scalar!("/* mailboxes::save */ SELECT profile_id FROM mailboxes WHERE id = $1", mailbox.id)
            .fetch_one(tx.connection())
            .await?;
    let version = sqlx::query_scalar!(
        "/* mailboxes::save */ UPDATE mailboxes SET profile_id = $2, address = $3,
             address_status = CASE WHEN address_key = $4 THEN $5 ELSE 'pending' END,
             approved_by = CASE WHEN address_key = $4 THEN $6 END,
             approved_at = CASE WHEN address_key = $4 THEN $7::timestamptz END,
             address_key = $4,
             incoming_method = $8, outgoing_method = $9, act_method = $10, allow_credentials = $11, login = $12,
             sealed_secret = CASE WHEN $13 THEN sealed_secret ELSE $14 END,
             incoming_test = CASE WHEN $15 THEN 'not-run' ELSE incoming_test END,
             outgoing_test = CASE WHEN $15 THEN 'not-run' ELSE outgoing_test END,
             act_test = CASE WHEN $15 THEN 'not-run' ELSE act_test END, act_enabled = act_enabled AND NOT $15,
             incoming_enabled = incoming_enabled AND NOT $15, outgoing_enabled = outgoing_enabled AND NOT $15,
             process_email_from = $16, delete_after_processing = $17, active = $18, name = $20,
             verbose_logging = $21, version = version + 1, updated_at = $19
         WHERE id = $1 RETURNING version",
        mailbox.id,
        mailbox.profile_id,
        mailbox.address,
        mailbox.address_key,
        mailbox.address_status,
        mailbox.approved_by,
        mailbox.approved_at,
        mailbox.incoming_method,
        mailbox.outgoing_method,
        mailbox.act_method,
        mailbox.allow_credentials,
        mailbox.login,
        keep,
        sealed,
        retest,
        mailbox.process_email_from,
        mailbox.delete_after_processing,
        mailbox.active,
        now,
        mailbox.name,
        mailbox.verbose_logging,
    )
    .fetch_one(tx.connection())
    .await?;
    write_login_keys(tx, &[mailbox.id]).await?;
    if retest || !mailbox.active {
        mailbox_tests::forget(tx, MailboxId(mailbox.id), profile.map(ProfileId)).await?;
    }
    let written = Written { kind: "mailbox", id: mailbox.id, change: Change::Updated, fields, version };
    audit::record(tx, actor, written).await?;
    if fields.contains(&"address") {
        write_owner_address(tx, mailbox, actor).await?;
    }
    if fields.iter().any(|field| matches!(*field, "incoming_method" | "active" | "address")) {
        forwards_now(tx, MailboxId(mailbox.id), actor).await?;
    }
    // How much is logged concerns nobody who is at work.
    if fields != ["verbose_logging"] {
        lanes::realign(tx, &[MailboxId(mailbox.id)]).await?;
    }
    Ok(version)
}

async fn write_owner_address(tx: &mut Tx, mailbox: &MailboxRecord, actor: &str) -> Result<()> {
    let (address, key) = (mailbox.address.clone(), mailbox.address_key.clone());
    match mailbox.owner() {
        Some(Owner::User(id)) => {
            if let Some(user) = users::get(tx, id).await? {
                users::write(tx, &users::User { address, address_key: key, ..user }, &["address"], actor).await?;
            }
        }
        Some(Owner::Queue(id)) => {
            if let Some(queue) = queues::get(tx, id).await? {
                queues::write(tx, &queues::Queue { address, address_key: key, ..queue }, &["address"], actor).await?;
            }
        }
        None => {}
    }
    Ok(())
}

/// Approves or rejects the address of a mailbox that was locked. Rejecting clears who approved it and when. Returns
/// the new version.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn decide(tx: &mut Tx, mailbox: &MailboxRecord, approved: bool, actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* mailboxes::decide */ UPDATE mailboxes SET
             address_status = CASE WHEN $2 THEN 'approved' ELSE 'rejected' END,
             approved_by = CASE WHEN $2 THEN $3 END, approved_at = CASE WHEN $2 THEN $4::timestamptz END,
             version = version + 1, updated_at = $4
         WHERE id = $1 RETURNING version",
        mailbox.id,
        approved,
        actor,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let fields = &["address_status", "approved_by", "approved_at"];
    let written = Written { kind: "mailbox", id: mailbox.id, change: Change::Updated, fields, version };
    audit::record(tx, actor, written).await?;
    let action = if approved { "approved" } else { "rejected" };
    audit::note(tx, actor, action, "mailbox", Some(mailbox.id), serde_json::json!({ "address": mailbox.address }))
        .await?;
    if approved {
        forwards_now(tx, MailboxId(mailbox.id), actor).await?;
    }
    lanes::realign(tx, &[MailboxId(mailbox.id)]).await?;
    Ok(version)
}

/// Writes the account each of these mailboxes logs in with, under which no other mailbox may log in. A profile's one
/// account is shared by design and has no such key.
pub(crate) async fn write_login_keys(tx: &mut Tx, mailboxes: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "/* mailboxes::write_login_keys */ UPDATE mailboxes AS target SET login_key = fresh.login_key
         FROM (SELECT m.id, CASE WHEN p.credentials = 'mailbox' AND m.allow_credentials AND m.login IS NOT NULL
                   THEN login_key(p, m.login) END AS login_key
               FROM mailboxes m LEFT JOIN email_server_profiles p ON p.id = m.profile_id
               WHERE m.id = ANY($1::uuid[])) AS fresh
         WHERE fresh.id = target.id AND target.login_key IS DISTINCT FROM fresh.login_key",
        mailboxes,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The mailbox that has an address.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn holder_of_address(tx: &mut Tx, address_key: &str) -> Result<Option<MailboxRecord>> {
    let id = sqlx::query_scalar!(
        "/* mailboxes::holder_of_address */ SELECT id FROM mailboxes WHERE address_key = $1",
        address_key,
    )
    .fetch_optional(tx.connection())
    .await?;
    match id {
        Some(id) => get(tx, MailboxId(id)).await,
        None => Ok(None),
    }
}

/// The mailbox that logs in with this account on the incoming server of the profile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn holder_of_login(tx: &mut Tx, profile: ProfileId, login: &str) -> Result<Option<MailboxRecord>> {
    let id = sqlx::query_scalar!(
        "/* mailboxes::holder_of_login */ SELECT m.id FROM mailboxes m, email_server_profiles p
         WHERE p.id = $1 AND m.login_key = login_key(p, $2)",
        profile.0,
        login,
    )
    .fetch_optional(tx.connection())
    .await?;
    match id {
        Some(id) => get(tx, MailboxId(id)).await,
        None => Ok(None),
    }
}
