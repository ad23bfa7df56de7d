//! The settings as written: one tree from the file and the environment, every value with its place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::de::Error as _;
use toml::de::{DeTable, DeValue};

use super::ConfigSource;
use super::error::{Origin, Problem};

/// The largest settings file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The largest secret file that is read, in bytes.
pub(super) const MAX_SECRET_FILE: u64 = 64 << 10;

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Node {
    /// A text that becomes what the field's type asks for.
    pub(super) fn untyped(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::Untyped(text.into()), origin }
    }
}

/// What was written.
#[derive(Clone)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    String(String),
    /// From the environment or a secret file: becomes what the field's type asks for.
    Untyped(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// Required, but not written anywhere.
    Missing,
}

/// Reads file and environment; what cannot be read goes to `problems`. Nothing comes back if the file as a whole is
/// unreadable, since every further complaint would be noise.
pub(super) fn read(source: &ConfigSource, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut root = match &source.file {
        Some(path) => read_toml(path, problems)?,
        None => BTreeMap::new(),
    };
    let prefix = format!("{}__", source.env_prefix);
    let mut variables: Vec<&(OsString, OsString)> = source
        .env
        .iter()
        .filter(|(name, value)| name.to_string_lossy().starts_with(&prefix) && !value.is_empty())
        .collect();
    variables.sort();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let origin = Origin::Env(name.clone());
        let path: Vec<String> = name[prefix.len()..].split("__").map(str::to_lowercase).collect();
        let key = path.join(".");
        if path.iter().any(String::is_empty) {
            let text = format!("has an empty part in its name; write {prefix}SECTION__KEY");
            problems.push(Problem::new(&origin, "", text));
            continue;
        }
        match value.to_str() {
            Some(text) => {
                let leaf = Node::untyped(text, origin.clone());
                if let Err(text) = set(&mut root, &path, leaf) {
                    problems.push(Problem::new(&origin, &key, text));
                }
            }
            None => problems.push(Problem::new(&origin, &key, "is not UTF-8; set it to UTF-8 text")),
        }
    }
    Some(Node { value: Value::Table(root), origin: Origin::Nowhere })
}

/// Reads at most `limit` bytes of a text file.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text).map_err(|e| format!("cannot be read: {e}"))?;
    if text.len() as u64 > limit {
        return Err(format!("is larger than {limit} bytes"));
    }
    Ok(text)
}

/// A value written in TOML inside an environment variable (`[1, 2]`, `{ a = 1 }`).
pub(super) fn parse_inline(text: &str, origin: &Origin) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut problems = Vec::new();
    let node = convert(value.into_inner(), "", &|_| origin.clone(), 0, &mut problems);
    problems.is_empty().then_some(node.value)
}

fn set(table: &mut BTreeMap<String, Node>, path: &[String], leaf: Node) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        if matches!(table.get(first), Some(Node { value: Value::Table(_), origin: Origin::Env(_) })) {
            return Err("is set as a whole and in parts; remove one of the variables");
        }
        table.insert(first.clone(), leaf);
        return Ok(());
    }
    let section = table
        .entry(first.clone())
        .or_insert_with(|| Node { value: Value::Table(BTreeMap::new()), origin: leaf.origin.clone() });
    match &mut section.value {
        Value::Table(inner) => set(inner, rest, leaf),
        _ => Err("lies below a key that has a value of its own; remove one of the two"),
    }
}

fn read_toml(path: &Path, problems: &mut Vec<Problem>) -> Option<BTreeMap<String, Node>> {
    let shared: Arc<Path> = Arc::from(path);
    let at = |line| Origin::File { path: Arc::clone(&shared), line };
    let text = match read_text(path, MAX_FILE) {
        Ok(text) => text,
        Err(why) => {
            let advice = "give the path of a readable TOML file with --config or LOCKSTEP_CONFIG";
            problems.push(Problem {
                place: path.display().to_string(),
                key: String::new(),
                text: format!("{why}; {advice}"),
            });
            return None;
        }
    };
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
    // The parser's own Display quotes the line, which may hold a secret: only its message and its place are used.
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        let origin = at(line(error.span().map_or(0, |span| span.start)));
        problems.push(Problem::new(&origin, "", format!("is not valid TOML: {}", error.message())));
    }
    if !errors.is_empty() {
        return None;
    }
    let place = |offset| at(line(offset));
    match convert(DeValue::Table(table.into_inner()), "", &place, 0, problems).value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn convert(
    value: DeValue<'_>,
    key: &str,
    place: &dyn Fn(usize) -> Origin,
    at: usize,
    problems: &mut Vec<Problem>,
) -> Node {
    let origin = place(at);
    let value = match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::String(value.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                problems.push(Problem::new(&origin, key, "is a number too large for 64 bits"));
                Value::Missing
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(e) => {
                problems.push(Problem::new(&origin, key, toml::de::Error::custom(e).message()));
                Value::Missing
            }
        },
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| {
                    let start = item.span().start;
                    convert(item.into_inner(), &format!("{key}[{i}]"), place, start, problems)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(name, item)| {
                    let start = name.span().start;
                    let name = name.into_inner().into_owned();
                    let node = convert(item.into_inner(), &join(key, &name), place, start, problems);
                    (name, node)
                })
                .collect(),
        ),
    };
    Node { value, origin }
}

/// `section` and `key` as `section.key`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
