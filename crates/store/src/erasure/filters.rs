//! A person in synchronisation filters: as a value of a condition, or in a filter's name. A condition never becomes wider
//! by it. Where nothing but the person is left to look for, or where the person was the exception, it holds for no record
//! from then on, until somebody gives the filter another one.

use lockstep_model::{
    filter::{Attribute, Condition, Expression, PeopleTest, Test, TextTest},
    record::Field,
};
use uuid::Uuid;

use crate::{
    Result, Tx,
    filters::{self, Filter, Which},
};

/// Records of the person that are looked at for names.
const MAX_RECORDS: i64 = 1000;

/// Filters that are looked at in one go where they are only counted.
const AT_ONCE: i64 = 500;

const LAST: Attribute = Attribute::Part(Field::FullName, "last");
const FIRST: Attribute = Attribute::Part(Field::FullName, "first");

/// How a person is recognised, all of it in lower case.
#[derive(Debug, Default)]
struct Person {
    address_key: String,
    /// Names of two words or more: a single word may be anything.
    names: Vec<String>,
    last: Vec<String>,
    first: Vec<String>,
}

/// The person with this address, by the records there are.
async fn person(tx: &mut Tx, address_key: &str) -> Result<Person> {
    let rows = sqlx::query!(
        "/* erasure::person */ SELECT name, fields#>>'{full_name,first}' AS first, fields#>>'{full_name,last}' AS last
         FROM people WHERE address_key = $1
             OR fields ? 'email_2' AND lower(fields->>'email_2') COLLATE \"C\" = $1
             OR fields ? 'email_3' AND lower(fields->>'email_3') COLLATE \"C\" = $1
         LIMIT $2",
        address_key,
        MAX_RECORDS,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut person = Person { address_key: address_key.to_owned(), ..Person::default() };
    for row in rows {
        let (first, last) = (row.first.unwrap_or_default(), row.last.unwrap_or_default());
        for name in [row.name, format!("{first} {last}"), format!("{last}, {first}")] {
            let name = name.trim().trim_matches(',').trim().to_lowercase();
            if name.split_whitespace().count() > 1 {
                person.names.push(name);
            }
        }
        for (names, name) in [(&mut person.first, first), (&mut person.last, last)] {
            names.extend(Some(name.trim().to_lowercase()).filter(|name| !name.is_empty()));
        }
    }
    Ok(person)
}

/// How many filters there are with the person in them.
///
/// # Errors
/// [`crate::Error::Unavailable`], [`crate::Error::Unreadable`].
pub(super) async fn count(tx: &mut Tx, address_key: &str) -> Result<u64> {
    let person = person(tx, address_key).await?;
    let (mut count, mut after) = (0, None);
    loop {
        let filters = filters::list(tx, Which::default(), after, AT_ONCE).await?;
        count += filters.iter().filter(|filter| person.without(filter).is_some()).count() as u64;
        after = filters.last().map(|filter| filter.id);
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// Takes the person out of the filters after `after`, looking at `limit` of them at most. Returns how many there were with
/// the person in them, and the last one that was looked at; `None` there: there are no more. The records by which the
/// person's names are known must still be there.
///
/// # Errors
/// [`crate::Error::Unavailable`], [`crate::Error::Unreadable`].
pub async fn erase_from_filters(
    tx: &mut Tx,
    address_key: &str,
    after: Option<Uuid>,
    limit: i64,
    actor: &str,
) -> Result<(u64, Option<Uuid>)> {
    let person = person(tx, address_key).await?;
    let found = filters::list(tx, Which::default(), after, limit).await?;
    let last = found.last().map(|filter| filter.id);
    let mut erased = 0;
    for filter in found.iter().filter(|filter| person.without(filter).is_some()) {
        // What was read before it was locked may have changed.
        let Some(locked) = filters::lock(tx, filter.id).await? else { continue };
        let Some(without) = person.without(&locked) else { continue };
        let mut changed = Vec::new();
        if without.name != locked.name {
            changed.push("name");
        }
        if without.expression != locked.expression {
            changed.push("expression");
        }
        filters::save(tx, &without, &changed, actor).await?;
        erased += 1;
    }
    Ok((erased, last))
}

impl Person {
    /// The filter without the person; `None`: the person is not in it.
    fn without(&self, filter: &Filter) -> Option<Filter> {
        let conditions = filter.expression.conditions();
        let texts = |of: Attribute| {
            let conditions = conditions.iter().filter(move |condition| condition.attribute == of);
            conditions.filter_map(|condition| match &condition.test {
                Test::Text(_, values) => Some(values),
                _ => None,
            })
        };
        // A first name says whose it is together with the last one.
        let by_last = texts(LAST).flatten().any(|value| self.last.contains(&value.to_lowercase()));
        let theirs = |attribute: Attribute, value: &str| {
            let lower = value.trim().to_lowercase();
            self.is_named_in(&lower)
                || attribute == LAST && self.last.contains(&lower)
                || attribute == FIRST && by_last && self.first.contains(&lower)
        };
        let expression = clear(&filter.expression, &theirs);
        let named = self.is_named_in(&filter.name.to_lowercase());
        if !named && expression == filter.expression {
            return None;
        }
        let name = if named { format!("Erased {}", filter.id) } else { filter.name.clone() };
        Some(Filter { name, expression, ..filter.clone() })
    }

    fn is_named_in(&self, lower: &str) -> bool {
        std::iter::once(&self.address_key).chain(&self.names).any(|name| occurs(name, lower))
    }
}

/// Whether a name or an address stands in a text, and not as a part of another one: `ann@x.test` is neither in
/// `joann@x.test` nor in `ann@x.test.example`.
fn occurs(name: &str, text: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + name.len()..].chars();
        let goes_on = match after.next() {
            Some('.') => after.next().is_some_and(char::is_alphanumeric),
            next => next.is_some_and(|c| c.is_alphanumeric() || c == '-'),
        };
        !goes_on && !before.is_some_and(|c| c.is_alphanumeric() || "._%+-".contains(c))
    })
}

fn clear(expression: &Expression, theirs: &impl Fn(Attribute, &str) -> bool) -> Expression {
    let all = |inner: &[Expression]| inner.iter().map(|inner| clear(inner, theirs)).collect();
    match expression {
        Expression::All(inner) => Expression::All(all(inner)),
        Expression::Any(inner) => Expression::Any(all(inner)),
        Expression::Condition(condition) => Expression::Condition(cleared(condition, theirs)),
    }
}

fn cleared(condition: &Condition, theirs: &impl Fn(Attribute, &str) -> bool) -> Condition {
    let attribute = condition.attribute;
    match &condition.test {
        Test::Text(test, values) => {
            let kept: Vec<String> = values.iter().filter(|value| !theirs(attribute, value)).cloned().collect();
            if kept.len() == values.len() {
                return condition.clone();
            }
            // Without the person, who was excepted, more records would pass.
            let excepted = matches!(test, TextTest::NotEquals | TextTest::NotContains);
            if excepted || kept.is_empty() { never() } else { Condition { attribute, test: Test::Text(*test, kept) } }
        }
        Test::People(PeopleTest::Address(address)) if theirs(attribute, address.as_str()) => never(),
        _ => condition.clone(),
    }
}

/// What no record is: every record was made at some time.
fn never() -> Condition {
    Condition { attribute: Attribute::CreatedAt, test: Test::Empty }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use lockstep_model::record::Kind;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::filters::Scope;

    fn filter(kind: Kind, name: &str, expression: &Json) -> Filter {
        Filter {
            id: Uuid::nil(),
            scope: Scope::System,
            user_id: None,
            kind,
            name: name.to_owned(),
            active: true,
            is_default: false,
            expression: filters::read(kind, expression).unwrap(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn cara() -> Person {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Person {
            address_key: "cara@x.test".to_owned(),
            names: texts(&["cara kundin", "kundin, cara"]),
            last: texts(&["kundin"]),
            first: texts(&["cara"]),
        }
    }

    fn text(attribute: &str, test: &str, values: &[&str]) -> Json {
        json!({ "attribute": attribute, "test": test, "values": values })
    }

    /// A condition about the person goes, the others stay, and nothing that did not pass before passes afterwards.
    #[test]
    fn conditions_about_the_person_hold_never() {
        let never = json!({ "attribute": "created_at", "test": "empty" });
        let party = |address: &str| json!({ "attribute": "party", "test": "equals", "value": address });
        let cases = [
            (Kind::Task, text("subject", "contains", &["for Cara@X.test"]), Some(never.clone())),
            (Kind::Task, text("subject", "contains", &["CARA KUNDIN"]), Some(never.clone())),
            (Kind::Task, text("subject", "equals", &["a", "Cara Kundin"]), Some(text("subject", "equals", &["a"]))),
            (Kind::Task, text("subject", "not-contains", &["a", "cara@x.test"]), Some(never.clone())),
            (Kind::Task, text("subject", "contains", &["ocara@x.test", "cara@x.test.example", "cara@x"]), None),
            (Kind::Task, text("subject", "contains", &["Cara", "Kundin", "Cara Kundinger"]), None),
            (Kind::Appointment, party("cara@x.test"), Some(never.clone())),
            (Kind::Appointment, party("dan@x.test"), None),
            (Kind::Contact, text("full_name.last", "equals", &["Kundin"]), Some(never.clone())),
            (Kind::Contact, text("full_name.first", "equals", &["Cara"]), None),
        ];
        for (kind, condition, expected) in cases {
            let other = text(if kind == Kind::Contact { "company" } else { "subject" }, "contains", &["Offer"]);
            let whole = |condition: &Json| json!({ "all": [other.clone(), { "any": [condition] }] });
            let found = cara().without(&filter(kind, "n", &whole(&condition)));
            assert_eq!(found.map(|f| filters::write(&f.expression)), expected.as_ref().map(whole), "{condition}");
        }
        let both = json!({ "all": [text("full_name.first", "equals", &["cara"]), text("full_name.last", "equals", &["kundin"])] });
        let found = cara().without(&filter(Kind::Contact, "n", &both)).unwrap();
        assert_eq!(filters::write(&found.expression), json!({ "all": [never, never] }));
    }

    /// The deepest expression that may be is still one afterwards.
    #[test]
    fn what_is_left_can_be_read() {
        let mut deep = text("subject", "equals", &["cara@x.test"]);
        for _ in 0..lockstep_model::filter::MAX_DEPTH {
            deep = json!({ "all": [deep] });
        }
        let found = cara().without(&filter(Kind::Task, "Of Cara Kundin", &deep)).unwrap();
        assert_eq!(filters::read(Kind::Task, &filters::write(&found.expression)).as_ref(), Ok(&found.expression));
        assert_eq!(found.name, format!("Erased {}", Uuid::nil()));
    }
}
