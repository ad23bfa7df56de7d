//! A stand-in for our own store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lockstep_connector::{Delta, Known, delta::MAX_QUESTION, fingerprint};
use lockstep_model::{
    fault::Fault,
    remote::{Fingerprint, RemoteKey},
};

#[derive(Default)]
pub(crate) struct Memory {
    items: BTreeMap<RemoteKey, Option<Fingerprint>>,
    again: Vec<RemoteKey>,
}

impl Memory {
    pub(crate) fn of<'a>(items: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let items = items
            .into_iter()
            .map(|(key, header)| (RemoteKey::new(key).unwrap(), Some(fingerprint::of_header(header))))
            .collect();
        Self { items, again: Vec::new() }
    }

    /// Does what a worker does with a page.
    pub(crate) fn commit(&mut self, delta: &Delta) {
        for (old, new) in &delta.rekeyed {
            let fingerprint = self.items.remove(old).flatten();
            self.items.insert(new.clone(), fingerprint);
        }
        for head in &delta.heads {
            self.items.insert(head.key.clone(), None);
        }
    }

    /// Known items that are to be looked at once more.
    pub(crate) fn offer_again(&mut self, keys: &[impl AsRef<str>]) {
        self.again = keys.iter().map(|key| RemoteKey::new(key.as_ref()).unwrap()).collect();
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.items.keys().map(RemoteKey::to_string).collect()
    }
}

#[async_trait]
impl Known for Memory {
    async fn count(&self) -> Result<u64, Fault> {
        Ok(self.items.len() as u64)
    }

    async fn contains(&self, keys: &[RemoteKey]) -> Result<Vec<bool>, Fault> {
        assert!(keys.len() <= MAX_QUESTION);
        Ok(keys.iter().map(|key| self.items.contains_key(key) && !self.again.contains(key)).collect())
    }

    async fn by_fingerprint(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<RemoteKey>>, Fault> {
        assert!(fingerprints.len() <= MAX_QUESTION);
        let of = |wanted: &Fingerprint| self.items.iter().find(|(_, f)| f.as_ref() == Some(wanted));
        Ok(fingerprints.iter().map(|wanted| of(wanted).map(|(key, _)| key.clone())).collect())
    }

    async fn absent(&self, listed: &[RemoteKey]) -> Result<Vec<RemoteKey>, Fault> {
        Ok(self.items.keys().filter(|key| !listed.contains(key)).cloned().collect())
    }
}
