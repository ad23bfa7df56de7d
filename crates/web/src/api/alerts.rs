//! Alerts: states that need somebody's attention.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::{AlertId, MailboxId};
use lockstep_store::alerts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    alert_texts,
    auth::Caller,
    extract::{Id, Params},
    page::{Limit, Page},
    problem::Problem,
    state::App,
};

/// An alert, with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alert {
    id: Uuid,
    /// Stable name.
    code: String,
    /// `error`, `warning` or `information`.
    severity: String,
    /// `item`, `mailbox`, `profile` or `organisation`.
    scope: String,
    /// What it is, in a few words.
    title: String,
    /// What happened.
    text: String,
    /// What to do.
    remedy: String,
    profile_id: Option<Uuid>,
    mailbox_id: Option<Uuid>,
    email_id: Option<Uuid>,
    /// What the text was made of.
    #[schema(value_type = Object)]
    parameters: Value,
    /// How often it was raised.
    occurrences: i64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
}

/// Parameters that operators see. They tell of servers, settings and states; whatever else an alert may carry one day
/// could be something of an email.
const STATES: &[&str] = &["address", "cause", "endpoint", "failures", "item", "message", "methods", "name", "reason"];

impl Alert {
    fn of(mut alert: alerts::Alert, content: bool) -> Self {
        if !content && let Some(parameters) = alert.parameters.as_object_mut() {
            parameters.retain(|name, _| STATES.contains(&name.as_str()));
        }
        let words = alert_texts::of(&alert.code, &alert.parameters);
        Self {
            id: alert.id,
            code: alert.code,
            severity: alert.severity,
            scope: alert.scope,
            title: words.title,
            text: words.text,
            remedy: words.remedy,
            profile_id: alert.profile_id,
            mailbox_id: alert.mailbox_id,
            email_id: alert.email_id,
            parameters: alert.parameters,
            occurrences: alert.occurrences,
            first_at: alert.first_at,
            last_at: alert.last_at,
            resolved_at: alert.resolved_at,
        }
    }
}

/// Which alerts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAlerts {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// `error`, `warning` or `information`.
    severity: Option<String>,
    /// `item`, `mailbox`, `profile` or `organisation`.
    scope: Option<String>,
    /// Only those of this mailbox.
    mailbox: Option<Uuid>,
    /// Open ones (default) or, with false, those that ended.
    open: Option<bool>,
}

/// Lists alerts.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(ListAlerts),
    responses((status = 200, description = "A page of alerts", body = Page<Alert>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListAlerts>,
) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let filter = alerts::Filter {
        severity: query.severity.as_deref(),
        scope: query.scope.as_deref(),
        mailbox: query.mailbox.map(MailboxId),
        open: Some(query.open.unwrap_or(true)),
    };
    let mut tx = app.store.begin().await?;
    let rows = alerts::list(&mut tx, &filter, query.after, limit.rows()).await?;
    let content = caller.sees_content();
    Ok(Json(Page::of(rows, limit, |alert| alert.id, |alert| Alert::of(alert, content))).into_response())
}

/// Dismisses an alert. Should its cause last, it is raised again.
#[utoipa::path(delete, path = "/alerts/{id}", tag = "alerts", params(("id" = Uuid, Path)),
    responses((status = 204, description = "It is closed")))]
pub(crate) async fn dismiss(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut tx = app.store.begin().await?;
    if alerts::get(&mut tx, AlertId(id)).await?.is_none() {
        return Err(Problem::not_found("alert"));
    }
    alerts::dismiss(&mut tx, AlertId(id), &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
