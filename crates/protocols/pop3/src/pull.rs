//! What is new: a listing against what is known, handed out in pages.

use std::collections::HashSet;

use lockstep_connector::{Deadline, Delta, Known, Limits, RemoteHead, delta::MAX_QUESTION, fingerprint};
use lockstep_model::{
    fault::{Fault, FaultClass},
    remote::{Fingerprint, RemoteKey},
};

use crate::{codec::listing::WEAK_PREFIX, conversation::Conversation, fault, identity::Catalogue};

/// A reset is suspected when more of the listing than this is unknown, in per cent …
const RESET_SHARE: usize = 80;

/// … and more items than this are known under keys that are not listed. What is listed under its key and offered once
/// more, because it is to be judged again, has not lost its identity.
const RESET_KNOWN: u64 = 20;

/// What is left to hand out.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Places in the catalogue of what is new, oldest first.
    new: Vec<usize>,
    given: usize,
    rekeyed: Vec<(RemoteKey, RemoteKey)>,
    rekeyed_given: usize,
    /// Known items that the complete listing does not show, under any key.
    absent: Vec<RemoteKey>,
    warning: Option<Fault>,
}

impl Backlog {
    /// Asks which messages are unknown and, where identities are weak or seem to have been reset, which of these are
    /// known under another key.
    pub(crate) async fn of(
        talk: &mut Conversation,
        catalogue: &Catalogue,
        known: &dyn Known,
        deadline: &Deadline,
    ) -> Result<Self, Fault> {
        let mut new = Vec::new();
        for (portion, keys) in catalogue.keys().chunks(MAX_QUESTION).enumerate() {
            deadline.check(fault::SOME_TIME)?;
            let answers = known.contains(keys).await?;
            let first = portion * MAX_QUESTION;
            new.extend((0..keys.len()).filter(|at| !answers.get(*at).copied().unwrap_or(false)).map(|at| first + at));
        }
        let listed = catalogue.keys().len();
        let mut absent = if catalogue.is_complete() { known.absent(catalogue.keys()).await? } else { Vec::new() };
        let reset = new.len() * 100 > listed * RESET_SHARE
            && if catalogue.is_complete() {
                absent.len() as u64 > RESET_KNOWN
            } else {
                known.count().await? > RESET_KNOWN
            };
        // A message whose key was derived may have got an id of its own meanwhile.
        let derived = absent.iter().any(|key| key.as_bytes().starts_with(WEAK_PREFIX));
        let fingerprints = fingerprints(talk, catalogue, &new, reset || derived, deadline).await?;
        let rekeyed = recognise(catalogue, &fingerprints, known, deadline).await?;
        let mut warning = None;
        if !rekeyed.is_empty() {
            let renamed: HashSet<usize> = rekeyed.iter().map(|(at, _)| *at).collect();
            new.retain(|at| !renamed.contains(at));
            let renamed: HashSet<&RemoteKey> = rekeyed.iter().map(|(_, old)| old).collect();
            absent.retain(|key| !renamed.contains(key));
        }
        if reset && !rekeyed.is_empty() {
            let message = format!(
                "the server gave new identities to known messages; {} of {listed} were recognised by their header",
                rekeyed.len()
            );
            warning = Some(fault::mailbox(FaultClass::Transient, "UidlReset", message));
        } else if !catalogue.is_complete() {
            let message = "the server has messages without identity and does not show their headers";
            warning = Some(fault::item(FaultClass::Transient, "ItemUnavailable", message));
        }
        let rekeyed = rekeyed.into_iter().map(|(at, old)| (old, catalogue.keys()[at].clone())).collect();
        Ok(Self { new, given: 0, rekeyed, rekeyed_given: 0, absent, warning })
    }

    /// The next page. Renamed items come first, then what is new; with the last page, what is absent.
    pub(crate) fn page(&mut self, catalogue: &Catalogue, limits: Limits) -> Delta {
        let items = limits.items.max(1);
        let mut delta = Delta { warning: self.warning.take(), ..Delta::default() };
        delta.rekeyed.extend(self.rekeyed[self.rekeyed_given..].iter().take(items).cloned());
        self.rekeyed_given += delta.rekeyed.len();
        let mut bytes = 0_u64;
        if self.rekeyed_given == self.rekeyed.len() {
            while let Some(at) = self.new.get(self.given).copied() {
                let entry = catalogue.entry(at);
                bytes = bytes.saturating_add(entry.size);
                if delta.heads.len() >= items || (bytes > limits.bytes && !delta.heads.is_empty()) {
                    break;
                }
                self.given += 1;
                delta.heads.push(RemoteHead {
                    key: catalogue.keys()[at].clone(),
                    handle: entry.number,
                    size: entry.size,
                    weak: entry.fingerprint.is_some(),
                });
            }
        }
        delta.more = self.given < self.new.len() || self.rekeyed_given < self.rekeyed.len();
        if !delta.more {
            delta.absent = std::mem::take(&mut self.absent);
            delta.cursor = Some(catalogue.cursor().clone());
        }
        delta
    }
}

/// Fingerprints of new messages: those their keys were made of and, on suspicion that ids have changed, those of
/// all others.
async fn fingerprints(
    talk: &mut Conversation,
    catalogue: &Catalogue,
    new: &[usize],
    suspicion: bool,
    deadline: &Deadline,
) -> Result<Vec<(usize, Fingerprint)>, Fault> {
    let mut found: Vec<(usize, Fingerprint)> =
        new.iter().filter_map(|at| Some((*at, catalogue.entry(*at).fingerprint?))).collect();
    if suspicion {
        let others: Vec<usize> = new.iter().copied().filter(|at| catalogue.entry(*at).fingerprint.is_none()).collect();
        let numbers: Vec<u64> = others.iter().map(|at| catalogue.entry(*at).number).collect();
        let take = |at: usize, header: Result<Vec<u8>, Fault>| {
            found.extend(header.ok().map(|block| (others[at], fingerprint::of_header(&block))));
        };
        talk.headers(&numbers, deadline, take).await?;
        found.sort_unstable_by_key(|(at, _)| *at);
    }
    Ok(found)
}

/// Which of these messages are known under a key that the listing does not show any more, each such key once.
async fn recognise(
    catalogue: &Catalogue,
    fingerprints: &[(usize, Fingerprint)],
    known: &dyn Known,
    deadline: &Deadline,
) -> Result<Vec<(usize, RemoteKey)>, Fault> {
    let mut taken = HashSet::new();
    let mut found = Vec::new();
    for portion in fingerprints.chunks(MAX_QUESTION) {
        deadline.check(fault::SOME_TIME)?;
        let question: Vec<Fingerprint> = portion.iter().map(|(_, fingerprint)| *fingerprint).collect();
        let answers = known.by_fingerprint(&question).await?;
        for ((at, _), old) in portion.iter().zip(answers) {
            let Some(old) = old.filter(|old| catalogue.find(old).is_none()) else { continue };
            if taken.insert(old.clone()) {
                found.push((*at, old));
            }
        }
    }
    Ok(found)
}
