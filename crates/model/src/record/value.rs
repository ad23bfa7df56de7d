//! Values of fields, and the canonical form in which two of them are compared.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use chrono_tz::Tz;

use super::series::Series;
use crate::address::AddressKey;

/// What kind of value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// [`Value::Text`].
    Text,
    /// [`Value::Percent`].
    Percent,
    /// [`Value::Date`].
    Date,
    /// [`Value::Instant`].
    Instant,
    /// [`Value::When`].
    When,
    /// [`Value::Importance`].
    Importance,
    /// [`Value::ShowAs`].
    ShowAs,
    /// [`Value::TaskStatus`].
    TaskStatus,
    /// [`Value::Name`].
    Name,
    /// [`Value::Place`].
    Place,
    /// [`Value::People`].
    People,
    /// [`Value::Files`].
    Files,
    /// [`Value::Series`].
    Series,
}

/// The value of one field. Text has passed a sanitising constructor before it gets here.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, of one line or many.
    Text(String),
    /// 0 to 100.
    Percent(u8),
    /// A day, the same in every zone.
    Date(NaiveDate),
    /// A moment.
    Instant(DateTime<Utc>),
    /// Start and end of an appointment.
    When(When),
    /// Importance.
    Importance(Importance),
    /// Free/busy.
    ShowAs(ShowAs),
    /// State of a task.
    TaskStatus(TaskStatus),
    /// Name of a person.
    Name(PersonName),
    /// Postal address.
    Place(PostalAddress),
    /// People, by address.
    People(Invited),
    /// Files, by digest of their content.
    Files(BTreeSet<String>),
    /// A series of appointments.
    Series(Box<Series>),
}

impl Value {
    /// What kind of value it is.
    pub const fn shape(&self) -> Shape {
        match self {
            Self::Text(_) => Shape::Text,
            Self::Percent(_) => Shape::Percent,
            Self::Date(_) => Shape::Date,
            Self::Instant(_) => Shape::Instant,
            Self::When(_) => Shape::When,
            Self::Importance(_) => Shape::Importance,
            Self::ShowAs(_) => Shape::ShowAs,
            Self::TaskStatus(_) => Shape::TaskStatus,
            Self::Name(_) => Shape::Name,
            Self::Place(_) => Shape::Place,
            Self::People(_) => Shape::People,
            Self::Files(_) => Shape::Files,
            Self::Series(_) => Shape::Series,
        }
    }

    /// The form in which values are compared and stored, or `None` for an empty value: line ends are LF, no white
    /// space at the end of a line or of the text, percentages at most 100, moments in whole seconds.
    #[must_use]
    pub fn canonical(self) -> Option<Self> {
        match self {
            Self::Text(text) => some_text(&text).map(Self::Text),
            Self::Percent(percent) => Some(Self::Percent(percent.min(100))),
            Self::Instant(instant) => Some(Self::Instant(instant.trunc_subsecs(0))),
            Self::Name(name) => {
                let name = name.map(tidied);
                (name != PersonName::default()).then_some(Self::Name(name))
            }
            Self::Place(place) => {
                let place = place.map(tidied);
                (place != PostalAddress::default()).then_some(Self::Place(place))
            }
            Self::People(people) if people.is_empty() => None,
            Self::Files(files) if files.is_empty() => None,
            Self::Series(mut series) => {
                series.tidy();
                Some(Self::Series(series))
            }
            other => Some(other),
        }
    }
}

fn tidied(text: String) -> String {
    some_text(&text).unwrap_or_default()
}

fn some_text(text: &str) -> Option<String> {
    let mut tidy = String::with_capacity(text.len());
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        tidy.push_str(line.trim_end());
        tidy.push('\n');
    }
    tidy.truncate(tidy.trim_end().len());
    (!tidy.is_empty()).then_some(tidy)
}

/// When an appointment is. Local times belong to their zone: a rule of summer time that changes moves the instant,
/// not the hour on the wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// From one local time to another.
    Timed {
        /// Local start.
        start: NaiveDateTime,
        /// Local end.
        end: NaiveDateTime,
        /// The zone of both.
        zone: Tz,
    },
    /// Whole days, the same days in every zone.
    AllDay {
        /// The first day.
        first: NaiveDate,
        /// How many, at least 1.
        days: u32,
    },
}

/// Importance of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Importance {
    /// Low.
    Low,
    /// Normal.
    Normal,
    /// High.
    High,
}

impl Importance {
    /// Every value.
    pub const ALL: &[Self] = &[Self::Low, Self::Normal, Self::High];

    /// The stored word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// How an appointment's time is shown to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShowAs {
    /// Free.
    Free,
    /// Tentative.
    Tentative,
    /// Busy.
    Busy,
    /// Out of office.
    OutOfOffice,
    /// Working elsewhere.
    WorkingElsewhere,
}

impl ShowAs {
    /// Every value.
    pub const ALL: &[Self] = &[Self::Free, Self::Tentative, Self::Busy, Self::OutOfOffice, Self::WorkingElsewhere];

    /// The stored word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Tentative => "tentative",
            Self::Busy => "busy",
            Self::OutOfOffice => "out-of-office",
            Self::WorkingElsewhere => "working-elsewhere",
        }
    }
}

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskStatus {
    /// Not started.
    NotStarted,
    /// In progress.
    InProgress,
    /// Waiting for somebody.
    Waiting,
    /// Put off.
    Deferred,
    /// Completed.
    Completed,
}

impl TaskStatus {
    /// Every value.
    pub const ALL: &[Self] = &[Self::NotStarted, Self::InProgress, Self::Waiting, Self::Deferred, Self::Completed];

    /// The stored word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not-started",
            Self::InProgress => "in-progress",
            Self::Waiting => "waiting",
            Self::Deferred => "deferred",
            Self::Completed => "completed",
        }
    }
}

/// A person's name in parts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PersonName {
    /// First name.
    pub first: String,
    /// Middle name.
    pub middle: String,
    /// Last name.
    pub last: String,
}

impl PersonName {
    fn map(self, f: fn(String) -> String) -> Self {
        Self { first: f(self.first), middle: f(self.middle), last: f(self.last) }
    }
}

/// A postal address in parts. One value: half an old and half a new address is no address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PostalAddress {
    /// Street and number, perhaps on several lines.
    pub street: String,
    /// City.
    pub city: String,
    /// State or region.
    pub region: String,
    /// Postal code.
    pub postal_code: String,
    /// Country.
    pub country: String,
}

impl PostalAddress {
    fn map(self, f: fn(String) -> String) -> Self {
        Self {
            street: f(self.street),
            city: f(self.city),
            region: f(self.region),
            postal_code: f(self.postal_code),
            country: f(self.country),
        }
    }
}

/// People by address, with the name each was written with. Equal when the addresses are: servers rewrite names as
/// they like, and that is no change.
#[derive(Clone, Debug, Default)]
pub struct Invited(BTreeMap<AddressKey, String>);

impl Invited {
    /// Adds a person; an address that is there already keeps its name.
    pub fn add(&mut self, address: AddressKey, name: &str) {
        self.0.entry(address).or_insert_with(|| name.trim().to_owned());
    }

    /// Addresses and names, in the order of the addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&AddressKey, &str)> {
        self.0.iter().map(|(address, name)| (address, name.as_str()))
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Invited {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(written: &[(&str, &str)]) -> Value {
        let mut invited = Invited::default();
        for (address, name) in written {
            invited.add(AddressKey::of(address).unwrap(), name);
        }
        Value::People(invited)
    }

    #[test]
    fn what_servers_rewrite_is_no_difference() {
        let text = |text: &str| Value::Text(text.to_owned()).canonical();
        assert_eq!(text("a \r\nb\r\n\r\n"), text("a\nb"));
        assert_eq!(text("a\rb"), text("a\nb"));
        assert_ne!(text("a\n\nb"), text("a\nb"));
        assert_ne!(text(" a"), text("a"));
        assert_eq!(
            people(&[("ann@example.test", "Ann"), ("bob@example.test", "")]),
            people(&[("Bob@Example.test", "Bob B."), ("ANN@example.test", "ann@example.test")])
        );
        assert_ne!(people(&[("ann@example.test", "")]), people(&[]));
        assert_eq!(people(&[]).canonical(), None);
        let name = |first: &str| Value::Name(PersonName { first: first.to_owned(), ..PersonName::default() });
        assert_eq!(name(" \n").canonical(), None);
        assert_eq!(name("Ann ").canonical(), name("Ann").canonical());
        assert_eq!(Value::Percent(250).canonical(), Some(Value::Percent(100)));
    }
}
