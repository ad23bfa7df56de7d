//! An item: a message, an appointment, a contact, a task and their relatives.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    folder::FolderId,
    value::{Extended, Person, PropertyName, Value, Values},
};

/// Names an item in its mailbox. An item that moves gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Anything without a class of its own.
    Item,
    /// A mail message.
    Message,
    /// A note posted to a folder.
    PostItem,
    /// An appointment or a meeting.
    CalendarItem,
    /// A person's card.
    Contact,
    /// A list of people.
    DistributionList,
    /// Something to do.
    Task,
    /// An invitation.
    MeetingRequest,
    /// An answer to one.
    MeetingResponse,
    /// The news that a meeting does not take place.
    MeetingCancellation,
}

impl Class {
    /// The name of the class in MAPI, as an item has it when nobody says otherwise.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Item | Self::Message => "IPM.Note",
            Self::PostItem => "IPM.Post",
            Self::CalendarItem => "IPM.Appointment",
            Self::Contact => "IPM.Contact",
            Self::DistributionList => "IPM.DistList",
            Self::Task => "IPM.Task",
            Self::MeetingRequest => "IPM.Schedule.Meeting.Request",
            Self::MeetingResponse => "IPM.Schedule.Meeting.Resp.Pos",
            Self::MeetingCancellation => "IPM.Schedule.Meeting.Canceled",
        }
    }

    /// Whether it is sent and received like mail.
    pub fn is_mail(self) -> bool {
        use Class::{Item, MeetingCancellation, MeetingRequest, MeetingResponse, Message, PostItem};
        matches!(self, Item | Message | PostItem | MeetingRequest | MeetingResponse | MeetingCancellation)
    }
}

/// Names an attachment in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachmentId(pub u64);

/// What is attached.
#[derive(Debug, Clone, PartialEq)]
pub enum Attached {
    /// A file's octets.
    File(Vec<u8>),
    /// Another item.
    Item(Box<Content>),
}

/// Something attached to an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// Its name for later requests.
    pub id: AttachmentId,
    /// The file's name.
    pub name: String,
    /// The media type.
    pub content_type: String,
    /// The name by which an HTML body shows it.
    pub content_id: Option<String>,
    /// Whether it is shown inside the body.
    pub inline: bool,
    /// When it was attached.
    pub modified_at: DateTime<Utc>,
    /// The thing itself.
    pub attached: Attached,
}

impl Attachment {
    /// Octets, roughly.
    pub fn size(&self) -> usize {
        match &self.attached {
            Attached::File(octets) => octets.len(),
            Attached::Item(item) => item.size(),
        }
    }
}

/// What is in an item, wherever it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// What it is.
    pub class: Class,
    /// Its properties.
    pub values: Values,
    /// Its extended properties.
    pub extended: BTreeMap<PropertyName, Extended>,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// The message as it came over the wire, where it came so.
    pub mime: Option<Vec<u8>>,
}

impl Content {
    /// An empty item of a class.
    pub fn new(class: Class) -> Self {
        Self { class, values: Values::new(), extended: BTreeMap::new(), attachments: Vec::new(), mime: None }
    }

    /// A property's text, empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A truth; false when nothing was said.
    pub fn is(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Bool(true)))
    }

    /// A point in time.
    pub fn instant(&self, name: &str) -> Option<DateTime<Utc>> {
        match self.values.get(name) {
            Some(Value::Instant(at)) => Some(*at),
            _ => None,
        }
    }

    /// A person.
    pub fn person(&self, name: &str) -> Option<&Person> {
        match self.values.get(name) {
            Some(Value::Person(person)) => Some(person),
            _ => None,
        }
    }

    /// A list of people, empty when there is none.
    pub fn people(&self, name: &str) -> &[Person] {
        match self.values.get(name) {
            Some(Value::People(people)) => people,
            _ => &[],
        }
    }

    /// Sets a text.
    pub fn set_text(&mut self, name: &'static str, text: impl Into<String>) {
        self.values.insert(name, Value::Text(text.into()));
    }

    /// The class in MAPI's words.
    pub fn class_name(&self) -> &str {
        match self.text("ItemClass") {
            "" => self.class.default_name(),
            named => named,
        }
    }

    /// Octets, roughly.
    pub fn size(&self) -> usize {
        let body = match self.values.get("Body") {
            Some(Value::Body(body)) => body.text.len(),
            _ => 0,
        };
        let own = self.mime.as_ref().map_or(body + 512, Vec::len);
        own + self.attachments.iter().map(Attachment::size).sum::<usize>()
    }
}

/// What about an item changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Something people see.
    Content,
    /// Only whether it was read.
    ReadFlag,
}

/// What became of one occurrence of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Exception {
    /// It does not take place.
    Deleted,
    /// It differs from the others; the values given here rule.
    Changed(Box<Content>),
}

/// How many changes an item remembers; more are folded together.
const HISTORY: usize = 256;

/// An item in a folder.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// Where it lies.
    pub folder: FolderId,
    /// What is in it.
    pub content: Content,
    /// Goes up with each change; the change key says it.
    pub version: u64,
    /// The change by which it came into its folder.
    pub entered: u64,
    /// The changes since, oldest first.
    pub history: Vec<(u64, Touch)>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub modified_at: DateTime<Utc>,
    /// Occurrences of a series that are not like the others, by when they were to begin.
    pub exceptions: BTreeMap<DateTime<Utc>, Exception>,
    /// The appointment that a meeting message speaks of, in the same mailbox.
    pub about: Option<ItemId>,
}

impl Item {
    /// Notes a change.
    pub fn touch(&mut self, sequence: u64, touch: Touch, now: DateTime<Utc>) {
        self.version += 1;
        self.modified_at = now;
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push((sequence, touch));
    }

    /// The last change that is not after `horizon`.
    pub fn last_change(&self, horizon: u64) -> u64 {
        self.history.iter().rev().map(|(at, _)| *at).find(|at| *at <= horizon).unwrap_or(self.entered)
    }

    /// Whether nothing but the read flag changed after `since`.
    pub fn only_read_since(&self, since: u64) -> bool {
        self.history.iter().filter(|(at, _)| *at > since).all(|(_, touch)| *touch == Touch::ReadFlag)
    }
}
