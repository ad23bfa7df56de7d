//! The settings file of a deployment, as an operator would write it.

use std::{collections::BTreeMap, fmt::Write};

/// Sections with their keys; values are TOML.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings(BTreeMap<String, BTreeMap<String, String>>);

impl Settings {
    /// Sets a key to a value that is TOML already.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: impl Into<String>) {
        self.0.entry(section.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Sets a key to a text.
    pub(crate) fn set_text(&mut self, section: &str, key: &str, text: &str) {
        // JSON's escapes are TOML's too.
        self.set(section, key, serde_json::Value::from(text).to_string());
    }

    /// As TOML.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.0 {
            let _ = writeln!(text, "[{section}]");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
            text.push('\n');
        }
        text
    }
}
