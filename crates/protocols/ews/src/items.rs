//! Contacts, tasks and appointments on the server: listing, reading, making, changing and deleting them.

mod occurrences;

use lockstep_connector::Deadline;
use lockstep_model::{
    fault::{Fault, FaultScope},
    record::LinkId,
};

pub use occurrences::NotWritten;

use crate::{
    client::Client,
    codec::{
        answer,
        create_item::{self, How, Invitations},
        delete_item::{self, Thoroughness},
        find_item::{self, Restriction},
        get_item,
        id::{FolderRef, ItemId, ItemRef},
        property::{LINK, Property, Shape},
        sync_folder_items::{self, Page},
        update_item::{self, Conflicts, Update},
    },
    fault::{self, Refusal},
    item::{Class, listed, shape},
    xml::Element,
};

/// Most items in one request; appointments are heavy, so fewer of them.
pub(crate) const TOGETHER: usize = 50;
const APPOINTMENTS: usize = 10;

/// How many items of a class are read with one request.
pub(crate) const fn together(class: Class) -> usize {
    match class {
        Class::Appointment => APPOINTMENTS,
        _ => TOGETHER,
    }
}

impl Client {
    /// What changed in the folder of a class since a state: ids, change keys and what decides whether an item concerns
    /// anybody. One page; the caller keeps its state together with what it made of the page.
    ///
    /// # Errors
    /// Inside, what the server said no to; [`Refusal::forgot_the_state`] means that the listing begins again.
    pub async fn sync_items(
        &mut self,
        class: Class,
        state: Option<&str>,
        limit: u16,
        deadline: &Deadline,
    ) -> Result<Result<Page, Refusal>, Fault> {
        let folder = FolderRef::Distinguished(class.folder());
        let request = sync_folder_items::request(&folder, &listed(class), state, limit);
        let message = match self.call_one(&request, deadline).await? {
            Ok(message) => message,
            Err(refusal) => return whole(refusal),
        };
        let page = sync_folder_items::read(&message);
        page.map(Ok).ok_or_else(|| fault::violation("the server lists changes without a sync state"))
    }

    /// Items with everything that is synchronised of them, in the order asked for.
    ///
    /// # Errors
    /// Inside, why the server does not show this one.
    pub async fn get_items(
        &mut self,
        class: Class,
        items: &[ItemRef],
        deadline: &Deadline,
    ) -> Result<Vec<Result<Element, Refusal>>, Fault> {
        let wanted = shape(class);
        let mut found = Vec::new();
        for portion in items.chunks(together(class)) {
            let response = self.call(&get_item::request(portion, &wanted), deadline).await?;
            let mut messages = answer::messages(&response);
            for _ in portion {
                found.push(match messages.next() {
                    None => return Err(fault::violation("the server left an item out")),
                    Some(Err(refusal)) => whole(refusal)?,
                    Some(Ok(message)) => {
                        let item = get_item::read(message).cloned();
                        Ok(item.ok_or_else(|| fault::violation("an answer without its item"))?)
                    }
                });
            }
        }
        Ok(found)
    }

    /// An item's id with its state as it is now.
    ///
    /// # Errors
    /// Inside, why the server does not show it.
    pub async fn state_of(&mut self, id: &str, deadline: &Deadline) -> Result<Result<ItemId, Refusal>, Fault> {
        let request = get_item::request(&[ItemId::whatever(id).into()], &Shape::default());
        let read = |message: &Element| get_item::read(message).and_then(ItemId::of_item);
        ided(self.call_one(&request, deadline).await?, read)
    }

    /// Makes an item out of its element.
    ///
    /// # Errors
    /// Inside, what the server said no to.
    pub async fn create_item(
        &mut self,
        class: Class,
        element: &str,
        invitations: Invitations,
        deadline: &Deadline,
    ) -> Result<Result<ItemId, Refusal>, Fault> {
        let how = if class == Class::Appointment { How::Appointment(invitations) } else { How::Other };
        let folder = FolderRef::Distinguished(class.folder());
        let made = self.call_one(&create_item::request(how, Some(&folder), element), deadline).await?;
        ided(made, create_item::read)
    }

    /// Makes contacts out of their elements with one request, at most 50; each has an answer, in their order, as far as
    /// the server gave one.
    ///
    /// # Errors
    /// What kept all of them from being made.
    pub async fn create_contacts(
        &mut self,
        elements: &[String],
        deadline: &Deadline,
    ) -> Result<Vec<Result<ItemId, Refusal>>, Fault> {
        let folder = FolderRef::Distinguished(Class::Contact.folder());
        let request = create_item::request(How::Other, Some(&folder), &elements.concat());
        let response = self.call(&request, deadline).await?;
        let mut made = Vec::with_capacity(elements.len());
        for message in answer::messages(&response).take(elements.len()) {
            made.push(match message.map(create_item::read) {
                Ok(Some(id)) => Ok(id),
                Ok(None) => return Err(fault::violation("the server does not say what it wrote")),
                Err(refusal) => Err(refusal),
            });
        }
        Ok(made)
    }

    /// Changes an item, unless somebody else changed it since the state its change key names.
    ///
    /// # Errors
    /// Inside, what the server said no to; [`Refusal::is_conflict`] means that somebody was faster.
    pub async fn update_item(
        &mut self,
        item: &ItemRef,
        updates: &[Update],
        invitations: Invitations,
        deadline: &Deadline,
    ) -> Result<Result<ItemId, Refusal>, Fault> {
        let request = update_item::request(item, updates, Conflicts::NeverOverwrite, invitations);
        let changed = self.call_one(&request, deadline).await?;
        ided(changed, update_item::read)
    }

    /// Deletes items into the folder of deleted ones. With `cancel`, those invited to an appointment hear of it.
    ///
    /// # Errors
    /// Inside, why this one was not deleted.
    pub async fn delete_items(
        &mut self,
        items: &[ItemRef],
        cancel: bool,
        deadline: &Deadline,
    ) -> Result<Vec<Result<(), Refusal>>, Fault> {
        let mut done = Vec::new();
        for portion in items.chunks(TOGETHER) {
            let request = delete_item::request(portion, Thoroughness::ToDeletedItems, cancel, true);
            let response = self.call(&request, deadline).await?;
            let mut messages = answer::messages(&response);
            for _ in portion {
                done.push(match messages.next() {
                    None => return Err(fault::violation("the server left an item out")),
                    Some(Err(refusal)) => whole(refusal)?,
                    Some(Ok(_)) => Ok(()),
                });
            }
        }
        Ok(done)
    }

    /// The items of a class that carry a link: an earlier try may have made one. At most 100.
    ///
    /// # Errors
    /// What kept the server from looking.
    pub async fn linked_items(
        &mut self,
        class: Class,
        link: LinkId,
        deadline: &Deadline,
    ) -> Result<Vec<ItemId>, Fault> {
        let which = Restriction::Equals(Property::Extended(LINK), link.0.to_string());
        let folder = FolderRef::Distinguished(class.folder());
        let request = find_item::request(&folder, &Shape::default(), Some(&which), 0, 100);
        let message = self.call_one(&request, deadline).await?;
        let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
        let page = find_item::read(&message).ok_or_else(|| fault::violation("a search without a result"))?;
        Ok(page.items.iter().filter_map(ItemId::of_item).collect())
    }

    /// Whether a message with this Message-ID, angle brackets included, lies among the sent ones. `false` proves nothing:
    /// copies can be late, and people delete them.
    ///
    /// # Errors
    /// What kept the server from looking.
    pub async fn was_sent(&mut self, message_id: &str, deadline: &Deadline) -> Result<bool, Fault> {
        let which = Restriction::Equals(Property::Field("message:InternetMessageId"), message_id.to_owned());
        let folder = FolderRef::Distinguished("sentitems");
        let request = find_item::request(&folder, &Shape::default(), Some(&which), 0, 1);
        let message = self.call_one(&request, deadline).await?;
        let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
        let page = find_item::read(&message).ok_or_else(|| fault::violation("a search without a result"))?;
        Ok(!page.items.is_empty())
    }
}

fn ided(
    done: Result<Element, Refusal>,
    read: fn(&Element) -> Option<ItemId>,
) -> Result<Result<ItemId, Refusal>, Fault> {
    match done {
        Ok(message) => {
            let id = read(&message);
            id.map(Ok).ok_or_else(|| fault::violation("the server does not say what it wrote"))
        }
        Err(refusal) => whole(refusal),
    }
}

/// A refusal that concerns more than its item is the session's fault.
fn whole<T>(refusal: Refusal) -> Result<Result<T, Refusal>, Fault> {
    let fault = refusal.fault(FaultScope::Item);
    if fault.scope == FaultScope::Item || refusal.forgot_the_state() { Ok(Err(refusal)) } else { Err(fault) }
}
