//! Contacts, tasks and appointments over one connection: what changed, what they are, and writing to them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lockstep_model::{
    fault::Fault,
    id::OrganisationId,
    record::{Field, Fields, Kind, LinkId, Patch, RemoteVersion},
    remote::{Cursor, RemoteKey},
};

use crate::{attachments::Attachments, deadline::Deadline};

/// Where items of some kinds lie. A mailbox has one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// Contacts.
    Contacts,
    /// Tasks, also those that phone calls, letters and faxes become.
    Tasks,
    /// Appointments, series of them, service activities.
    Calendar,
}

impl Folder {
    /// Every folder.
    pub const ALL: [Self; 3] = [Self::Contacts, Self::Tasks, Self::Calendar];

    /// Where items of a kind lie.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Contact => Self::Contacts,
            Kind::Task | Kind::PhoneCall | Kind::Letter | Kind::Fax => Self::Tasks,
            Kind::Appointment | Kind::RecurringAppointment | Kind::ServiceActivity => Self::Calendar,
        }
    }

    /// The word for it in what is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Tasks => "tasks",
            Self::Calendar => "calendar",
        }
    }
}

/// So many categories of an item are told at most.
pub const MOST_CATEGORIES: usize = 50;

/// What a listing shows of an item: enough to decide whether it concerns anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemHead {
    /// Its identity on the server.
    pub key: RemoteKey,
    /// Its state there.
    pub version: RemoteVersion,
    /// The mark it was created with, if by us; a copy carries it too.
    pub mark: Option<LinkId>,
    /// What all attendees' copies of a meeting share (iCalendar's `UID`).
    pub uid: Option<String>,
    /// The categories a person gave it; at most [`MOST_CATEGORIES`] are told.
    pub categories: Vec<String>,
}

/// One page of what changed in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Made or changed. An item that is listed twice stands here once, as it was listed last.
    pub changed: Vec<ItemHead>,
    /// Deleted, or moved out of the folder.
    pub deleted: Vec<RemoteKey>,
    /// Where to go on. Commit it with what was made of the page.
    pub cursor: Cursor,
    /// More is there already.
    pub more: bool,
    /// The server no longer knew the cursor: this is the first page of everything there is, and who is not in it was
    /// not therefore deleted.
    pub reset: bool,
}

/// An item as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What the listing shows of it too.
    pub head: ItemHead,
    /// What it is. Phone calls, letters and faxes are tasks here, service activities appointments.
    pub kind: Kind,
    /// Its values, in canonical form.
    pub fields: Fields,
    /// When it was last modified, by the server's clock.
    pub modified: DateTime<Utc>,
    /// The mailbox's owner holds this meeting, or it is none. Always so for contacts and tasks.
    pub organiser: bool,
}

/// The answer to the question for an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The item.
    Here(Box<Item>),
    /// The server has no such item.
    Gone,
    /// There is one that is never synchronised, and why: a recurring or assigned task.
    Apart(&'static str),
    /// It could not be read: a fault of scope `item`.
    Unreadable(Fault),
}

/// Whether the attendees of a meeting hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nobody.
    Nobody,
    /// Everybody invited.
    Attendees,
}

/// What goes with a write beside the values of fields, and follows from the record as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Nobody is reminded: the item has no reminder from then on. Otherwise that is the mailbox's own affair.
    pub no_reminder: bool,
    /// The item gets or loses a category. All others, which are people's own, stay.
    pub category: Option<(CategoryChange, String)>,
}

/// What becomes of a category of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CategoryChange {
    /// It has it from then on.
    Given,
    /// It has it no longer.
    Taken,
}

/// Which organisation keeps a mailbox's items in step, as the mailbox itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The organisation.
    pub organisation: OrganisationId,
    /// When it last said that it works here; by its own clock, in whole seconds.
    pub synchronised_at: Option<DateTime<Utc>>,
}

/// A write to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new item.
    Create {
        /// What it is.
        kind: Kind,
        /// Its values.
        values: Fields,
        /// The mark it carries from then on.
        mark: LinkId,
        /// What goes with it. A category is not: who makes an item gives it one by a change.
        beside: Beside,
        /// Who hears of it.
        tell: Tell,
    },
    /// A change.
    Update {
        /// The item as it was read: conditional on that state.
        item: Box<Item>,
        /// What is written.
        patch: Patch,
        /// What goes with it.
        beside: Beside,
        /// Who hears of it.
        tell: Tell,
    },
    /// A deletion, into the folder for deleted items.
    Delete {
        /// The item, and its state. Servers that cannot make a deletion conditional are asked for the state before.
        item: Box<Item>,
        /// Who hears of it: a meeting is cancelled.
        tell: Tell,
    },
}

/// What a write left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The item.
    pub key: RemoteKey,
    /// The state the write gave it; `None` after a deletion.
    pub version: Option<RemoteVersion>,
    /// Parts that the server did not take, though it took the rest: the field, and in words what and why. They are told
    /// to the administrator.
    pub left_out: Vec<(Field, String)>,
}

/// Why a write was not done. Nothing of it was, and the session goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum NotDone {
    /// Somebody else changed the item meanwhile: read it again, and decide again.
    Conflict,
    /// There is no such item any more.
    Gone,
    /// The protocol has no way to say this value.
    Unwritable {
        /// The field.
        field: Field,
        /// Why, in words.
        why: &'static str,
    },
    /// The server said no: a fault of scope `item`.
    Refused(Fault),
}

/// Contacts, tasks and appointments of one mailbox. After a fault only [`crate::Session::close`] may be called.
#[async_trait]
pub trait Items: Attachments {
    /// What changed in a folder since `cursor` (empty: everything), at most about `limit` items.
    ///
    /// # Errors
    /// What ended the session.
    async fn changes(
        &mut self,
        folder: Folder,
        cursor: &Cursor,
        limit: u16,
        deadline: &Deadline,
    ) -> Result<Changes, Fault>;

    /// These items with all their values, in the order asked for. At most 200 at a time.
    ///
    /// # Errors
    /// What ended the session.
    async fn read(&mut self, folder: Folder, keys: &[RemoteKey], deadline: &Deadline) -> Result<Vec<Reading>, Fault>;

    /// The items of a folder that carry a mark; more than one where somebody has copied it, or a first try's answer was
    /// lost.
    ///
    /// # Errors
    /// What ended the session; of scope `item`, and then the session goes on, where one that carries the mark cannot be
    /// read: its place must not look free.
    async fn find(&mut self, folder: Folder, mark: LinkId, deadline: &Deadline) -> Result<Vec<Item>, Fault>;

    /// Carries these out, one after the other, and says of each what became of it. Where the session ends before all of
    /// them were answered, the answers end there: whatever is not answered may or may not have been done.
    async fn write(&mut self, writes: &[Write], deadline: &Deadline) -> Written;

    /// Whose the mailbox is. `None`: nobody has claimed it.
    ///
    /// # Errors
    /// What ended the session.
    async fn claim(&mut self, deadline: &Deadline) -> Result<Option<Claim>, Fault>;

    /// Claims the mailbox, whosever it was. Of two who do so at once the later one has it: whoever did reads it again.
    ///
    /// # Errors
    /// What ended the session.
    async fn set_claim(&mut self, claim: &Claim, deadline: &Deadline) -> Result<(), Fault>;

    /// Notes when its organisation works in the mailbox. Whose it is stays as it is, also where that has changed since it
    /// was read.
    ///
    /// # Errors
    /// What ended the session.
    async fn note_synchronised(&mut self, at: DateTime<Utc>, deadline: &Deadline) -> Result<(), Fault>;
}

/// What became of some writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// In the order of the writes, as far as they were answered.
    pub done: Vec<Result<Receipt, NotDone>>,
    /// What ended the session before all were.
    pub broken: Option<Fault>,
}
