//! Conditions and orders of searches.

use super::{
    answer::{Fault, code},
    path::{self, Path},
    xml::Element,
};
use crate::world::search::{Condition, Placing, Relation};

/// How deep conditions may be nested, and how many there may be at one place.
const DEPTH: usize = 20;
const WIDTH: usize = 500;

fn constant(element: &Element) -> Option<&str> {
    element.child("FieldURIOrConstant")?.child("Constant")?.attribute("Value")
}

fn compare(element: &Element, relation: Relation) -> Result<Condition<Path>, Fault> {
    let property = path::within(element)?;
    if let Some(with) = constant(element) {
        return Ok(Condition::Compare { property, relation, with: with.to_owned() });
    }
    let other = element.child("FieldURIOrConstant").ok_or_else(|| Fault::schema("FieldURIOrConstant is missing"))?;
    Ok(Condition::CompareTwo { property, relation, other: path::within(other)? })
}

fn contains(element: &Element) -> Result<Condition<Path>, Fault> {
    let text = element.child("Constant").and_then(|constant| constant.attribute("Value"));
    let text = text.ok_or_else(|| Fault::schema("Contains needs a Constant"))?.to_owned();
    let placing = match element.attribute("ContainmentMode") {
        Some("FullString" | "ExactPhrase") => Placing::Whole,
        Some("Prefixed" | "PrefixOnWords") => Placing::Prefix,
        _ => Placing::Inside,
    };
    let exact_case = element.attribute("ContainmentComparison").unwrap_or("Exact") == "Exact";
    Ok(Condition::Contains { property: path::within(element)?, text, placing, exact_case })
}

fn one(element: &Element, depth: usize) -> Result<Condition<Path>, Fault> {
    if depth > DEPTH || element.children.len() > WIDTH {
        return Err(Fault::new("ErrorRestrictionTooComplex", "The restriction is too complex."));
    }
    let all = || element.children.iter().map(|child| one(child, depth + 1)).collect::<Result<Vec<_>, _>>();
    match element.name.as_str() {
        "And" => all().map(Condition::All),
        "Or" => all().map(Condition::Any),
        "Not" => {
            let inner = element.children.first().ok_or_else(|| Fault::schema("Not is empty"))?;
            Ok(Condition::Not(Box::new(one(inner, depth + 1)?)))
        }
        "Exists" => path::within(element).map(Condition::Exists),
        "Contains" => contains(element),
        "IsEqualTo" => compare(element, Relation::Equal),
        "IsNotEqualTo" => compare(element, Relation::NotEqual),
        "IsGreaterThan" => compare(element, Relation::Greater),
        "IsGreaterThanOrEqualTo" => compare(element, Relation::GreaterOrEqual),
        "IsLessThan" => compare(element, Relation::Less),
        "IsLessThanOrEqualTo" => compare(element, Relation::LessOrEqual),
        "Excludes" => {
            let mask = element.child("Bitmask").and_then(|mask| mask.attribute("Value")).unwrap_or_default();
            let mask = match mask.strip_prefix("0x").or_else(|| mask.strip_prefix("0X")) {
                Some(hex) => i64::from_str_radix(hex, 16),
                None => mask.parse(),
            };
            let mask = mask.map_err(|_| Fault::schema("Bitmask is not a number"))?;
            Ok(Condition::Excludes { property: path::within(element)?, mask })
        }
        other => Err(Fault::new(code::INVALID_REQUEST, format!("The condition {other} is not known."))),
    }
}

/// Reads a `Restriction`; none when the request has none.
///
/// # Errors
/// What is wrong with it.
pub fn read(request: &Element) -> Result<Option<Condition<Path>>, Fault> {
    let Some(restriction) = request.child("Restriction") else { return Ok(None) };
    let inner = restriction.children.first().ok_or_else(|| Fault::schema("Restriction is empty"))?;
    one(inner, 0).map(Some)
}

/// Reads a `SortOrder`: the properties, each with whether the largest comes first.
///
/// # Errors
/// What is wrong with it.
pub fn read_order(request: &Element) -> Result<Vec<(Path, bool)>, Fault> {
    let orders = request.list("SortOrder").iter();
    orders.map(|order| Ok((path::within(order)?, order.attribute("Order") == Some("Descending")))).collect()
}
