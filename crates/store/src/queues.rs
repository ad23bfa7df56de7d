//! Queues: shared work lists, each with a mailbox.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{QueueId, UserId},
    mailbox::Owner,
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    audit::{self, Written},
    feed::Change,
    mailboxes,
    rights::{self, Kind, Privilege},
};

/// A queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Identity.
    pub id: Uuid,
    /// Which other system knows this queue.
    pub source: Option<String>,
    /// Under which id.
    pub external_id: Option<String>,
    /// Name.
    pub name: String,
    /// Address as written.
    pub address: String,
    /// Its key ([`lockstep_model::address::AddressKey`]).
    pub address_key: String,
    /// Who answers for it.
    pub owner_user_id: Option<Uuid>,
    /// Or which team.
    pub owner_team_id: Option<Uuid>,
    /// Inactive queues' mailboxes are inactive.
    pub active: bool,
    /// Which received mail becomes a record by itself.
    pub track_option: String,
    /// Raised by every write.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// Makes a queue and its mailbox. Id, version and instants of `queue` are set here; `fields` are those it was given.
///
/// # Errors
/// [`Error::Conflict`] when the address or the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn create(tx: &mut Tx, mut queue: Queue, fields: &[&str], actor: &str) -> Result<Queue> {
    queue.id = QueueId::new().0;
    (queue.version, queue.created_at, queue.updated_at) = (1, tx.now(), tx.now());
    sqlx::query!(
        "/* queues::create */ INSERT INTO queues (id, source, external_id, name, address, address_key, owner_user_id,
             active, track_option, created_at, updated_at, owner_team_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
        queue.id,
        queue.source,
        queue.external_id,
        queue.name,
        queue.address,
        queue.address_key,
        queue.owner_user_id,
        queue.active,
        queue.track_option,
        queue.created_at,
        queue.owner_team_id,
    )
    .execute(tx.connection())
    .await?;
    let written = Written { kind: "queue", id: queue.id, change: Change::Created, fields, version: 1 };
    audit::record(tx, actor, written).await?;
    let owner = Owner::Queue(QueueId(queue.id));
    mailboxes::create_for(
        tx,
        owner,
        mailboxes::Held::of(&queue.name, &queue.address, &queue.address_key, queue.active),
        actor,
    )
    .await?;
    Ok(queue)
}

/// Queues in order of their making, after `after`, at most `limit`; with `address_key`, the one that has it. With
/// `reader`, those that this user may read.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(
    tx: &mut Tx,
    reader: Option<UserId>,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Queue>> {
    let near = match reader {
        Some(reader) => near(tx, reader, address_key, after, limit).await?,
        None => None,
    };
    Ok(sqlx::query_as!(
        Queue,
        "/* queues::list */ SELECT id, source, external_id, name, address, address_key, owner_user_id,
             owner_team_id, active, track_option, version, created_at, updated_at
         FROM queues
         WHERE ($1::uuid IS NULL OR id > $1) AND ($2::text IS NULL OR address_key = $2)
           AND ($4::uuid[] IS NULL OR id = ANY($4))
         ORDER BY id LIMIT $3",
        after,
        address_key,
        limit,
        near.as_deref(),
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The page of a user whose privilege does not reach every queue: read owner by owner, each no further than the page.
async fn near(
    tx: &mut Tx,
    reader: UserId,
    address_key: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Option<Vec<Uuid>>> {
    if rights::may_all(tx, reader, Kind::Queue, Privilege::Read).await? {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "/* queues::near */ SELECT q.id AS \"id!\"
         FROM reach($1, 'queue', 'read') AS owner
         CROSS JOIN LATERAL (SELECT id FROM queues
             WHERE COALESCE(owner_user_id, owner_team_id) = owner AND ($2::text IS NULL OR address_key = $2)
               AND ($3::uuid IS NULL OR id > $3)
             ORDER BY id LIMIT $4) AS q
         ORDER BY q.id LIMIT $4",
        reader.0,
        address_key,
        after,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(Some(ids))
}

/// One queue.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn get(tx: &mut Tx, id: QueueId) -> Result<Option<Queue>> {
    Ok(sqlx::query_as!(
        Queue,
        "/* queues::get */ SELECT id, source, external_id, name, address, address_key, owner_user_id,
             owner_team_id, active, track_option, version, created_at, updated_at
         FROM queues WHERE id = $1",
        id.0,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Like [`get`], locked until the transaction ends.
///
/// # Errors
/// [`Error::Stale`] when `expected` is another version.
pub async fn lock(tx: &mut Tx, id: QueueId, expected: Option<i64>) -> Result<Option<Queue>> {
    sqlx::query!("/* queues::lock */ SELECT id FROM queues WHERE id = $1 FOR UPDATE", id.0)
        .fetch_optional(tx.connection())
        .await?;
    let found = get(tx, id).await?;
    Error::if_stale(expected, found.as_ref().map(|q| q.version))?;
    Ok(found)
}

/// Writes a queue that was locked; `fields` are the changed ones. The mailbox follows the name, the address (which
/// returns it to waiting for approval) and the state. Returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the address or the external id is taken, [`Error::Reference`] when the owner is unknown.
pub async fn save(tx: &mut Tx, queue: &Queue, fields: &[&str], actor: &str) -> Result<i64> {
    let version = write(tx, queue, fields, actor).await?;
    let held = mailboxes::Held::of(&queue.name, &queue.address, &queue.address_key, queue.active);
    mailboxes::follow(tx, Owner::Queue(QueueId(queue.id)), held, fields, actor).await?;
    Ok(version)
}

/// Writes the row alone: the mailbox is the one who asks.
pub(crate) async fn write(tx: &mut Tx, queue: &Queue, fields: &[&str], actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* queues::write */ UPDATE queues SET source = $2, external_id = $3, name = $4, address = $5, address_key = $6,
             owner_user_id = $7, active = $8, track_option = $9, owner_team_id = $11,
             version = version + 1, updated_at = $10
         WHERE id = $1 RETURNING version",
        queue.id,
        queue.source,
        queue.external_id,
        queue.name,
        queue.address,
        queue.address_key,
        queue.owner_user_id,
        queue.active,
        queue.track_option,
        now,
        queue.owner_team_id,
    )
    .fetch_one(tx.connection())
    .await?;
    audit::record(tx, actor, Written { kind: "queue", id: queue.id, change: Change::Updated, fields, version }).await?;
    Ok(version)
}
