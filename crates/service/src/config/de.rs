//! From the tree to the program's structs, reporting every problem that can be told apart, not only the first.
//!
//! Serde stops at the first error. Here the place of the error is taken out of the tree and reading starts again, until
//! reading succeeds or only what was already reported is in the way.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::de::{self, DeserializeOwned, Expected, Unexpected};

use super::access::ValueDe;
use super::error::{ConfigError, Origin, Problem};
use super::tree::{Node, join};
use super::{ConfigSource, values};

/// Bounds the work on a hopeless file; nobody reads more problems than this at once.
const MAX_ROUNDS: usize = 100;

/// What reading has learned so far.
pub(super) struct Findings {
    env_prefix: String,
    has_file: bool,
    problems: RefCell<Vec<Problem>>,
    /// Keys that are reported and left out from now on.
    pub(super) reported: RefCell<BTreeSet<String>>,
    /// Required keys that are not there, tried as an empty section to learn what should be in it.
    pub(super) probed: RefCell<BTreeSet<String>>,
}

impl Findings {
    /// Adds a problem, once for each key.
    pub(super) fn report(&self, origin: &Origin, key: &str, text: impl Into<String>) {
        if self.reported.borrow_mut().insert(key.to_owned()) {
            self.problems.borrow_mut().push(Problem::new(origin, key, text));
        }
    }

    fn how_to_set(&self, key: &str) -> String {
        let variable = format!("{}__{}", self.env_prefix, key.replace('.', "__").to_uppercase());
        let (section, name) = key.rsplit_once('.').map_or(("", key), |(section, name)| (section, name));
        let file = if self.has_file { "the settings file" } else { "a settings file (--config)" };
        match section {
            "" => format!("add `{name}` to {file} or set {variable}"),
            _ => format!("add `{name}` to [{section}] in {file} or set {variable}"),
        }
    }
}

/// Reads `T` out of the tree.
pub(super) fn load<T: DeserializeOwned>(
    tree: Node,
    source: &ConfigSource,
    early: Vec<Problem>,
) -> Result<T, ConfigError> {
    let findings = Findings {
        env_prefix: source.env_prefix.clone(),
        has_file: source.file.is_some(),
        reported: RefCell::new(early.iter().map(|p| p.key.clone()).filter(|key| !key.is_empty()).collect()),
        problems: RefCell::new(early),
        probed: RefCell::default(),
    };
    for _ in 0..MAX_ROUNDS {
        let reader = ValueDe { node: tree.clone(), key: String::new(), findings: &findings, secret: false };
        match T::deserialize(reader) {
            Ok(value) if findings.problems.borrow().is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                if !learn(&findings, error) {
                    break;
                }
            }
        }
    }
    let mut problems = findings.problems.into_inner();
    if problems.is_empty() {
        // Cannot be reached while every error is reported; said rather than panicking.
        problems.push(Problem::new(&Origin::Nowhere, "", "cannot be read, and the reason is not known"));
    }
    Err(ConfigError { problems })
}

/// Takes an error into the findings; whether another round can bring more.
fn learn(findings: &Findings, error: Error) -> bool {
    let Place { key, origin } = error.place.unwrap_or(Place { key: String::new(), origin: Origin::Nowhere });
    match error.what {
        What::Missing(field) => {
            let child = join(&key, field);
            if !findings.reported.borrow().contains(&child) {
                if findings.probed.borrow_mut().insert(child.clone()) {
                    return true;
                }
                findings.report(&Origin::Nowhere, &child, format!("is missing; {}", findings.how_to_set(&child)));
                return true;
            }
            findings.reported.borrow_mut().insert(key.clone());
        }
        _ if origin == Origin::Nowhere && findings.probed.borrow().contains(&key) => {
            findings.report(&origin, &key, format!("is missing; {}", findings.how_to_set(&key)));
        }
        What::Wrong { found, expected } => {
            let text = format!("must be {expected}, but it is {found}; correct it there");
            findings.report(&origin, &key, text);
        }
        What::Other(message) => findings.report(&origin, &key, message),
    }
    !key.is_empty()
}

/// Where an error happened.
#[derive(Debug, Clone)]
struct Place {
    key: String,
    origin: Origin,
}

/// What serde objects to.
#[derive(Debug)]
enum What {
    Missing(&'static str),
    Wrong { found: String, expected: String },
    Other(String),
}

/// An error on the way; the innermost value it passes gives it its place.
#[derive(Debug)]
pub(super) struct Error {
    what: What,
    place: Option<Place>,
}

impl Error {
    /// Names the place, unless an inner one is already named; hides what was found in a secret.
    pub(super) fn at(mut self, key: &str, origin: &Origin, secret: bool) -> Self {
        if self.place.is_none() {
            self.place = Some(Place { key: key.to_owned(), origin: origin.clone() });
            if let What::Wrong { found, .. } = &mut self.what
                && (secret || looks_secret(key))
            {
                *found = "something else (not shown)".to_owned();
            }
        }
        self
    }

    fn new(what: What) -> Self {
        Self { what, place: None }
    }
}

/// Keys whose values are kept out of messages even when their type is wrong.
fn looks_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    ["password", "passwd", "secret", "token", "key", "credential", "url"].iter().any(|word| name.contains(word))
}

/// What was found, in an operator's words; long texts and texts with addresses are not quoted.
fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) if text.len() > 60 || text.contains('@') || text.contains("://") => {
            "another text".to_owned()
        }
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Bool(value) => format!("{value}"),
        Unexpected::Map => "a section".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Unit => "nothing".to_owned(),
        _ => "something else".to_owned(),
    }
}

/// Rust's type names in an operator's words.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" => "a text (in TOML: in quotes)".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a section".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("a whole number from 0 on ({text})"),
        "i8" | "i16" | "i32" | "i64" | "isize" => format!("a whole number ({text})"),
        "f32" | "f64" => "a number".to_owned(),
        _ if text.starts_with("a nonzero") => format!("a whole number other than 0 ({text})"),
        _ if text.starts_with("struct ") => "a section".to_owned(),
        _ => text,
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Missing(field) => write!(f, "`{field}` is missing"),
            What::Wrong { found, expected } => write!(f, "must be {expected}, but it is {found}"),
            What::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Wrong { found: describe(found), expected: wanted(expected) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let expected = format!("one of {}", expected.join(", "));
        Self::new(What::Wrong { found: describe(Unexpected::Str(variant)), expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }
}

/// The serde name that marks secrets.
pub(super) fn is_secret(name: &str) -> bool {
    name == values::SECRET_MARK
}
