//! `lockstep erase`: what there is of a person outside, and its removal.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Done, Error, Result,
    client::{Access, Request},
    inventory,
};

#[derive(Debug, Args)]
pub(super) struct Erase {
    /// The person's email address.
    address: String,
    /// What happens to emails from or to the person.
    #[arg(long, value_enum, default_value_t = Emails::Delete)]
    emails: Emails,
    /// Erases. Without it, only what there is is shown.
    #[arg(long)]
    confirm: bool,
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
    let (path, body) = if erase.confirm {
        let emails = match erase.emails {
            Emails::Delete => "delete",
            Emails::Anonymise => "anonymise",
        };
        ("erasures", json!({ "address": erase.address, "emails": emails }))
    } else {
        ("erasures/preview", json!({ "address": erase.address }))
    };
    let answer = api.call(Method::POST, path, Request { body: Some(body), ..Request::default() }).await?.body;
    if erase.access.json {
        return serde_json::to_string_pretty(&answer).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new);
    }
    if erase.confirm {
        let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
        return Ok(Done::ok(format!("Erasing goes on as operation {id}: lockstep api GET /operations/{id}\n")));
    }
    Ok(Done::ok(format!("{}Nothing was changed; --confirm erases this for good.\n", inventory::record(&answer))))
}
