//! `lockstep item`: messages that became no record, and what is decided about those set aside.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Done, Error, Result,
    client::{Access, Request},
    explain::mailbox_id,
    inventory,
    table::harmless,
};

/// Items listed when nothing is said.
const LISTED: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Item {
    /// Lists what was refused or set aside in a mailbox, or in all, with the reasons.
    List(List),
    /// Tries one that was set aside again at once, or judges one that was refused again.
    Release(One),
    /// Judges what was refused in a mailbox again, by the rules of now: after a track option or a rule of the organisation
    /// was changed. Without a reason all but what was dropped by hand.
    JudgeAgain(JudgeAgain),
    /// Never tries one that was set aside again.
    Drop(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The mailbox: address or id. Without it those of all mailboxes, the newest first.
    mailbox: Option<String>,
    /// `disposition=refused` or `disposition=quarantined`; without a mailbox `reason=CODE`, `seen_since=INSTANT` and
    /// `seen_before=INSTANT` too.
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::fields::pair)]
    filter: Vec<(String, String)>,
    /// Most items.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct JudgeAgain {
    /// The mailbox: address or id.
    mailbox: String,
    /// Only what was refused for this reason, such as `NoCorrelationMatch`.
    #[arg(long)]
    reason: Option<String>,
    /// Only what was first seen at this instant or later, such as `2026-11-01T00:00:00Z`.
    #[arg(long, value_name = "INSTANT")]
    seen_since: Option<String>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The mailbox: address or id.
    mailbox: String,
    /// The item's key, as the list shows it.
    key: String,
    #[command(flatten)]
    access: Access,
}

/// `lockstep item`
pub(super) async fn run(item: Item) -> Result {
    match item {
        Item::List(List { mailbox, filter, limit, access }) => {
            let api = access.connect()?;
            let path = match mailbox {
                Some(mailbox) => format!("mailboxes/{}/items", mailbox_id(&api, &mailbox).await?),
                None => "item-failures".to_owned(),
            };
            let items = api.list(&path, &filter, limit.max(1)).await?;
            if access.json {
                return json(&Value::Array(items));
            }
            Ok(Done::ok(shown(&items)))
        }
        Item::JudgeAgain(JudgeAgain { mailbox, reason, seen_since, access }) => {
            let api = access.connect()?;
            let id = mailbox_id(&api, &mailbox).await?;
            let body = json!({ "reason": reason, "seen_since": seen_since });
            let request = Request { body: Some(body), ..Request::default() };
            let answer = api.call(Method::POST, &format!("mailboxes/{id}/judge-again"), request).await?.body;
            if access.json {
                return json(&answer);
            }
            let items = answer.get("items").and_then(Value::as_u64).unwrap_or_default();
            Ok(Done::ok(format!("{items} judged again in the next cycles.\n")))
        }
        Item::Release(one) => decide(one, "release").await,
        Item::Drop(one) => decide(one, "drop").await,
    }
}

async fn decide(one: One, action: &str) -> Result {
    if one.key.is_empty() || !one.key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::new("the key is hexadecimal digits, as `lockstep item list` shows it"));
    }
    let api = one.access.connect()?;
    let id = mailbox_id(&api, &one.mailbox).await?;
    let path = format!("mailboxes/{id}/items/{}/{action}", one.key);
    let answer = api.call(Method::POST, &path, Request::default()).await?.body;
    if one.access.json { json(&answer) } else { Ok(Done::ok(inventory::record(&answer))) }
}

fn json(value: &Value) -> Result {
    serde_json::to_string_pretty(value).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new)
}

/// Items one below the other, each with its whole key: it is needed to decide, and may be long.
fn shown(items: &[Value]) -> String {
    if items.is_empty() {
        return "Nothing.\n".to_owned();
    }
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(harmless);
    let mut lines = String::new();
    for item in items {
        let word = |key: &str| text(item, key).unwrap_or_else(|| "-".to_owned());
        let seen = word("seen_at");
        lines.push_str(&format!("{:11}  {}  seen {seen}\n", word("disposition"), word("reason")));
        if let Some(address) = text(item, "address") {
            lines.push_str(&format!("    mailbox  {address}\n"));
        }
        lines.push_str(&format!("    key      {}\n", word("key")));
        lines.push_str(&format!("    message  {}\n", word("message_id")));
        let detail = text(item, "detail").map(|detail| format!(" ({detail})")).unwrap_or_default();
        lines.push_str(&format!("    why      {}{detail}\n", word("sentence")));
        if word("disposition") == "quarantined" {
            let attempts = item.get("attempts").and_then(Value::as_i64).unwrap_or_default();
            let next = text(item, "next_attempt_at").unwrap_or_else(|| "never by itself".to_owned());
            lines.push_str(&format!("    again    {next}, after {attempts} failed so far\n"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_whole() {
        let key = "6b".repeat(70);
        let items = [
            json!({ "key": key, "disposition": "quarantined", "reason": "ItemUnavailable", "sentence": "It failed.",
                    "detail": "-ERR\u{1b} no", "attempts": 5, "seen_at": "2026-11-23T09:00:00Z" }),
            json!({ "key": "00", "disposition": "refused", "reason": "TooOld", "sentence": "Too old.",
                    "address": "ann@example.test" }),
        ];
        let text = shown(&items);
        assert!(text.starts_with("quarantined  ItemUnavailable  seen 2026-11-23T09:00:00Z\n"), "{text}");
        assert!(text.contains(&key) && text.contains("It failed. (-ERR  no)"), "{text}");
        assert!(text.contains("again    never by itself, after 5 failed so far"), "{text}");
        assert!(
            text.contains("refused      TooOld  seen -\n    mailbox  ann@example.test\n    key      00\n")
                && text.matches("again").count() == 1,
            "{text}"
        );
        assert_eq!(shown(&[]), "Nothing.\n");
    }
}
