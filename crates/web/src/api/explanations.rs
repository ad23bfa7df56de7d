//! Where mail is: the chain of decisions about a mailbox or a message. States, never content.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use lockstep_engine::correlation;
use lockstep_model::id::MailboxId;
use lockstep_store::{
    Tx,
    explain::{self as facts, MailboxFacts, MessageFacts},
    mailboxes::{Filter, status},
    rights::Kind,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    auth::Caller,
    explain::{self, Step, Verdict},
    extract::{Id, Params},
    problem::Problem,
    state::App,
    wall::{self, Veil},
};

/// Mailboxes that are looked at for one message, beside the one asked for.
const MAX_KNOWN: usize = 5;

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

/// Explains what is, or is not, read and sent for a mailbox; to users, for their own.
#[utoipa::path(get, path = "/explanations/mailboxes/{id}", tag = "explanations", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The chain of decisions", body = Explanation)))]
pub(crate) async fn mailbox(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<Explanation>, Problem> {
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    let found = known(&mut tx, &caller, id).await?;
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

/// A mailbox that the caller may read, with what the caller may know of it.
async fn known(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<MailboxFacts, Problem> {
    wall::reading(tx, caller, Kind::Mailbox, id).await?;
    let mut found = facts::mailbox(tx, MailboxId(id)).await?.ok_or_else(|| Problem::not_found("mailbox"))?;
    if caller.user.is_some() {
        // Alerts of a server are on its owner's wall; what they come to for this mailbox stands in its steps.
        found.alerts.retain(|alert| alert.scope != "profile");
    }
    Ok(found)
}

/// The mailbox in which a message is looked for: the one that is named, and for a user else the own one.
async fn asked(tx: &mut Tx, caller: &Caller, named: Option<Uuid>) -> Result<Option<MailboxFacts>, Problem> {
    let id = match (named, caller.user) {
        (Some(id), _) => id,
        (None, None) => return Ok(None),
        (None, Some(user)) => {
            let own = Filter { owner: Some(user.0), reader: Some(user), ..Filter::default() };
            let own = status::list(tx, &own, None, 1).await?.pop();
            own.ok_or_else(|| Problem::not_found("mailbox"))?.mailbox.id
        }
    };
    known(tx, caller, id).await.map(Some)
}

/// Leaves out what a caller may not be told of a message.
async fn withhold(tx: &mut Tx, caller: &Caller, found: &mut MessageFacts) -> Result<(), Problem> {
    if !caller.sees_content() {
        found.items.iter_mut().for_each(|item| item.detail = None);
    }
    let parties_hidden = Veil::of(tx, caller, Kind::Email).await?.hides("parties");
    for email in &mut found.emails {
        if let Some(delivery) = email.delivery.as_mut().filter(|_| parties_hidden || email.withheld) {
            delivery.recipients.clear();
            (delivery.reply, delivery.fault_message) = (None, None);
        }
    }
    Ok(())
}

/// Which message to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AboutMessage {
    /// Its Message-ID; angle brackets may be left out.
    message_id: String,
    /// The mailbox in which it is missed; without it, a user's own.
    mailbox_id: Option<Uuid>,
}

/// Explains what became of a message; to users, of one in their own mailbox.
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
    let asked = asked(&mut tx, &caller, query.mailbox_id).await?;
    let asked_id = asked.as_ref().map(|asked| asked.mailbox.id);
    // Our own are stored as they were written, those of others in normal form.
    let forms = [normal.clone(), written.to_owned()];
    let mut found = facts::message(&mut tx, &forms, asked_id.map(MailboxId), caller.user).await?;
    withhold(&mut tx, &caller, &mut found).await?;
    // Mailboxes on which it depends how it goes on.
    let sending = found.emails.iter().filter_map(|email| email.delivery.as_ref()).map(|delivery| delivery.mailbox_id);
    let waiting = found.items.iter().filter(|item| item.next_attempt_at.is_some()).map(|item| item.mailbox_id);
    let mut involved = Vec::<MailboxFacts>::new();
    for id in sending.chain(waiting) {
        if involved.len() < MAX_KNOWN && involved.iter().all(|other| other.mailbox.id != id) {
            involved.push(known(&mut tx, &caller, id).await?);
        }
    }
    let steps = explain::message(&found, asked.as_ref(), &involved, at);
    Ok(Json(Explanation {
        mailbox_id: asked_id,
        address: asked.map(|asked| asked.mailbox.address),
        message_id: Some(normal),
        email_ids: found.emails.iter().filter(|email| !email.withheld).map(|email| email.id).collect(),
        at,
        verdict: explain::worst(&steps),
        steps,
    }))
}
