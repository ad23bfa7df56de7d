//! Every code that can be raised stands in the catalogue, and the catalogue in the documentation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use lockstep_model::{catalogue, fault::FaultScope};

use crate::root;

/// Names that look like codes and are none: reasons of refused messages, results of operations, a test connector's, the cause
/// of outcomes that a restored backup has left unknown, and what ends an attempt that is another run's by now, of which nobody
/// is told.
const NO_ALERTS: &[&str] = &[
    "AttemptTakenOver",
    "DroppedByHand",
    "EndpointGone",
    "GateShut",
    "InvalidArguments",
    "MailboxGone",
    "MailboxInactive",
    "NoCorrelationMatch",
    "NoRecipientMatch",
    "OwnMessage",
    "RestoredBackup",
    "RightsManaged",
    "TestMessage",
    "ProfileGone",
    "TooLarge",
    "TooOld",
    "UnknownOperation",
];

/// The crates in which faults are made and alerts raised.
const RAISING: &[&str] = &["connector", "protocols/pop3", "protocols/smtp", "workers", "scheduler", "store", "engine"];

/// Where codes stand beside a protocol's own words, which all begin with "Error": what does not is a code.
const AMONG_OTHER_WORDS: &str = "crates/protocols/ews/src/fault.rs";

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// String literals of two or more humps, outside the tests at the end of a file.
fn names(source: &str) -> impl Iterator<Item = &str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.split('"').skip(1).step_by(2).filter(|literal| {
        let humps = literal.bytes().filter(u8::is_ascii_uppercase).count();
        humps >= 2
            && literal.bytes().all(|b| b.is_ascii_alphanumeric())
            && literal.starts_with(|c: char| c.is_ascii_uppercase())
            && literal.bytes().any(|b| b.is_ascii_lowercase())
    })
}

/// M8: what is raised can be looked up, and what can be looked up is raised.
#[test]
fn m8_raised_codes_and_the_catalogue_agree() {
    let mut raised: BTreeMap<String, PathBuf> = BTreeMap::new();
    for name in RAISING {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        assert!(!files.is_empty(), "{name}");
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            raised.extend(names(&source).map(|name| (name.to_owned(), file.clone())));
        }
    }
    let file = root().join(AMONG_OTHER_WORDS);
    let source = fs::read_to_string(&file).unwrap();
    let codes = names(&source).filter(|name| !name.starts_with("Error"));
    raised.extend(codes.map(|name| (name.to_owned(), file.clone())));
    let known: BTreeSet<&str> = catalogue::entries().map(|entry| entry.code).collect();
    for (code, file) in &raised {
        let fine = known.contains(code.as_str()) || NO_ALERTS.contains(&code.as_str());
        assert!(fine, "{} raises {code}, which is not in the catalogue", file.display());
    }
    // Names of one hump cannot be told from other words.
    for code in known.iter().filter(|code| code.bytes().filter(u8::is_ascii_uppercase).count() > 1) {
        assert!(raised.contains_key(*code), "nothing raises {code}");
    }
}

/// A text with words for its parameters.
fn in_words(text: &str) -> String {
    catalogue::PARAMETERS.iter().fold(text.to_owned(), |text, parameter| {
        text.replace(&format!("{{{}}}", parameter.name), &format!("*{}*", parameter.words))
    })
}

fn documented() -> String {
    let mut text = String::from(
        "# Alerts\n\nWhat an alert can be about, what it stops, and what to do. A warning is tried again by itself; an error \
         waits for a person. A warning that outlives its retries comes again, under the same code, as an error.\n\nWhat stands \
         in *italics* differs from alert to alert; the API has it in `parameters` too, under the names at the end.\n",
    );
    for entry in catalogue::entries() {
        let scope = |scope: &FaultScope| match scope {
            FaultScope::Item => "one message",
            FaultScope::Mailbox => "one mailbox",
            FaultScope::Profile => "every mailbox of a profile",
        };
        let mut scopes: Vec<_> = entry.scopes.iter().map(scope).collect();
        if scopes.is_empty() {
            scopes.push("the organisation");
        }
        text.push_str(&format!(
            "\n## {}\n\n**{}** ({}; concerns {})\n\n{}\n\n{}\n",
            entry.code,
            entry.title,
            entry.level,
            scopes.join(" or "),
            in_words(entry.text),
            entry.remedy,
        ));
    }
    text.push_str("\n## Parameters\n\n| parameter | is |\n|---|---|\n");
    for parameter in catalogue::PARAMETERS {
        text.push_str(&format!("| `{}` | {} |\n", parameter.name, parameter.meaning));
    }
    text
}

/// M8: `docs/alerts.md` is the catalogue. With `LOCKSTEP_WRITE_DOCS` set, it is written instead of compared.
#[test]
fn m8_documentation_is_the_catalogue() {
    let file = root().join("docs/alerts.md");
    if std::env::var_os("LOCKSTEP_WRITE_DOCS").is_some() {
        fs::write(&file, documented()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(!documented().contains('{'), "a placeholder has no words");
    assert!(found == documented(), "docs/alerts.md is behind: run LOCKSTEP_WRITE_DOCS=1 cargo test --test tidy");
}
