//! Mailboxes: what is processed for whom, and how it stands. They are made with their owners, but for forward mailboxes.

pub(crate) mod actions;
mod check;
mod figures;
pub(crate) mod forward;
pub(crate) mod items;
pub(crate) mod many;
pub(crate) mod takeover;
pub(crate) mod track;
mod view;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_engine::start_date;
use lockstep_model::id::{MailboxId, ProfileId};
use lockstep_store::{
    Tx, item_failures,
    mailboxes::{
        self, Filter, MailboxRecord,
        status::{self, STATES},
    },
    nudge,
    profiles::{self, SecretChange},
    rights::{Kind, Privilege},
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    alerts,
    holder::{Wanted, explain},
};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::tagged,
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    query::one_of,
    state::App,
    wall,
};
use view::{Mailbox, MailboxFields};

/// What users change of their own mailbox: the account, where it has one of its own.
const PERSONAL: &[&str] = &["allow_credentials", "login", "password"];

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
    /// true: only forward mailboxes; false: only others.
    forward: Option<bool>,
    /// Only those from which nothing was read at this instant or later.
    idle_since: Option<DateTime<Utc>>,
}

/// Lists mailboxes.
#[utoipa::path(get, path = "/mailboxes", tag = "mailboxes", params(ListMailboxes),
    responses((status = 200, description = "A page of mailboxes", body = Page<Mailbox>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListMailboxes>,
) -> Result<Response, Problem> {
    one_of("state", query.state.as_deref(), STATES)?;
    let limit = Limit::of(query.limit);
    let address = query.address.as_deref().map(|address| address.trim().to_lowercase());
    let filter = Filter {
        id: None,
        profile: query.profile.map(ProfileId),
        owner: query.owner,
        address: address.as_deref(),
        state: query.state.as_deref(),
        forward: query.forward,
        idle_since: query.idle_since,
        reader: caller.user,
    };
    let mut tx = app.store.begin().await?;
    let rows = status::list(&mut tx, &filter, query.after, limit.rows()).await?;
    let mut counts = alerts::counts(&mut tx, &caller, rows.iter().map(|status| status.mailbox.id)).await?;
    let mut page = Page::of(rows, limit, |status| status.mailbox.id, Mailbox::from);
    for mailbox in &mut page.items {
        mailbox.alerts = counts.remove(&mailbox.id).unwrap_or_default();
    }
    Ok(Json(page).into_response())
}

/// Reads a mailbox and how it stands.
#[utoipa::path(get, path = "/mailboxes/{id}", tag = "mailboxes", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mailbox", body = Mailbox)))]
pub(crate) async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    wall::reading(&mut app.store.begin().await?, &caller, Kind::Mailbox, id).await?;
    answer(&app, &caller, MailboxId(id)).await
}

/// Changes a mailbox. Another server or account has to be tested and enabled again; another address is written to its
/// owner and has to be approved again. Users change the account of their own mailbox: allow_credentials, login and
/// password; with allow_credentials false login and password are removed. With an earlier process_email_from everything in
/// the mailbox is judged again.
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
        wall::writing(&mut tx, &caller, Kind::Mailbox, id, Privilege::Write).await?;
        let before = mailboxes::lock(&mut tx, MailboxId(id), expected).await?.ok_or_else(missing)?;
        wall::only(&caller, &body.value, PERSONAL)?;
        let (profile, start) = (before.profile_id, before.process_email_from);
        let clears = body.value.clears("password") && before.password_set;
        let (fields, patched) = body.value.apply(&MailboxFields::from(&before))?.split();
        if clears && fields.allow_credentials {
            let remedy =
                "a password: its own account needs one (allow_credentials). Leave it out to keep the one there is";
            return Err(Problem::field("password", "required", remedy));
        }
        let mut changed = patched.names();
        if clears {
            changed.push("password");
        }
        if changed.is_empty() {
            drop(tx);
            return answer(&app, &caller, MailboxId(id)).await;
        }
        let (had_login, had_password) = (before.login.is_some(), before.password_set);
        let (mailbox, secret) = check::mailbox(&app, &mut tx, fields, before).await?;
        for name in check::dropped(had_login, had_password, &mailbox) {
            if !changed.contains(&name) {
                changed.push(name);
            }
        }
        let secret = if clears { SecretChange::Clear } else { secret };
        if let Err(error) = mailboxes::save(&mut tx, &mailbox, &secret, &changed, &caller.actor()).await {
            drop(tx);
            // Who has the account already is nothing for users.
            if caller.user.is_some() {
                return Err(error.into());
            }
            let login = mailbox.profile_id.map(ProfileId).zip(mailbox.login.as_deref());
            return Err(explain(&app, error, Wanted { address_key: Some(&mailbox.address_key), login }).await);
        }
        if mailbox.profile_id == profile {
            start_moved(&mut tx, &caller, &mailbox, start).await?;
        }
        nudge(&mut tx).await?;
        tx.commit().await?;
        answer(&app, &caller, MailboxId(id)).await
    })
    .await
}

/// Where email is processed from an earlier date on than before, everything in the mailbox is judged again.
async fn start_moved(
    tx: &mut Tx,
    caller: &Caller,
    mailbox: &MailboxRecord,
    before: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    let Some(profile) = mailbox.profile_id.map(ProfileId) else { return Ok(()) };
    let of_profile = profiles::get(tx, profile).await?.and_then(|profile| profile.process_emails_from);
    let effective = |own| start_date::effective(of_profile, own);
    if effective(mailbox.process_email_from) < effective(before) {
        item_failures::judge_again(tx, MailboxId(mailbox.id), items::EVERYTHING, &caller.actor()).await?;
    }
    Ok(())
}

/// The mailbox as it stands now.
async fn answer(app: &App, caller: &Caller, id: MailboxId) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let status = status::get(&mut tx, id).await?.ok_or_else(missing)?;
    let counts = alerts::counts(&mut tx, caller, std::iter::once(id.0)).await?.remove(&id.0);
    let mut mailbox = Mailbox::from(status);
    mailbox.alerts = counts.unwrap_or_default();
    Ok(tagged(mailbox.version, mailbox))
}

fn missing() -> Problem {
    Problem::not_found("mailbox")
}
