//! What the database knows of a mailbox's items, for a connector that asks while it lists.

use std::collections::HashSet;

use async_trait::async_trait;
use lockstep_connector::{Known, delta::MAX_QUESTION};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::MailboxId,
    remote::{Fingerprint, MailFolder, RemoteKey},
};
use lockstep_store::{Store, items};

/// Code of the fault by which an unavailable database travels through a connector.
pub(crate) const DATABASE_AWAY: &str = "DatabaseUnavailable";

/// The items of one folder of a mailbox; keys are known in all of them.
pub(crate) struct StoreKnown<'a> {
    pub(crate) store: &'a Store,
    pub(crate) mailbox: MailboxId,
    pub(crate) folder: MailFolder,
}

#[async_trait]
impl Known for StoreKnown<'_> {
    async fn count(&self) -> Result<u64, Fault> {
        let mut tx = self.store.begin().await.map_err(away)?;
        items::count(&mut tx, self.mailbox, self.folder).await.map_err(away)
    }

    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault> {
        let mut tx = self.store.begin().await.map_err(away)?;
        items::contains(&mut tx, self.mailbox, keys).await.map_err(away)
    }

    async fn by_fingerprint(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault> {
        let mut tx = self.store.begin().await.map_err(away)?;
        items::by_fingerprint(&mut tx, self.mailbox, self.folder, fingerprints).await.map_err(away)
    }

    async fn absent(&self, listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault> {
        let listed: HashSet<&RemoteKey> = listed.iter().collect();
        let portion = i64::try_from(MAX_QUESTION).unwrap_or(1_000);
        let mut absent = Vec::new();
        let mut after: Option<RemoteKey> = None;
        loop {
            let mut tx = self.store.begin().await.map_err(away)?;
            let known =
                items::keys_after(&mut tx, self.mailbox, self.folder, after.as_ref(), portion).await.map_err(away)?;
            drop(tx);
            let Some(last) = known.last().cloned() else { return Ok(absent) };
            absent.extend(known.into_iter().filter(|key| !listed.contains(key)));
            after = Some(last);
        }
    }
}

fn away(error: lockstep_store::Error) -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, DATABASE_AWAY, error.to_string()).local()
}
