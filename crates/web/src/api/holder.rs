//! Who has what was asked for: a conflict names the mailbox that holds the address or account.

use lockstep_model::id::ProfileId;
use lockstep_store::{Error, mailboxes};
use serde_json::json;

use crate::{problem::Problem, state::AppState};

/// What can be done about an account that another mailbox has (D3).
const TAKEOVER: &str = " POST /mailboxes/{id}/takeover takes it over; the mailbox that has it then stops.";

/// What a write wanted for itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) address_key: Option<&'a str>,
    pub(crate) login: Option<(ProfileId, &'a str)>,
}

/// Turns a store's error into a problem; a broken unique rule names the holder.
pub(crate) async fn explain(state: &AppState, error: Error, wanted: Wanted<'_>) -> Problem {
    let Error::Conflict(conflict) = &error else { return error.into() };
    let constraint = conflict.constraint.as_str();
    let found = look_up(state, constraint, wanted).await;
    if let Ok(Some((what, holder))) = found {
        let owner = holder.owner();
        let whose =
            owner.map_or_else(|| "forward mailbox".to_owned(), |owner| format!("mailbox of the {}", owner.kind()));
        let detail = format!(
            "The {what} belongs to {} already, the {whose} {} ({}). One {what} belongs to one mailbox.{}",
            holder.id,
            holder.name,
            holder.address,
            if what == "account" { TAKEOVER } else { "" },
        );
        let (field, remedy) = match what {
            "account" => ("login", "the name of another account, or a takeover of this one"),
            _ => ("address", "another address, or none for the mailbox that has it"),
        };
        return Problem::conflict("taken", detail).about(field, "taken", remedy).with(
            "holder",
            json!({
                "mailbox_id": holder.id,
                "address": holder.address,
                "owner": owner.map(|owner| json!({ "kind": owner.kind(), "id": owner.uuid() })),
            }),
        );
    }
    error.into()
}

async fn look_up(
    state: &AppState,
    constraint: &str,
    wanted: Wanted<'_>,
) -> Result<Option<(&'static str, mailboxes::MailboxRecord)>, Error> {
    let mut tx = state.store.begin().await?;
    if constraint.contains("address_key")
        && let Some(key) = wanted.address_key
    {
        let holder = mailboxes::holder_of_address(&mut tx, key).await?;
        return Ok(holder.map(|holder| ("address", holder)));
    }
    if constraint.contains("login_key")
        && let Some((profile, login)) = wanted.login
    {
        let holder = mailboxes::holder_of_login(&mut tx, profile, login).await?;
        return Ok(holder.map(|holder| ("account", holder)));
    }
    Ok(None)
}
