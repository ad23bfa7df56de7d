//! Mailboxes: what is processed for whom, and how it stands. They are made with their owners.

pub(crate) mod actions;
mod check;
pub(crate) mod items;
pub(crate) mod many;
pub(crate) mod takeover;
mod view;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use lockstep_model::id::{MailboxId, ProfileId};
use lockstep_store::{
    mailboxes::{
        self, Filter,
        status::{self, STATES},
    },
    nudge,
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::holder::{Wanted, explain};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::tagged,
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
};
use view::{Mailbox, MailboxFields};

/// Which mailboxes to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListMailboxes {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only those in this state: inactive, unconfigured, rejected, unapproved, untested, disabled, failing, healthy.
    state: Option<String>,
    /// Only those of this profile.
    profile: Option<Uuid>,
    /// Only that of this user or queue.
    owner: Option<Uuid>,
    /// Only those whose address contains this.
    address: Option<String>,
}

/// Lists mailboxes.
#[utoipa::path(get, path = "/mailboxes", tag = "mailboxes", params(ListMailboxes),
    responses((status = 200, description = "A page of mailboxes", body = Page<Mailbox>)))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ListMailboxes>) -> Result<Response, Problem> {
    if query.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::field("state", "choice", format!("one of: {}", STATES.join(", "))));
    }
    let limit = Limit::of(query.limit);
    let address = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let filter = Filter {
        id: None,
        profile: query.profile.map(ProfileId),
        owner: query.owner,
        address: address.as_deref(),
        state: query.state.as_deref(),
    };
    let mut tx = app.store.begin().await?;
    let rows = status::list(&mut tx, &filter, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |status| status.mailbox.id, Mailbox::from)).into_response())
}

/// Reads a mailbox and how it stands.
#[utoipa::path(get, path = "/mailboxes/{id}", tag = "mailboxes", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mailbox", body = Mailbox)))]
pub(crate) async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    answer(&app, MailboxId(id)).await
}

/// Changes a mailbox. Another server or account has to be tested and enabled again; another address is written to its
/// owner and has to be approved again.
#[utoipa::path(patch, path = "/mailboxes/{id}", tag = "mailboxes", request_body = MailboxFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = mailboxes::lock(&mut tx, MailboxId(id), expected).await?.ok_or_else(missing)?;
        let (fields, changed) = body.value.apply(&MailboxFields::from(&before))?.split();
        if changed.names().is_empty() {
            drop(tx);
            return answer(&app, MailboxId(id)).await;
        }
        let (mailbox, secret) = check::mailbox(&app, &mut tx, fields, before).await?;
        if let Err(error) = mailboxes::save(&mut tx, &mailbox, &secret, &changed.names(), &caller.actor()).await {
            drop(tx);
            let login = mailbox.profile_id.map(ProfileId).zip(mailbox.login.as_deref());
            return Err(explain(&app, error, Wanted { address_key: Some(&mailbox.address_key), login }).await);
        }
        nudge(&mut tx).await?;
        tx.commit().await?;
        answer(&app, MailboxId(id)).await
    })
    .await
}

/// The mailbox as it stands now.
async fn answer(app: &App, id: MailboxId) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let status = status::get(&mut tx, id).await?.ok_or_else(missing)?;
    Ok(tagged(status.mailbox.version, Mailbox::from(status)))
}

fn missing() -> Problem {
    Problem::not_found("mailbox")
}
