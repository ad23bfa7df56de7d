//! `lockstep audit`: who did what, and when.

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::{Done, Result, client::Access, inventory, resources};

/// Actions listed when nothing is said.
const LISTED: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what concerns this record, such as `mailbox:ID`, or this kind of record, such as `settings`.
    #[arg(long, value_name = "KIND[:ID]", value_parser = record)]
    record: Option<(String, Option<Uuid>)>,
    /// Only what they did: a part of a key's name, a key's id or a user's id.
    #[arg(long)]
    actor: Option<String>,
    /// Only this action, such as `approved`.
    #[arg(long)]
    action: Option<String>,
    /// Only what was done at this instant or later, such as `2026-11-01T00:00:00Z`.
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// Only what was done before this instant.
    #[arg(long, value_name = "INSTANT")]
    before: Option<String>,
    /// Most actions.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
    #[command(flatten)]
    access: Access,
}

fn record(text: &str) -> std::result::Result<(String, Option<Uuid>), String> {
    match text.split_once(':') {
        Some((kind, id)) => Ok((kind.to_owned(), Some(id.parse().map_err(|_| format!("{id:?} is not an id"))?))),
        None => Ok((text.to_owned(), None)),
    }
}

/// `lockstep audit`
pub(super) async fn run(arguments: Arguments) -> Result {
    let Arguments { record, actor, action, since, before, limit, access } = arguments;
    let (kind, id) = record.map_or((None, None), |(kind, id)| (Some(kind), id.map(|id| id.to_string())));
    let asked = [
        ("record_kind", kind),
        ("record_id", id),
        ("actor", actor),
        ("action", action),
        ("since", since),
        ("before", before),
    ];
    let query: Vec<_> = asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let entries = access.connect()?.list("audit", &query, limit.max(1)).await?;
    if access.json {
        return resources::present(&access, &Value::Array(entries));
    }
    Ok(Done::ok(inventory::list("audit", &entries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_a_kind_and_perhaps_an_id() {
        let id = Uuid::from_u128(7);
        assert_eq!(record(&format!("mailbox:{id}")), Ok(("mailbox".to_owned(), Some(id))));
        assert_eq!(record("settings"), Ok(("settings".to_owned(), None)));
        assert!(record("mailbox:7").is_err());
    }
}
