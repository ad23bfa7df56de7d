//! The port's contacts, tasks and appointments over a client. The cursor of a folder is the server's sync state; an
//! item's key its `ItemId`, which is another one after a move; its version the change key.

mod attachments;
mod beside;
mod claim;
mod listing;
mod reading;
mod writing;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lockstep_connector::{
    Deadline,
    items::{Changes, Claim, Folder, Item, Items, Reading, Write, Written},
};
use lockstep_model::{
    fault::{Fault, FaultScope},
    record::LinkId,
    remote::{Cursor, RemoteKey},
};

use crate::{item::Class, session::EwsSession};

/// What the items of a folder are called in the schema.
const fn class_of(folder: Folder) -> Class {
    match folder {
        Folder::Contacts => Class::Contact,
        Folder::Tasks => Class::Task,
        Folder::Calendar => Class::Appointment,
    }
}

#[async_trait]
impl Items for EwsSession {
    async fn changes(
        &mut self,
        folder: Folder,
        cursor: &Cursor,
        limit: u16,
        deadline: &Deadline,
    ) -> Result<Changes, Fault> {
        listing::changes(&mut self.client, class_of(folder), cursor, limit, deadline).await
    }

    async fn read(&mut self, folder: Folder, keys: &[RemoteKey], deadline: &Deadline) -> Result<Vec<Reading>, Fault> {
        reading::read(&mut self.client, class_of(folder), keys, self.home, deadline).await
    }

    /// Also fails with scope `item`, where one that carries the mark cannot be read: its place must not look free.
    async fn find(&mut self, folder: Folder, mark: LinkId, deadline: &Deadline) -> Result<Vec<Item>, Fault> {
        let class = class_of(folder);
        let found = self.client.linked_items(class, mark, deadline).await?;
        let keys: Vec<_> = found.into_iter().filter_map(|id| RemoteKey::new(id.id)).collect();
        let mut items = Vec::with_capacity(keys.len());
        for reading in reading::read(&mut self.client, class, &keys, self.home, deadline).await? {
            match reading {
                Reading::Here(item) => items.push(*item),
                Reading::Gone | Reading::Apart(_) => {}
                Reading::Unreadable(fault) => return Err(Fault { scope: FaultScope::Item, ..fault }),
            }
        }
        Ok(items)
    }

    async fn write(&mut self, writes: &[Write], deadline: &Deadline) -> Written {
        writing::write(&mut self.client, writes, self.home, deadline).await
    }

    async fn claim(&mut self, deadline: &Deadline) -> Result<Option<Claim>, Fault> {
        claim::read(&mut self.client, deadline).await
    }

    async fn set_claim(&mut self, claim: &Claim, deadline: &Deadline) -> Result<(), Fault> {
        claim::write(&mut self.client, claim, deadline).await
    }

    async fn note_synchronised(&mut self, at: DateTime<Utc>, deadline: &Deadline) -> Result<(), Fault> {
        claim::note(&mut self.client, at, deadline).await
    }
}
