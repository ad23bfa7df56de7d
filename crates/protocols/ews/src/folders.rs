//! Folders beside those that are read. An item gets another id with every move, so it is marked with the one it had: when
//! the answer to a move was lost, the item is found by that.

use async_trait::async_trait;
use lockstep_connector::{
    Deadline,
    folders::{Folders, Place},
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::RemoteKey,
};

use crate::{
    client::Client,
    codec::{
        answer, create_folder,
        create_item::Invitations,
        find_folder,
        find_item::{self, Restriction},
        folder,
        id::{FolderRef, ItemId, ItemRef},
        move_item,
        property::{Extended, OUR_SET, Property, Shape},
        update_item::{self, Conflicts, Update},
    },
    fault, header,
    session::EwsSession,
    xml::Writer,
};

/// The id an item had before it was moved.
const MOVED_FROM: Extended = Extended::Named(OUR_SET, "LockstepMovedFrom", "String");

/// The folder that all others of a mailbox lie in.
const ROOT: FolderRef = FolderRef::Distinguished("msgfolderroot");

fn folder_of(place: &Place) -> FolderRef {
    match place {
        Place::Inbox => FolderRef::Distinguished("inbox"),
        Place::Folder(key) => FolderRef::Id(header::id_of(key)),
    }
}

fn key_of(id: &str) -> Result<RemoteKey, Fault> {
    RemoteKey::new(id).ok_or_else(|| fault::violation("the server's id of a folder or an item cannot be kept"))
}

/// The folders at the top of a mailbox.
async fn at_the_top(client: &mut Client, deadline: &Deadline) -> Result<Vec<folder::Folder>, Fault> {
    let message = client.call_one(&find_folder::request(&ROOT), deadline).await?;
    let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
    find_folder::read(&message).ok_or_else(|| fault::violation("a search for folders without a result"))
}

fn named(folders: &[folder::Folder], name: &str) -> Option<String> {
    folders.iter().find(|folder| folder.name.eq_ignore_ascii_case(name)).map(|folder| folder.id.clone())
}

/// Marks an item with the id it has. An item that does not bear it is moved all the same.
async fn mark(client: &mut Client, id: &str, deadline: &Deadline) -> Result<(), Fault> {
    let mut w = Writer::default();
    w.element("t:Message", &[], |w| MOVED_FROM.write(w, id));
    let update = Update::Set(Property::Extended(MOVED_FROM), w.finish());
    let item = ItemRef::Item(ItemId::whatever(id));
    let request = update_item::request(&item, &[update], Conflicts::AlwaysOverwrite, Invitations::None);
    match client.call_one(&request, deadline).await?.map_err(|refusal| refusal.fault(FaultScope::Item)) {
        Err(fault) if fault.scope != FaultScope::Item => Err(fault),
        Err(fault) => {
            tracing::debug!(%fault, "an item bears no mark; it is moved without");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Where an item has got to that had this id before it was moved.
async fn moved(
    client: &mut Client,
    id: &str,
    into: &FolderRef,
    deadline: &Deadline,
) -> Result<Option<RemoteKey>, Fault> {
    let which = Restriction::Equals(Property::Extended(MOVED_FROM), id.to_owned());
    let request = find_item::request(into, &Shape::default(), Some(&which), 0, 1);
    let message = client.call_one(&request, deadline).await?;
    let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
    let page = find_item::read(&message).ok_or_else(|| fault::violation("a search without a result"))?;
    page.items.first().and_then(ItemId::of_item).map(|item| key_of(&item.id)).transpose()
}

/// Moves one item.
async fn carry(
    client: &mut Client,
    id: &str,
    into: &FolderRef,
    deadline: &Deadline,
) -> Result<Result<Option<RemoteKey>, Fault>, Fault> {
    deadline.check(fault::SOME_TIME)?;
    mark(client, id, deadline).await?;
    let request = move_item::request(&[ItemRef::Item(ItemId::whatever(id))], into);
    let response = client.call(&request, deadline).await?;
    let refusal = match answer::only(&response) {
        Ok(message) => match move_item::read(message) {
            Some(item) => return Ok(Ok(Some(key_of(&item.id)?))),
            None => return Ok(Ok(moved(client, id, into, deadline).await?)),
        },
        Err(refusal) => refusal,
    };
    // The folder that is missing is not the item.
    if refusal.is("ErrorFolderNotFound") || refusal.is("ErrorToFolderNotFound") {
        return Err(refusal.fault(FaultScope::Mailbox));
    }
    let fault = refusal.fault(FaultScope::Item);
    match (fault.scope, fault.class) {
        (FaultScope::Item, FaultClass::Gone) => Ok(Ok(moved(client, id, into, deadline).await?)),
        (FaultScope::Item, _) => Ok(Err(fault)),
        _ => Err(fault),
    }
}

#[async_trait]
impl Folders for EwsSession {
    async fn ensure(&mut self, name: &str, kept: Option<&RemoteKey>, deadline: &Deadline) -> Result<RemoteKey, Fault> {
        let folders = at_the_top(&mut self.client, deadline).await?;
        let kept = kept.map(header::id_of).filter(|kept| folders.iter().any(|folder| folder.id == *kept));
        if let Some(id) = kept.or_else(|| named(&folders, name)) {
            return key_of(&id);
        }
        let message = self.client.call_one(&create_folder::request(&ROOT, name), deadline).await?;
        match message {
            Ok(message) => {
                let made = folder::read(&message);
                key_of(&made.ok_or_else(|| fault::violation("a folder was made and not named"))?.id)
            }
            // Somebody else was faster.
            Err(refusal) if refusal.is("ErrorFolderExists") => {
                let folders = at_the_top(&mut self.client, deadline).await?;
                let id = named(&folders, name);
                key_of(&id.ok_or_else(|| refusal.fault(FaultScope::Mailbox))?)
            }
            Err(refusal) => Err(refusal.fault(FaultScope::Mailbox)),
        }
    }

    async fn file(
        &mut self,
        keys: &[RemoteKey],
        into: &Place,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Option<RemoteKey>, Fault>>, Fault> {
        let into = folder_of(into);
        let mut done = Vec::with_capacity(keys.len());
        for key in keys {
            done.push(carry(&mut self.client, &header::id_of(key), &into, deadline).await?);
        }
        Ok(done)
    }
}
