//! Reading JSON as records: an object is an object, a key stands once, and what does not fit is told in JSON's words.
//!
//! Derived readers take an array for a record and show the names of our types; this reader stands between them and
//! the request, and does neither.

use std::fmt::{self, Display, Formatter};

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
    value::{MapDeserializer, SeqDeserializer},
};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::{
    bounds,
    problem::{FieldError, Problem},
};

/// Longest text of a reader's own words in a problem.
const MAX_WORDS: usize = 300;
/// Longest enumeration of names in a problem, in characters.
const MAX_LIST: usize = 220;

/// A body as a JSON value.
///
/// # Errors
/// A problem with the line where it is no JSON, or naming the key that stands twice in one object.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let mut keys = Keys::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Tree(&mut keys).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let value = value.map_err(|error| {
        Problem::bad_request(format!("The body is no JSON: {error}.")).with("line", error.line().into())
    })?;
    match keys.twice {
        Some(path) => Err(Problem::field(&path, "duplicate", "this key once in its object")),
        None => Ok(value),
    }
}

/// Reads a JSON value as `T`.
///
/// # Errors
/// A problem naming the member that does not fit.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
        let path = dotted(error.path());
        error.into_inner().problem(&path)
    })
}

/// A place as problems name it: `to.1.address`.
fn dotted(path: &Path) -> String {
    let segments = path.iter().map(|segment| match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => clip(key, 64),
        Segment::Enum { variant } => clip(variant, 64),
        Segment::Unknown => "?".to_owned(),
    });
    segments.collect::<Vec<_>>().join(".")
}

/// At most `max` characters, none of them a control character.
pub(crate) fn clip(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

/// Names one after the other; where they would be too many, how many more there are. No name is cut.
pub(crate) fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 && text.chars().count() + name.chars().count() > MAX_LIST {
            text.push_str(&format!(" and {} more", names.len() - at));
            break;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    text
}

/// Where the reader is, and the first key that it met twice.
#[derive(Default)]
struct Keys {
    path: String,
    twice: Option<String>,
}

/// Builds a value, and notices keys that stand twice.
struct Tree<'a>(&'a mut Keys);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let keys = self.0;
        let length = keys.path.len();
        let mut items = Vec::new();
        loop {
            if length > 0 {
                keys.path.push('.');
            }
            keys.path.push_str(&items.len().to_string());
            let item = access.next_element_seed(Tree(&mut *keys))?;
            keys.path.truncate(length);
            match item {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let keys = self.0;
        let length = keys.path.len();
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if length > 0 {
                keys.path.push('.');
            }
            keys.path.push_str(&clip(&name, 64));
            if members.contains_key(&name) && keys.twice.is_none() {
                keys.twice = Some(clip(&keys.path, MAX_WORDS));
            }
            let member = access.next_value_seed(Tree(&mut *keys))?;
            keys.path.truncate(length);
            members.insert(name, member);
        }
        Ok(members.into())
    }
}

/// A value that is read as a record only where it is an object.
struct Strict(Value);

impl<'de> IntoDeserializer<'de, Flaw> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(value) => visitor.visit_string(value),
            Value::Array(items) => {
                let mut access = SeqDeserializer::new(items.into_iter().map(Strict));
                let value = visitor.visit_seq(&mut access)?;
                access.end().map(|()| value)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, member)| (name, Strict(member)));
                let mut access = MapDeserializer::new(members);
                let value = visitor.visit_map(&mut access)?;
                access.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let expected = expecting(&visitor);
        self.deserialize_any(visitor).map_err(|flaw| match flaw {
            // What a parser of dates or ids says of a text is no help.
            Flaw::Other(_) if is_form(&expected) => Flaw::Type { expected, found: None },
            flaw => flaw,
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        if self.0.is_object() { self.deserialize_any(visitor) } else { Err(Flaw::NoObject(kind(&self.0))) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        // Choices are words; no body has a choice with something inside.
        match self.0 {
            Value::String(word) => {
                let word: serde::de::value::StringDeserializer<Flaw> = word.into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            _ => Err(Flaw::Choice(variants)),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf
        unit unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

/// What is wrong with a value.
#[derive(Debug)]
enum Flaw {
    Unknown(String, &'static [&'static str]),
    Missing(&'static str),
    Choice(&'static [&'static str]),
    /// Something else stands where an object must be.
    NoObject(&'static str),
    /// What a reader says that it expects, and what it found instead.
    Type {
        expected: String,
        found: Option<&'static str>,
    },
    Other(String),
}

impl Flaw {
    fn problem(self, path: &str) -> Problem {
        let (rule, name) = match &self {
            Self::Unknown(name, _) => ("unknown", Some(name.as_str())),
            Self::Missing(name) => ("required", Some(*name)),
            Self::Choice(_) => ("choice", None),
            Self::NoObject(_) | Self::Type { .. } | Self::Other(_) => ("type", None),
        };
        let field = match name {
            Some(name) if path.is_empty() => name.to_owned(),
            // The path has an unknown member already, a missing one not.
            Some(name) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
            _ => path.to_owned(),
        };
        let words = match &self {
            Self::Type { expected, found } => wanted(expected, *found, &field),
            other => other.to_string(),
        };
        if field.is_empty() {
            return Problem::unprocessable(format!("The body is not accepted: {words}."));
        }
        let (field, remedy) = (clip(&field, MAX_WORDS), clip(&words, MAX_WORDS));
        Problem::invalid(vec![FieldError { field, rule: rule.to_owned(), remedy }])
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(_, []) => f.write_str("there is no such field; none is expected here"),
            Self::Unknown(_, known) => write!(f, "there is no such field; those known are {}", listed(known)),
            Self::Missing(_) => f.write_str("this field must be there"),
            Self::Choice(known) => write!(f, "one of {} is expected", listed(known)),
            Self::NoObject(found) => write!(f, "a JSON object is expected, not {found}"),
            Self::Type { expected, found } => f.write_str(&wanted(expected, *found, "")),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Flaw {}

impl serde::de::Error for Flaw {
    fn custom<T: Display>(words: T) -> Self {
        Self::Other(words.to_string())
    }

    // The value itself is not repeated: it may be a password in the wrong place.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type { expected: expected.to_string(), found: Some(found_in_json(&found)) }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type { expected: expected.to_string(), found: None }
    }

    fn invalid_length(found: usize, _: &dyn Expected) -> Self {
        Self::Other(format!("{found} items are not the right number"))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::Choice(known)
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::Unknown(name.to_owned(), known)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::custom(format!("the key {name} stands twice"))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn found_in_json(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "this number",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map => "an object",
        _ => "this value",
    }
}

/// What a visitor says that it accepts.
pub(crate) fn expecting<'de, V: Visitor<'de>>(visitor: &V) -> String {
    struct Words<'v, V>(&'v V);

    impl<'de, V: Visitor<'de>> Display for Words<'_, V> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            self.0.expecting(f)
        }
    }
    Words(visitor).to_string()
}

/// Whether a text of a certain form is expected, such as a date.
fn is_form(expected: &str) -> bool {
    expected.contains("RFC 3339") || expected.contains("UUID")
}

/// What is expected of a field, what stands there instead, and what to do about it.
fn wanted(expected: &str, found: Option<&str>, field: &str) -> String {
    let words = in_words(expected, field);
    match found {
        None => format!("{words} is expected"),
        Some("null") => format!("{words} is expected, not null: give one, or leave the field out"),
        Some("a string") if words.contains("number") || words == "true or false" => {
            format!("{words} is expected, not a string: leave the quotation marks out")
        }
        Some("this number") if words.contains("number") => format!("{words} is expected, not this number"),
        Some(found) => format!("{words} is expected, not {found}"),
    }
}

/// What a reader expects, without the names of our types, and with the limits that hold for the field.
pub(crate) fn in_words(expected: &str, field: &str) -> String {
    let name = field.rsplit('.').next().unwrap_or_default();
    let whole = |low: i64, high: i64| format!("a whole number from {low} to {high}");
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
            match (bounds::of(name), expected) {
                (Some((low, high)), _) => whole(low, high),
                (None, "u8") => whole(0, u8::MAX.into()),
                (None, "u16") => whole(0, u16::MAX.into()),
                (None, unsigned) if unsigned.starts_with('u') => "a whole number, 0 or more,".to_owned(),
                (None, _) => "a whole number".to_owned(),
            }
        }
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "a JSON object".to_owned(),
        "a borrowed string" | "string or map" => "a string".to_owned(),
        "unit" | "option" => "null".to_owned(),
        form if form.contains("RFC 3339") => {
            "a date and time with its zone, such as 2026-11-23T08:00:00Z, from 1970 to 9999".to_owned()
        }
        form if form.contains("UUID") => {
            "an id as the API gives it, a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057,".to_owned()
        }
        words if words.starts_with("a ") || words.starts_with("an ") => words.to_owned(),
        _ => "another kind of value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape counts")]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        list: Option<Vec<Inner>>,
        word: Option<Word>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape counts")]
    struct Inner {
        port: u16,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        FirstWord,
        Second,
    }

    fn words(problem: &Problem) -> String {
        serde_json::to_string(&problem.content()).unwrap()
    }

    #[test]
    fn errors_name_the_field_and_no_type_of_ours() {
        for (value, field, rule) in [
            (json!({}), "name", "required"),
            (json!({"name": 5}), "name", "type"),
            (json!({"name": "a", "colour": 1}), "colour", "unknown"),
            (json!({"name": "a", "inner": {}}), "inner.port", "required"),
            (json!({"name": "a", "inner": {"port": 70_000}}), "inner.port", "type"),
            (json!({"name": "a", "inner": {"port": 7, "host": ""}}), "inner.host", "unknown"),
            (json!({"name": "a", "inner": [7]}), "inner", "type"),
            (json!({"name": "a", "inner": "x"}), "inner", "type"),
            (json!({"name": "a", "list": [{"port": 7}, [7]]}), "list.1", "type"),
            (json!({"name": "a", "list": {"port": 7}}), "list", "type"),
            (json!({"name": "a", "word": "third"}), "word", "choice"),
            (json!({"name": "a", "word": ["second"]}), "word", "choice"),
        ] {
            let problem = from_value::<Outer>(value.clone()).unwrap_err();
            let error = &problem.errors()[0];
            assert_eq!((error.field.as_str(), error.rule.as_str()), (field, rule), "{value}");
            let words = words(&problem);
            for shown in ["Outer", "Inner", "Word\"", "struct", "u16", "enum", "70000"] {
                assert!(!words.contains(shown), "{shown} in {words}");
            }
        }
        from_value::<Outer>(json!({"name": "a", "inner": null, "list": [{"port": 7}], "word": "first-word"})).unwrap();
    }

    /// However many names there are, none is cut.
    #[test]
    fn long_lists_end_at_a_whole_name() {
        let names: Vec<String> = (0..100).map(|n| format!("name_number_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = listed(&names);
        let (some, more) = text.rsplit_once(" and ").unwrap();
        assert!(some.split(", ").all(|name| names.contains(&name)), "{text}");
        assert_eq!(more, format!("{} more", 100 - some.split(", ").count()));
        assert!(text.chars().count() <= MAX_LIST + 20);
        assert_eq!((listed(&["a", "b"]), listed(&[])), ("a, b".to_owned(), String::new()));
    }

    #[test]
    fn only_an_object_is_an_object() {
        for value in [json!([]), json!(["a", null, null, null]), json!("a"), json!(1), json!(null), json!(true)] {
            let problem = from_value::<Outer>(value.clone()).unwrap_err();
            assert!(words(&problem).contains("a JSON object is expected"), "{value}");
            assert!(problem.errors().is_empty(), "{value}");
        }
    }

    #[test]
    fn a_key_stands_once() {
        for (text, field) in [
            (r#"{"a": 1, "a": 1}"#, "a"),
            (r#"{"a": {"b": 1, "\u0062": 2}}"#, "a.b"),
            (r#"{"a": [1, {"b": 1, "c": 2, "b": 3}]}"#, "a.1.b"),
            (r#"[{"b": 1, "b": 3}]"#, "0.b"),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!((problem.errors()[0].field.as_str(), problem.errors()[0].rule.as_str()), (field, "duplicate"));
        }
        let text = r#"{"a": {"b": [1, -1, 1.5, null, true, "x"]}, "b": {"b": {}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for broken in ["", "{", "{}{}", "[1,]"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
