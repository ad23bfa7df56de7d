//! Takeover: an account on a server that another mailbox holds is mapped to this one. The holder loses it, and its
//! synchronisation with it stops at its next write.

use axum::{extract::State, response::Response};
use lockstep_model::id::{MailboxId, ProfileId};
use lockstep_store::{
    audit,
    mailboxes::{self, MailboxRecord},
    nudge,
    profiles::SecretChange,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    answer, check, missing,
    view::{Mailbox, MailboxFields},
};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Received},
    problem::Problem,
    state::App,
};

/// The account to take over. Whoever takes it over has to know its password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakeoverFields {
    /// Name of the account on the server of the mailbox's profile.
    login: String,
    /// Its password or token.
    #[schema(value_type = String, format = Password, write_only)]
    password: SecretString,
}

const ACCOUNT: [&str; 3] = ["login", "password", "allow_credentials"];

/// Maps an account to this mailbox that another one holds. That one keeps its records, loses the account and is not
/// processed any more; this one has to be tested and enabled.
#[utoipa::path(post, path = "/mailboxes/{id}/takeover", tag = "mailboxes", request_body = TakeoverFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn take_over(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<TakeoverFields>,
) -> Result<Response, Problem> {
    let id = MailboxId(id);
    again(|| async {
        let TakeoverFields { login, password } = &body.value;
        let mut tx = app.store.begin().await?;
        let profile = mailboxes::get(&mut tx, id).await?.ok_or_else(missing)?.profile_id;
        let profile = profile.ok_or_else(|| {
            Problem::conflict("no-profile", "The mailbox has no profile: PATCH its profile_id first.")
        })?;
        let held = mailboxes::holder_of_login(&mut tx, ProfileId(profile), login.trim()).await?;
        let Some(holder) = held.map(|held| MailboxId(held.id)).filter(|holder| *holder != id) else {
            let detail = "No other mailbox holds this account: PATCH login and password of the mailbox instead.";
            return Err(Problem::conflict("not-held", detail));
        };
        // In the order of their ids, as everybody who locks two.
        let (first, second) = (holder.min(id), holder.max(id));
        let mut locked = Vec::with_capacity(2);
        for mailbox in [first, second] {
            let expected = expected.filter(|_| mailbox == id);
            locked.push(mailboxes::lock(&mut tx, mailbox, expected).await?.ok_or_else(missing)?);
        }
        let (ours, theirs): (Vec<_>, Vec<_>) = locked.into_iter().partition(|mailbox| mailbox.id == id.0);
        let (Some(before), Some(theirs)) = (ours.into_iter().next(), theirs.into_iter().next()) else {
            return Err(Problem::internal());
        };
        let still = mailboxes::holder_of_login(&mut tx, ProfileId(profile), login.trim()).await?;
        if still.is_none_or(|still| still.id != theirs.id) {
            return Err(Problem::conflict("changed", "The account has changed hands at this moment: look again."));
        }
        let released = MailboxRecord { login: None, allow_credentials: false, ..theirs };
        mailboxes::save(&mut tx, &released, &SecretChange::Clear, &ACCOUNT, &caller.actor()).await?;
        let detail = json!({ "to_mailbox": id });
        audit::note(&mut tx, &caller.actor(), "account-lost", "mailbox", Some(released.id), detail).await?;
        let mut fields = MailboxFields::from(&before);
        (fields.login, fields.password) = (Some(login.clone()), Some(password.clone()));
        fields.allow_credentials = true;
        let (mailbox, secret) = check::mailbox(&app, &mut tx, fields, before).await?;
        mailboxes::save(&mut tx, &mailbox, &secret, &ACCOUNT, &caller.actor()).await?;
        let detail = json!({ "from_mailbox": released.id });
        audit::note(&mut tx, &caller.actor(), "taken-over", "mailbox", Some(id.0), detail).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await?;
    answer(&app, &caller, id).await
}
