//! Files of appointments. A file is its name and its content: the same one is there once.

use chrono::{DateTime, Utc};
use lockstep_model::id::AttachmentId;
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    activities::Activity,
    audit::{self, Written},
    contents::{Content, ContentDigest},
    feed::Change,
};

/// Most files of one appointment.
pub const MAX_ATTACHMENTS: usize = 100;

/// A file of an appointment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Identity.
    pub id: AttachmentId,
    /// File name, 1 to 255 characters.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Length in bytes.
    pub size_bytes: i64,
    /// Where its content is.
    pub digest: ContentDigest,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A file to be added; its content is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttachment {
    /// File name, 1 to 255 characters.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Its bytes.
    pub content: Content,
}

/// The files of an appointment, in the order in which they were added.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn list(tx: &mut Tx, activity: Uuid) -> Result<Vec<Attachment>> {
    Ok(of_many(tx, &[activity]).await?.into_iter().map(|(_, attachment)| attachment).collect())
}

/// The files of several appointments, each with its appointment, in the order in which they were added.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn of_many(tx: &mut Tx, activities: &[Uuid]) -> Result<Vec<(Uuid, Attachment)>> {
    let rows = sqlx::query!(
        "/* activity_attachments::of_many */ SELECT id, activity_id, name, media_type, size_bytes, content_digest,
             created_at
         FROM activity_attachments WHERE activity_id = ANY($1) ORDER BY id",
        activities,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let digest = ContentDigest::try_from(row.content_digest.as_slice()).map_err(|_| {
                Error::unreadable("activity_attachments", "content_digest", row.id, "not a SHA-256 digest")
            })?;
            let attachment = Attachment {
                id: AttachmentId(row.id),
                name: row.name,
                media_type: row.media_type,
                size_bytes: row.size_bytes,
                digest,
                created_at: row.created_at,
            };
            Ok((row.activity_id, attachment))
        })
        .collect()
}

/// Adds files to an appointment that was locked, and tells of it; what is there already is left as it is. Returns which
/// of them were added, and the record's version.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn add(
    tx: &mut Tx,
    activity: &Activity,
    files: &[NewAttachment],
    actor: &str,
) -> Result<(Vec<AttachmentId>, i64)> {
    let (mut added, now) = (Vec::new(), tx.now());
    for file in files {
        let id = AttachmentId::new();
        let done = sqlx::query!(
            "/* activity_attachments::add */ INSERT INTO activity_attachments
                 (id, activity_id, name, media_type, size_bytes, content_digest, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (activity_id, name, content_digest) DO NOTHING",
            id.0,
            activity.id,
            file.name,
            file.media_type,
            i64::try_from(file.content.size_bytes).unwrap_or(i64::MAX),
            file.content.digest.as_slice(),
            now,
        )
        .execute(tx.connection())
        .await?;
        if done.rows_affected() > 0 {
            added.push(id);
        }
    }
    let version = if added.is_empty() { activity.version } else { changed(tx, activity, actor).await? };
    Ok((added, version))
}

/// Takes files from an appointment that was locked, and tells of it. Returns how many were there, and the record's
/// version.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn remove(tx: &mut Tx, activity: &Activity, files: &[AttachmentId], actor: &str) -> Result<(u64, i64)> {
    let ids: Vec<_> = files.iter().map(|file| file.0).collect();
    let gone = sqlx::query!(
        "/* activity_attachments::remove */ DELETE FROM activity_attachments WHERE activity_id = $1 AND id = ANY($2)",
        activity.id,
        &ids,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let version = if gone == 0 { activity.version } else { changed(tx, activity, actor).await? };
    Ok((gone, version))
}

/// Raises the record's version and tells of the change.
async fn changed(tx: &mut Tx, activity: &Activity, actor: &str) -> Result<i64> {
    let now = tx.now();
    let version = sqlx::query_scalar!(
        "/* activity_attachments::changed */ UPDATE activities SET version = version + 1, updated_at = $2 WHERE id = $1
         RETURNING version",
        activity.id,
        now,
    )
    .fetch_one(tx.connection())
    .await?;
    let (kind, id) = (activity.kind.name(), activity.id);
    let written = Written { kind, id, change: Change::Updated, fields: &["attachments"], version };
    audit::record(tx, actor, written).await?;
    Ok(version)
}
