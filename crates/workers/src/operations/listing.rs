//! What lies in a mailbox, whatever is known of it: for tests, which look and record nothing.

use std::time::Duration;

use async_trait::async_trait;
use lockstep_connector::{Deadline, Known, Limits, RemoteHead, Session};
use lockstep_model::{
    fault::Fault,
    remote::{Cursor, Fingerprint, RemoteKey},
};

/// Heads of one page of a listing.
const PAGE: usize = 1_000;

/// Lists the whole mailbox and keeps the newest heads, at most `keep`.
pub(crate) async fn newest(
    session: &mut dyn Session,
    keep: usize,
    deadline: &Deadline,
) -> Result<Vec<RemoteHead>, Fault> {
    let mut newest: Vec<RemoteHead> = Vec::new();
    loop {
        let limits = Limits { items: PAGE, bytes: u64::MAX };
        let delta = session.pull(&Cursor::default(), &Nothing, limits, deadline).await?;
        let more = delta.more && !delta.heads.is_empty();
        newest.extend(delta.heads);
        newest.drain(..newest.len().saturating_sub(keep));
        if !more {
            return Ok(newest);
        }
        deadline.check(Duration::ZERO)?;
    }
}

/// Nothing is known: whatever is there is listed, be it recorded already or not.
struct Nothing;

#[async_trait]
impl Known for Nothing {
    async fn count(&self) -> Result<u64, Fault> {
        Ok(0)
    }

    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault> {
        Ok(vec![false; keys.len()])
    }

    async fn by_fingerprint(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault> {
        Ok(vec![None; fingerprints.len()])
    }

    async fn absent(&self, _listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault> {
        Ok(Vec::new())
    }
}
