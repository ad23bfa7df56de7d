//! Reading the query of a request: a parameter is known, stands once and is what it should be, or a problem names it and
//! says what would be accepted.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};

use crate::{
    bounds,
    json::{clip, expecting, in_words, listed},
    problem::Problem,
};

/// Longest name of a parameter in a problem.
pub(crate) const MAX_NAME: usize = 64;

/// The query of a request as a record, one member for each parameter.
///
/// # Errors
/// A problem that names the parameter, the rule and what would be accepted.
pub(crate) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = url::form_urlencoded::parse(query.as_bytes()).collect();
    T::deserialize(Query(pairs)).map_err(|Refused { field, rule, remedy }| Problem::field(&field, rule, remedy))
}

/// Refuses a parameter that is none of these words.
///
/// # Errors
/// A problem that names the parameter and the words.
pub(crate) fn one_of(name: &str, value: Option<&str>, words: &[&str]) -> Result<(), Problem> {
    match value {
        Some(word) if !words.contains(&word) => {
            Err(Problem::field(name, "choice", format!("one of: {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

/// A parameter that is not accepted.
#[derive(Debug)]
struct Refused {
    field: String,
    rule: &'static str,
    remedy: String,
}

impl Refused {
    fn new(field: &str, rule: &'static str, remedy: impl Into<String>) -> Self {
        Self { field: clip(field, MAX_NAME), rule, remedy: remedy.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.remedy)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new("", "format", message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(field, "required", "this parameter with a value")
    }
}

/// The parameters there are, for somebody who has used another.
pub(crate) fn known(names: &[&str]) -> String {
    match names {
        [] => "no parameter: there is none here".to_owned(),
        names => format!("one of these parameters: {}", listed(names)),
    }
}

struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'de> Deserializer<'de> for Query<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let pairs = self.0.into_iter().map(|(name, text)| {
            let value = Text { name: name.clone().into_owned(), text };
            (name, value)
        });
        visitor.visit_map(MapDeserializer::new(pairs))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        for (at, (name, text)) in self.0.iter().enumerate() {
            if !fields.contains(&name.as_ref()) {
                return Err(Refused::new(name, "unknown", known(fields)));
            }
            if self.0[..at].iter().any(|(before, _)| before == name) {
                return Err(Refused::new(name, "duplicate", "this parameter once"));
            }
            if text.contains('\0') {
                return Err(Refused::new(name, "characters", "text without U+0000"));
            }
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The value of a parameter.
struct Text<'q> {
    name: String,
    text: Cow<'q, str>,
}

impl<'q> IntoDeserializer<'q, Refused> for Text<'q> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($read:ident $visit:ident $number:ty),*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            let fits = |number: $number| {
                bounds::of(&self.name)
                    .is_none_or(|(low, high)| (i128::from(low)..=i128::from(high)).contains(&i128::from(number)))
            };
            match self.text.parse::<$number>() {
                Ok(number) if fits(number) => visitor.$visit(number),
                Ok(_) => Err(Refused::new(&self.name, "range", in_words(stringify!($number), &self.name))),
                Err(_) => Err(Refused::new(&self.name, "number", in_words(stringify!($number), &self.name))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let expected = in_words(&expecting(&visitor), &self.name);
        visitor.visit_str(&self.text).map_err(|_: Refused| Refused::new(&self.name, "format", expected))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.text.parse() {
            Ok(value) => visitor.visit_bool(value),
            Err(_) => Err(Refused::new(&self.name, "choice", "one of: true, false")),
        }
    }

    numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if variants.contains(&self.text.as_ref()) {
            visitor.visit_enum(self.text.as_ref().into_deserializer())
        } else {
            Err(Refused::new(&self.name, "choice", format!("one of: {}", variants.join(", "))))
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Colour {
        Red,
        DarkBlue,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Asked {
        name: String,
        limit: Option<u16>,
        after: Option<Uuid>,
        open: Option<bool>,
        since: Option<DateTime<Utc>>,
        colour: Option<Colour>,
    }

    #[test]
    fn parameters_are_read() {
        let asked: Asked = read("name=a+b%26&limit=7&open=true&colour=dark-blue&since=2026-11-23T08:00:00Z").unwrap();
        assert_eq!((&*asked.name, asked.limit, asked.after, asked.open), ("a b&", Some(7), None, Some(true)));
        assert_eq!(asked.colour, Some(Colour::DarkBlue));
        assert_eq!(asked.since.unwrap().timestamp(), 1_795_420_800);
    }

    /// Whatever is wrong with a parameter, it is named, with the rule and with what would be accepted.
    #[test]
    fn what_is_wrong_is_named() {
        for (query, field, rule, remedy) in [
            ("", "name", "required", "value"),
            ("name=x&limit=-1", "limit", "number", "1 to 200"),
            ("name=x&limit=0", "limit", "range", "1 to 200"),
            ("name=x&limit=201", "limit", "range", "1 to 200"),
            ("name=x&limit=65536", "limit", "number", "1 to 200"),
            ("name=x&after=7", "after", "format", "UUID"),
            ("name=x&open=1", "open", "choice", "true, false"),
            ("name=x&since=yesterday", "since", "format", "date and time"),
            ("name=x&colour=green", "colour", "choice", "red, dark-blue"),
            ("name=x&limt=3", "limt", "unknown", "name, limit, after"),
            ("name=x&name=y", "name", "duplicate", "once"),
            ("name=%00", "name", "characters", "U+0000"),
            ("name=x&%00=1", "", "unknown", "name"),
        ] {
            let problem = read::<Asked>(query).unwrap_err();
            let [error] = problem.errors() else { panic!("{query}: {problem:?}") };
            assert_eq!((&*error.field, &*error.rule), (field, rule), "{query}");
            assert!(error.remedy.contains(remedy), "{query}: {}", error.remedy);
        }
    }
}
