//! What both sides of a link have agreed on about attachments, and which links are to be compared.

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{MailboxId, RunId},
    record::{LinkId, RecordId, RecordVersion, RemoteVersion},
    remote::RemoteKey,
};

use crate::{Error, Result, Tx, contents::ContentDigest};

/// A file that both sides have, or that was about to be added on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its content.
    pub digest: ContentDigest,
    /// The server's name for it; `None` where nobody has looked yet what became of its adding.
    pub remote_id: Option<String>,
    /// Its size as the server told, once it did.
    pub remote_size: Option<i64>,
}

/// A link whose attachments are to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The link.
    pub link: LinkId,
    /// Its record.
    pub record: RecordId,
    /// The record's version now.
    pub version: RecordVersion,
    /// Its item.
    pub remote: RemoteKey,
    /// The mailbox's user holds the meeting, or it is none.
    pub organiser: bool,
    /// The item's state when they were last compared; `None`: never.
    pub compared: Option<RemoteVersion>,
    /// The item has moved since, or the server is to be looked at for another reason.
    pub look: bool,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// The run that was about to add something on the server, and since when.
    pub intended: Option<(RunId, DateTime<Utc>)>,
    /// Files that are left out.
    pub left_out: u32,
    /// What is agreed.
    pub known: Vec<Known>,
}

/// Where the comparison of a link's attachments stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The link.
    pub link: LinkId,
    /// The record's version that was compared.
    pub record: RecordVersion,
    /// The item's; `None`: it is to be looked at whenever the record moves.
    pub remote: Option<RemoteVersion>,
    /// When to compare again though nothing moves.
    pub due: Option<DateTime<Utc>>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Files that are left out.
    pub left_out: u32,
}

/// Links of single appointments of a mailbox that are to be compared, in their order after `after`, at most `limit`: those
/// that never were, whose record has moved, or that are due. Those with a step under way are not among them.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn due(tx: &mut Tx, mailbox: MailboxId, after: Option<LinkId>, limit: i64) -> Result<Vec<Due>> {
    let now = tx.now();
    let rows = sqlx::query!(
        "/* attachment_links::due */ SELECT l.id, l.record_id, l.remote_key, l.organiser, a.version,
             s.remote_version AS \"remote_version?\", COALESCE(s.due_at <= $3, s.link_id IS NULL) AS \"look!\",
             COALESCE(s.attempts, 0) AS \"attempts!\", s.intended_by AS \"intended_by?\",
             s.intended_at AS \"intended_at?\", COALESCE(s.left_out, 0) AS \"left_out!\"
         FROM links l JOIN activities a ON a.id = l.record_id AND a.kind = 'appointment'
         LEFT JOIN attachment_states s ON s.link_id = l.id
         WHERE l.mailbox_id = $1 AND l.record_kind = 'appointment' AND l.unlinked IS NULL AND l.held_on IS NULL
           AND ($2::uuid IS NULL OR l.id > $2)
           AND CASE WHEN s.due_at IS NULL THEN s.record_version IS DISTINCT FROM a.version ELSE s.due_at <= $3 END
           AND NOT EXISTS (SELECT FROM intents i WHERE i.mailbox_id = l.mailbox_id AND i.record_id = l.record_id)
         ORDER BY l.id LIMIT $4",
        mailbox.0,
        after.map(|link| link.0),
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let known = sqlx::query!(
        "/* attachment_links::due */ SELECT link_id, name, content_digest, remote_id, remote_size FROM link_attachments
         WHERE link_id = ANY($1) ORDER BY link_id, name, content_digest",
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let of_link = known.iter().filter(|known| known.link_id == row.id);
            let known = of_link.map(|known| {
                Ok(Known {
                    name: known.name.clone(),
                    digest: ContentDigest::try_from(known.content_digest.as_slice()).map_err(|_| {
                        Error::unreadable("link_attachments", "content_digest", row.id, "not a SHA-256 digest")
                    })?,
                    remote_id: known.remote_id.clone(),
                    remote_size: known.remote_size,
                })
            });
            Ok(Due {
                link: LinkId(row.id),
                record: RecordId(row.record_id),
                version: RecordVersion(row.version),
                remote: RemoteKey::new(row.remote_key)
                    .ok_or_else(|| Error::unreadable("links", "remote_key", row.id, "empty or too long"))?,
                organiser: row.organiser,
                compared: row.remote_version.map(RemoteVersion),
                look: row.look,
                attempts: row.attempts.unsigned_abs(),
                intended: row.intended_by.map(RunId).zip(row.intended_at),
                left_out: row.left_out.unsigned_abs(),
                known: known.collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// The server lists these items: those whose state is another one than was compared are to be looked at.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn listed(tx: &mut Tx, mailbox: MailboxId, items: &[(RemoteKey, RemoteVersion)]) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let keys: Vec<_> = items.iter().map(|(key, _)| key.as_bytes().to_vec()).collect();
    let versions: Vec<_> = items.iter().map(|(_, version)| version.0.clone()).collect();
    sqlx::query!(
        "/* attachment_links::listed */ UPDATE attachment_states s SET due_at = $4, attempts = 0
         FROM links l, unnest($2::bytea[], $3::text[]) AS listed(remote_key, version)
         WHERE l.mailbox_id = $1 AND l.remote_key = listed.remote_key AND s.link_id = l.id
           AND s.remote_version IS DISTINCT FROM listed.version",
        mailbox.0,
        &keys,
        &versions,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes down that a run is about to add a file on the server, in the transaction that fences the run.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn intend(tx: &mut Tx, link: LinkId, run: RunId, name: &str, digest: &ContentDigest) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* attachment_links::intend */ INSERT INTO attachment_states (link_id, due_at, intended_by, intended_at)
         VALUES ($1, $3, $2, $3)
         ON CONFLICT (link_id) DO UPDATE SET due_at = EXCLUDED.due_at, intended_by = EXCLUDED.intended_by,
             intended_at = EXCLUDED.intended_at",
        link.0,
        run.0,
        now,
    )
    .execute(tx.connection())
    .await?;
    know(tx, link, &Known { name: name.to_owned(), digest: *digest, remote_id: None, remote_size: None }).await
}

/// Writes down that both sides have a file, or that it is about to be added.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn know(tx: &mut Tx, link: LinkId, known: &Known) -> Result<()> {
    sqlx::query!(
        "/* attachment_links::know */ INSERT INTO link_attachments (link_id, name, content_digest, remote_id, remote_size)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (link_id, name, content_digest) DO UPDATE SET remote_id = EXCLUDED.remote_id,
             remote_size = EXCLUDED.remote_size",
        link.0,
        known.name,
        known.digest.as_slice(),
        known.remote_id,
        known.remote_size,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes down that these are what both sides of a link have, and nothing else.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn agree(tx: &mut Tx, link: LinkId, known: &[Known]) -> Result<()> {
    let names: Vec<_> = known.iter().map(|known| known.name.clone()).collect();
    let digests: Vec<_> = known.iter().map(|known| known.digest.to_vec()).collect();
    sqlx::query!(
        "/* attachment_links::agree */ DELETE FROM link_attachments WHERE link_id = $1
           AND (name, content_digest) NOT IN (SELECT * FROM unnest($2::text[], $3::bytea[]))",
        link.0,
        &names,
        &digests,
    )
    .execute(tx.connection())
    .await?;
    for known in known {
        know(tx, link, known).await?;
    }
    Ok(())
}

/// Writes down where the comparison stands; nothing is about to be added any more.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn compared(tx: &mut Tx, state: &State) -> Result<()> {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "/* attachment_links::compared */ INSERT INTO attachment_states
             (link_id, record_version, remote_version, due_at, attempts, left_out)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (link_id) DO UPDATE SET record_version = EXCLUDED.record_version,
             remote_version = EXCLUDED.remote_version,
             due_at = EXCLUDED.due_at, attempts = EXCLUDED.attempts, left_out = EXCLUDED.left_out, intended_by = NULL,
             intended_at = NULL",
        state.link.0,
        state.record.0,
        state.remote.as_ref().map(|version| version.0.clone()),
        state.due,
        count(state.attempts),
        count(state.left_out),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Puts a comparison that failed off. What is about to be added stays noted.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn postpone(tx: &mut Tx, link: LinkId, due: DateTime<Utc>, attempts: u32) -> Result<()> {
    sqlx::query!(
        "/* attachment_links::postpone */ INSERT INTO attachment_states (link_id, due_at, attempts) VALUES ($1, $2, $3)
         ON CONFLICT (link_id) DO UPDATE SET due_at = EXCLUDED.due_at, attempts = EXCLUDED.attempts",
        link.0,
        due,
        i32::try_from(attempts).unwrap_or(i32::MAX),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A link whose sides had nothing left to do has nothing left to do in its new versions either: only attachments moved.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn moved_along(
    tx: &mut Tx,
    link: LinkId,
    record: (RecordVersion, RecordVersion),
    remote: Option<(&RemoteVersion, &RemoteVersion)>,
) -> Result<()> {
    sqlx::query!(
        "/* attachment_links::moved_along */ UPDATE links SET
             settled_record = CASE WHEN settled_record = $2 THEN $3 ELSE settled_record END,
             settled_remote = CASE WHEN settled_remote = $4 THEN $5 ELSE settled_remote END
         WHERE id = $1 AND settled_record IS NOT NULL",
        link.0,
        record.0.0,
        record.1.0,
        remote.map(|(from, _)| from.0.clone()),
        remote.map(|(_, to)| to.0.clone()),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The alert of files of an appointment that cannot be synchronised.
pub const LEFT_OUT: &str = "AppointmentAttachmentsLeftOut";

/// Ends what was told of appointments that are not synchronised with this mailbox any more.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn end_alerts_without_links(tx: &mut Tx, mailbox: MailboxId) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* attachment_links::end_alerts_without_links */ UPDATE alerts a SET resolved_at = $3
         WHERE a.mailbox_id = $1 AND a.resolved_at IS NULL AND a.code = $2
           AND NOT EXISTS (SELECT FROM links l WHERE l.mailbox_id = $1 AND l.unlinked IS NULL
               AND a.key = a.code || '/item/' || $1::uuid || '/'
                   || encode(convert_to('record/' || l.record_id, 'UTF8'), 'hex'))",
        mailbox.0,
        LEFT_OUT,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Begins or ends to synchronise attachments. What was agreed on is forgotten: whatever either side has when both are
/// compared, the other gets. Call it after [`crate::lanes::review_again`], which keeps writers away.
///
/// # Errors
/// [`Error::Unavailable`].
pub(crate) async fn switch(tx: &mut Tx, on: bool) -> Result<()> {
    sqlx::query!("/* attachment_links::switch */ DELETE FROM link_attachments").execute(tx.connection()).await?;
    sqlx::query!("/* attachment_links::switch */ DELETE FROM attachment_states").execute(tx.connection()).await?;
    if !on {
        let now = tx.now();
        sqlx::query!(
            "/* attachment_links::switch */ UPDATE alerts SET resolved_at = $2 WHERE resolved_at IS NULL AND code = $1",
            LEFT_OUT,
            now,
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}
