//! The tree as a serde deserializer: knows a struct's fields, so it refuses unknown keys and follows `…_file`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::de::{Error, Findings, is_secret};
use super::error::Origin;
use super::tree::{MAX_SECRET_FILE, Node, Value, join, parse_inline, read_text};

/// Reads one value.
pub(super) struct ValueDe<'a> {
    pub(super) node: Node,
    pub(super) key: String,
    pub(super) findings: &'a Findings,
    /// The value is (part of) a secret: no message may quote it.
    pub(super) secret: bool,
}

impl<'a> ValueDe<'a> {
    fn child(findings: &'a Findings, key: String, node: Node) -> Self {
        Self { node, key, findings, secret: false }
    }

    /// Runs `read` and names this value's place in what goes wrong.
    fn placed<V>(self, read: impl FnOnce(Value, &str, &Origin, &'a Findings) -> Result<V, Error>) -> Result<V, Error> {
        let Self { node, key, findings, secret } = self;
        read(node.value, &key, &node.origin, findings).map_err(|e| e.at(&key, &node.origin, secret))
    }

    /// A value whose text came without a type, parsed as TOML where a list or a section is asked for.
    fn inlined(mut self, opening: char) -> Self {
        if let Value::Untyped(text) = &self.node.value
            && text.trim_start().starts_with(opening)
            && let Some(value) = parse_inline(text, &self.node.origin)
        {
            self.node.value = value;
        }
        self
    }
}

/// Numbers and booleans: a text from the environment is parsed, a text from the file is not.
macro_rules! parsed {
    ($($method:ident, $target:ty, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if let Value::Untyped(text) = &self.node.value
                && let Ok(parsed) = text.trim().parse::<$target>()
            {
                return self.placed(|_, _, _, _| visitor.$visit(parsed));
            }
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(|value, key, _, findings| match value {
            Value::String(text) | Value::Untyped(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Array(items) => {
                visitor.visit_seq(Items { items: items.into_iter(), key: key.to_owned(), next: 0, findings })
            }
            Value::Table(table) => visitor.visit_map(Entries::all(table, key, findings)),
            Value::Missing => visitor.visit_unit(),
        })
    }

    parsed! {
        deserialize_i8, i64, visit_i64; deserialize_i16, i64, visit_i64;
        deserialize_i32, i64, visit_i64; deserialize_i64, i64, visit_i64;
        deserialize_u8, u64, visit_u64; deserialize_u16, u64, visit_u64;
        deserialize_u32, u64, visit_u64; deserialize_u64, u64, visit_u64;
        deserialize_f32, f64, visit_f64; deserialize_f64, f64, visit_f64;
        deserialize_bool, bool, visit_bool;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Missing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.secret |= is_secret(name);
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut this = self.inlined('[');
        if let Value::Untyped(text) = &this.node.value {
            let item = |text: &str| Node::untyped(text.trim(), this.node.origin.clone());
            this.node.value = Value::Array(text.split(',').map(item).collect());
        }
        this.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.inlined('{').deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.inlined('{').placed(|value, key, origin, findings| match value {
            Value::Table(table) => visitor.visit_map(Entries::of_struct(table, key, fields, findings)),
            Value::Missing => visitor.visit_map(Entries::of_struct(BTreeMap::new(), key, fields, findings)),
            _ => {
                let place =
                    if matches!(origin, Origin::Env(_)) { "set its keys one by one" } else { "write it as a section" };
                let text = format!("is a section with the keys {}; {place}", fields.join(", "));
                Err(serde::de::Error::custom(text))
            }
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.inlined('{').placed(|value, key, _, findings| match value {
            Value::String(text) | Value::Untyped(text) => {
                visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(text))
            }
            Value::Table(table) if table.len() == 1 => match table.into_iter().next() {
                Some((name, node)) => visitor.visit_enum(Variant { key: join(key, &name), name, node, findings }),
                None => Err(serde::de::Error::invalid_type(Unexpected::Map, &visitor)),
            },
            _ => Err(serde::de::Error::invalid_type(
                Unexpected::Other("something else"),
                &format!("one of {}", variants.join(", ")).as_str(),
            )),
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct identifier
    }
}

/// The entries of a section.
struct Entries<'a> {
    rest: std::vec::IntoIter<(String, Node)>,
    current: Option<(String, Node)>,
    key: String,
    findings: &'a Findings,
}

impl<'a> Entries<'a> {
    /// Every entry, for maps with free keys.
    fn all(table: BTreeMap<String, Node>, key: &str, findings: &'a Findings) -> Self {
        let read = |(name, node): (String, Node)| findings.instead(&join(key, &name), node).map(|node| (name, node));
        let entries: Vec<_> = table.into_iter().filter_map(read).collect();
        Self { rest: entries.into_iter(), current: None, key: key.to_owned(), findings }
    }

    /// The entries a struct knows; others are reported.
    fn of_struct(
        mut table: BTreeMap<String, Node>,
        key: &str,
        fields: &'static [&'static str],
        findings: &'a Findings,
    ) -> Self {
        follow_files(&mut table, key, fields, findings);
        table.retain(|name, node| {
            let known = fields.contains(&name.as_str());
            if !known {
                let section = if key.is_empty() { "At the top".to_owned() } else { format!("In [{key}]") };
                let near = nearest(name, fields).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                let text = format!(
                    "is not a known key; remove it or correct its name.{near} {section} are known: {}",
                    fields.join(", ")
                );
                findings.report(&node.origin, &join(key, name), text);
            }
            known
        });
        for field in fields.iter().filter(|field| findings.fills(&join(key, field))) {
            table.entry((*field).to_owned()).or_insert(Node { value: Value::Missing, origin: Origin::Nowhere });
        }
        Self::all(table, key, findings)
    }
}

/// Replaces `x_file` by `x` with the file's content, for every field `x`.
fn follow_files(table: &mut BTreeMap<String, Node>, key: &str, fields: &[&str], findings: &Findings) {
    for field in fields {
        let pointer = format!("{field}_file");
        if fields.contains(&pointer.as_str()) {
            continue;
        }
        let Some(Node { value, origin }) = table.remove(&pointer) else { continue };
        let full = join(key, field);
        let pointer = join(key, &pointer);
        if let Some(plain) = table.get(*field) {
            if plain.origin.rank() > origin.rank() {
                continue;
            }
            if plain.origin.rank() == origin.rank() {
                let text = format!("and `{full}` ({}) are both set; remove one of them", plain.origin);
                findings.report(&origin, &pointer, text);
                continue;
            }
        }
        let content = match value {
            Value::String(path) | Value::Untyped(path) => read_text(Path::new(&path), MAX_SECRET_FILE)
                .map_err(|why| format!("names the file {path}, which {why}")),
            _ => Err("must be the path of a file, as a text".to_owned()),
        };
        match content.map(|text| text.trim().to_owned()) {
            Ok(text) if !text.is_empty() => {
                table.insert((*field).to_owned(), Node::untyped(text, origin));
            }
            Ok(_) => fail_file(findings, &origin, &pointer, &full, "names a file that is empty"),
            Err(why) => fail_file(findings, &origin, &pointer, &full, &why),
        }
    }
}

fn fail_file(findings: &Findings, origin: &Origin, pointer: &str, full: &str, why: &str) {
    let text = format!("{why}; put the value of `{full}` into it and let this process read it");
    findings.report(origin, pointer, text);
    // So that `x` itself is not reported as missing on top.
    findings.settle(full);
}

/// A field one slip of the pen away: one letter more, less or changed, or two swapped.
fn nearest<'f>(name: &str, fields: &[&'f str]) -> Option<&'f str> {
    fields.iter().copied().find(|field| {
        let same_start = name.bytes().zip(field.bytes()).take_while(|(a, b)| a == b).count();
        let (a, b) = (&name.as_bytes()[same_start..], &field.as_bytes()[same_start..]);
        let swapped = a.len() >= 2 && b.len() >= 2 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..];
        let tail = |x: &'_ [u8]| x.get(1..).map(<[u8]>::to_vec);
        swapped || tail(a) == tail(b) || tail(a).as_deref() == Some(b) || tail(b).as_deref() == Some(a)
    })
}

/// Reads a child; a type that refuses a value only after having read it gets the child's place too.
fn seed_child<'de, S: DeserializeSeed<'de>>(
    seed: S,
    findings: &Findings,
    key: String,
    node: Node,
) -> Result<S::Value, Error> {
    let origin = node.origin.clone();
    seed.deserialize(ValueDe::child(findings, key.clone(), node)).map_err(|e| e.at(&key, &origin, false))
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        match &self.current {
            Some((name, node)) => {
                let read: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
                seed.deserialize(read).map(Some).map_err(|e| e.at(&join(&self.key, name), &node.origin, false))
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, node)) = self.current.take() else {
            return Err(serde::de::Error::custom("a value was asked for without its key"));
        };
        seed_child(seed, self.findings, join(&self.key, &name), node)
    }
}

/// The items of a list.
struct Items<'a> {
    items: std::vec::IntoIter<Node>,
    key: String,
    next: usize,
    findings: &'a Findings,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        for node in self.items.by_ref() {
            let key = format!("{}[{}]", self.key, self.next);
            self.next += 1;
            if let Some(node) = self.findings.instead(&key, node) {
                return seed_child(seed, self.findings, key, node).map(Some);
            }
        }
        Ok(None)
    }
}

/// An enum's variant with content: `name = { … }`.
struct Variant<'a> {
    name: String,
    key: String,
    node: Node,
    findings: &'a Findings,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = ValueDe<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, ValueDe<'a>), Error> {
        let name: StringDeserializer<Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, ValueDe::child(self.findings, self.key, self.node)))
    }
}

impl<'de> VariantAccess<'de> for ValueDe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_struct("", fields, visitor)
    }
}
