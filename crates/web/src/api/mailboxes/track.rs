//! Tracking of one item by hand: a contact, task or appointment of a mailbox becomes a record, and is kept in step.

use axum::{extract::State, response::Response};
use lockstep_model::{
    id::MailboxId,
    remote::{MAX_KEY_BYTES, RemoteKey},
};
use lockstep_store::{
    audit, item_retries, links,
    mailboxes::{self},
    nudge, questions,
    rights::{Kind, Privilege},
    schedules,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{answer, missing, view::Mailbox};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, Received},
    problem::Problem,
    state::App,
    validate::Check,
    wall,
};

/// The folder an item lies in.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ItemFolder {
    Contacts,
    Tasks,
    Calendar,
}

/// An item of a mailbox.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackFields {
    /// Where it lies.
    folder: ItemFolder,
    /// The server's own id of it (EWS: the `Id` of its `ItemId`).
    #[schema(min_length = 1, max_length = 512)]
    item_id: String,
}

/// Asks for an item of this mailbox to become a record of its owner, as the category would. It does at the mailbox's next
/// look, which follows at once; what cannot be read, or is never synchronised, stays where it is. Of an appointment it is
/// not asked whether its time is taken; of a contact it is asked whether it is there already.
#[utoipa::path(post, path = "/mailboxes/{id}/track", tag = "mailboxes", request_body = TrackFields,
    params(("id" = Uuid, Path)), responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn track(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    body: Received<TrackFields>,
) -> Result<Response, Problem> {
    let mailbox = MailboxId(id);
    let mut check = Check::default();
    let item = check.line("item_id", &body.value.item_id, MAX_KEY_BYTES);
    check.finish()?;
    let folder = match body.value.folder {
        ItemFolder::Contacts => "contacts",
        ItemFolder::Tasks => "tasks",
        ItemFolder::Calendar => "calendar",
    };
    let Some(key) = RemoteKey::new(item) else {
        let mut check = Check::default();
        check.refuse("item_id", "length", format!("1 to {MAX_KEY_BYTES} bytes"));
        check.finish()?;
        return Err(Problem::internal());
    };
    again(|| async {
        let mut tx = app.store.begin().await?;
        wall::writing(&mut tx, &caller, Kind::Mailbox, id, Privilege::Write).await?;
        let record = mailboxes::get(&mut tx, mailbox).await?.ok_or_else(missing)?;
        if !record.act_enabled {
            return Err(Problem::conflict(
                "not-synchronised",
                "The mailbox's contacts, tasks and appointments are not synchronised: set act_method, then test and enable.",
            ));
        }
        if !links::of(&mut tx, mailbox, &[], std::slice::from_ref(&key), &[]).await?.is_empty() {
            return Err(Problem::conflict("tracked", "This item has a record already."));
        }
        schedules::hasten(&mut tx, mailbox).await?;
        item_retries::ask(&mut tx, mailbox, folder, &key).await?;
        match body.value.folder {
            // Who names it has seen the calendar, and is not asked (J9).
            ItemFolder::Calendar => questions::waive(&mut tx, mailbox, &key).await?,
            // What was decided before is asked anew (K10).
            ItemFolder::Contacts => questions::forget(&mut tx, mailbox, std::slice::from_ref(&key)).await?,
            ItemFolder::Tasks => {}
        }
        let detail = json!({ "folder": folder });
        audit::note(&mut tx, &caller.actor(), "item-tracked", "mailbox", Some(id), detail).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await?;
    answer(&app, &caller, mailbox).await
}
