//! Finding: conditions, order, pages.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

/// How two values stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Not the same; also true where there is no value.
    NotEqual,
    /// More.
    Greater,
    /// More or the same.
    GreaterOrEqual,
    /// Less.
    Less,
    /// Less or the same.
    LessOrEqual,
}

impl Relation {
    /// Whether values that compare so stand in this relation.
    pub fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::NotEqual => found.is_ne(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
        }
    }
}

/// How a text must lie in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// They are the same.
    Whole,
    /// At the beginning.
    Prefix,
    /// Anywhere.
    Inside,
}

/// A condition on things whose properties are named by `P`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields say it")]
pub enum Condition<P> {
    /// All of them.
    All(Vec<Self>),
    /// One of them.
    Any(Vec<Self>),
    /// The opposite.
    Not(Box<Self>),
    /// There is a value.
    Exists(P),
    /// A value beside a constant.
    Compare { property: P, relation: Relation, with: String },
    /// A value beside another.
    CompareTwo { property: P, relation: Relation, other: P },
    /// A text in a text.
    Contains { property: P, text: String, placing: Placing, exact_case: bool },
    /// A number without certain bits.
    Excludes { property: P, mask: i64 },
}

/// A value as conditions and orders see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A number, a truth (0 or 1), or milliseconds since 1970.
    Number(f64),
    /// A text.
    Text(String),
}

impl Scalar {
    /// Texts compare without regard to case.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Text(one), Self::Text(two)) => one.to_lowercase().cmp(&two.to_lowercase()),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }

    /// A constant, read as the same kind as this value.
    pub fn like(&self, constant: &str) -> Self {
        match self {
            Self::Text(_) => Self::Text(constant.to_owned()),
            Self::Number(_) => {
                let number = match constant {
                    "true" => Some(1.0),
                    "false" => Some(0.0),
                    _ => constant.parse().ok(),
                };
                let date = || constant.parse::<DateTime<Utc>>().ok().map(|at| at.timestamp_millis() as f64);
                number.or_else(date).map_or_else(|| Self::Text(constant.to_owned()), Self::Number)
            }
        }
    }
}

fn lies_in(text: &str, part: &str, placing: Placing, exact_case: bool) -> bool {
    let (text, part) =
        if exact_case { (text.to_owned(), part.to_owned()) } else { (text.to_lowercase(), part.to_lowercase()) };
    match placing {
        Placing::Whole => text == part,
        Placing::Prefix => text.starts_with(&part),
        Placing::Inside => text.contains(&part),
    }
}

impl<P> Condition<P> {
    /// Whether the condition holds for something whose values `look` gives: several where a property is a list.
    pub fn holds(&self, look: &dyn Fn(&P) -> Vec<Scalar>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(look)),
            Self::Any(any) => any.iter().any(|one| one.holds(look)),
            Self::Not(one) => !one.holds(look),
            Self::Exists(property) => !look(property).is_empty(),
            Self::Compare { property, relation, with } => {
                let values = look(property);
                if values.is_empty() {
                    return *relation == Relation::NotEqual;
                }
                values.iter().any(|value| relation.holds(value.compare(&value.like(with))))
            }
            Self::CompareTwo { property, relation, other } => match (look(property).first(), look(other).first()) {
                (Some(one), Some(two)) => relation.holds(one.compare(two)),
                _ => *relation == Relation::NotEqual,
            },
            Self::Contains { property, text, placing, exact_case } => look(property).iter().any(|value| match value {
                Scalar::Text(value) => lies_in(value, text, *placing, *exact_case),
                Scalar::Number(_) => false,
            }),
            Self::Excludes { property, mask } => look(property).iter().all(|value| match value {
                #[expect(clippy::cast_possible_truncation, reason = "bits of a 32-bit property")]
                Scalar::Number(number) => (*number as i64) & mask == 0,
                Scalar::Text(_) => true,
            }),
        }
    }
}

/// A page of a list: the elements, where the next page begins, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The elements.
    pub elements: Vec<T>,
    /// The offset after the last of them.
    pub next: usize,
    /// How many there are.
    pub total: usize,
    /// Whether nothing comes after.
    pub last: bool,
}

/// The elements from `offset` on, counted from the end where `from_end` says so, at most `limit`.
pub fn page<T>(mut all: Vec<T>, offset: usize, limit: usize, from_end: bool) -> Paged<T> {
    let total = all.len();
    let (begin, end) = if from_end {
        let end = total.saturating_sub(offset);
        (end.saturating_sub(limit), end)
    } else {
        let begin = offset.min(total);
        (begin, begin.saturating_add(limit).min(total))
    };
    let elements: Vec<T> = all.drain(begin..end).collect();
    let (next, last) = if from_end { (total - begin, begin == 0) } else { (end, end == total) };
    Paged { elements, next, total, last }
}
