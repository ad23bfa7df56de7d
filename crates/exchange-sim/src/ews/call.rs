//! What an operation works with: the world, who asks, when; and finding the folders and items a request names.

use chrono::{DateTime, Utc};

use super::{
    answer::{Fault, code},
    ids::{self, ItemRef},
    subscriptions::Subscriptions,
    xml::Element,
};
use crate::world::{World, folder::FolderId, mailbox::Mailbox};

/// One request.
#[derive(Debug)]
pub struct Call<'a> {
    /// Everybody.
    pub world: &'a mut World,
    /// Who listens to what.
    pub subscriptions: &'a mut Subscriptions,
    /// Whose mailbox is meant where the request does not say.
    pub me: u32,
    /// Whether this one may open other people's mailboxes.
    pub everywhere: bool,
    /// When.
    pub now: DateTime<Utc>,
}

impl Call<'_> {
    fn may(&self, mailbox: u32) -> Result<u32, Fault> {
        if mailbox == self.me || self.everywhere {
            return Ok(mailbox);
        }
        Err(Fault::new(code::ACCESS_DENIED, "Access is denied. Check credentials and try again."))
    }

    /// A mailbox.
    ///
    /// # Errors
    /// When it is not there.
    pub fn mailbox(&self, number: u32) -> Result<&Mailbox, Fault> {
        Ok(self.world.mailbox(number)?)
    }

    /// A mailbox, to change it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn mailbox_mut(&mut self, number: u32) -> Result<&mut Mailbox, Fault> {
        Ok(self.world.mailbox_mut(number)?)
    }

    /// The folder an element names.
    ///
    /// # Errors
    /// When there is none, or it is not for this one to see.
    pub fn folder(&self, element: &Element) -> Result<(u32, FolderId), Fault> {
        let (mailbox, folder) = match element.name.as_str() {
            "FolderId" | "ParentFolderId" => ids::read_folder(element.attribute("Id").unwrap_or_default())?,
            "DistinguishedFolderId" => {
                let address = element.child("Mailbox").and_then(|mailbox| mailbox.text_of("EmailAddress"));
                let mailbox = match address {
                    Some(address) => self
                        .world
                        .find(address)
                        .ok_or_else(|| Fault::new(code::NO_MAILBOX, "No mailbox with such an address."))?,
                    None => self.me,
                };
                let name = element.attribute("Id").unwrap_or_default();
                let mailbox = self.may(mailbox)?;
                let folder = self
                    .mailbox(mailbox)?
                    .distinguished(name)
                    .ok_or_else(|| Fault::new(code::FOLDER_NOT_FOUND, format!("The mailbox has no folder {name}.")))?;
                (mailbox, folder)
            }
            other => return Err(Fault::schema(format!("{other} does not name a folder"))),
        };
        self.mailbox(self.may(mailbox)?)?.folder(folder)?;
        Ok((mailbox, folder))
    }

    /// The folder named in a wrapper such as `ParentFolderId`.
    ///
    /// # Errors
    /// As [`Call::folder`].
    pub fn folder_in(&self, wrapper: Option<&Element>) -> Result<(u32, FolderId), Fault> {
        let inner = wrapper.and_then(|wrapper| wrapper.children.first());
        self.folder(inner.ok_or_else(|| Fault::schema("A folder id is missing"))?)
    }

    /// The item an element names: `ItemId`, `OccurrenceItemId` or `RecurringMasterItemId`. It need not exist.
    ///
    /// # Errors
    /// For names that are none, and other people's.
    pub fn item(&self, element: &Element) -> Result<ItemRef, Fault> {
        let attribute = |name| element.attribute(name).unwrap_or_default();
        let found = match element.name.as_str() {
            "OccurrenceItemId" => {
                let series = ids::read_item(attribute("RecurringMasterId"))?;
                self.may(series.mailbox)?;
                let index = attribute("InstanceIndex").parse().map_err(|_| Fault::schema("InstanceIndex"))?;
                let item = self.mailbox(series.mailbox)?.item(series.item)?;
                if item.content.recurrence().is_none() {
                    return Err(Fault::new("ErrorCalendarIsNotRecurringMaster", "The item is no recurring series."));
                }
                ItemRef { original: Some(item.by_index(index)?), ..series }
            }
            "RecurringMasterItemId" => ItemRef { original: None, ..ids::read_item(attribute("OccurrenceId"))? },
            _ => ids::read_item(attribute("Id"))?,
        };
        self.may(found.mailbox)?;
        Ok(found)
    }
}
