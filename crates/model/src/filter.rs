//! Synchronisation filters: which records of a kind a user wants in the mailbox. Data only; what passes, the engine
//! says of one record and the store of all of them.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    address::AddressKey,
    record::{Field, Kind, Shape, schema},
};

/// Most conditions in one expression, groups not counted.
pub const MAX_CONDITIONS: usize = 100;

/// Deepest nesting of groups.
pub const MAX_DEPTH: usize = 8;

/// Most values of one condition.
pub const MAX_VALUES: usize = 100;

/// A condition, or a group of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of these hold. A group without members holds.
    All(Vec<Expression>),
    /// One of these holds. A group without members does not.
    Any(Vec<Expression>),
    /// A single condition.
    Condition(Condition),
}

/// One row of a filter: what is looked at, and what must be so.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub attribute: Attribute,
    /// What must be so; one that fits the attribute's type.
    pub test: Test,
}

/// What a condition may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Whether there is still something to do; of contacts, whether they are in use.
    State,
    /// Whose record it is.
    Owner,
    /// When it was made.
    CreatedAt,
    /// When it was last written.
    UpdatedAt,
    /// When it starts.
    StartsAt,
    /// When it ends or is due.
    EndsAt,
    /// Everybody on an appointment, in whatever role.
    Party,
    /// A field.
    Field(Field),
    /// A part of a name or a postal address, by its name.
    Part(Field, &'static str),
}

/// What kind of test fits an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// [`Test::Text`].
    Text,
    /// [`Test::Number`].
    Number,
    /// [`Test::Date`].
    Date,
    /// [`Test::Instant`].
    Instant,
    /// [`Test::Word`], out of these.
    Word(&'static [&'static str]),
    /// [`Test::Owner`].
    Owner,
    /// [`Test::People`].
    People,
}

/// What must be so. Whether there is a value at all can be asked of every type.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// There is no value.
    Empty,
    /// There is one.
    NotEmpty,
    /// Of text, without regard to upper and lower case.
    Text(TextTest, Vec<String>),
    /// Of numbers.
    Number(Order, i64),
    /// Of days.
    Date(Order, NaiveDate),
    /// Of moments.
    Instant(Order, DateTime<Utc>),
    /// Of moments, counted in days from now.
    Days(Days, u32),
    /// Of words: one of these, or with `false` none of them.
    Word(bool, Vec<&'static str>),
    /// Of owners.
    Owner(OwnerTest),
    /// Of people.
    People(PeopleTest),
}

/// How text is compared. With several values one of them suffices; of the two that deny, none of them may be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    /// It is the value.
    Equals,
    /// It is not; no text is not either.
    NotEquals,
    /// It holds the value.
    Contains,
    /// It does not; no text does not either.
    NotContains,
    /// It begins with it.
    BeginsWith,
    /// It ends with it.
    EndsWith,
}

/// How numbers, days and moments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Equal.
    Equals,
    /// Not equal; no value is not either.
    NotEquals,
    /// Less, earlier.
    Below,
    /// At most, not later.
    AtMost,
    /// More, later.
    Above,
    /// At least, not earlier.
    AtLeast,
}

/// Moments counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// Not over, and over no longer than so many days ago; what is to come is not.
    Last,
    /// To come, within so many days.
    Next,
    /// Longer ago than so many days.
    OlderThan,
    /// Not longer ago than so many days; what is to come too.
    Since,
}

/// Whose a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerTest {
    /// The user's whose filter it is.
    CurrentUser,
    /// That of a team of this user.
    CurrentUsersTeams,
    /// That user's or team's.
    Is(Uuid),
    /// Not that one's; what belongs to nobody is not either.
    IsNot(Uuid),
}

/// Who is on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeopleTest {
    /// The user whose filter it is.
    CurrentUser,
    /// Whoever has this address.
    Address(AddressKey),
}

const STATES: &[&str] = &["open", "completed", "canceled"];
const IN_USE: &[&str] = &["active", "inactive"];
const IMPORTANCE: &[&str] = &["low", "normal", "high"];
const SHOW_AS: &[&str] = &["free", "tentative", "busy", "out-of-office", "working-elsewhere"];
const STATUS: &[&str] = &["not-started", "in-progress", "waiting", "deferred", "completed"];
const NAME: &[&str] = &["first", "middle", "last"];
const PLACE: &[&str] = &["street", "city", "region", "postal_code", "country"];

impl Attribute {
    /// What a filter of this kind may look at.
    pub fn of(kind: Kind) -> Vec<Self> {
        let mut all = vec![Self::State, Self::Owner, Self::CreatedAt, Self::UpdatedAt];
        let appointment = matches!(kind, Kind::Appointment | Kind::RecurringAppointment | Kind::ServiceActivity);
        if appointment {
            all.push(Self::Party);
        }
        if kind != Kind::Contact {
            all.extend([Self::StartsAt, Self::EndsAt]);
        }
        for row in schema::fields(kind) {
            match row.field.shape() {
                Shape::Name => all.extend(NAME.iter().map(|part| Self::Part(row.field, part))),
                Shape::Place => all.extend(PLACE.iter().map(|part| Self::Part(row.field, part))),
                Shape::When | Shape::Files | Shape::Series => {}
                _ if row.field == Field::Regarding => {}
                _ => all.push(Self::Field(row.field)),
            }
        }
        all
    }

    /// The name in the API: `subject`, `mailing_address.city`.
    pub fn name(self) -> String {
        match self {
            Self::State => "state".to_owned(),
            Self::Owner => "owner".to_owned(),
            Self::CreatedAt => "created_at".to_owned(),
            Self::UpdatedAt => "updated_at".to_owned(),
            Self::StartsAt => "starts_at".to_owned(),
            Self::EndsAt => "ends_at".to_owned(),
            Self::Party => "party".to_owned(),
            Self::Field(field) => field.name().to_owned(),
            Self::Part(field, part) => format!("{}.{part}", field.name()),
        }
    }

    /// The name of the member that must be readable for the attribute to be looked at; `None`: everybody's.
    pub fn reads(self, kind: Kind) -> Vec<&'static str> {
        match self {
            Self::State if kind == Kind::Contact => vec!["active"],
            Self::State | Self::Owner | Self::CreatedAt | Self::UpdatedAt => vec![],
            Self::StartsAt | Self::EndsAt => vec!["time", "recurrence", "start_date", "due_date"],
            Self::Party => vec!["organiser", "required_attendees", "optional_attendees"],
            Self::Field(Field::Email1) => vec!["address"],
            Self::Field(field) | Self::Part(field, _) => vec![field.name()],
        }
    }

    /// Which tests fit.
    pub fn kind_of_test(self, kind: Kind) -> Type {
        match self {
            Self::State if kind == Kind::Contact => Type::Word(IN_USE),
            Self::State => Type::Word(STATES),
            Self::Owner => Type::Owner,
            Self::CreatedAt | Self::UpdatedAt | Self::StartsAt | Self::EndsAt => Type::Instant,
            Self::Party => Type::People,
            Self::Part(..) => Type::Text,
            Self::Field(field) => match field.shape() {
                Shape::Percent => Type::Number,
                Shape::Date => Type::Date,
                Shape::Instant => Type::Instant,
                Shape::Importance => Type::Word(IMPORTANCE),
                Shape::ShowAs => Type::Word(SHOW_AS),
                Shape::TaskStatus => Type::Word(STATUS),
                Shape::People => Type::People,
                _ => Type::Text,
            },
        }
    }
}

impl Expression {
    /// Conditions in it, however deep.
    pub fn conditions(&self) -> Vec<&Condition> {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().flat_map(Self::conditions).collect(),
            Self::Condition(condition) => vec![condition],
        }
    }
}
