//! `lockstep mailbox sync-now` and `agree-deletions`: what is done to one mailbox and answered with the mailbox.

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

/// Does `action`, the last part of its path.
pub(super) async fn run(Arguments { mailbox, access }: Arguments, action: &str) -> Result {
    let api = access.connect()?;
    let path = format!("mailboxes/{}/{action}", mailbox_id(&api, &mailbox).await?);
    let answer = api.call(Method::POST, &path, Request::default()).await?.body;
    if access.json {
        return serde_json::to_string_pretty(&answer).map(|text| Done::ok(format!("{text}\n"))).map_err(Error::new);
    }
    Ok(Done::ok(inventory::record(&answer)))
}
