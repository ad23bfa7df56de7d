//! Filters as SQL: which records of a kind pass, by the rights of the user whose filters they are.
//!
//! Names of fields come from lists of ours and values are bound; nothing that anybody wrote becomes SQL.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_model::{
    filter::{Attribute, Condition, Days, Expression, Order, OwnerTest, PeopleTest, Test, TextTest, Type},
    id::UserId,
    record::{Field, Kind},
};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{Result, Tx};

/// Which records are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whose filters they are: by this user's rights, and with this user's fields veiled.
    pub user: UserId,
    /// The kind of record.
    pub kind: Kind,
    /// The filters: a record passes that passes one of them, and none passes where there is none.
    pub filters: &'a [Expression],
    /// Only these records.
    pub among: Option<&'a [Uuid]>,
    /// Only records after this one, in order of their making.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// The ids of records that pass, in order of their making.
///
/// # Errors
/// [`crate::Error::Unavailable`].
pub async fn passing(tx: &mut Tx, question: Question<'_>) -> Result<Vec<Uuid>> {
    let kind = question.kind.name();
    let withheld: Vec<String> = sqlx::query_scalar!(
        "/* filters::passing */ SELECT field FROM secured_fields WHERE record_kind = $2 AND NOT may_field($1, $2, field, false)",
        question.user.0,
        kind,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut sql = Sql {
        query: QueryBuilder::new("/* filters::passing */ SELECT r.id FROM filterable_records r, "),
        now: tx.now(),
        withheld,
        question,
    };
    sql.query.push("(SELECT depth_of(").push_bind(question.user.0).push(", ").push_bind(kind);
    sql.query.push(", 'read') AS depth) AS mine, (SELECT array_agg(owner) AS owners FROM reach(");
    sql.query.push_bind(question.user.0).push(", ").push_bind(kind).push(", 'read') AS owner) AS near,");
    sql.query.push(" (SELECT address_key FROM users WHERE id = ").push_bind(question.user.0).push(") AS self");
    sql.query.push(" WHERE r.kind = ").push_bind(kind);
    sql.query.push(" AND (mine.depth = 'all' OR COALESCE(r.owner_user_id, r.owner_team_id) = ANY(near.owners))");
    if let Some(among) = question.among {
        sql.query.push(" AND r.id = ANY(").push_bind(among.to_vec()).push(")");
    }
    if let Some(after) = question.after {
        sql.query.push(" AND r.id > ").push_bind(after);
    }
    sql.query.push(" AND ");
    sql.group(" OR ", "false", question.filters);
    sql.query.push(" ORDER BY r.id LIMIT ").push_bind(question.limit);
    Ok(sql.query.build_query_scalar().fetch_all(tx.connection()).await?)
}

struct Sql<'a> {
    query: QueryBuilder<Postgres>,
    now: DateTime<Utc>,
    withheld: Vec<String>,
    question: Question<'a>,
}

impl Sql<'_> {
    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::All(inner) => self.group(" AND ", "true", inner),
            Expression::Any(inner) => self.group(" OR ", "false", inner),
            Expression::Condition(condition) => self.condition(condition),
        }
    }

    fn group(&mut self, between: &str, without: &str, inner: &[Expression]) {
        self.query.push("(");
        if inner.is_empty() {
            self.query.push(without);
        }
        for (number, inner) in inner.iter().enumerate() {
            if number > 0 {
                self.query.push(between);
            }
            self.expression(inner);
        }
        self.query.push(")");
    }

    /// What the user may not read holds neither way: its absence would tell as much as its presence.
    fn condition(&mut self, condition: &Condition) {
        let reads = condition.attribute.reads(self.question.kind);
        if reads.iter().any(|field| self.withheld.iter().any(|withheld| withheld == field)) {
            self.query.push("false");
            return;
        }
        let column = column(condition.attribute, self.question.kind);
        let column = column.as_str();
        match &condition.test {
            Test::Empty | Test::NotEmpty if condition.attribute.kind_of_test(self.question.kind) == Type::People => {
                self.party(condition.attribute, condition.test == Test::Empty, None);
            }
            Test::Empty => drop(self.query.push(format!("({column} IS NULL)"))),
            Test::NotEmpty => drop(self.query.push(format!("({column} IS NOT NULL)"))),
            Test::Text(test, values) => self.text(column, *test, values),
            Test::Number(order, value) => drop(self.order(column, *order).push_bind(*value).push(")")),
            Test::Date(order, value) => drop(self.order(column, *order).push_bind(*value).push(")")),
            Test::Instant(order, value) => drop(self.order(column, *order).push_bind(*value).push(")")),
            Test::Days(days, count) => self.days(column, *days, *count),
            Test::Word(one_of, words) => {
                let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
                let not = if *one_of { "" } else { "NOT " };
                self.query.push(format!("({not}COALESCE({column} = ANY(")).push_bind(words).push("), false))");
            }
            Test::Owner(test) => self.owner(column, *test),
            Test::People(PeopleTest::CurrentUser) => self.party(condition.attribute, false, Some(None)),
            Test::People(PeopleTest::Address(address)) => {
                self.party(condition.attribute, false, Some(Some(address.as_str())));
            }
        }
    }

    fn text(&mut self, column: &str, test: TextTest, values: &[String]) {
        let (not, holds) = match test {
            TextTest::Equals => ("", "lower(v) = lower(x)"),
            TextTest::NotEquals => ("NOT ", "lower(v) = lower(x)"),
            TextTest::Contains => ("", "position(lower(v) IN lower(x)) > 0"),
            TextTest::NotContains => ("NOT ", "position(lower(v) IN lower(x)) > 0"),
            TextTest::BeginsWith => ("", "starts_with(lower(x), lower(v))"),
            TextTest::EndsWith => ("", "right(lower(x), length(lower(v))) = lower(v)"),
        };
        self.query.push(format!("({not}EXISTS (SELECT FROM unnest(")).push_bind(values.to_vec());
        self.query.push(format!(") AS v, (SELECT {column} AS x) AS of WHERE {holds}))"));
    }

    fn order(&mut self, column: &str, order: Order) -> &mut QueryBuilder<Postgres> {
        let operator = match order {
            Order::Equals => "=",
            Order::NotEquals => "IS DISTINCT FROM",
            Order::Below => "<",
            Order::AtMost => "<=",
            Order::Above => ">",
            Order::AtLeast => ">=",
        };
        self.query.push(format!("({column} {operator} "))
    }

    fn days(&mut self, column: &str, days: Days, count: u32) {
        let count = TimeDelta::days(i64::from(count));
        let (back, on) = (self.now - count, self.now + count);
        let now = self.now;
        self.query.push("(").push(column);
        match days {
            Days::Last => self.query.push(" BETWEEN ").push_bind(back).push(" AND ").push_bind(now),
            Days::Next => self.query.push(" BETWEEN ").push_bind(now).push(" AND ").push_bind(on),
            Days::OlderThan => self.query.push(" < ").push_bind(back),
            Days::Since => self.query.push(" >= ").push_bind(back),
        };
        self.query.push(")");
    }

    fn owner(&mut self, column: &str, test: OwnerTest) {
        let user = self.question.user.0;
        self.query.push("(").push(column);
        match test {
            OwnerTest::CurrentUser => self.query.push(" = ").push_bind(user),
            OwnerTest::CurrentUsersTeams => {
                self.query.push(" IN (SELECT team_id FROM team_members WHERE user_id = ").push_bind(user).push(")")
            }
            OwnerTest::Is(id) => self.query.push(" = ").push_bind(id),
            OwnerTest::IsNot(id) => self.query.push(" IS DISTINCT FROM ").push_bind(id),
        };
        self.query.push(")");
    }

    /// Whether somebody is on the record: anybody, the user, or whoever has an address.
    fn party(&mut self, attribute: Attribute, nobody: bool, who: Option<Option<&str>>) {
        let role = match attribute {
            Attribute::Field(Field::Organiser) => Some("organiser"),
            Attribute::Field(Field::RequiredAttendees) => Some("required"),
            Attribute::Field(Field::OptionalAttendees) => Some("optional"),
            _ => None,
        };
        let not = if nobody { "NOT " } else { "" };
        self.query.push(format!("({not}EXISTS (SELECT FROM activity_parties p WHERE p.activity_id = r.id"));
        if let Some(role) = role {
            self.query.push(" AND p.role = ").push_bind(role.to_owned());
        }
        match who {
            None => {}
            Some(None) => drop(self.query.push(" AND p.address_key = self.address_key")),
            Some(Some(address)) => drop(self.query.push(" AND p.address_key = ").push_bind(address.to_owned())),
        }
        self.query.push("))");
    }
}

/// Where an attribute is. Names of fields are ours, and hold nothing that would have to be quoted.
fn column(attribute: Attribute, kind: Kind) -> String {
    match attribute {
        Attribute::State => "r.state".to_owned(),
        Attribute::Owner => "COALESCE(r.owner_user_id, r.owner_team_id)".to_owned(),
        Attribute::CreatedAt => "r.created_at".to_owned(),
        Attribute::UpdatedAt => "r.updated_at".to_owned(),
        Attribute::StartsAt => "r.starts_at".to_owned(),
        Attribute::EndsAt => "r.ends_at".to_owned(),
        Attribute::Party => String::new(),
        Attribute::Part(field, part) => format!("(r.fields->'{}'->>'{part}')", field.name()),
        Attribute::Field(field) => {
            let cast = match attribute.kind_of_test(kind) {
                Type::Number => "::bigint",
                Type::Date => "::date",
                Type::Instant => "::timestamptz",
                _ => "",
            };
            format!("((r.fields->>'{}'){cast})", field.name())
        }
    }
}
