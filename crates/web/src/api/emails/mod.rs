//! Emails: reading them, writing drafts, and asking for them to be sent.

mod actions;
mod check;
mod drafts;
mod files;
mod view;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use lockstep_model::id::{EmailId, MailboxId};
use lockstep_store::{
    Tx,
    emails::{self, Filter},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::Caller,
    extract::{Id, Params},
    idempotent::tagged,
    page::{Limit, Page},
    problem::Problem,
    state::App,
};
use view::{Email, EmailSummary};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, drafts::create))
        .routes(routes!(read, drafts::update, drafts::delete))
        .routes(routes!(files::upload))
        .routes(routes!(files::remove))
        .routes(routes!(files::content))
        .routes(routes!(actions::send))
        .routes(routes!(actions::cancel))
        .routes(routes!(actions::resolve))
}

/// Which emails to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListEmails {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// `incoming` or `outgoing`.
    direction: Option<String>,
    /// `draft`, `completed`, `sent`, `received`, `canceled`, `pending-send`, `sending` or `failed`.
    status: Option<String>,
    /// Found in this mailbox, or sent from it.
    mailbox: Option<Uuid>,
    /// With this Message-ID; angle brackets may be left out.
    message_id: Option<String>,
}

/// Lists emails without their content.
#[utoipa::path(get, path = "/emails", tag = "emails", params(ListEmails),
    responses((status = 200, description = "A page of emails", body = Page<EmailSummary>)))]
async fn list(State(app): State<App>, caller: Caller, Params(query): Params<ListEmails>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let message_id = query.message_id.as_deref().map(|id| id.trim().trim_start_matches('<').trim_end_matches('>'));
    let filter = Filter {
        id: None,
        direction: query.direction.as_deref(),
        status: query.status.as_deref(),
        mailbox: query.mailbox.map(MailboxId),
        message_id,
    };
    let mut tx = app.store.begin().await?;
    let rows = emails::list(&mut tx, &filter, query.after, limit.rows()).await?;
    let content = caller.sees_content();
    Ok(Json(Page::of(rows, limit, |email| email.id, |email| EmailSummary::of(email, content))).into_response())
}

/// Reads an email. Operators see its state without its content.
#[utoipa::path(get, path = "/emails/{id}", tag = "emails", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The email", body = Email)))]
async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let email = email_view(&mut tx, &caller, EmailId(id)).await?;
    Ok(tagged(email.version(), email))
}

/// An email as this caller may see it.
async fn email_view(tx: &mut Tx, caller: &Caller, id: EmailId) -> Result<Email, Problem> {
    let record = emails::get(tx, id).await?.ok_or_else(missing)?;
    let content = caller.sees_content();
    let bodies = if content { emails::bodies(tx, id).await? } else { (None, None) };
    let parties = emails::parties(tx, id).await?;
    let files = emails::attachments(tx, id).await?;
    let delivery = emails::delivery(tx, id).await?;
    let found_in = emails::found_in(tx, id).await?;
    Ok(Email::of(EmailSummary::of(record, content), bodies, parties, files, delivery, found_in, content))
}

fn missing() -> Problem {
    Problem::not_found("email")
}
