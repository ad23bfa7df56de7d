//! What a command writes: fields from JSON, from a file, and one by one.

use std::io::Read;

use clap::Args;
use serde_json::{Map, Value};

use super::{Error, Result};

/// Largest file or standard input that is sent, in bytes.
const MAX_BODY: u64 = 64 << 20;

/// What is written.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// A JSON object; `@FILE` reads a file, `@-` standard input.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// A field over those of --data, such as `name=Ann` or `incoming.port=995`; may be repeated. The value is JSON if it
    /// reads as such, else a text; `@FILE` takes a text from a file, for passwords.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

pub(super) fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "expected KEY=VALUE".to_owned())?;
    if key.split('.').any(str::is_empty) {
        Err("the key is empty".to_owned())
    } else {
        Ok((key.to_owned(), value.to_owned()))
    }
}

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_none() && self.set.is_empty()
    }

    /// The object to send.
    pub(super) fn object(&self) -> Result<Value> {
        let mut object = match &self.data {
            None => Map::new(),
            Some(text) => {
                let text = match text.strip_prefix('@') {
                    Some(place) => content(place)?,
                    None => text.clone(),
                };
                match serde_json::from_str(&text) {
                    Ok(Value::Object(object)) => object,
                    Ok(_) => return Err(Error::new("--data must be a JSON object")),
                    Err(error) => return Err(Error::new(format!("--data is not JSON: {error}"))),
                }
            }
        };
        for (key, value) in &self.set {
            let value = match value.strip_prefix('@') {
                Some(place) => Value::String(content(place)?.trim_end_matches(['\r', '\n']).to_owned()),
                None => serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone())),
            };
            insert(&mut object, key, value)?;
        }
        if object.is_empty() {
            return Err(Error::new("nothing to write: give --set KEY=VALUE or --data JSON"));
        }
        Ok(Value::Object(object))
    }
}

/// Sets `a.b.c`.
fn insert(object: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let Some((first, rest)) = key.split_once('.') else {
        object.insert(key.to_owned(), value);
        return Ok(());
    };
    match object.entry(first).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => insert(inner, rest, value),
        _ => Err(Error::new(format!("--set {key}: {first} has a value of its own"))),
    }
}

/// The text of a file, or of standard input for `-`.
pub(super) fn content(place: &str) -> Result<String> {
    let mut text = String::new();
    let read = match place {
        "-" => std::io::stdin().lock().take(MAX_BODY).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(MAX_BODY).read_to_string(&mut text)),
    };
    read.map_err(|error| Error::new(format!("{place} cannot be read: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_put_together() {
        let fields = Fields {
            data: Some(r#"{"name":"A","incoming":{"host":"h"}}"#.to_owned()),
            set: ["incoming.port=995", "name=Ann", "active=true", "text=\"5\""].map(|text| pair(text).unwrap()).into(),
        };
        assert_eq!(
            fields.object().unwrap(),
            json!({ "name": "Ann", "incoming": { "host": "h", "port": 995 }, "active": true, "text": "5" })
        );
        let conflict = Fields { data: None, set: ["a=1", "a.b=2"].map(|text| pair(text).unwrap()).into() };
        assert!(conflict.object().unwrap_err().message.contains("a has a value of its own"));
        assert!(Fields { data: None, set: Vec::new() }.object().is_err());
        assert!(pair("novalue").is_err() && pair("a..b=1").is_err());
    }
}
