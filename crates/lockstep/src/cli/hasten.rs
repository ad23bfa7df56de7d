//! `lockstep mailbox sync-now`: a mailbox is looked at now instead of at its next turn.

use clap::Args;
use reqwest::Method;

use super::{
    Done, Error, Result,
    client::{Access, Request},
    explain::mailbox_id,
    inventory,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Its address or id.
    #[arg(value_name = "ADDRESS")]
    mailbox: String,
    #[command(flatten)]
    access: Access,
}

pub(super) async fn run(Arguments { mailbox, access }: Arguments) -> Result {
    let api = access.connect()?;
    let path = format!("mailboxes/{}/sync-now", mailbox_id(&api, &mailbox).await?);
    let answer = api.call(Method::POST, &path, Request::default()).await?.body;
    if access.json {
        return serde_json::to_string_pretty(&answer).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new);
    }
    Ok(Done::ok(inventory::record(&answer)))
}
