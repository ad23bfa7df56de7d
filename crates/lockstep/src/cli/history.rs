//! `lockstep history`: values of a record that gave way in synchronisation.

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::{Done, Result, client::Access, inventory, resources};

/// Values listed when nothing is said.
const LISTED: usize = 100;

#[derive(Debug, Args)]
pub(super) struct History {
    /// The kind of the record, such as `contact` or `recurring-appointment`.
    kind: String,
    /// Its id.
    id: Uuid,
    /// Most values.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
    #[command(flatten)]
    access: Access,
}

/// `lockstep history`
pub(super) async fn run(History { kind, id, limit, access }: History) -> Result {
    // A word of the command line is a part of the path, and no more of it.
    let kind: String = kind.chars().filter(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    let items = access.connect()?.list(&format!("synchronization-history/{kind}/{id}"), &[], limit.max(1)).await?;
    if access.json {
        return resources::present(&access, &Value::Array(items));
    }
    Ok(Done::ok(inventory::list("synchronization-history", &items)))
}
