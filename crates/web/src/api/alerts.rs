//! Alerts: states that need somebody's attention, each on the walls of those whom it concerns.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::{
    catalogue,
    id::{AlertId, EmailId, MailboxId, ProfileId},
};
use lockstep_store::{
    Tx,
    alerts::{self, Filter},
    questions,
    rights::Kind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::alert_answers::AlertQuestion;
use crate::{
    again::again,
    alert_texts,
    auth::Caller,
    extract::{Id, Params, Received},
    page::{Limit, Page},
    problem::Problem,
    query::one_of,
    state::App,
    wall::Veil,
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
    /// The part of the documentation that tells more, relative to its beginning; absent of codes it does not know.
    link: Option<String>,
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
    /// false: it is told for information, and somebody else is to act: a fault of a profile, to owners of its mailboxes.
    action_asked: bool,
    /// What is asked, to be answered with POST /alerts/{id}/answer; absent of most.
    question: Option<AlertQuestion>,
}

/// The remedy where the reader is asked for nothing.
const NO_ACTION: &str = "No action is asked of you: whoever answers for the server's profile is told too.";

/// Parameters that operators see. They tell of servers, settings and states; whatever else an alert may carry one day
/// could be something of an email.
const STATES: &[&str] = &[
    "address",
    "answers",
    "busy",
    "cause",
    "endpoint",
    "failures",
    "item",
    "items",
    "limit",
    "load",
    "mailboxes",
    "message",
    "methods",
    "name",
    "needed",
    "next",
    "profile",
    "reason",
    "recipients",
    "record",
    "refused",
    "replicas",
    "replicas_needed",
    "slots",
    "starts",
    "state",
];

/// What operators read instead of the words that a server has said of one message.
const NOT_SHOWN: &str = "not shown to operators";

impl Alert {
    pub(super) fn of(mut alert: alerts::Alert, question: Option<AlertQuestion>, content: bool, veil: &Veil) -> Self {
        if !content && let Some(parameters) = alert.parameters.as_object_mut() {
            parameters.retain(|name, _| STATES.contains(&name.as_str()));
            if alert.scope == "item"
                && let Some(said) = parameters.get_mut("message")
            {
                *said = NOT_SHOWN.into();
            }
        }
        // What a server says of an email may name its recipients.
        if alert.email_id.is_some() && veil.hides("parties") {
            alert.parameters = Value::Object(Map::new());
        }
        let words = alert_texts::of(&alert.code, &alert.parameters);
        let link = catalogue::find(&alert.code).map(catalogue::Entry::link);
        Self {
            id: alert.id,
            code: alert.code,
            severity: alert.severity,
            scope: alert.scope,
            title: words.title,
            text: words.text,
            link,
            remedy: if alert.action_asked { words.remedy } else { NO_ACTION.to_owned() },
            profile_id: alert.profile_id,
            mailbox_id: alert.mailbox_id,
            email_id: alert.email_id,
            parameters: alert.parameters,
            occurrences: alert.occurrences,
            first_at: alert.first_at,
            last_at: alert.last_at,
            resolved_at: alert.resolved_at,
            action_asked: alert.action_asked,
            question,
        }
    }
}

/// How many open alerts of each level a record has, of the levels that are shown. A user counts those on the own wall.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct AlertCounts {
    error: i64,
    warning: i64,
    information: i64,
}

impl From<alerts::wall::Counts> for AlertCounts {
    fn from(counts: alerts::wall::Counts) -> Self {
        Self { error: counts.error, warning: counts.warning, information: counts.information }
    }
}

/// The open alerts of each of these records.
pub(crate) async fn counts(
    tx: &mut Tx,
    caller: &Caller,
    records: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, AlertCounts>, Problem> {
    let records: Vec<Uuid> = records.collect();
    let found = alerts::wall::counts(tx, &records, caller.user).await?;
    Ok(found.into_iter().map(|(record, counts)| (record, counts.into())).collect())
}

const SEVERITIES: &[&str] = &["error", "warning", "information"];
const SCOPES: &[&str] = &["item", "mailbox", "profile", "organisation"];

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
    /// Only those of this profile.
    profile: Option<Uuid>,
    /// Only those of this mailbox, its items and emails.
    mailbox: Option<Uuid>,
    /// Only those of this email.
    email: Option<Uuid>,
    /// Open ones (default) or, with false, those that ended.
    open: Option<bool>,
    /// true: also those of levels that the organisation has switched off. Not for users.
    switched_off: Option<bool>,
}

/// Lists alerts: users those on their own wall, others all.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(ListAlerts),
    responses((status = 200, description = "A page of alerts", body = Page<Alert>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListAlerts>,
) -> Result<Response, Problem> {
    one_of("severity", query.severity.as_deref(), SEVERITIES)?;
    one_of("scope", query.scope.as_deref(), SCOPES)?;
    let limit = Limit::of(query.limit);
    let filter = Filter {
        severity: query.severity.as_deref(),
        scope: query.scope.as_deref(),
        profile: query.profile.map(ProfileId),
        mailbox: query.mailbox.map(MailboxId),
        email: query.email.map(EmailId),
        open: Some(query.open.unwrap_or(true)),
        shown_levels: shown_levels(&caller, query.switched_off)?,
        reader: caller.user,
    };
    let mut tx = app.store.begin().await?;
    let veil = Veil::of(&mut tx, &caller, Kind::Email).await?;
    let rows = alerts::list(&mut tx, &filter, query.after, limit.rows()).await?;
    let ids: Vec<_> = rows.iter().map(|alert| alert.id).collect();
    let mut asked: HashMap<_, _> = questions::of_alerts(&mut tx, &ids).await?.into_iter().collect();
    let content = caller.sees_content();
    let shown = |alert: alerts::Alert| {
        let question = asked.remove(&AlertId(alert.id)).map(AlertQuestion::from);
        Alert::of(alert, question, content, &veil)
    };
    Ok(Json(Page::of(rows, limit, |alert| alert.id, shown)).into_response())
}

/// Whether levels that are switched off stay away: they do unless somebody who administers asks for them.
fn shown_levels(caller: &Caller, switched_off: Option<bool>) -> Result<bool, Problem> {
    match switched_off {
        Some(true) if caller.user.is_some() => {
            Err(Problem::forbidden_fields(["switched_off"], "nothing: the organisation does not show these levels"))
        }
        wanted => Ok(!wanted.unwrap_or(false)),
    }
}

/// Dismisses an alert. Should its cause last, it is raised again. A user takes it off the own wall only; anybody else
/// closes it for all.
#[utoipa::path(delete, path = "/alerts/{id}", tag = "alerts", params(("id" = Uuid, Path)),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn dismiss(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        if alerts::get(&mut tx, AlertId(id), caller.user).await?.is_none() {
            return Err(Problem::not_found("alert"));
        }
        alerts::dismiss(&mut tx, AlertId(id), caller.user, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Which alerts are dismissed: the open ones that match all that is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DismissFields {
    /// true: all there are, where nothing else is given.
    #[serde(default)]
    all: bool,
    /// `error`, `warning` or `information`.
    severity: Option<String>,
    /// `item`, `mailbox`, `profile` or `organisation`.
    scope: Option<String>,
    /// Only those of this profile.
    profile_id: Option<Uuid>,
    /// Only those of this mailbox, its items and emails.
    mailbox_id: Option<Uuid>,
    /// Only those of this email.
    email_id: Option<Uuid>,
    /// true: also those of levels that the organisation has switched off. Not for users.
    switched_off: Option<bool>,
}

impl DismissFields {
    fn names_some(&self) -> bool {
        [self.profile_id, self.mailbox_id, self.email_id].iter().any(Option::is_some)
            || self.severity.is_some()
            || self.scope.is_some()
    }
}

/// How many were dismissed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DismissedAlerts {
    dismissed: u64,
    /// 1,000 are dismissed at once, and there are more: ask again.
    more: bool,
}

/// Dismisses every open alert that matches, as one is dismissed: a user those on the own wall, anybody else for all.
#[utoipa::path(post, path = "/alerts/dismiss", tag = "alerts", request_body = DismissFields,
    responses((status = 200, description = "How many there were", body = DismissedAlerts)))]
pub(crate) async fn dismiss_all(
    State(app): State<App>,
    caller: Caller,
    body: Received<DismissFields>,
) -> Result<Json<DismissedAlerts>, Problem> {
    let fields = body.value;
    one_of("severity", fields.severity.as_deref(), SEVERITIES)?;
    one_of("scope", fields.scope.as_deref(), SCOPES)?;
    if !fields.all && !fields.names_some() {
        return Err(Problem::field(
            "all",
            "required",
            "true, or which alerts: severity, scope, mailbox_id and the like",
        ));
    }
    let filter = Filter {
        severity: fields.severity.as_deref(),
        scope: fields.scope.as_deref(),
        profile: fields.profile_id.map(ProfileId),
        mailbox: fields.mailbox_id.map(MailboxId),
        email: fields.email_id.map(EmailId),
        open: Some(true),
        shown_levels: shown_levels(&caller, fields.switched_off)?,
        reader: caller.user,
    };
    again(|| async {
        let mut tx = app.store.begin().await?;
        let done = alerts::wall::dismiss_all(&mut tx, &filter, &caller.actor()).await?;
        tx.commit().await?;
        Ok(Json(DismissedAlerts { dismissed: done.count, more: done.more }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M8: whatever a text is made of is shown to operators, who see no content in it.
    #[test]
    fn m8_texts_are_whole_for_operators() {
        for parameter in catalogue::PARAMETERS {
            assert!(STATES.contains(&parameter.name), "{}", parameter.name);
        }
    }
}
