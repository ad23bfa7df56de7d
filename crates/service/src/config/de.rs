//! From the tree to the program's structs, reporting every problem that can be told apart, not only the first.
//!
//! Serde stops at the first error. Here a stand-in takes the place of what is wrong or missing and reading starts again,
//! until reading succeeds (the result with its stand-ins is thrown away) or only reported things are in the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::de::{self, DeserializeOwned, Expected, Unexpected};

use super::ConfigSource;
use super::access::ValueDe;
use super::error::{ConfigError, Origin, Problem};
use super::tree::{Node, join};

/// Bounds the work on a hopeless file; nobody reads more problems than this at once.
const MAX_ROUNDS: usize = 400;

/// What is tried, one after the other, in the place of a reported value; after that, the value is left out.
const STAND_INS: [&str; 5] = ["1", "x://x", "127.0.0.1:1", "true", "info"];

/// What reading has learned so far.
pub(super) struct Findings {
    env_prefix: String,
    has_file: bool,
    problems: RefCell<Vec<Problem>>,
    /// Keys that are reported, with the number of stand-ins that were refused there.
    reported: RefCell<BTreeMap<String, usize>>,
    /// Required keys that are not there, tried as an empty section to learn what should be in it.
    probed: RefCell<BTreeSet<String>>,
}

impl Findings {
    /// Adds a problem, once for each key.
    pub(super) fn report(&self, origin: &Origin, key: &str, text: impl Into<String>) {
        if self.settle(key) {
            self.problems.borrow_mut().push(Problem::new(origin, key, text));
        }
    }

    /// Takes a key as reported; false if it was already.
    pub(super) fn settle(&self, key: &str) -> bool {
        let mut reported = self.reported.borrow_mut();
        let fresh = !reported.contains_key(key);
        reported.entry(key.to_owned()).or_insert(0);
        fresh
    }

    /// What to read at this key: the node, unless the key is reported; then a stand-in, or in the end nothing.
    pub(super) fn instead(&self, key: &str, node: Node) -> Option<Node> {
        match self.reported.borrow().get(key) {
            None => Some(node),
            Some(&refused) => STAND_INS.get(refused).map(|text| Node::untyped(*text, Origin::Nowhere)),
        }
    }

    /// A required field that is not there is in the tree all the same if it is being looked into.
    pub(super) fn fills(&self, key: &str) -> bool {
        self.probed.borrow().contains(key) || self.reported.borrow().get(key).is_some_and(|n| *n < STAND_INS.len())
    }

    fn leave_out(&self, key: &str) {
        self.reported.borrow_mut().insert(key.to_owned(), STAND_INS.len());
    }

    /// Whether something below this key is reported, so that a complaint about the whole may come from a stand-in.
    fn holds_reported(&self, key: &str) -> bool {
        let below =
            |other: &String| key.is_empty() || other.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']));
        self.reported.borrow().keys().any(below)
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
        reported: RefCell::new(early.iter().map(|p| (p.key.clone(), 0)).filter(|(key, _)| !key.is_empty()).collect()),
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
    let refused = findings.reported.borrow().get(&key).copied();
    match (error.what, refused) {
        (What::Missing(field), _) => {
            let child = join(&key, field);
            let tried = findings.probed.borrow().contains(&child) || findings.reported.borrow().contains_key(&child);
            if tried {
                findings.leave_out(&key);
                return !key.is_empty();
            }
            findings.probed.borrow_mut().insert(child);
            return true;
        }
        (_, Some(refused)) => {
            findings.reported.borrow_mut().insert(key.clone(), refused + 1);
        }
        _ if findings.holds_reported(&key) => findings.leave_out(&key),
        _ if origin == Origin::Nowhere && findings.probed.borrow().contains(&key) => {
            findings.report(&origin, &key, format!("is missing; {}", findings.how_to_set(&key)));
        }
        (What::Wrong { found, expected }, None) => {
            let text = format!("must be {expected}, but it is {found}; correct it there");
            findings.report(&origin, &key, text);
        }
        (What::Other(message), None) => findings.report(&origin, &key, message),
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
    name == lockstep_model::secret::MARK
}
