//! What is new in a folder of a mailbox: pages of changes against what is known, handed out oldest first.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use lockstep_connector::{Deadline, Delta, Known, Limits, RemoteHead, delta::MAX_QUESTION, fingerprint};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::{Cursor, Fingerprint, MailFolder, RemoteKey},
};

use crate::{
    client::Client,
    codec::{
        answer,
        id::{FolderRef, ItemId},
        property::{Property, Shape},
        sync_folder_items::{self, Change, MAX_CHANGES},
        time,
    },
    fault, header,
    xml::Element,
};

/// Most changes that one listing may have.
const MAX_LISTING: usize = 1_000_000;
/// Most answers without anything new in them, one after the other.
const MAX_EMPTY: usize = 100;
/// The first byte of a cursor; what follows is the server's sync state.
const CURSOR: u8 = b'1';
/// New identities are suspected when more of a whole listing than this is unknown, in per cent …
const RESET_SHARE: usize = 80;
/// … and more items than this are known under keys that are not listed.
const RESET_KNOWN: usize = 20;

/// An item as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    received: Option<DateTime<Utc>>,
    key: RemoteKey,
    size: u64,
}

/// What is left to hand out.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    new: Vec<Entry>,
    given: usize,
    rekeyed: Vec<(RemoteKey, RemoteKey)>,
    rekeyed_given: usize,
    gone: Vec<RemoteKey>,
    cursor: Option<Cursor>,
    warning: Option<Fault>,
}

/// What the server said since a sync state.
#[derive(Debug, Default)]
struct Listing {
    entries: Vec<Entry>,
    deleted: Vec<RemoteKey>,
    state: String,
    changed: bool,
    /// Items whose ids cannot be kept as keys.
    unusable: usize,
}

/// The server no longer knows the state.
enum Told {
    All(Listing),
    StateForgotten,
}

/// What the listing asks for.
fn shape() -> Shape {
    Shape::ids_and(["item:DateTimeReceived", "item:Size"].map(Property::Field))
}

/// Whether an element of the folder is a message of some sort.
fn is_message(item: &Element) -> bool {
    !matches!(item.name.as_str(), "CalendarItem" | "Contact" | "DistributionList" | "Task")
}

fn entry(item: &Element) -> Option<Option<Entry>> {
    if !is_message(item) {
        return Some(None);
    }
    let key = RemoteKey::new(ItemId::of_item(item)?.id)?;
    let received = item.text_of("DateTimeReceived").and_then(time::read);
    Some(Some(Entry { received, key, size: item.number_of("Size").unwrap_or(0) }))
}

impl Listing {
    fn take(&mut self, change: Change) {
        self.changed = true;
        match change {
            Change::Created(item) | Change::Updated(item) => match entry(&item) {
                Some(Some(entry)) => self.entries.push(entry),
                Some(None) => {}
                None => self.unusable += 1,
            },
            Change::Deleted(id) => self.deleted.extend(RemoteKey::new(id.id)),
            Change::ReadFlag(..) => {}
        }
    }
}

/// The server's name of a folder.
const fn name_of(folder: MailFolder) -> &'static str {
    match folder {
        MailFolder::Inbox => "inbox",
        MailFolder::Sent => "sentitems",
    }
}

/// Asks for everything since a state. A server that gives the same state again without an end is not followed.
async fn list(
    client: &mut Client,
    folder: MailFolder,
    state: Option<&str>,
    deadline: &Deadline,
) -> Result<Told, Fault> {
    let mut listing = Listing::default();
    let mut state = state.map(str::to_owned);
    let (name, shape) = (name_of(folder), shape());
    let folder = FolderRef::Distinguished(name);
    let mut empty = 0;
    loop {
        deadline.check(fault::SOME_TIME)?;
        let request = sync_folder_items::request(&folder, &shape, state.as_deref(), MAX_CHANGES);
        let response = client.call(&request, deadline).await?;
        let page = match answer::only(&response) {
            Err(refusal) if refusal.forgot_the_state() && state.is_some() => return Ok(Told::StateForgotten),
            Err(refusal) => return Err(refusal.fault(FaultScope::Mailbox)),
            Ok(message) => sync_folder_items::read(message),
        };
        let page = page.ok_or_else(|| fault::violation("the server lists changes without a sync state"))?;
        empty = if page.changes.is_empty() { empty + 1 } else { 0 };
        let stuck = !page.last && (state.as_ref() == Some(&page.state) || empty > MAX_EMPTY);
        page.changes.into_iter().for_each(|change| listing.take(change));
        if listing.entries.len() + listing.deleted.len() > MAX_LISTING {
            let message = format!("the folder {name} lists more than {MAX_LISTING} items");
            return Err(fault::mailbox(FaultClass::Refused, "ListingTooLarge", message));
        }
        if stuck {
            return Err(fault::violation("the server's listing has no end"));
        }
        if page.last {
            listing.state = page.state;
            return Ok(Told::All(listing));
        }
        state = Some(page.state);
    }
}

/// The state in a cursor; `None` where the listing begins.
fn state_of(cursor: &Cursor) -> Option<String> {
    let rest = cursor.0.strip_prefix(&[CURSOR])?;
    (!rest.is_empty()).then(|| String::from_utf8(rest.to_vec()).ok()).flatten()
}

/// The cursor of a state. One that is too large is not kept: the next listing begins from the start again, where
/// everything is known already.
fn cursor_of(state: &str) -> Cursor {
    let whole = [&[CURSOR], state.as_bytes()].concat();
    Cursor(if whole.len() <= Cursor::MAX_BYTES { whole } else { vec![CURSOR] })
}

async fn unknown(entries: Vec<Entry>, known: &dyn Known, deadline: &Deadline) -> Result<Vec<Entry>, Fault> {
    let mut new = Vec::new();
    let mut seen = HashSet::new();
    for portion in entries.chunks(MAX_QUESTION) {
        deadline.check(fault::SOME_TIME)?;
        let keys: Vec<RemoteKey> = portion.iter().map(|entry| entry.key.clone()).collect();
        let answers = known.contains(&keys).await?;
        for (at, entry) in portion.iter().enumerate() {
            if !answers.get(at).copied().unwrap_or(false) && seen.insert(entry.key.clone()) {
                new.push(entry.clone());
            }
        }
    }
    new.sort_by_key(|entry| entry.received);
    Ok(new)
}

async fn known_of(keys: Vec<RemoteKey>, known: &dyn Known, deadline: &Deadline) -> Result<Vec<RemoteKey>, Fault> {
    let mut found = Vec::new();
    for portion in keys.chunks(MAX_QUESTION) {
        deadline.check(fault::SOME_TIME)?;
        let answers = known.contains(portion).await?;
        found.extend(portion.iter().zip(answers).filter(|(_, is_known)| *is_known).map(|(key, _)| key.clone()));
    }
    Ok(found)
}

impl Backlog {
    /// Asks what is new since the cursor.
    pub(crate) async fn of(
        client: &mut Client,
        folder: MailFolder,
        cursor: &Cursor,
        known: &dyn Known,
        deadline: &Deadline,
    ) -> Result<Self, Fault> {
        let state = state_of(cursor);
        let mut whole = state.is_none();
        let listing = match list(client, folder, state.as_deref(), deadline).await? {
            Told::All(listing) => listing,
            Told::StateForgotten => {
                tracing::info!("the server has forgotten the sync state; the listing begins again");
                whole = true;
                match list(client, folder, None, deadline).await? {
                    Told::All(listing) => listing,
                    Told::StateForgotten => return Err(fault::violation("the server forgets what it was not told")),
                }
            }
        };
        let mut backlog = Self::default();
        // A listing in which nothing happened needs no new cursor, whatever the server calls its state now.
        if whole || listing.changed {
            backlog.cursor = Some(cursor_of(&listing.state)).filter(|new| new != cursor);
        }
        let listed: Vec<RemoteKey> =
            if whole { listing.entries.iter().map(|e| e.key.clone()).collect() } else { Vec::new() };
        let count = listing.entries.len();
        backlog.new = unknown(listing.entries, known, deadline).await?;
        if !whole {
            backlog.gone = known_of(listing.deleted, known, deadline).await?;
        } else if listing.unusable == 0 {
            backlog.gone = known.absent(&listed).await?;
        }
        if listing.unusable > 0 {
            let message = format!("{} items have ids that cannot be kept", listing.unusable);
            backlog.warning = Some(fault::item(FaultClass::Transient, "ItemUnavailable", message));
        }
        if whole && backlog.gone.len() > RESET_KNOWN && backlog.new.len() * 100 > count * RESET_SHARE {
            backlog.recognise(client, known, &listed, deadline).await?;
        }
        Ok(backlog)
    }

    /// After a mailbox was moved to another server all its items have other ids: they are recognised by their headers.
    async fn recognise(
        &mut self,
        client: &mut Client,
        known: &dyn Known,
        listed: &[RemoteKey],
        deadline: &Deadline,
    ) -> Result<(), Fault> {
        let listed: HashSet<&RemoteKey> = listed.iter().collect();
        let mut renamed = HashSet::new();
        for portion in self.new.chunks(MAX_QUESTION) {
            let asked: Vec<(String, u64)> =
                portion.iter().map(|entry| (header::id_of(&entry.key), entry.size)).collect();
            let answered = header::read(client, &asked, deadline).await;
            if let Some(fault) = answered.broken {
                return Err(fault);
            }
            let mut places = Vec::new();
            let mut question: Vec<Fingerprint> = Vec::new();
            for (entry, block) in portion.iter().zip(&answered.blocks) {
                if let Ok(block) = block {
                    places.push(entry);
                    question.push(fingerprint::of_header(block));
                }
            }
            let answers = known.by_fingerprint(&question).await?;
            for (entry, old) in places.into_iter().zip(answers) {
                if let Some(old) = old.filter(|old| !listed.contains(old))
                    && renamed.insert(old.clone())
                {
                    self.rekeyed.push((old, entry.key.clone()));
                }
            }
        }
        let now: HashSet<RemoteKey> = self.rekeyed.iter().map(|(_, new)| new.clone()).collect();
        self.new.retain(|entry| !now.contains(&entry.key));
        self.gone.retain(|key| !renamed.contains(key));
        if !self.rekeyed.is_empty() {
            let message = format!(
                "the server gave new identities to known messages; {} were recognised by their header",
                self.rekeyed.len()
            );
            self.warning = Some(fault::mailbox(FaultClass::Transient, "UidlReset", message));
        }
        Ok(())
    }

    /// The next page. What has left the folder, and renamed items, come first, then what is new.
    pub(crate) fn page(&mut self, limits: Limits) -> Delta {
        let items = limits.items.max(1);
        let gone = std::mem::take(&mut self.gone);
        let mut delta = Delta { warning: self.warning.take(), gone, ..Delta::default() };
        delta.rekeyed.extend(self.rekeyed[self.rekeyed_given..].iter().take(items).cloned());
        self.rekeyed_given += delta.rekeyed.len();
        let mut bytes = 0_u64;
        if self.rekeyed_given == self.rekeyed.len() {
            while let Some(entry) = self.new.get(self.given) {
                bytes = bytes.saturating_add(entry.size);
                if delta.heads.len() >= items || (bytes > limits.bytes && !delta.heads.is_empty()) {
                    break;
                }
                self.given += 1;
                let handle = self.given as u64;
                delta.heads.push(RemoteHead { key: entry.key.clone(), handle, size: entry.size, weak: false });
            }
        }
        delta.more = self.given < self.new.len() || self.rekeyed_given < self.rekeyed.len();
        if !delta.more {
            delta.cursor = self.cursor.take();
        }
        delta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_states_and_never_too_large() {
        assert_eq!(state_of(&cursor_of("H4sIA=")), Some("H4sIA=".to_owned()));
        assert_eq!(state_of(&Cursor::default()), None);
        assert_eq!(state_of(&Cursor(b"0other".to_vec())), None);
        let huge = cursor_of(&"x".repeat(Cursor::MAX_BYTES));
        assert!(huge.0.len() <= Cursor::MAX_BYTES && !huge.is_start());
        assert_eq!(state_of(&huge), None);
        assert_eq!(state_of(&Cursor(vec![CURSOR, 0xff])), None);
    }
}
