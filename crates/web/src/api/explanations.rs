//! Where mail is: the chain of decisions about a mailbox or a message. States, never content.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use lockstep_engine::correlation;
use lockstep_model::id::MailboxId;
use lockstep_store::explain as facts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::Caller,
    explain::{self, Step, Verdict},
    extract::{Id, Params},
    problem::Problem,
    state::App,
};

/// Why mail is where it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// The mailbox that was asked for.
    mailbox_id: Option<Uuid>,
    /// Its address.
    address: Option<String>,
    /// The Message-ID that was asked for, as it is compared.
    message_id: Option<String>,
    /// Emails with this Message-ID.
    email_ids: Vec<Uuid>,
    /// The instant this was true.
    at: DateTime<Utc>,
    /// That of the worst step.
    verdict: Verdict,
    /// In the order in which an administrator looks.
    steps: Vec<Step>,
}

/// Explains what is, or is not, read and sent for a mailbox.
#[utoipa::path(get, path = "/explanations/mailboxes/{id}", tag = "explanations", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The chain of decisions", body = Explanation)))]
pub(crate) async fn mailbox(State(app): State<App>, Id(id): Id) -> Result<Json<Explanation>, Problem> {
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    let found = facts::mailbox(&mut tx, MailboxId(id)).await?.ok_or_else(|| Problem::not_found("mailbox"))?;
    let mut steps = explain::incoming(&found, at);
    steps.extend(explain::outgoing(&found, at));
    Ok(Json(Explanation {
        mailbox_id: Some(id),
        address: Some(found.mailbox.address),
        message_id: None,
        email_ids: Vec::new(),
        at,
        verdict: explain::worst(&steps),
        steps,
    }))
}

/// Which message to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AboutMessage {
    /// Its Message-ID; angle brackets may be left out.
    message_id: String,
    /// The mailbox in which it is missed.
    mailbox_id: Option<Uuid>,
}

/// Explains what became of a message.
#[utoipa::path(get, path = "/explanations/messages", tag = "explanations", params(AboutMessage),
    responses((status = 200, description = "The chain of decisions", body = Explanation)))]
pub(crate) async fn message(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<AboutMessage>,
) -> Result<Json<Explanation>, Problem> {
    let written = query.message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let normal = correlation::normalise_id(written)
        .ok_or_else(|| Problem::field("message_id", "format", "a Message-ID of 1 to 998 bytes"))?;
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    let asked = match query.mailbox_id {
        Some(id) => {
            let found = facts::mailbox(&mut tx, MailboxId(id)).await?;
            Some(found.ok_or_else(|| Problem::not_found("mailbox"))?)
        }
        None => None,
    };
    // Our own are stored as they were written, those of others in normal form.
    let forms = [normal.clone(), written.to_owned()];
    let mut found = facts::message(&mut tx, &forms, query.mailbox_id.map(MailboxId)).await?;
    if !caller.sees_content() {
        found.items.iter_mut().for_each(|item| item.detail = None);
    }
    let mut senders = Vec::new();
    for delivery in found.emails.iter().filter_map(|email| email.delivery.as_ref()) {
        if senders.iter().all(|sender: &facts::MailboxFacts| sender.mailbox.id != delivery.mailbox_id) {
            senders.extend(facts::mailbox(&mut tx, MailboxId(delivery.mailbox_id)).await?);
        }
    }
    let steps = explain::message(&found, asked.as_ref(), &senders, at);
    Ok(Json(Explanation {
        mailbox_id: query.mailbox_id,
        address: asked.map(|asked| asked.mailbox.address),
        message_id: Some(normal),
        email_ids: found.emails.iter().map(|email| email.id).collect(),
        at,
        verdict: explain::worst(&steps),
        steps,
    }))
}
