//! `CreateItem` (MS-OXWSCORE 3.1.4.2).

use super::id::{FolderRef, ItemId};
use crate::xml::{Element, Writer};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is kept as a draft.
    SaveOnly,
    /// It is sent.
    SendOnly,
    /// It is sent, and a copy is kept.
    SendAndSaveCopy,
}

impl Disposition {
    /// The schema's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SaveOnly => "SaveOnly",
            Self::SendOnly => "SendOnly",
            Self::SendAndSaveCopy => "SendAndSaveCopy",
        }
    }
}

/// Who hears of a new or changed appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invitations {
    /// Nobody.
    None,
    /// Everybody who is invited; a copy is kept.
    AllAndCopy,
    /// On a change, only those who are new or no longer invited; a copy is kept.
    ChangedAndCopy,
}

impl Invitations {
    /// The schema's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "SendToNone",
            Self::AllAndCopy => "SendToAllAndSaveCopy",
            Self::ChangedAndCopy => "SendToChangedAndSaveCopy",
        }
    }
}

/// How items are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Messages.
    Message(Disposition),
    /// Appointments.
    Appointment(Invitations),
    /// All others.
    Other,
}

/// What comes before the items, and what comes after them.
pub fn around(how: How, folder: Option<&FolderRef>) -> (String, &'static str) {
    let attributes = match how {
        How::Message(disposition) => vec![("MessageDisposition", disposition.word())],
        // Nothing changed yet, so there is no difference between all and those the change concerns.
        How::Appointment(Invitations::None) => vec![("SendMeetingInvitations", "SendToNone")],
        How::Appointment(_) => vec![("SendMeetingInvitations", "SendToAllAndSaveCopy")],
        How::Other => Vec::new(),
    };
    let mut w = Writer::default();
    w.open("m:CreateItem", &attributes);
    if let Some(folder) = folder {
        w.element("m:SavedItemFolderId", &[], |w| folder.write(w));
    }
    w.open("m:Items", &[]);
    (w.finish(), "</m:Items></m:CreateItem>")
}

/// Makes items; `items` are their elements.
pub fn request(how: How, folder: Option<&FolderRef>, items: &str) -> String {
    let (before, after) = around(how, folder);
    [before.as_str(), items, after].concat()
}

/// The id of what was made; `None` for a message that was sent and not kept.
pub fn read(message: &Element) -> Option<ItemId> {
    message.list("Items").first().and_then(ItemId::of_item)
}
