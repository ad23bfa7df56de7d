//! `lockstep field-direction`: which way fields flow between the CRM and mailboxes.

use clap::{Args, Subcommand};
use lockstep_model::record::Kind;
use reqwest::Method;
use serde_json::Value;

use super::{
    Done, Result,
    client::{Access, Request},
    fields::Fields,
    inventory,
    resources::{change, json, show},
};

/// Where the API has them.
const PATH: &str = "field-directions";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists every field with its direction, its default and whether it is settable.
    List(List),
    /// Shows the directions of a kind.
    Show(OfKind),
    /// Chooses directions of a kind, such as `set contact --set description=neither`; `null` for the default. Every mailbox
    /// compares its records of the kind anew.
    Set(Set),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this kind of record.
    #[arg(value_parser = kinds())]
    record_kind: Option<String>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct OfKind {
    /// Kind of record.
    #[arg(value_parser = kinds())]
    record_kind: String,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Kind of record.
    #[arg(value_parser = kinds())]
    record_kind: String,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    fields: Fields,
}

fn kinds() -> [&'static str; 8] {
    Kind::ALL.map(Kind::name)
}

pub(super) async fn run(command: Command) -> Result {
    match command {
        Command::List(arguments) => list(&arguments).await,
        Command::Show(OfKind { record_kind, access }) => show(&access, &format!("{PATH}/{record_kind}")).await,
        Command::Set(Set { record_kind, access, fields }) => {
            change(&access, &format!("{PATH}/{record_kind}"), &fields).await
        }
    }
}

async fn list(arguments: &List) -> Result {
    let answer = arguments.access.connect()?.call(Method::GET, PATH, Request::default()).await?.body;
    let mut items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(kind) = &arguments.record_kind {
        items.retain(|item| item.get("record_kind").and_then(Value::as_str) == Some(kind));
    }
    if arguments.access.json { json(&Value::Array(items)) } else { Ok(Done::ok(inventory::list(PATH, &items))) }
}
