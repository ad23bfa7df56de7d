//! What a property of an item may hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::recurrence::Recurrence;

/// Somebody with an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// What people call them; may be empty.
    pub name: String,
    /// The SMTP address; may be empty for members of lists that have none.
    pub address: String,
}

impl Person {
    /// A person with a name and an address.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned() }
    }

    /// Whether this is the same address, whatever its case.
    pub fn is(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address)
    }
}

/// What somebody answered to an invitation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It is the organiser.
    Organizer,
    /// Perhaps.
    Tentative,
    /// Yes.
    Accept,
    /// No.
    Decline,
    /// Has not answered yet.
    NoResponseReceived,
}

/// Somebody invited to a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendee {
    /// Who.
    pub person: Person,
    /// What they said.
    pub answer: Answer,
    /// When they said it.
    pub answered_at: Option<DateTime<Utc>>,
}

/// A body: text or HTML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// Whether `text` is HTML.
    pub html: bool,
    /// The text.
    pub text: String,
}

/// A value of a property.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string, also one of an enumeration.
    Text(String),
    /// A truth.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// A point in time.
    Instant(DateTime<Utc>),
    /// Octets.
    Bytes(Vec<u8>),
    /// A list of strings, such as categories.
    Strings(Vec<String>),
    /// One person, such as a sender.
    Person(Person),
    /// Several, such as recipients.
    People(Vec<Person>),
    /// Invited people.
    Attendees(Vec<Attendee>),
    /// A body.
    Body(Body),
    /// Strings by key: telephone numbers, addresses.
    Entries(BTreeMap<String, String>),
    /// Postal addresses: key to part to text.
    Places(BTreeMap<String, BTreeMap<String, String>>),
    /// How something recurs.
    Recurrence(Recurrence),
}

/// What an item holds, by the name of the property.
pub type Values = BTreeMap<&'static str, Value>;

/// How a named or tagged extended property is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PropertyName {
    /// A tag of MAPI, without its type.
    Tag(u16),
    /// A name in a set.
    Named(String, String),
    /// A number in a set.
    Numbered(String, u32),
}

/// An extended property's type and content; lists hold several strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    /// The MAPI type's name, such as `String` or `SystemTimeArray`.
    pub kind: String,
    /// The content; one element unless the type is a list.
    pub content: Vec<String>,
}
