//! What changed since a client last asked. A round of several pages works towards the horizon fixed by its first page, so
//! that what changes meanwhile comes in the next round and nothing is told twice as new.

use super::{Error, folder::FolderId, item::ItemId, mailbox::Mailbox};

/// How far a client has come: a sync state says this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything up to here was known when the round began.
    pub from: u64,
    /// Everything up to here has been told in this round.
    pub done: u64,
    /// Where the round ends; equal to `from` between rounds.
    pub horizon: u64,
}

/// One change of a folder's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemChange {
    /// The client does not know it yet.
    Create(ItemId),
    /// The client knows it in an older form.
    Update(ItemId),
    /// Only the read flag is another.
    ReadFlag(ItemId),
    /// It is no longer in the folder.
    Delete(ItemId),
}

/// One change of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderChange {
    /// New.
    Create(FolderId),
    /// Renamed or moved.
    Update(FolderId),
    /// Gone.
    Delete(FolderId),
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order in which they happened.
    pub changes: Vec<T>,
    /// How far the client has come with them.
    pub position: Position,
    /// Whether the round ends with this page.
    pub last: bool,
}

fn page<T>(mut found: Vec<(u64, T)>, mut position: Position, limit: usize) -> Page<T> {
    found.sort_by_key(|(sequence, _)| *sequence);
    found.retain(|(sequence, _)| *sequence > position.done);
    let last = found.len() <= limit;
    found.truncate(limit);
    if last {
        position = Position { from: position.horizon, done: position.horizon, horizon: position.horizon };
    } else if let Some((sequence, _)) = found.last() {
        position.done = *sequence;
    }
    Page { changes: found.into_iter().map(|(_, change)| change).collect(), position, last }
}

impl Mailbox {
    fn begin(&self, position: Position) -> Result<Position, Error> {
        if position.horizon > self.sequence || position.done > position.horizon || position.from > position.done {
            return Err(Error::SyncStateInvalid);
        }
        let between = position.from == position.horizon;
        Ok(if between { Position { horizon: self.sequence, ..position } } else { position })
    }

    /// The changes of a folder's items after a position.
    ///
    /// # Errors
    /// [`Error::FolderNotFound`]; [`Error::SyncStateInvalid`] for a position that was never given out.
    pub fn sync_items(&self, folder: FolderId, position: Position, limit: usize) -> Result<Page<ItemChange>, Error> {
        self.folder(folder)?;
        let position = self.begin(position)?;
        let Position { from, horizon, .. } = position;
        let mut found = Vec::new();
        for item in self.items_in(folder).into_iter().filter_map(|id| self.items.get(&id)) {
            let changed = item.last_change(horizon);
            if item.entered > horizon || changed <= from {
                continue;
            }
            let change = if item.entered > from {
                ItemChange::Create(item.id)
            } else if item.only_read_since(from) && item.content.class.is_mail() {
                ItemChange::ReadFlag(item.id)
            } else {
                ItemChange::Update(item.id)
            };
            found.push((changed, change));
        }
        let gone = self.gone_items.iter().filter(|(sequence, place, _, entered)| {
            *place == folder && *sequence > from && *sequence <= horizon && *entered <= position.done.max(from)
        });
        found.extend(gone.map(|(sequence, _, id, _)| (*sequence, ItemChange::Delete(*id))));
        Ok(page(found, position, limit))
    }

    /// The changes of the folders below `top` after a position.
    ///
    /// # Errors
    /// As [`Mailbox::sync_items`].
    pub fn sync_folders(&self, top: FolderId, position: Position, limit: usize) -> Result<Page<FolderChange>, Error> {
        self.folder(top)?;
        let position = self.begin(position)?;
        let Position { from, horizon, .. } = position;
        let mut found = Vec::new();
        for folder in self.subtree(top).into_iter().skip(1).filter_map(|id| self.folders.get(&id)) {
            if folder.changed > from && folder.changed <= horizon {
                let new = folder.entered > from;
                let change = if new { FolderChange::Create(folder.id) } else { FolderChange::Update(folder.id) };
                found.push((folder.changed, change));
            }
        }
        let gone = self.gone_folders.iter().filter(|(sequence, _)| *sequence > from && *sequence <= horizon);
        found.extend(gone.map(|(sequence, id)| (*sequence, FolderChange::Delete(*id))));
        Ok(page(found, position, limit))
    }
}
