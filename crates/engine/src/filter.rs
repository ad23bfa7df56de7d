//! Whether a record passes a synchronisation filter, one record at a time. The store asks the same of all records at once;
//! a test holds the two together.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lockstep_model::{
    address::AddressKey,
    filter::{Attribute, Condition, Days, Expression, Order, OwnerTest, PeopleTest, Test, TextTest},
    record::{Field, Fields, PersonName, PostalAddress, Value},
};
use uuid::Uuid;

/// Whose filter it is, and when.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The user.
    pub user: Uuid,
    /// The user's teams.
    pub teams: Vec<Uuid>,
    /// The user's address.
    pub address: Option<AddressKey>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What a filter may look at in a record.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Its state, as a word.
    pub state: &'a str,
    /// The user or team whose it is.
    pub owner: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
    /// When it starts.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub ends_at: Option<DateTime<Utc>>,
    /// Everything else.
    pub fields: &'a Fields,
}

/// Whether a record passes.
pub fn passes(expression: &Expression, seen: &Seen<'_>, viewer: &Viewer) -> bool {
    match expression {
        Expression::All(inner) => inner.iter().all(|inner| passes(inner, seen, viewer)),
        Expression::Any(inner) => inner.iter().any(|inner| passes(inner, seen, viewer)),
        Expression::Condition(condition) => holds(condition, seen, viewer),
    }
}

/// What an attribute is, of the types that tests know.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    Number(i64),
    Date(NaiveDate),
    Instant(DateTime<Utc>),
    Word(&'a str),
    Owner(Uuid),
    People(Vec<&'a AddressKey>),
}

fn holds(condition: &Condition, seen: &Seen<'_>, viewer: &Viewer) -> bool {
    match (&condition.test, find(condition.attribute, seen)) {
        (Test::Empty, found) => matches!(found, Found::Nothing),
        (Test::NotEmpty, found) => !matches!(found, Found::Nothing),
        // What is not there differs from everything, and is otherwise nothing that could be compared.
        (test, Found::Nothing) => denies(test),
        (Test::Text(test, values), Found::Text(text)) => compare_text(*test, values, text),
        (Test::Number(order, value), Found::Number(number)) => compare(*order, &number, value),
        (Test::Date(order, value), Found::Date(date)) => compare(*order, &date, value),
        (Test::Instant(order, value), Found::Instant(at)) => compare(*order, &at, value),
        (Test::Days(days, count), Found::Instant(at)) => counted(*days, *count, at, viewer.now),
        (Test::Word(one_of, words), Found::Word(word)) => words.contains(&word) == *one_of,
        (Test::Owner(test), Found::Owner(owner)) => match test {
            OwnerTest::CurrentUser => owner == viewer.user,
            OwnerTest::CurrentUsersTeams => viewer.teams.contains(&owner),
            OwnerTest::Is(other) => owner == *other,
            OwnerTest::IsNot(other) => owner != *other,
        },
        (Test::People(test), Found::People(people)) => match test {
            PeopleTest::CurrentUser => viewer.address.as_ref().is_some_and(|own| people.contains(&own)),
            PeopleTest::Address(address) => people.contains(&address),
        },
        _ => false,
    }
}

fn denies(test: &Test) -> bool {
    matches!(
        test,
        Test::Text(TextTest::NotEquals | TextTest::NotContains, _)
            | Test::Number(Order::NotEquals, _)
            | Test::Date(Order::NotEquals, _)
            | Test::Instant(Order::NotEquals, _)
            | Test::Word(false, _)
            | Test::Owner(OwnerTest::IsNot(_))
    )
}

fn find<'a>(attribute: Attribute, seen: &'a Seen<'_>) -> Found<'a> {
    let instant = |at: Option<DateTime<Utc>>| at.map_or(Found::Nothing, Found::Instant);
    match attribute {
        Attribute::State => Found::Word(seen.state),
        Attribute::Owner => seen.owner.map_or(Found::Nothing, Found::Owner),
        Attribute::CreatedAt => Found::Instant(seen.created_at),
        Attribute::UpdatedAt => Found::Instant(seen.updated_at),
        Attribute::StartsAt => instant(seen.starts_at),
        Attribute::EndsAt => instant(seen.ends_at),
        Attribute::Party => {
            people(&[Field::Organiser, Field::RequiredAttendees, Field::OptionalAttendees], seen.fields)
        }
        Attribute::Field(field) => of_field(field, seen.fields),
        Attribute::Part(field, part) => of_part(field, part, seen.fields),
    }
}

fn people<'a>(fields: &[Field], of: &'a Fields) -> Found<'a> {
    let mut found = Vec::new();
    for field in fields {
        if let Some(Value::People(people)) = of.get(*field) {
            found.extend(people.iter().map(|(address, _)| address));
        }
    }
    if found.is_empty() { Found::Nothing } else { Found::People(found) }
}

fn of_field(field: Field, fields: &Fields) -> Found<'_> {
    match fields.get(field) {
        Some(Value::Text(text)) => Found::Text(text),
        Some(Value::Percent(percent)) => Found::Number(i64::from(*percent)),
        Some(Value::Date(date)) => Found::Date(*date),
        Some(Value::Instant(at)) => Found::Instant(*at),
        Some(Value::Importance(importance)) => Found::Word(importance.name()),
        Some(Value::ShowAs(show_as)) => Found::Word(show_as.name()),
        Some(Value::TaskStatus(status)) => Found::Word(status.name()),
        Some(Value::People(_)) => people(&[field], fields),
        _ => Found::Nothing,
    }
}

fn of_part<'a>(field: Field, part: &str, fields: &'a Fields) -> Found<'a> {
    let text = match (fields.get(field), part) {
        (Some(Value::Name(PersonName { first, .. })), "first") => first,
        (Some(Value::Name(PersonName { middle, .. })), "middle") => middle,
        (Some(Value::Name(PersonName { last, .. })), "last") => last,
        (Some(Value::Place(PostalAddress { street, .. })), "street") => street,
        (Some(Value::Place(PostalAddress { city, .. })), "city") => city,
        (Some(Value::Place(PostalAddress { region, .. })), "region") => region,
        (Some(Value::Place(PostalAddress { postal_code, .. })), "postal_code") => postal_code,
        (Some(Value::Place(PostalAddress { country, .. })), "country") => country,
        _ => return Found::Nothing,
    };
    if text.is_empty() { Found::Nothing } else { Found::Text(text) }
}

fn compare_text(test: TextTest, values: &[String], text: &str) -> bool {
    let text = text.to_lowercase();
    let any = |holds: fn(&str, &str) -> bool| values.iter().any(|value| holds(&text, &value.to_lowercase()));
    match test {
        TextTest::Equals => any(|text, value| text == value),
        TextTest::NotEquals => !any(|text, value| text == value),
        TextTest::Contains => any(|text, value| text.contains(value)),
        TextTest::NotContains => !any(|text, value| text.contains(value)),
        TextTest::BeginsWith => any(|text, value| text.starts_with(value)),
        TextTest::EndsWith => any(|text, value| text.ends_with(value)),
    }
}

fn compare<T: Ord>(order: Order, found: &T, value: &T) -> bool {
    match order {
        Order::Equals => found == value,
        Order::NotEquals => found != value,
        Order::Below => found < value,
        Order::AtMost => found <= value,
        Order::Above => found > value,
        Order::AtLeast => found >= value,
    }
}

fn counted(days: Days, count: u32, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let (back, on) = (now - TimeDelta::days(i64::from(count)), now + TimeDelta::days(i64::from(count)));
    match days {
        Days::Last => (back..=now).contains(&at),
        Days::Next => (now..=on).contains(&at),
        Days::OlderThan => at < back,
        Days::Since => at >= back,
    }
}
