//! The catalogue of everything an alert can be about: one table, from which alerts are worded and documented.

mod items;
mod mailboxes;
mod organisation;
mod two_way;

use crate::{fault::FaultScope, mailbox::words};

words! {
    /// How much an alert matters.
    Level {
        /// Something has stopped until a person acts.
        Error = "error",
        /// It goes on, or is tried again by itself.
        Warning = "warning",
        /// Good to know.
        Information = "information",
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Stable name, `UpperCamelCase`; the reference's where it has one.
    pub code: &'static str,
    /// What it can stop; nothing where it concerns the organisation as a whole.
    pub scopes: &'static [FaultScope],
    /// The level it is raised with. A warning that outlives its retries is raised again, under the same code, as an
    /// error.
    pub level: Level,
    /// A headline.
    pub title: &'static str,
    /// What happened. `{name}` stands for a parameter of the alert.
    pub text: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Entry {
    /// The parameters its text speaks of.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
    }

    /// The part of the documentation that tells more, relative to its beginning.
    pub fn link(&self) -> String {
        format!("docs/alerts.md#{}", self.code.to_ascii_lowercase())
    }
}

/// A parameter of texts, as the documentation explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Words that fit where its value would stand.
    pub words: &'static str,
    /// What it is.
    pub meaning: &'static str,
}

const fn parameter(name: &'static str, words: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, words, meaning }
}

/// Every parameter that a text has.
pub const PARAMETERS: &[Parameter] = &[
    parameter("address", "the address", "address of the mailbox"),
    parameter("answers", "the answers", "what may be answered"),
    parameter("busy", "so many", "runs at a time, on average, that the wanted polling takes"),
    parameter("failures", "so many", "mailboxes that have failed within an hour"),
    parameter("items", "so many", "contacts, tasks or appointments"),
    parameter("limit", "what limits it", "connections, runs under way, or workers: whichever is used up first"),
    parameter("load", "so many", "runs needed as a part of runs possible, in per cent"),
    parameter("mailboxes", "so many", "mailboxes: of the profile, or of it those whose last test has failed"),
    parameter("message", "the server's words", "what the server said, or our own words where no server has spoken"),
    parameter("name", "its name", "name of the profile or webhook endpoint"),
    parameter("needed", "so many", "runs at a time that would be enough"),
    parameter("next", "what is next", "whether it is tried again by itself"),
    parameter("profile", "the profile", "name of the profile"),
    parameter("reason", "the reason", "why, in words or as the name of a code"),
    parameter("recipients", "so many", "recipients of the email"),
    parameter("record", "a record", "kind and id of the record that stands in the way"),
    parameter("refused", "so many", "recipients that the server refused"),
    parameter("replicas", "so many", "mailbox workers that live"),
    parameter("replicas_needed", "so many", "mailbox workers that would be enough"),
    parameter("slots", "so many", "runs at a time that are possible"),
    parameter("starts", "its start", "when the first occurrence starts that clashes"),
    parameter("state", "rejected or not approved yet", "whether the address was rejected, or nobody has decided yet"),
];

/// Every entry, in the order of the documentation: servers and mailboxes, single emails, then the organisation.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    mailboxes::ENTRIES.iter().chain(items::ENTRIES).chain(two_way::ENTRIES).chain(organisation::ENTRIES)
}

/// The entry of a code.
pub fn find(code: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// M8: codes are unique names; every entry says what happened and what to do.
    #[test]
    fn m8_entries_are_complete() {
        let codes: BTreeSet<_> = entries().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), entries().count(), "a code stands twice");
        for entry in entries() {
            let name = entry.code;
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
            assert!(!entry.title.ends_with('.'), "{name}: a title has no full stop");
            assert!(entry.remedy.ends_with('.'), "{name}");
            assert_eq!(entry.text.matches('{').count(), entry.text.matches('}').count(), "{name}");
            assert_eq!(find(name), Some(entry));
            for parameter in entry.parameters() {
                assert!(PARAMETERS.iter().any(|known| known.name == parameter), "{name}: what is {parameter}?");
            }
        }
        assert_eq!(find("NoSuchCode"), None);
        for Parameter { name, .. } in PARAMETERS {
            assert!(entries().any(|entry| entry.parameters().any(|p| p == *name)), "no text has {name}");
        }
    }
}
