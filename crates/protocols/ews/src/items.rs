//! Contacts, tasks and appointments on the server: listing, reading, making, changing and deleting them.

use chrono::TimeDelta;
use chrono_tz::Tz;
use lockstep_connector::Deadline;
use lockstep_model::{
    fault::{Fault, FaultScope},
    record::{
        Fields, LinkId,
        series::{Exception, Series},
    },
};

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
        time,
        update_item::{self, Conflicts, Update},
    },
    fault::{self, Refusal},
    item::{Class, Unwritable, series, shape},
    xml::Element,
};

/// Most items in one request; appointments are heavy, so fewer of them.
const TOGETHER: usize = 50;
const APPOINTMENTS: usize = 10;

/// Why an exception of a series was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// The protocol cannot say it.
    Unwritable(Unwritable),
    /// The server said no.
    Refused(Refusal),
    /// The series has no occurrence there.
    NoOccurrence,
}

impl Client {
    /// What changed in the folder of a class since a state: ids and change keys. One page; the caller keeps its state
    /// together with what it made of the page.
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
        let wanted = Shape::ids_and([Property::Field("item:LastModifiedTime")]);
        let request = sync_folder_items::request(&folder, &wanted, state, limit);
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
        let together = if class == Class::Appointment { APPOINTMENTS } else { TOGETHER };
        let mut found = Vec::new();
        for portion in items.chunks(together) {
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

    /// A series with all that differs from its rule; `None` when it is none.
    ///
    /// # Errors
    /// What kept the server from showing its occurrences.
    pub async fn series(&mut self, master: &Element, home: Tz, deadline: &Deadline) -> Result<Option<Fields>, Fault> {
        let modified = series::modified(master);
        let ids: Vec<ItemRef> = modified.iter().map(|one| ItemRef::Item(one.id.clone())).collect();
        let elements = self.get_items(Class::Appointment, &ids, deadline).await?;
        let pairs: Vec<_> = modified.into_iter().zip(elements.into_iter().map(Result::ok)).collect();
        Ok(series::read(master, &pairs, home))
    }

    /// Writes the exceptions of a series whose rule the server has already. What is so already is left alone.
    ///
    /// # Errors
    /// Inside, each one that was not written, by its original local start.
    pub async fn write_exceptions(
        &mut self,
        master: &ItemId,
        series: &Series,
        home: Tz,
        deadline: &Deadline,
    ) -> Result<Vec<(chrono::NaiveDateTime, NotWritten)>, Fault> {
        let read = self.get_items(Class::Appointment, &[ItemRef::Item(master.clone())], deadline).await?;
        let element = match read.into_iter().next() {
            Some(Ok(element)) => element,
            Some(Err(refusal)) => return Err(refusal.fault(FaultScope::Item)),
            None => return Err(fault::violation("the server left an item out")),
        };
        let (modified, deleted) = (series::modified(&element), series::deleted(&element));
        let mut failed = Vec::new();
        for (original, exception) in &series.exceptions {
            let at = series::original_instant(series, *original, home);
            if deleted.contains(&at) {
                if !matches!(exception, Exception::Cancelled) {
                    failed.push((*original, NotWritten::NoOccurrence));
                }
                continue;
            }
            let known = modified.iter().find(|one| one.original == at).map(|one| one.id.clone());
            let id = match known {
                Some(id) => Some(id),
                None => self.occurrence(&element, at, deadline).await?,
            };
            let Some(id) = id else {
                failed.push((*original, NotWritten::NoOccurrence));
                continue;
            };
            let item = ItemRef::Item(id);
            let done = match exception {
                Exception::Cancelled => {
                    let done = self.delete_items(&[item], false, deadline).await?;
                    done.into_iter().next().unwrap_or(Ok(()))
                }
                Exception::Changed(changed) => match series::exception_updates(series, changed, home) {
                    Ok(updates) => self.update_item(&item, &updates, Invitations::None, deadline).await?.map(|_| ()),
                    Err(unwritable) => {
                        failed.push((*original, NotWritten::Unwritable(unwritable)));
                        continue;
                    }
                },
            };
            if let Err(refusal) = done {
                failed.push((*original, NotWritten::Refused(refusal)));
            }
        }
        Ok(failed)
    }

    /// The occurrence of a series that begins at an instant and does not differ from the rule yet.
    async fn occurrence(
        &mut self,
        master: &Element,
        at: chrono::DateTime<chrono::Utc>,
        deadline: &Deadline,
    ) -> Result<Option<ItemId>, Fault> {
        let wanted = Shape::ids_and(["calendar:Start", "calendar:UID"].map(Property::Field));
        let to = at.checked_add_signed(TimeDelta::minutes(1)).unwrap_or(at);
        let folder = FolderRef::Distinguished(Class::Appointment.folder());
        let request = find_item::view(&folder, &wanted, &time::write(at), &time::write(to), 500);
        let message = self.call_one(&request, deadline).await?;
        let message = message.map_err(|refusal| refusal.fault(FaultScope::Mailbox))?;
        let page = find_item::read(&message).ok_or_else(|| fault::violation("a search without a result"))?;
        let ours = |item: &&Element| {
            item.text_of("Start").and_then(time::read) == Some(at) && item.text_of("UID") == master.text_of("UID")
        };
        Ok(page.items.iter().find(ours).and_then(ItemId::of_item))
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
