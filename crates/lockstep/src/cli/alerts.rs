//! `lockstep alert`: states that need attention, listed, answered and dismissed; and `lockstep mailbox deactivate-failing`, for
//! mailboxes that nobody mends.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Done, Error, Result,
    client::{Access, Request},
    fields::pair,
    inventory,
    resources::{self, List},
};

/// The parameters of the list, and what they are called when alerts are dismissed by them.
const FILTERS: &[(&str, &str)] = &[
    ("severity", "severity"),
    ("scope", "scope"),
    ("profile", "profile_id"),
    ("mailbox", "mailbox_id"),
    ("email", "email_id"),
    ("switched_off", "switched_off"),
];

#[derive(Debug, Subcommand)]
pub(super) enum Alert {
    /// Lists the open ones: `--filter severity=error`, `scope=`, `mailbox=ID`, `profile=ID`, `email=ID`; `open=false` for
    /// those that ended, `switched_off=true` for those of levels the organisation does not show too.
    List(List),
    /// Dismisses one by its id, or all.
    Dismiss(Dismiss),
    /// Answers what one asks: its `question.answers` say what may be answered, such as `yes` or `link`.
    Answer(Answer),
}

#[derive(Debug, Args)]
pub(super) struct Answer {
    /// Its id.
    id: Uuid,
    /// The answer.
    answer: String,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Dismiss {
    /// Its id.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All open ones, or those that match --filter.
    #[arg(long)]
    all: bool,
    /// Which: a parameter of the list, such as `severity=warning`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "all")]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    access: Access,
}

/// `lockstep alert`
pub(super) async fn run(command: Alert) -> Result {
    match command {
        Alert::List(list) => resources::list("alerts", &list).await,
        Alert::Dismiss(Dismiss { id: Some(id), access, .. }) => {
            let answer = access.connect()?.call(Method::DELETE, &format!("alerts/{id}"), Request::default()).await?;
            resources::present(&access, &answer.body)
        }
        Alert::Answer(Answer { id, answer, access }) => {
            let request = Request { body: Some(json!({ "answer": answer })), ..Request::default() };
            let answer = access.connect()?.call(Method::POST, &format!("alerts/{id}/answer"), request).await?;
            resources::present(&access, &answer.body)
        }
        Alert::Dismiss(Dismiss { filter, access, .. }) => {
            let body = meant(&filter)?;
            let api = access.connect()?;
            let mut dismissed = 0;
            loop {
                let request = Request { body: Some(body.clone()), ..Request::default() };
                let answer = api.call(Method::POST, "alerts/dismiss", request).await?.body;
                let some = answer.get("dismissed").and_then(Value::as_u64).unwrap_or_default();
                dismissed += some;
                if some == 0 || answer.get("more") != Some(&Value::Bool(true)) {
                    break;
                }
            }
            if access.json {
                return resources::present(&access, &json!({ "dismissed": dismissed }));
            }
            Ok(Done::ok(format!("{dismissed} dismissed.\n")))
        }
    }
}

/// The request that dismisses what a filter matches.
fn meant(filter: &[(String, String)]) -> Result<Value> {
    let mut body = Map::from_iter([("all".to_owned(), Value::Bool(true))]);
    for (key, value) in filter {
        let Some((_, field)) = FILTERS.iter().find(|(name, _)| name == key) else {
            let names: Vec<_> = FILTERS.iter().map(|(name, _)| *name).collect();
            return Err(Error::new(format!("--filter takes {}", names.join(", "))));
        };
        let value = match value.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => Value::String(text.to_owned()),
        };
        body.insert((*field).to_owned(), value);
    }
    Ok(Value::Object(body))
}

#[derive(Debug, Args)]
pub(super) struct DeactivateFailing {
    /// Only mailboxes of this profile.
    #[arg(long, value_name = "ID")]
    profile: Option<Uuid>,
    /// Only mailboxes from which nothing was read at this instant or later, such as `2026-11-01T00:00:00Z`.
    #[arg(long, value_name = "INSTANT")]
    idle_since: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// `lockstep mailbox deactivate-failing`
pub(super) async fn deactivate_failing(arguments: DeactivateFailing) -> Result {
    let DeactivateFailing { profile, idle_since, access } = arguments;
    let api = access.connect()?;
    let (mut results, mut after) = (Vec::new(), Value::Null);
    loop {
        let body = json!({
            "action": "deactivate-failing", "profile_id": profile, "idle_since": idle_since, "after": after,
        });
        let request = Request { body: Some(body), ..Request::default() };
        let mut answer = api.call(Method::POST, "mailboxes/actions", request).await?.body;
        if let Some(Value::Array(some)) = answer.get_mut("results").map(Value::take) {
            results.extend(some);
        }
        match answer.get("next") {
            Some(next @ Value::String(_)) => after = next.clone(),
            _ => break,
        }
    }
    if access.json {
        return resources::present(&access, &Value::Array(results));
    }
    Ok(Done::ok(inventory::list("mailboxes/actions", &results)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M6: what the list is filtered by is what is dismissed; a parameter that is none is refused, not left out.
    #[test]
    fn m6_filters_say_what_is_dismissed() {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            meant(&owned)
        };
        assert_eq!(pairs(&[]).unwrap(), json!({ "all": true }));
        let some = pairs(&[("severity", "warning"), ("mailbox", "m"), ("switched_off", "true")]).unwrap();
        assert_eq!(some, json!({ "all": true, "severity": "warning", "mailbox_id": "m", "switched_off": true }));
        assert!(pairs(&[("open", "false")]).unwrap_err().message.contains("severity, scope"));
    }
}
