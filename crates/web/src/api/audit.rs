//! The audit: who did what, and when. Only administrators read it, and nobody writes it here.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use lockstep_store::audit::{self, Entry, Filter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    extract::Params,
    page::{Limit, Page},
    problem::Problem,
    state::App,
    validate::Check,
};

/// Longest part of an actor's name, in characters.
const MAX_ACTOR: usize = 200;

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    id: Uuid,
    done_at: DateTime<Utc>,
    /// Who: name and id of a key, and the user it stands for; or a program.
    actor: String,
    /// What, such as `created`, `updated`, `approved`, `tested`, `test-ended` or `taken-over`.
    action: String,
    /// Kind of the record it concerns, such as `mailbox`.
    record_kind: String,
    /// The record; absent where there is one of the kind only.
    record_id: Option<Uuid>,
    /// Names of fields and states, addresses that were decided on, settings from what to what. Never a secret, never an
    /// email's content.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            done_at: entry.done_at,
            actor: entry.actor,
            action: entry.action,
            record_kind: entry.object_kind,
            record_id: entry.object_id,
            detail: entry.detail,
        }
    }
}

/// Which actions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAudit {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
    /// Only those that concern this kind of record, such as `mailbox`. Another word than the audit has is refused, and the
    /// refusal lists them.
    record_kind: Option<String>,
    /// Only those that concern this record; needs record_kind.
    record_id: Option<Uuid>,
    /// Only those by whom this names: a part of a key's name, a key's id or a user's id, at most 200 characters.
    actor: Option<String>,
    /// Only this action, such as `approved`. Another word than the audit has is refused, and the refusal lists them.
    action: Option<String>,
    /// Only what was done at this instant or later.
    since: Option<DateTime<Utc>>,
    /// Only what was done before this instant.
    before: Option<DateTime<Utc>>,
}

/// Lists who did what, the newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(ListAudit),
    responses((status = 200, description = "A page of actions", body = Page<AuditEntry>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Params(query): Params<ListAudit>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let mut check = Check::default();
    let kind = query.record_kind.as_deref();
    let action = query.action.as_deref();
    for (field, word, words) in [("record_kind", kind, audit::RECORD_KINDS), ("action", action, audit::ACTIONS)] {
        if word.is_some_and(|word| !words.contains(&word)) {
            check.refuse(field, "choice", format!("one of: {}", words.join(", ")));
        }
    }
    let actor = query.actor.as_deref().map(|actor| check.line("actor", actor, MAX_ACTOR).to_lowercase());
    check.instant("since", query.since);
    check.instant("before", query.before);
    if query.record_id.is_some() && kind.is_none() {
        check.refuse("record_kind", "required", "the kind of the record that record_id names, such as mailbox");
    }
    check.finish()?;
    let filter = Filter {
        kind,
        record: query.record_id,
        actor: actor.as_deref(),
        action,
        since: query.since,
        before: query.before,
    };
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = audit::list(&mut tx, &filter, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |entry| entry.id, AuditEntry::from)))
}
