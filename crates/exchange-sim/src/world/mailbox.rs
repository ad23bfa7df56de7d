//! One person's mailbox: folders, items, and the log of what happened to them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    Error,
    event::{Event, Happening},
    folder::{DISTINGUISHED, Folder, FolderId},
    item::{AttachmentId, Content, Item, ItemId, Touch},
    value::Person,
};

/// A mailbox. Each change has a number, one higher than the last; sync states and watermarks are such numbers.
#[derive(Debug)]
pub struct Mailbox {
    /// Whose it is.
    pub owner: Person,
    /// Its number in the world; ids of its things carry it.
    pub number: u32,
    /// The number of the last change.
    pub sequence: u64,
    /// Goes up when the server forgets its sync states.
    pub epoch: u64,
    /// Folders by id.
    pub folders: BTreeMap<FolderId, Folder>,
    /// Items by id.
    pub items: BTreeMap<ItemId, Item>,
    /// What left a folder: change, folder, item, and whether the item had been there before this change's round.
    pub(super) gone_items: Vec<(u64, FolderId, ItemId, u64)>,
    /// Folders that are no more.
    pub(super) gone_folders: Vec<(u64, FolderId)>,
    /// What subscribers hear.
    pub(super) events: Vec<Event>,
    next: u64,
    children: BTreeMap<FolderId, BTreeSet<ItemId>>,
}

/// How many events a mailbox remembers; a watermark older than the oldest is lost.
const EVENTS: usize = 10_000;

impl Mailbox {
    /// A mailbox with the folders everybody has.
    pub fn new(owner: Person, number: u32, now: DateTime<Utc>) -> Self {
        let mut mailbox = Self {
            owner,
            number,
            sequence: 0,
            epoch: 1,
            folders: BTreeMap::new(),
            items: BTreeMap::new(),
            gone_items: Vec::new(),
            gone_folders: Vec::new(),
            events: Vec::new(),
            next: 1,
            children: BTreeMap::new(),
        };
        for (distinguished, name, class, parent) in DISTINGUISHED {
            let parent = mailbox.distinguished(parent);
            mailbox.add_folder(parent, name, class, Some(distinguished), now);
        }
        mailbox
    }

    /// A number never used before in this mailbox.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A name for an attachment.
    pub fn fresh_attachment(&mut self) -> AttachmentId {
        AttachmentId(self.fresh())
    }

    fn advance(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Tells subscribers.
    pub(super) fn tell(&mut self, happening: Happening, now: DateTime<Utc>) {
        if self.events.len() == EVENTS {
            self.events.remove(0);
        }
        self.events.push(Event { sequence: self.sequence, at: now, happening });
    }

    /// The folder with a name that every mailbox knows.
    pub fn distinguished(&self, name: &str) -> Option<FolderId> {
        self.folders.values().find(|folder| folder.distinguished == Some(name)).map(|folder| folder.id)
    }

    /// The same for a name that every mailbox has since its beginning.
    pub fn home(&self, name: &'static str) -> FolderId {
        self.distinguished(name).unwrap_or(FolderId(0))
    }

    fn add_folder(
        &mut self,
        parent: Option<FolderId>,
        name: &str,
        class: &str,
        distinguished: Option<&'static str>,
        now: DateTime<Utc>,
    ) -> FolderId {
        let (id, sequence) = (FolderId(self.fresh()), self.advance());
        let folder = Folder {
            id,
            parent,
            name: name.to_owned(),
            class: class.to_owned(),
            distinguished,
            version: 1,
            entered: sequence,
            changed: sequence,
            created_at: now,
            extended: BTreeMap::new(),
        };
        self.folders.insert(id, folder);
        if let Some(parent) = parent {
            self.tell(Happening::FolderCreated { folder: id, parent }, now);
        }
        id
    }

    /// A folder.
    ///
    /// # Errors
    /// [`Error::FolderNotFound`].
    pub fn folder(&self, id: FolderId) -> Result<&Folder, Error> {
        self.folders.get(&id).ok_or(Error::FolderNotFound)
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// When the parent is not there, the name is empty, or a sibling has it already.
    pub fn create_folder(
        &mut self,
        parent: FolderId,
        name: &str,
        class: &str,
        now: DateTime<Utc>,
    ) -> Result<FolderId, Error> {
        self.folder(parent)?;
        self.name_is_free(parent, name, None)?;
        Ok(self.add_folder(Some(parent), name, class, None, now))
    }

    fn name_is_free(&self, parent: FolderId, name: &str, but: Option<FolderId>) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::FolderNameMissing);
        }
        let taken = self.folders.values().any(|folder| {
            folder.parent == Some(parent) && folder.name.eq_ignore_ascii_case(name) && Some(folder.id) != but
        });
        if taken { Err(Error::FolderExists) } else { Ok(()) }
    }

    /// Changes a folder's own properties.
    ///
    /// # Errors
    /// When it is not there or the new name is taken.
    pub fn update_folder(
        &mut self,
        id: FolderId,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Folder),
    ) -> Result<(), Error> {
        let mut folder = self.folder(id)?.clone();
        change(&mut folder);
        if let Some(parent) = folder.parent {
            self.name_is_free(parent, &folder.name, Some(id))?;
        }
        folder.version += 1;
        folder.changed = self.advance();
        self.folders.insert(id, folder);
        self.tell(Happening::FolderModified { folder: id }, now);
        Ok(())
    }

    /// A folder and all below it, parents first.
    pub fn subtree(&self, top: FolderId) -> Vec<FolderId> {
        let mut found = vec![top];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(self.folders.values().filter(|folder| folder.parent == Some(parent)).map(|folder| folder.id));
            next += 1;
        }
        found
    }

    /// Puts a folder into another.
    ///
    /// # Errors
    /// When one is not there, the mover is one that every mailbox has, or it would come to lie in itself.
    pub fn move_folder(&mut self, id: FolderId, parent: FolderId, now: DateTime<Utc>) -> Result<(), Error> {
        self.folder(parent)?;
        if self.folder(id)?.distinguished.is_some() {
            return Err(Error::FolderProtected);
        }
        if self.subtree(id).contains(&parent) {
            return Err(Error::Invalid("a folder cannot lie in itself"));
        }
        let name = self.folder(id)?.name.clone();
        self.name_is_free(parent, &name, Some(id))?;
        let sequence = self.advance();
        if let Some(folder) = self.folders.get_mut(&id) {
            folder.parent = Some(parent);
            folder.version += 1;
            folder.changed = sequence;
        }
        self.tell(Happening::FolderMoved { folder: id, parent }, now);
        Ok(())
    }

    /// Destroys a folder with all that is in it.
    ///
    /// # Errors
    /// When it is not there, or is one that every mailbox has.
    pub fn delete_folder(&mut self, id: FolderId, now: DateTime<Utc>) -> Result<(), Error> {
        if self.folder(id)?.distinguished.is_some() {
            return Err(Error::FolderProtected);
        }
        for folder in self.subtree(id).into_iter().rev() {
            for item in self.items_in(folder) {
                self.remove(item, now)?;
            }
            let parent = self.folder(folder)?.parent.unwrap_or(folder);
            self.folders.remove(&folder);
            let sequence = self.advance();
            self.gone_folders.push((sequence, folder));
            self.tell(Happening::FolderDeleted { folder, parent }, now);
        }
        Ok(())
    }

    /// The items of a folder, oldest first.
    pub fn items_in(&self, folder: FolderId) -> Vec<ItemId> {
        self.children.get(&folder).map(|items| items.iter().copied().collect()).unwrap_or_default()
    }

    /// How many items a folder has, and how many of them nobody has read.
    pub fn counts(&self, folder: FolderId) -> (usize, usize) {
        let items = self.items_in(folder);
        let unread = items
            .iter()
            .filter_map(|id| self.items.get(id))
            .filter(|item| item.content.class.is_mail() && !item.content.is("IsRead"))
            .count();
        (items.len(), unread)
    }

    /// An item.
    ///
    /// # Errors
    /// [`Error::ItemNotFound`].
    pub fn item(&self, id: ItemId) -> Result<&Item, Error> {
        self.items.get(&id).ok_or(Error::ItemNotFound)
    }

    /// Puts something into a folder.
    ///
    /// # Errors
    /// [`Error::FolderNotFound`].
    pub fn put(&mut self, folder: FolderId, content: Content, now: DateTime<Utc>) -> Result<ItemId, Error> {
        let id = self.lay(folder, content, now)?;
        self.tell(Happening::Created { item: id, folder }, now);
        Ok(id)
    }

    pub(super) fn lay(&mut self, folder: FolderId, content: Content, now: DateTime<Utc>) -> Result<ItemId, Error> {
        self.folder(folder)?;
        let (id, sequence) = (ItemId(self.fresh()), self.advance());
        let item = Item {
            id,
            folder,
            content,
            version: 1,
            entered: sequence,
            history: Vec::new(),
            created_at: now,
            modified_at: now,
            exceptions: BTreeMap::new(),
            about: None,
        };
        self.items.insert(id, item);
        self.children.entry(folder).or_default().insert(id);
        Ok(id)
    }

    /// Changes an item and notes that.
    ///
    /// # Errors
    /// [`Error::ItemNotFound`], or what `change` finds wrong; then nothing has changed.
    pub fn change<T>(
        &mut self,
        id: ItemId,
        touch: Touch,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Item) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut item = self.item(id)?.clone();
        let result = change(&mut item)?;
        let sequence = self.advance();
        item.touch(sequence, touch, now);
        let folder = item.folder;
        self.items.insert(id, item);
        self.tell(Happening::Modified { item: id, folder }, now);
        Ok(result)
    }

    fn take(&mut self, id: ItemId) -> Result<Item, Error> {
        let item = self.items.remove(&id).ok_or(Error::ItemNotFound)?;
        if let Some(children) = self.children.get_mut(&item.folder) {
            children.remove(&id);
        }
        let sequence = self.advance();
        self.gone_items.push((sequence, item.folder, id, item.entered));
        Ok(item)
    }

    /// Destroys an item.
    ///
    /// # Errors
    /// [`Error::ItemNotFound`].
    pub fn remove(&mut self, id: ItemId, now: DateTime<Utc>) -> Result<Item, Error> {
        let item = self.take(id)?;
        self.tell(Happening::Deleted { item: id, folder: item.folder }, now);
        Ok(item)
    }

    /// Takes an item to another folder, where it has a new id, as on the real thing.
    ///
    /// # Errors
    /// When the item or the folder is not there.
    pub fn move_item(&mut self, id: ItemId, folder: FolderId, now: DateTime<Utc>) -> Result<ItemId, Error> {
        self.folder(folder)?;
        let item = self.take(id)?;
        let old = item.folder;
        let new = self.lay(folder, item.content, now)?;
        if let Some(laid) = self.items.get_mut(&new) {
            laid.created_at = item.created_at;
            laid.exceptions = item.exceptions;
            laid.about = item.about;
            laid.version = item.version + 1;
        }
        for other in self.items.values_mut().filter(|other| other.about == Some(id)) {
            other.about = Some(new);
        }
        self.tell(Happening::Moved { item: new, folder, was: id, from: old }, now);
        Ok(new)
    }

    /// Makes a second one of an item, with all that hangs on it.
    ///
    /// # Errors
    /// When the item or the folder is not there.
    pub fn copy_item(&mut self, id: ItemId, folder: FolderId, now: DateTime<Utc>) -> Result<ItemId, Error> {
        let source = self.item(id)?.clone();
        let mut content = source.content;
        for attachment in &mut content.attachments {
            attachment.id = self.fresh_attachment();
        }
        let new = self.lay(folder, content, now)?;
        if let Some(laid) = self.items.get_mut(&new) {
            laid.exceptions = source.exceptions;
        }
        self.tell(Happening::Copied { item: new, folder, was: id, from: source.folder }, now);
        Ok(new)
    }
}
