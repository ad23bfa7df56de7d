//! One action on many mailboxes, by their addresses or by their profile, with a result for each.

use std::collections::HashMap;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Done, Error, Result,
    client::{Access, Api, Request},
    explain::mailbox_id,
    operations,
    resources::json,
    table::table,
};

/// Mailboxes of one request, as the API takes them.
const AT_ONCE: usize = 200;
/// Most mailboxes of a profile whose addresses are shown.
const MOST: usize = 100_000;

/// Which mailboxes.
#[derive(Debug, Args)]
pub(super) struct Mailboxes {
    /// Their addresses or ids.
    #[arg(value_name = "ADDRESS", required_unless_present = "profile")]
    mailboxes: Vec<String>,
    /// Instead: all mailboxes of this email server profile, by name or id.
    #[arg(long, value_name = "PROFILE", conflicts_with = "mailboxes")]
    profile: Option<String>,
    #[command(flatten)]
    pub(super) access: Access,
}

impl Mailboxes {
    /// The one that is named, where it is one.
    pub(super) fn single(&self) -> Option<&str> {
        match self.mailboxes.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// What is done with each.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// What it takes beside.
    pub(super) with: Map<String, Value>,
    /// Whether the tests it asks for are waited for.
    pub(super) waits: bool,
}

impl Action {
    /// One that asks for nothing that goes on afterwards.
    pub(super) fn immediate(name: &'static str) -> Self {
        Self { name, with: Map::new(), waits: false }
    }
}

/// Does it, and tells what became of each. Exit code 1 where one was refused, or its test failed or is not finished.
pub(super) async fn run(chosen: Mailboxes, action: Action) -> Result {
    let api = chosen.access.connect()?;
    let (requests, addresses) = requests(&api, &chosen).await?;
    let mut results = Vec::new();
    for mut request in requests {
        request.extend(action.with.clone());
        request.insert("action".to_owned(), action.name.into());
        all_of(&api, request, &mut results).await?;
    }
    for result in &mut results {
        let id = text(result, "mailbox_id").to_owned();
        if let (Value::Object(fields), Some(address)) = (result, addresses.get(&id)) {
            fields.insert("address".to_owned(), address.as_str().into());
        }
    }
    if action.waits {
        tested(&api, &mut results).await?;
    }
    let code = u8::from(results.iter().any(|result| !is_well(result, action.waits)));
    if chosen.access.json {
        return Ok(Done { code, ..json(&Value::Array(results))? });
    }
    Ok(Done { text: shown(&results), code })
}

/// The requests that name the mailboxes, and the addresses of those.
async fn requests(api: &Api, chosen: &Mailboxes) -> Result<(Vec<Map<String, Value>>, HashMap<String, String>)> {
    let one = |key: &str, value: Value| Map::from_iter([(key.to_owned(), value)]);
    if let Some(profile) = &chosen.profile {
        let id = profile_id(api, profile).await?;
        let of_profile = api.list("mailboxes", &[("profile".to_owned(), id.to_string())], MOST).await?;
        let address = |mailbox: &Value| (text(mailbox, "id").to_owned(), text(mailbox, "address").to_owned());
        return Ok((vec![one("profile_id", json!(id))], of_profile.iter().map(address).collect()));
    }
    // All are found before anything is done to one.
    let (mut ids, mut addresses, mut missing) = (Vec::new(), HashMap::new(), Vec::new());
    for mailbox in &chosen.mailboxes {
        match mailbox_id(api, mailbox).await {
            Ok(id) => {
                addresses.insert(id.to_string(), mailbox.clone());
                ids.push(id);
            }
            Err(error) => missing.push(error.message),
        }
    }
    if !missing.is_empty() {
        return Err(Error::new(format!("{}; nothing was done", missing.join("\n"))));
    }
    Ok((ids.chunks(AT_ONCE).map(|ids| one("mailbox_ids", json!(ids))).collect(), addresses))
}

/// The profile of a name, or the id itself.
async fn profile_id(api: &Api, named: &str) -> Result<Uuid> {
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    let all = api.list("email-server-profiles", &[], MOST).await?;
    let own = all.iter().find(|profile| text(profile, "name") == named.trim());
    match own.map(|profile| text(profile, "id").parse()) {
        Some(Ok(id)) => Ok(id),
        _ => Err(Error::new(format!("no profile has the name {named:?}; `lockstep profile list` shows them"))),
    }
}

/// One request, and those that go on where it stopped.
async fn all_of(api: &Api, mut body: Map<String, Value>, results: &mut Vec<Value>) -> Result<()> {
    loop {
        let request = Request { body: Some(Value::Object(body.clone())), ..Request::default() };
        let mut answer = api.call(Method::POST, "mailboxes/actions", request).await.map_err(|error| {
            let so_far = match results.len() {
                0 => String::new(),
                done => format!("\n{done} mailboxes were dealt with before; asking again does no harm"),
            };
            Error { message: format!("{}{so_far}", error.message), ..error }
        })?;
        if let Some(Value::Array(some)) = answer.body.get_mut("results").map(Value::take) {
            results.extend(some);
        }
        match answer.body.get("next") {
            Some(next @ Value::String(_)) => body.insert("after".to_owned(), next.clone()),
            _ => return Ok(()),
        };
    }
}

/// Waits for the tests that were asked for, and notes how each ended.
async fn tested(api: &Api, results: &mut [Value]) -> Result<()> {
    let asked: Vec<(usize, Uuid)> = results
        .iter()
        .enumerate()
        .filter_map(|(at, result)| Some((at, text(result, "operation_id").parse().ok()?)))
        .collect();
    let ids: Vec<Uuid> = asked.iter().map(|(_, id)| *id).collect();
    let ended = operations::outcomes(api, &ids).await?;
    for ((at, id), operation) in asked.into_iter().zip(ended) {
        let Some(Value::Object(result)) = results.get_mut(at) else { continue };
        let state = operation.as_ref().map_or("pending", operations::state).to_owned();
        let detail = match &operation {
            Some(operation) if operations::is_tried_again(operation) => {
                let so_far = operation.get("result").map(why).unwrap_or_default();
                format!("{so_far}; it is tried again by itself from {}", text(operation, "due_at"))
            }
            Some(operation) => operation.get("result").map(why).unwrap_or_default(),
            None => {
                format!("not finished; look with lockstep api GET /operations/{id}, and whether an async-worker runs")
            }
        };
        result.insert("test".to_owned(), state.into());
        result.insert("operation".to_owned(), operation.unwrap_or_default());
        if !detail.is_empty() {
            result.insert("detail".to_owned(), detail.into());
        }
    }
    Ok(())
}

/// What a test came to, direction by direction, in few words.
fn why(result: &Value) -> String {
    if let Some(code) = result.get("code").and_then(Value::as_str) {
        return format!("{code}: {}", text(result, "message"));
    }
    let Value::Object(parts) = result else { return String::new() };
    let told = |(part, of): (&String, &Value)| {
        let word = of.as_str().or_else(|| ["code", "status"].iter().find_map(|key| of.get(key)?.as_str()))?;
        Some(format!("{part} {word}"))
    };
    parts.iter().filter_map(told).collect::<Vec<_>>().join(", ")
}

fn is_well(result: &Value, waits: bool) -> bool {
    let asked = result.get("operation_id").is_some_and(Value::is_string);
    text(result, "outcome") == "done" && (!waits || !asked || text(result, "test") == "done")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A line for each, with the reason below where there is one, and the sum.
fn shown(results: &[Value]) -> String {
    if results.is_empty() {
        return "No mailbox.\n".to_owned();
    }
    let has = |key: &str| results.iter().any(|result| !text(result, key).is_empty());
    let columns: Vec<&str> = ["address", "mailbox_id", "outcome", "test", "operation_id"]
        .into_iter()
        .filter(|column| *column != "mailbox_id" || !has("address"))
        .filter(|column| *column != "operation_id" || !has("test"))
        .filter(|column| has(column))
        .collect();
    let row = |result: &Value| columns.iter().map(|column| text(result, column).to_owned()).collect();
    let lines = table(&columns, &results.iter().map(row).collect::<Vec<Vec<String>>>());
    let mut shown = String::new();
    let details = std::iter::once("").chain(results.iter().map(|result| text(result, "detail")));
    for (line, detail) in lines.lines().zip(details) {
        shown.push_str(&format!("{line}\n"));
        if !detail.is_empty() {
            shown.push_str(&format!("    > {}\n", super::table::harmless(detail)));
        }
    }
    let of = |key: &str, word: &str| results.iter().filter(|result| text(result, key) == word).count();
    let mut sums = vec![format!("{} done", of("outcome", "done")), format!("{} refused", of("outcome", "refused"))];
    for (word, told) in [("done", "passed the test"), ("failed", "failed it"), ("pending", "not finished")] {
        if has("test") {
            sums.push(format!("{} {told}", of("test", word)));
        }
    }
    format!("{shown}\n{}: {}.\n", results.len(), sums.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_is_told_with_its_reason() {
        let mut results = vec![
            json!({ "mailbox_id": "1", "address": "ann@x.test", "outcome": "done" }),
            json!({ "mailbox_id": "2", "address": "bob@x.test", "outcome": "refused", "detail": "No\u{1b} profile." }),
        ];
        assert_eq!(
            shown(&results),
            "address     outcome\nann@x.test  done\nbob@x.test  refused\n    > No  profile.\n\n2: 1 done, 1 refused.\n"
        );
        assert!(is_well(&results[0], true) && !is_well(&results[1], false));
        results[0]["operation_id"] = "7".into();
        assert!(!is_well(&results[0], true), "its test has not ended");
        assert!(is_well(&results[0], false), "and nobody waits for it");
        results[0]["test"] = "failed".into();
        assert!(!is_well(&results[0], true));
        results[0]["test"] = "done".into();
        assert!(is_well(&results[0], true));
        assert!(shown(&results).ends_with("1 passed the test, 0 failed it, 0 not finished.\n"), "{}", shown(&results));
        assert_eq!(shown(&[]), "No mailbox.\n");
    }

    #[test]
    fn a_failed_test_says_why() {
        assert_eq!(why(&json!({ "code": "NoRecord", "message": "it is gone" })), "NoRecord: it is gone");
        let parts = json!({ "incoming": { "status": "failure", "code": "Unauthorized" }, "outgoing": "success" });
        assert_eq!(why(&parts), "incoming Unauthorized, outgoing success");
        assert_eq!(why(&Value::Null), "");
    }
}
