//! Bodies and attachments: content-addressed, in chunks, written ahead of the transaction that refers to them.
//!
//! What nobody refers to goes after a day; writing the same bytes again counts as touching them, so a sweep never
//! removes what a running page is about to refer to.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, stream};
use sha2::{Digest, Sha256};

use crate::{Error, Result, Store, Tx};

/// Size of a chunk in bytes; the last one of a content may be shorter.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// A SHA-256 digest.
pub type ContentDigest = [u8; 32];

/// A stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Digest over all its bytes.
    pub digest: ContentDigest,
    /// Its length.
    pub size_bytes: u64,
}

/// Writes one content. Holds at most one chunk in memory; a writer that is dropped leaves chunks that the sweep takes.
pub struct Writer {
    store: Store,
    pending: Vec<u8>,
    hash: Sha256,
    size_bytes: u64,
    chunks: Vec<Vec<u8>>,
}

impl Writer {
    /// A writer for a new content.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), pending: Vec::new(), hash: Sha256::new(), size_bytes: 0, chunks: Vec::new() }
    }

    /// How many bytes were written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.pending.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let digest = Sha256::digest(&self.pending).to_vec();
        let now = self.store.clock.now();
        sqlx::query!(
            "/* contents::flush */ INSERT INTO chunks (digest, data, touched_at) VALUES ($1, $2, $3)
             ON CONFLICT (digest) DO UPDATE SET touched_at = EXCLUDED.touched_at",
            digest,
            self.pending,
            now,
        )
        .execute(&self.store.pool)
        .await?;
        self.chunks.push(digest);
        self.pending.clear();
        Ok(())
    }

    /// Completes the content; from now on it may be referred to.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn finish(mut self) -> Result<Content> {
        if !self.pending.is_empty() {
            self.flush().await?;
        }
        let digest: ContentDigest = self.hash.finalize().into();
        let size = i64::try_from(self.size_bytes).unwrap_or(i64::MAX);
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        sqlx::query!(
            "/* contents::finish */ INSERT INTO contents (digest, size_bytes, touched_at) VALUES ($1, $2, $3)
             ON CONFLICT (digest) DO UPDATE SET touched_at = EXCLUDED.touched_at",
            digest.as_slice(),
            size,
            now,
        )
        .execute(tx.connection())
        .await?;
        sqlx::query!(
            "/* contents::finish */ INSERT INTO content_chunks (content_digest, position, chunk_digest)
             SELECT $1, (ordinal - 1)::int, chunk FROM unnest($2::bytea[]) WITH ORDINALITY AS c(chunk, ordinal)
             ON CONFLICT DO NOTHING",
            digest.as_slice(),
            &self.chunks,
        )
        .execute(tx.connection())
        .await?;
        tx.commit().await?;
        Ok(Content { digest, size_bytes: self.size_bytes })
    }
}

/// The content's bytes, chunk by chunk; each read is its own statement, so no transaction stays open while a slow
/// receiver takes them.
pub fn read(store: &Store, digest: ContentDigest) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let store = store.clone();
    stream::try_unfold(0_i32, move |position| {
        let store = store.clone();
        async move {
            let chunk = sqlx::query_scalar!(
                "/* contents::read */ SELECT data FROM content_chunks JOIN chunks ON chunks.digest = chunk_digest
                 WHERE content_digest = $1 AND position = $2",
                digest.as_slice(),
                position,
            )
            .fetch_optional(&store.pool)
            .await?;
            Ok::<_, Error>(chunk.map(|data| (Bytes::from(data), position + 1)))
        }
    })
}

/// Removes what nobody has referred to or touched since `before`, at most `limit` of each; returns how many rows went.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn sweep(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
    let contents = sqlx::query!(
        "/* contents::sweep */ DELETE FROM contents WHERE digest IN (
             SELECT c.digest FROM contents c WHERE c.touched_at < $1
               AND NOT EXISTS (SELECT 1 FROM email_attachments a WHERE a.content_digest = c.digest)
               AND NOT EXISTS (SELECT 1 FROM activity_attachments f WHERE f.content_digest = c.digest)
               AND NOT EXISTS (SELECT 1 FROM emails e WHERE e.raw_digest = c.digest)
             LIMIT $2 FOR UPDATE SKIP LOCKED)
           AND touched_at < $1",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    let chunks = sqlx::query!(
        "/* contents::sweep */ DELETE FROM chunks WHERE digest IN (
             SELECT k.digest FROM chunks k WHERE k.touched_at < $1
               AND NOT EXISTS (SELECT 1 FROM content_chunks c WHERE c.chunk_digest = k.digest)
             LIMIT $2 FOR UPDATE SKIP LOCKED)
           AND touched_at < $1",
        before,
        limit,
    )
    .execute(tx.connection())
    .await?
    .rows_affected();
    Ok(contents + chunks)
}
