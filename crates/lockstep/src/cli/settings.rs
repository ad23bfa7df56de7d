//! `lockstep setting`: the settings of the deployment. What help says of each comes from the table of settings.

use clap::{Args, Subcommand};
use lockstep_model::settings::{self, Group, Setting};
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    Done, Error, Result,
    client::{Access, Request},
    table::table,
};

#[derive(Debug, Subcommand)]
#[command(after_long_help = described())]
pub(super) enum Command {
    /// Shows the settings of one group, or of all.
    #[command(after_long_help = described())]
    Get(Get),
    /// Changes one setting. It counts from the next batch of work on, without a restart.
    #[command(after_long_help = described())]
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// email, act or queue.
    #[arg(value_parser = group)]
    group: Option<Group>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// email, act or queue.
    #[arg(value_parser = group)]
    group: Group,
    /// Which one; --help tells what there is.
    key: String,
    /// A whole number, or `default`.
    value: String,
    #[command(flatten)]
    access: Access,
}

fn group(text: &str) -> std::result::Result<Group, String> {
    text.parse().map_err(|unknown| format!("{unknown}"))
}

/// What there is, for help.
fn described() -> String {
    let mut text = String::from("Settings:\n");
    for group in Group::ALL {
        text.push_str(&format!("\n  {group}\n"));
        for setting in settings::of(*group) {
            text.push_str(&format!("    {}  [{}]\n        {}\n", setting.key, limits(setting), setting.about));
        }
    }
    text
}

fn limits(setting: &Setting) -> String {
    let default = setting.default.map_or("no limit".to_owned(), |value| value.to_string());
    format!("{} to {} {}, default {default}", setting.minimum, setting.maximum, setting.unit)
}

pub(super) async fn run(command: Command) -> Result {
    match command {
        Command::Get(get) => show(&get).await,
        Command::Set(set) => change(&set).await,
    }
}

async fn show(get: &Get) -> Result {
    let answer = get.access.connect()?.call(Method::GET, "settings", Request::default()).await?.body;
    let Some(Value::Array(items)) = answer.get("items") else { return Err(Error::new("the answer is not a list")) };
    let wanted = |item: &&Value| {
        let named = item.get("group").and_then(Value::as_str);
        get.group.is_none_or(|group| named == Some(group.as_str()))
    };
    let items: Vec<&Value> = items.iter().filter(wanted).collect();
    if get.access.json {
        return serde_json::to_string_pretty(&items).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new);
    }
    let cell = |item: &Value, key: &str| match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "no limit".to_owned(),
    };
    let columns = ["group", "key", "value", "unit", "minimum", "maximum", "default"];
    let rows: Vec<Vec<String>> = items.iter().map(|item| columns.map(|column| cell(item, column)).to_vec()).collect();
    Ok(Done::ok(table(&columns, &rows)))
}

async fn change(set: &Set) -> Result {
    let value = match set.value.as_str() {
        "default" => Value::Null,
        text => text.parse::<i64>().map(Value::from).map_err(|_| {
            let limits = settings::find(set.group, &set.key).map(limits).unwrap_or_default();
            Error::new(format!("{text:?} is not a value: expected a whole number or `default` {limits}"))
        })?,
    };
    let api = set.access.connect()?;
    let path = format!("settings/{}", set.group);
    // Somebody else's change in between is not overwritten.
    let before = api.call(Method::GET, &path, Request::default()).await?;
    let body = Value::Object(Map::from_iter([(set.key.clone(), value)]));
    let request = Request { body: Some(body), if_match: before.etag, ..Request::default() };
    let answer = api.call(Method::PATCH, &path, request).await?.body;
    if set.access.json {
        return serde_json::to_string_pretty(&answer).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new);
    }
    let now = answer.get(&set.key).filter(|value| !value.is_null());
    let now = now.map_or("no limit".to_owned(), ToString::to_string);
    let mut text = format!("{} {} is {now}.\n", set.group, set.key);
    for notice in answer.get("notices").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("Note: {notice}\n"));
    }
    Ok(Done::ok(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N11: help names every setting with its limits and what it does.
    #[test]
    fn n11_help_is_the_table() {
        let help = described();
        for setting in settings::SETTINGS {
            assert!(help.contains(setting.key) && help.contains(setting.about), "{}", setting.key);
        }
        assert!(help.contains("[1 to 86400 seconds, default 120]") && help.contains("default no limit"), "{help}");
    }
}
