//! What alerts say: texts are made from code and parameters when they are read.

use lockstep_model::catalogue;
use serde_json::Value;

/// The words of an alert.
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) remedy: String,
}

/// Longest value of a parameter inside a text, in characters.
const MAX_VALUE: usize = 300;

/// The words for a code; unknown codes get general ones.
pub(crate) fn of(code: &str, parameters: &Value) -> Words {
    match catalogue::find(code) {
        Some(entry) => {
            Words { title: entry.title.to_owned(), text: fill(entry.text, parameters), remedy: entry.remedy.to_owned() }
        }
        None => Words {
            title: format!("Attention needed: {code}"),
            text: value(parameters, "message").unwrap_or_else(|| "No more is known.".to_owned()),
            remedy: "Look at the parameters, and at the log around the time of the last occurrence.".to_owned(),
        },
    }
}

fn value(parameters: &Value, name: &str) -> Option<String> {
    let text = match parameters.get(name)? {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    Some(text.chars().take(MAX_VALUE).collect())
}

/// Replaces `{name}` once each; values are not looked at for further names.
fn fill(template: &str, parameters: &Value) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        text.push_str(&value(parameters, name).unwrap_or_else(|| "(not known)".to_owned()));
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_take_their_parameters_and_nothing_from_values() {
        let words = of("ConnectFailure", &json!({ "message": "{title} refused" }));
        assert_eq!(words.text, "No connection could be made: {title} refused");
        assert!(of("ConnectFailure", &json!({})).text.ends_with("(not known)"));
        assert!(of("ConnectFailure", &json!(null)).text.ends_with("(not known)"));
    }

    #[test]
    fn unknown_codes_still_say_something() {
        let words = of("SomethingNew", &json!({ "message": "x".repeat(1000) }));
        assert!(words.title.contains("SomethingNew"));
        assert_eq!(words.text.len(), MAX_VALUE);
    }
}
