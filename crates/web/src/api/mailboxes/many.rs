//! One action on many mailboxes: each by itself, with a result of its own.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::{MailboxId, OperationId, ProfileId};
use lockstep_store::{
    Tx, audit,
    mailboxes::{self, Filter, MailboxRecord, status},
    nudge, organisations,
    profiles::{self, SecretChange},
    rights::Privilege,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{actions, check, missing, view::MailboxFields};
use crate::{
    again::again,
    auth::Caller,
    extract::Received,
    json::clip,
    merge::Patch,
    page::{Limit, MAX_LIMIT},
    problem::Problem,
    state::App,
    validate::Check,
    wall,
    words::{IncomingMethod, Method},
};

/// What is done with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Its address is approved.
    Approve,
    /// Its address is rejected.
    Reject,
    /// It is tested, and what works is enabled.
    TestAndEnable,
    /// It gets the default profile and the organisation's default methods, and is tested unless `test` is false.
    ApplyDefaults,
    /// It gets the members of `changes`.
    Edit,
    /// It is made inactive, where a permanent error has stopped it (state `disabled`).
    DeactivateFailing,
}

/// An action, and the mailboxes it is for: those named, or those of a profile, 200 at a time. `deactivate-failing` is for
/// those among them that a permanent error has stopped, and without names or profile for all such.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManyFields {
    action: Action,
    /// At most 200.
    #[serde(default)]
    mailbox_ids: Vec<Uuid>,
    /// Instead of `mailbox_ids`: the mailboxes of this profile.
    profile_id: Option<Uuid>,
    /// Without `mailbox_ids`: the `next` of the answer before.
    after: Option<Uuid>,
    /// With `deactivate-failing`, without `mailbox_ids`: only those from which nothing was read at this instant or later.
    idle_since: Option<DateTime<Utc>>,
    /// With `edit`: a merge patch of `profile_id`, `incoming_method`, `outgoing_method` and `act_method`. Nothing is tested.
    #[schema(value_type = Option<Object>)]
    changes: Option<Patch>,
    /// With `apply-defaults`: whether each is tested afterwards. Default: true.
    #[serde(default = "yes")]
    test: bool,
}

fn yes() -> bool {
    true
}

/// What became of the action for one mailbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyResult {
    mailbox_id: Uuid,
    /// `done` or `refused`.
    outcome: &'static str,
    /// The operation that tests it, to be asked for at /operations/{id}.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<Uuid>,
    /// Why it was refused, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What became of the action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyResults {
    /// In the order of the request, or of the mailboxes' making.
    results: Vec<ManyResult>,
    /// Give this as `after` to go on with the profile's mailboxes; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// Does one thing with many mailboxes. Each succeeds or is refused by itself; asking again does no harm.
#[utoipa::path(post, path = "/mailboxes/actions", tag = "mailboxes", request_body = ManyFields,
    responses((status = 200, description = "What became of each", body = ManyResults)))]
pub(crate) async fn act(
    State(app): State<App>,
    caller: Caller,
    body: Received<ManyFields>,
) -> Result<Response, Problem> {
    let fields = body.value;
    if caller.user.is_some() {
        approving(&app, &caller, &fields).await?;
    }
    check_changes(&fields)?;
    let (ids, next) = chosen(&app, &fields).await?;
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        let done = again(|| one(&app, &caller, MailboxId(id), &fields)).await;
        results.push(match done {
            Ok(operation) => ManyResult {
                mailbox_id: id,
                outcome: "done",
                operation_id: operation.map(|operation| operation.0),
                detail: None,
            },
            Err(problem) if problem.is_internal() => return Err(problem),
            Err(problem) => ManyResult {
                mailbox_id: id,
                outcome: "refused",
                operation_id: None,
                detail: Some(problem.detail().to_owned()),
            },
        });
    }
    Ok(Json(ManyResults { results, next }).into_response())
}

/// What many mailboxes can have in common.
const EDITABLE: [&str; 4] = ["profile_id", "incoming_method", "outgoing_method", "act_method"];

/// `changes` belongs to `edit`, and holds something that many can have in common.
fn check_changes(fields: &ManyFields) -> Result<(), Problem> {
    let mut check = Check::default();
    match (&fields.changes, fields.action) {
        (Some(changes), Action::Edit) => {
            for name in changes.members().iter().filter(|name| !EDITABLE.contains(&name.as_str())) {
                check.refuse(
                    &format!("changes.{}", clip(name, 64)),
                    "unknown",
                    format!("one of {}", EDITABLE.join(", ")),
                );
            }
            if changes.members().is_empty() {
                check.refuse("changes", "required", format!("one or more of {}", EDITABLE.join(", ")));
            }
        }
        (None, Action::Edit) => check.refuse("changes", "required", format!("one or more of {}", EDITABLE.join(", "))),
        (Some(_), _) => check.refuse("changes", "one-of", "only with the action edit"),
        (None, _) => {}
    }
    check.finish()
}

/// Users approve and reject, if they may, mailboxes that they name.
async fn approving(app: &App, caller: &Caller, fields: &ManyFields) -> Result<(), Problem> {
    if !matches!(fields.action, Action::Approve | Action::Reject) {
        return Err(Problem::forbidden_fields(["action"], "approve or reject"));
    }
    if fields.profile_id.is_some() {
        return Err(Problem::forbidden_fields(["profile_id"], "mailbox_ids instead"));
    }
    wall::organisation(&mut app.store.begin().await?, caller, Privilege::ApproveEmailAddresses).await
}

/// The mailboxes that are meant, each once, and where to go on.
async fn chosen(app: &App, fields: &ManyFields) -> Result<(Vec<Uuid>, Option<Uuid>), Problem> {
    let most = usize::from(MAX_LIMIT);
    if fields.idle_since.is_some() && (fields.action != Action::DeactivateFailing || !fields.mailbox_ids.is_empty()) {
        return Err(Problem::field("idle_since", "one-of", "only with deactivate-failing and without mailbox_ids"));
    }
    match (fields.profile_id, fields.mailbox_ids.as_slice()) {
        (None, []) if fields.action != Action::DeactivateFailing => {
            Err(Problem::field("mailbox_ids", "required", "1 to 200 ids of mailboxes, or profile_id instead"))
        }
        (Some(_), [_, ..]) => Err(Problem::field("mailbox_ids", "one-of", "either mailbox_ids or profile_id")),
        (None, named @ [_, ..]) if named.len() > most => {
            Err(Problem::field("mailbox_ids", "length", format!("at most {most} ids")))
        }
        (None, [_, ..]) if fields.after.is_some() => Err(Problem::field("after", "one-of", "only without mailbox_ids")),
        (None, named @ [_, ..]) => {
            let mut ids: Vec<Uuid> = Vec::with_capacity(named.len());
            for id in named {
                if !ids.contains(id) {
                    ids.push(*id);
                }
            }
            Ok((ids, None))
        }
        (profile, []) => {
            let mut tx = app.store.begin().await?;
            let profile = profile.map(ProfileId);
            if let Some(profile) = profile
                && profiles::get(&mut tx, profile).await?.is_none()
            {
                return Err(Problem::field("profile_id", "exists", "the id of an email server profile that exists"));
            }
            let limit = Limit::of(Some(MAX_LIMIT));
            let state = (fields.action == Action::DeactivateFailing).then_some(STOPPED);
            let filter = Filter { profile, state, idle_since: fields.idle_since, ..Filter::default() };
            let rows = status::list(&mut tx, &filter, fields.after, limit.rows()).await?;
            let next = rows.get(most - 1).filter(|_| rows.len() > most).map(|last| last.mailbox.id);
            Ok((rows.into_iter().take(most).map(|status| status.mailbox.id).collect(), next))
        }
    }
}

async fn one(app: &App, caller: &Caller, id: MailboxId, fields: &ManyFields) -> Result<Option<OperationId>, Problem> {
    let mut tx = app.store.begin().await?;
    let operation = match fields.action {
        Action::Approve | Action::Reject => {
            actions::decide(&mut tx, caller, id, None, fields.action == Action::Approve).await?;
            None
        }
        Action::TestAndEnable => Some(actions::ask_for_test(&mut tx, caller, id).await?),
        Action::Edit => {
            edit(app, &mut tx, caller, id, fields).await?;
            None
        }
        Action::DeactivateFailing => {
            deactivate(&mut tx, caller, id).await?;
            None
        }
        Action::ApplyDefaults => {
            apply_defaults(app, &mut tx, caller, id).await?;
            if fields.test { Some(actions::ask_for_test(&mut tx, caller, id).await?) } else { None }
        }
    };
    nudge(&mut tx).await?;
    tx.commit().await?;
    Ok(operation)
}

/// The state of a mailbox that a permanent error has stopped.
const STOPPED: &str = "disabled";

/// Makes a mailbox inactive that a permanent error has stopped (M9).
async fn deactivate(tx: &mut Tx, caller: &Caller, id: MailboxId) -> Result<(), Problem> {
    let mailbox = mailboxes::lock(tx, id, None).await?.ok_or_else(missing)?;
    if !mailbox.active {
        return Ok(());
    }
    let state = status::get(tx, id).await?.ok_or_else(missing)?.state;
    if state != STOPPED {
        let detail = format!("No permanent error has stopped the mailbox; it is {state}. PATCH its active to false.");
        return Err(Problem::conflict("not-stopped", detail));
    }
    let mailbox = MailboxRecord { active: false, ..mailbox };
    mailboxes::save(tx, &mailbox, &SecretChange::Keep, &["active"], &caller.actor()).await?;
    audit::note(tx, &caller.actor(), "deactivated", "mailbox", Some(id.0), json!({ "state": state })).await?;
    Ok(())
}

/// Changes what the request changes in each (C18).
async fn edit(app: &App, tx: &mut Tx, caller: &Caller, id: MailboxId, asked: &ManyFields) -> Result<(), Problem> {
    let Some(changes) = &asked.changes else { return Ok(()) };
    let before = mailboxes::lock(tx, id, None).await?.ok_or_else(missing)?;
    let (fields, changed) = changes.apply(&MailboxFields::from(&before))?.split();
    if changed.names().is_empty() {
        return Ok(());
    }
    let (had_login, had_password) = (before.login.is_some(), before.password_set);
    let (mailbox, secret) = check::mailbox(app, tx, fields, before).await?;
    let mut changed = changed.names();
    changed.extend(check::dropped(had_login, had_password, &mailbox));
    mailboxes::save(tx, &mailbox, &secret, &changed, &caller.actor()).await?;
    Ok(())
}

/// Gives a mailbox the default profile, where there is one, and the organisation's default methods.
async fn apply_defaults(app: &App, tx: &mut Tx, caller: &Caller, id: MailboxId) -> Result<(), Problem> {
    let organisation = organisations::get(tx).await?.ok_or_else(Problem::internal)?;
    let default = profiles::default(tx).await?;
    let before = mailboxes::lock(tx, id, None).await?.ok_or_else(missing)?;
    let mut fields = MailboxFields::from(&before);
    fields.profile_id = default.map(|profile| profile.0).or(fields.profile_id);
    // A forward mailbox has methods of its own.
    if !before.is_forward_mailbox {
        fields.incoming_method = IncomingMethod::of(&organisation.default_incoming);
        fields.outgoing_method = Method::of(&organisation.default_outgoing);
    }
    let mut changed = Vec::new();
    if fields.profile_id != before.profile_id {
        changed.push("profile_id");
    }
    if fields.incoming_method.as_str() != before.incoming_method {
        changed.push("incoming_method");
    }
    if fields.outgoing_method.as_str() != before.outgoing_method {
        changed.push("outgoing_method");
    }
    if changed.is_empty() {
        return Ok(());
    }
    let (mailbox, secret) = check::mailbox(app, tx, fields, before).await?;
    mailboxes::save(tx, &mailbox, &secret, &changed, &caller.actor()).await?;
    Ok(())
}
