//! Emails: reading them, writing drafts, and asking for them to be sent.

mod actions;
mod check;
mod drafts;
mod files;
mod parties;
mod view;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use lockstep_model::{
    email::EmailStatus,
    id::{EmailId, MailboxId},
};
use lockstep_store::{
    Tx,
    emails::{self, Filter},
    rights::Kind,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    api::alerts,
    auth::Caller,
    extract::{Id, Params},
    idempotent::tagged,
    page::{Limit, Page},
    problem::Problem,
    query::one_of,
    state::App,
    wall::{self, Veil},
};
pub(crate) use view::RegardingFields;
use view::{Email, EmailSummary};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, drafts::create))
        .routes(routes!(read, drafts::update, drafts::delete))
        .routes(routes!(drafts::find, drafts::put))
        .routes(routes!(files::upload))
        .routes(routes!(files::remove))
        .routes(routes!(files::content))
        .routes(routes!(actions::send))
        .routes(routes!(actions::copy_to_refused))
        .routes(routes!(actions::cancel))
        .routes(routes!(actions::resolve))
        .routes(routes!(actions::resolve_restored))
        .routes(routes!(parties::resolve))
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
    one_of("direction", query.direction.as_deref(), &["incoming", "outgoing"])?;
    let statuses: Vec<_> = EmailStatus::ALL.iter().map(|status| status.as_str()).collect();
    one_of("status", query.status.as_deref(), &statuses)?;
    let limit = Limit::of(query.limit);
    let message_id = query.message_id.as_deref().map(|id| id.trim().trim_start_matches('<').trim_end_matches('>'));
    let filter = Filter {
        id: None,
        direction: query.direction.as_deref(),
        status: query.status.as_deref(),
        mailbox: query.mailbox.map(MailboxId),
        message_id,
        reader: caller.user,
    };
    let mut tx = app.store.begin().await?;
    let veil = Veil::of(&mut tx, &caller, Kind::Email).await?;
    if let Some(mailbox) = query.mailbox
        && !wall::readable(&mut tx, &caller, Kind::Mailbox, mailbox).await?
    {
        return Ok(Json(Page::<EmailSummary> { items: Vec::new(), next: None }).into_response());
    }
    let rows = emails::list(&mut tx, &filter, query.after, limit.rows()).await?;
    let content = caller.sees_content();
    let shown = |email| veil.over(&EmailSummary::of(email, content));
    Ok(Json(Page::of(rows, limit, |email| email.id, shown)).into_response())
}

/// Reads an email. Operators see its state without its content.
#[utoipa::path(get, path = "/emails/{id}", tag = "emails", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The email", body = Email)))]
async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, &caller, Kind::Email, id).await?;
    let email = email_view(&mut tx, &caller, EmailId(id)).await?;
    Ok(tagged(email.version(), email))
}

/// An email as this caller may see it.
async fn email_view(tx: &mut Tx, caller: &Caller, id: EmailId) -> Result<Shown, Problem> {
    let record = emails::get(tx, id).await?.ok_or_else(missing)?;
    let content = caller.sees_content();
    let bodies = if content { emails::bodies(tx, id).await? } else { (None, None) };
    let parties = emails::parties(tx, id, caller.user).await?;
    let files = emails::attachments(tx, id).await?;
    let delivery = emails::delivery(tx, id).await?;
    let found_in = emails::found_in(tx, id, caller.user).await?;
    let veil = Veil::of(tx, caller, Kind::Email).await?;
    let version = record.version;
    let counts = alerts::counts(tx, caller, std::iter::once(id.0)).await?.remove(&id.0);
    let mut email = Email::of(EmailSummary::of(record, content), bodies, parties, files, delivery, found_in, content);
    email.alerts = counts.unwrap_or_default();
    Ok(Shown { version, email: veil.over(&email) })
}

/// An [`Email`], without what its reader may not see.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown {
    #[serde(skip)]
    version: i64,
    email: Value,
}

impl Shown {
    fn version(&self) -> i64 {
        self.version
    }
}

fn missing() -> Problem {
    Problem::not_found("email")
}
