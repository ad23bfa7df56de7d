//! JSON Merge Patch (RFC 7396), on the writable form of a record.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{extract::Given, json, problem::Problem};

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

    /// Whether it holds this member of this object with a value.
    pub(crate) fn gives_inside(&self, object: &str, name: &str) -> bool {
        self.0.get(object).and_then(|inner| inner.get(name)).is_some_and(|value| !value.is_null())
    }

    /// Whether it is to clear this member.
    pub(crate) fn clears(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }

    /// Its members with their values.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// What a new record of its members and these others is given.
    pub(crate) fn given(&self, others: &Map<String, Value>) -> Given {
        Given::of(others).and(Given::of(&self.0))
    }

    /// A new record of its members and these others.
    ///
    /// # Errors
    /// A problem naming the member that cannot be.
    pub(crate) fn make<T: Serialize + DeserializeOwned>(&self, others: Map<String, Value>) -> Result<T, Problem> {
        let mut members = others;
        merge(&mut members, self.0.clone());
        self.read(&members)
    }

    /// The record with this patch. Write-only members count as changed when they are there.
    ///
    /// # Errors
    /// A problem naming the member that cannot be.
    pub(crate) fn apply<T: Serialize + DeserializeOwned>(&self, current: &T) -> Result<Patched<T>, Problem> {
        self.apply_whole(current, &[])
    }

    /// Like [`Self::apply`], where these members are replaced as a whole: objects that are one value.
    ///
    /// # Errors
    /// A problem naming the member that cannot be.
    pub(crate) fn apply_whole<T: Serialize + DeserializeOwned>(
        &self,
        current: &T,
        whole: &[&str],
    ) -> Result<Patched<T>, Problem> {
        let Ok(Value::Object(before)) = serde_json::to_value(current) else { return Err(Problem::internal()) };
        let mut after = before.clone();
        for name in whole.iter().filter(|name| self.0.contains_key(**name)) {
            after.remove(*name);
        }
        merge(&mut after, self.0.clone());
        let fields = self.read(&after)?;
        let mut changed: Vec<String> = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(*value))
            .map(|(name, _)| name.clone())
            .collect();
        changed.extend(before.keys().filter(|name| !after.contains_key(*name)).cloned());
        Ok(Patched { fields, changed: Changed(changed) })
    }

    /// The record of these members, from which what is null here was taken out. Null empties a field that may be empty;
    /// of others it is refused, rather than to put a default there that nobody has asked for.
    fn read<T: Serialize + DeserializeOwned>(&self, after: &Map<String, Value>) -> Result<T, Problem> {
        let nulls = nulls(&self.0);
        let fields: T = json::from_value(Value::Object(after.clone())).map_err(|problem| {
            let missing = problem.errors().first().map(|error| error.field.clone()).unwrap_or_default();
            let ours = nulls.iter().any(|path| path.join(".") == missing);
            if ours { never_empty(&missing) } else { problem }
        })?;
        let mut shown = None;
        for path in &nulls {
            let mut with_null = after.clone();
            put_null(&mut with_null, path);
            let Err(problem) = json::from_value::<T>(Value::Object(with_null)) else { continue };
            if problem.errors().first().is_some_and(|error| error.rule == "unknown") {
                return Err(problem);
            }
            // A field that takes no null is empty without it, or has a default.
            let shown = shown.get_or_insert_with(|| serde_json::to_value(&fields).unwrap_or_default());
            let left = path.iter().try_fold(&*shown, |value, name| value.get(name));
            if !left.is_none_or(is_empty) {
                return Err(never_empty(&path.join(".")));
            }
        }
        Ok(fields)
    }
}

fn never_empty(field: &str) -> Problem {
    Problem::field(field, "required", "a value: this field cannot be empty. Leave it out to keep it as it is")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Where null stands in a patch, each place as the names that lead there.
fn nulls(members: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (name, value) in members {
        match value {
            Value::Null => found.push(vec![name.clone()]),
            Value::Object(inner) => found.extend(nulls(inner).into_iter().map(|mut path| {
                path.insert(0, name.clone());
                path
            })),
            _ => {}
        }
    }
    found
}

fn put_null(members: &mut Map<String, Value>, path: &[String]) {
    match path {
        [] => {}
        [name] => {
            members.insert(name.clone(), Value::Null);
        }
        [name, rest @ ..] => {
            let inner = members.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put_null(inner, rest);
            }
        }
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
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Record {
        name: String,
        #[serde(default)]
        note: String,
        #[serde(default)]
        active: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        alias: Option<String>,
        inner: Inner,
        #[serde(default)]
        list: Vec<String>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        port: Option<u16>,
        #[serde(default = "seven")]
        number: u16,
    }

    fn seven() -> u16 {
        7
    }

    fn record() -> Record {
        let inner = Inner { port: Some(1), number: 3 };
        let (name, note, list) = ("n".to_owned(), "t".to_owned(), vec!["l".to_owned()]);
        Record { name, note, active: true, alias: Some("a".to_owned()), inner, list }
    }

    /// Null empties what may be empty, and nothing else; what is no field is named.
    #[test]
    fn null_clears_what_may_be_empty() {
        let patched = |patch: Value| {
            let patch: Patch = serde_json::from_value(patch).unwrap();
            patch.apply(&record()).map(Patched::split)
        };
        let all = json!({ "note": null, "alias": null, "list": null, "inner": { "port": null } });
        let (fields, changed) = patched(all).unwrap();
        assert_eq!((fields.note.as_str(), fields.alias, fields.inner.port, fields.list.len()), ("", None, None, 0));
        assert_eq!(changed.names().len(), 4);
        for (patch, field, rule) in [
            (json!({ "name": null }), "name", "required"),
            (json!({ "active": null }), "active", "required"),
            (json!({ "inner": null }), "inner", "required"),
            (json!({ "inner": { "number": null } }), "inner.number", "required"),
            (json!({ "colour": null }), "colour", "unknown"),
            (json!({ "inner": { "colour": null } }), "inner.colour", "unknown"),
        ] {
            let problem = patched(patch.clone()).err().unwrap();
            let error = &problem.errors()[0];
            assert_eq!((error.field.as_str(), error.rule.as_str()), (field, rule), "{patch}");
        }
        let (_, changed) = patched(json!({ "name": "n" })).unwrap();
        assert!(changed.names().is_empty());
    }

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
