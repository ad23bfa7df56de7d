//! `lockstep erase`: what there is of a person outside, and its removal.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Done, Error, Result,
    client::{Access, Request},
    inventory, operations,
    resources::json,
    table::harmless,
};

/// Where something of a person is kept, as people call it; what is not named here is shown as the API names it.
const PLACES: &[(&str, &str)] = &[
    ("people", "contacts, accounts and leads"),
    ("activities", "activities, which stay without the address"),
    ("filters", "synchronisation filters"),
    ("emails", "emails"),
    ("alerts", "alerts"),
    ("answers", "answers kept for repeated requests"),
    ("operations", "ended operations"),
    ("item_details", "words about messages that became no record"),
    ("kept_values", "values and words that synchronisation keeps"),
];

#[derive(Debug, Args)]
pub(super) struct Erase {
    /// The person's email address.
    address: String,
    /// What happens to emails from or to the person.
    #[arg(long, value_enum, default_value_t = Emails::Delete)]
    emails: Emails,
    /// Erases, waits, and tells what was erased. Without it, only what there is is shown. Exit code 1 when it fails, or
    /// something has to be left.
    #[arg(long)]
    confirm: bool,
    /// Asks for the erasure and does not wait; the answer names its operation.
    #[arg(long, requires = "confirm")]
    no_wait: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Emails {
    /// They are removed, with their texts and attachments.
    Delete,
    /// They stay; the person is taken out of the list of parties.
    Anonymise,
}

/// `lockstep erase`
pub(super) async fn run(erase: Erase) -> Result {
    let api = erase.access.connect()?;
    if !erase.confirm {
        let body = Some(json!({ "address": erase.address }));
        let found = api.call(Method::POST, "erasures/preview", Request { body, ..Request::default() }).await?.body;
        if erase.access.json {
            return json(&found);
        }
        return Ok(Done::ok(format!(
            "{}Nothing was changed; --confirm erases this for good.\n",
            inventory::record(&found)
        )));
    }
    let emails = match erase.emails {
        Emails::Delete => "delete",
        Emails::Anonymise => "anonymise",
    };
    let body = Some(json!({ "address": erase.address, "emails": emails }));
    let begun = api.call(Method::POST, "erasures", Request { body, ..Request::default() }).await?.body;
    let id = operations::named(&begun)?;
    if erase.no_wait {
        if erase.access.json {
            return json(&begun);
        }
        return Ok(Done::ok(format!("Erasing goes on as operation {id}: lockstep api GET /operations/{id}\n")));
    }
    let ended = operations::outcome(&api, id, "the erasure").await?;
    let done = told(&ended)?;
    if erase.access.json {
        return Ok(Done { code: done.code, ..json(&ended)? });
    }
    Ok(done)
}

/// What was erased, place by place, and what was left.
fn told(operation: &Value) -> Result {
    let result = operation.get("result").cloned().unwrap_or_default();
    if !operations::succeeded(operation) {
        let word = |key: &str| result.get(key).and_then(Value::as_str).map(harmless).unwrap_or_default();
        return Err(Error::new(format!(
            "the erasure failed ({}: {}); what was erased before stays erased, and asking again does no harm",
            word("code"),
            word("message")
        )));
    }
    let nothing = Map::new();
    let erased = result.get("erased").and_then(Value::as_object).unwrap_or(&nothing);
    let known = PLACES.iter().filter_map(|(key, name)| Some((*name, erased.get(*key)?)));
    let unknown = erased.iter().filter(|(key, _)| PLACES.iter().all(|(known, _)| known != key));
    let places: Vec<(&str, &Value)> = known.chain(unknown.map(|(key, number)| (key.as_str(), number))).collect();
    let width = places.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = "Erased:\n".to_owned();
    for (name, number) in places {
        text.push_str(&format!("  {:width$}  {}\n", harmless(name), harmless(&number.to_string())));
    }
    let left = result.get("emails_being_sent").and_then(Value::as_i64).unwrap_or_default();
    if left > 0 {
        text.push_str(&format!("Left, because they are being sent: {left} emails. Erase again when they are sent.\n"));
    }
    Ok(Done { text, code: u8::from(left > 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_is_told_place_by_place() {
        let mut operation = json!({ "state": "done", "result": {
            "erased": { "people": 2, "emails": 3, "newer": 1 }, "emails_being_sent": 0,
        } });
        let done = told(&operation).unwrap();
        assert_eq!(
            done.text,
            "Erased:\n  contacts, accounts and leads  2\n  emails                        3\n  newer                         1\n"
        );
        assert_eq!(done.code, 0);
        operation["result"]["emails_being_sent"] = 1.into();
        let done = told(&operation).unwrap();
        assert_eq!((done.code, done.text.contains("being sent: 1 emails")), (1, true));
        let failed = json!({ "state": "failed", "result": { "code": "InternalError", "message": "see the log" } });
        let error = told(&failed).unwrap_err();
        assert!(error.code == 1 && error.message.contains("InternalError: see the log"), "{error:?}");
    }
}
