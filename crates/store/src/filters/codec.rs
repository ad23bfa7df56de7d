//! Expressions of filters as JSON: groups (`all`, `any`) and conditions (`attribute`, `test`, and `value` or `values`).

use lockstep_model::{
    filter::{
        Attribute, Condition, Days, Expression, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES, Order, OwnerTest, PeopleTest,
        Test, TextTest, Type,
    },
    record::Kind,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::fields::{
    MAX_LINE, Words, Wrong,
    read::{At, Read, Source},
    word,
};

const TEXT: Words<TextTest> = &[
    ("equals", TextTest::Equals),
    ("not-equals", TextTest::NotEquals),
    ("contains", TextTest::Contains),
    ("not-contains", TextTest::NotContains),
    ("begins-with", TextTest::BeginsWith),
    ("ends-with", TextTest::EndsWith),
];

const ORDER: Words<Order> = &[
    ("equals", Order::Equals),
    ("not-equals", Order::NotEquals),
    ("below", Order::Below),
    ("at-most", Order::AtMost),
    ("above", Order::Above),
    ("at-least", Order::AtLeast),
];

const DAYS: Words<Days> = &[
    ("last-days", Days::Last),
    ("next-days", Days::Next),
    ("older-than-days", Days::OlderThan),
    ("since-days", Days::Since),
];

const EMPTY: Words<Test> = &[("empty", Test::Empty), ("not-empty", Test::NotEmpty)];

/// Most days that are counted from now.
const MAX_DAYS: u32 = 36_500;

/// An expression as an object.
pub fn write(expression: &Expression) -> Json {
    match expression {
        Expression::All(inner) => json!({ "all": inner.iter().map(write).collect::<Vec<_>>() }),
        Expression::Any(inner) => json!({ "any": inner.iter().map(write).collect::<Vec<_>>() }),
        Expression::Condition(Condition { attribute, test }) => {
            let mut written = json!({ "attribute": attribute.name() });
            let (name, value) = written_test(test);
            written["test"] = json!(name);
            match value {
                Json::Null => {}
                Json::Array(values) => written["values"] = json!(values),
                value => written["value"] = value,
            }
            written
        }
    }
}

fn written_test(test: &Test) -> (&'static str, Json) {
    match test {
        Test::Empty => ("empty", Json::Null),
        Test::NotEmpty => ("not-empty", Json::Null),
        Test::Text(test, values) => (word(TEXT, *test), json!(values)),
        Test::Number(order, value) => (word(ORDER, *order), json!(value)),
        Test::Date(order, value) => (word(ORDER, *order), json!(value)),
        Test::Instant(order, value) => (word(ORDER, *order), json!(value)),
        Test::Days(days, count) => (word(DAYS, *days), json!(count)),
        Test::Word(one_of, words) => (if *one_of { "equals" } else { "not-equals" }, json!(words)),
        Test::Owner(OwnerTest::CurrentUser) | Test::People(PeopleTest::CurrentUser) => ("current-user", Json::Null),
        Test::Owner(OwnerTest::CurrentUsersTeams) => ("current-users-teams", Json::Null),
        Test::Owner(OwnerTest::Is(id)) => ("equals", json!(id)),
        Test::Owner(OwnerTest::IsNot(id)) => ("not-equals", json!(id)),
        Test::People(PeopleTest::Address(address)) => ("equals", json!(address.as_str())),
    }
}

/// The expression of a filter of this kind, out of a request.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(kind: Kind, json: &Json) -> Result<Expression, Wrong> {
    whole(kind, &At::new("expression", json, Source::Request))
}

/// The expression of a row.
pub(super) fn of_row(kind: Kind, json: &Json) -> Result<Expression, Wrong> {
    whole(kind, &At::new("expression", json, Source::Row))
}

fn whole(kind: Kind, at: &At<'_>) -> Read<Expression> {
    let expression = group(kind, at, 1)?;
    let conditions = expression.conditions().len();
    if conditions > MAX_CONDITIONS {
        return Err(at.wrong(format!("at most {MAX_CONDITIONS} conditions; there are {conditions}")));
    }
    Ok(expression)
}

fn group(kind: Kind, at: &At<'_>, depth: usize) -> Read<Expression> {
    let (all, any) = (at.has("all")?, at.has("any")?);
    if !all && !any {
        return Ok(Expression::Condition(condition(kind, at)?));
    }
    let name = if all { "all" } else { "any" };
    at.only(&[name])?;
    if depth > MAX_DEPTH {
        return Err(at.wrong(format!("groups in at most {MAX_DEPTH} levels")));
    }
    let inner = at.member(name)?.list(MAX_CONDITIONS)?;
    let inner = inner.iter().map(|inner| group(kind, inner, depth + 1)).collect::<Read<Vec<_>>>()?;
    Ok(if all { Expression::All(inner) } else { Expression::Any(inner) })
}

fn condition(kind: Kind, at: &At<'_>) -> Read<Condition> {
    at.only(&["attribute", "test", "value", "values"])?;
    let named = at.member("attribute")?;
    let known = Attribute::of(kind);
    let attribute = known.iter().copied().find(|attribute| named.json().as_str() == Some(&attribute.name()));
    let attribute = attribute.ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|attribute| attribute.name()).collect();
        named.wrong(format!("one of {}", names.join(", ")))
    })?;
    let test = at.member("test")?;
    if let Some((_, test)) = EMPTY.iter().find(|(word, _)| test.json().as_str() == Some(word)) {
        at.only(&["attribute", "test"])?;
        return Ok(Condition { attribute, test: test.clone() });
    }
    let test = match attribute.kind_of_test(kind) {
        Type::Text => Test::Text(test.word(TEXT).map_err(with_empty)?, texts(at)?),
        Type::Number => {
            let number = at.member("value")?.number(0, 100)?;
            Test::Number(test.word(ORDER).map_err(with_empty)?, i64::from(number))
        }
        Type::Date => Test::Date(test.word(ORDER).map_err(with_empty)?, at.member("value")?.date()?),
        Type::Instant => match test.word(DAYS) {
            Ok(days) => Test::Days(days, at.member("value")?.number(0, MAX_DAYS)?),
            Err(days) => {
                let order = test.word(ORDER).map_err(|order| Wrong {
                    expected: format!("{}, {}", order.expected, days.expected.trim_start_matches("one of ")),
                    ..with_empty(order)
                })?;
                Test::Instant(order, at.member("value")?.instant()?)
            }
        },
        Type::Word(words) => {
            let one_of = test.word(&[("equals", true), ("not-equals", false)]).map_err(with_empty)?;
            Test::Word(one_of, values(at)?.iter().map(|value| value.named(words, |word| word)).collect::<Read<_>>()?)
        }
        Type::Owner => Test::Owner(match test.word(OWNER).map_err(with_empty)? {
            Owner::CurrentUser => bare(at, OwnerTest::CurrentUser)?,
            Owner::Teams => bare(at, OwnerTest::CurrentUsersTeams)?,
            Owner::Is => OwnerTest::Is(id(&at.member("value")?)?),
            Owner::IsNot => OwnerTest::IsNot(id(&at.member("value")?)?),
        }),
        Type::People => {
            let current = test.word(&[("current-user", true), ("equals", false)]).map_err(with_empty)?;
            Test::People(if current {
                bare(at, PeopleTest::CurrentUser)?
            } else {
                PeopleTest::Address(at.member("value")?.address()?)
            })
        }
    };
    Ok(Condition { attribute, test })
}

#[derive(Clone, Copy, PartialEq)]
enum Owner {
    CurrentUser,
    Teams,
    Is,
    IsNot,
}

const OWNER: Words<Owner> = &[
    ("current-user", Owner::CurrentUser),
    ("current-users-teams", Owner::Teams),
    ("equals", Owner::Is),
    ("not-equals", Owner::IsNot),
];

/// Every type can be asked whether there is a value.
fn with_empty(wrong: Wrong) -> Wrong {
    Wrong { expected: format!("{}, empty, not-empty", wrong.expected), ..wrong }
}

fn bare<T>(at: &At<'_>, test: T) -> Read<T> {
    at.only(&["attribute", "test"])?;
    Ok(test)
}

fn id(at: &At<'_>) -> Read<Uuid> {
    at.json().as_str().and_then(|text| text.parse().ok()).ok_or_else(|| at.wrong("the id of a user or a team"))
}

/// `value`, or several `values`.
fn values<'a>(at: &At<'a>) -> Read<Vec<At<'a>>> {
    match (at.optional("value")?, at.optional("values")?) {
        (Some(value), None) => Ok(vec![value]),
        (None, Some(values)) => match values.list(MAX_VALUES)? {
            list if list.is_empty() => Err(values.wrong("at least one value")),
            list => Ok(list),
        },
        _ => Err(at.wrong("value, or a list of values")),
    }
}

fn texts(at: &At<'_>) -> Read<Vec<String>> {
    let text = |value: &At<'_>| match value.line(MAX_LINE)? {
        text if text.is_empty() => Err(value.wrong("some text; the test empty asks whether there is none")),
        text => Ok(text),
    };
    values(at)?.iter().map(text).collect()
}
