//! JSON Merge Patch (RFC 7396), on the writable form of a record.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{json, problem::Problem};

/// A patch: members replace the record's, `null` clears one, objects are merged.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Patch(Map<String, Value>);

/// A record as it would be, and which of its members would change.
pub(crate) struct Patched<T> {
    fields: T,
    changed: Changed,
}

/// Names of changed members.
pub(crate) struct Changed(Vec<String>);

impl<T> Patched<T> {
    pub(crate) fn split(self) -> (T, Changed) {
        (self.fields, self.changed)
    }
}

impl Changed {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl Patch {
    /// Names of the members it holds.
    pub(crate) fn members(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The members that have a value, as a new record is made of them.
    pub(crate) fn given(&self) -> Map<String, Value> {
        let mut given = Map::new();
        merge(&mut given, self.0.clone());
        given
    }

    /// The record with this patch. Write-only members count as changed when they are there.
    ///
    /// # Errors
    /// A problem naming the member that cannot be.
    pub(crate) fn apply<T: Serialize + DeserializeOwned>(&self, current: &T) -> Result<Patched<T>, Problem> {
        let Ok(Value::Object(before)) = serde_json::to_value(current) else { return Err(Problem::internal()) };
        let mut after = before.clone();
        merge(&mut after, self.0.clone());
        let mut changed: Vec<String> = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(*value))
            .map(|(name, _)| name.clone())
            .collect();
        changed.extend(before.keys().filter(|name| !after.contains_key(*name)).cloned());
        Ok(Patched { fields: json::from_value(Value::Object(after))?, changed: Changed(changed) })
    }
}

fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(members) => {
                let mut inner = match target.remove(&name) {
                    Some(Value::Object(inner)) => inner,
                    _ => Map::new(),
                };
                merge(&mut inner, members);
                target.insert(name, Value::Object(inner));
            }
            value => {
                target.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A, that have objects on both sides.
    #[test]
    fn merges_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        ] {
            let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else { unreachable!() };
            merge(&mut target, patch);
            assert_eq!(Value::Object(target), result);
        }
    }
}
