//! Email server profiles: how mail servers are reached, and with whose account.

mod check;
mod view;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lockstep_model::id::ProfileId;
use lockstep_store::{nudge, profiles};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    PREFIX,
    holder::{Wanted, explain},
};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Params, Received},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
};
use view::{EmailServerProfile, ProfileFields};

pub(crate) use check::secret as check_secret;

/// Which profiles to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListProfiles {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// Lists profiles.
#[utoipa::path(get, path = "/email-server-profiles", tag = "email-server-profiles", params(ListProfiles),
    responses((status = 200, description = "A page of profiles", body = Page<EmailServerProfile>)))]
pub(crate) async fn list(State(app): State<App>, Params(query): Params<ListProfiles>) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = profiles::list(&mut tx, query.after, limit.rows()).await?;
    Ok(Json(Page::of(rows, limit, |profile| profile.id, EmailServerProfile::from)).into_response())
}

/// Makes a profile.
#[utoipa::path(post, path = "/email-server-profiles", tag = "email-server-profiles", request_body = ProfileFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new profile", body = EmailServerProfile)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Received<ProfileFields>,
) -> Result<Reply, Problem> {
    let (profile, secret) = check::profile(&app, body.value, None)?;
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let mut profile = profile.clone();
        (profile.version, profile.created_at, profile.updated_at) = (1, once.tx.now(), once.tx.now());
        if let Err(error) = profiles::create(&mut once.tx, &profile, &secret, &caller.actor()).await {
            drop(once);
            return Err(explain(&app, error, Wanted::default()).await);
        }
        let location = format!("{PREFIX}/email-server-profiles/{}", profile.id);
        once.finish(Reply::created(location, 1, &EmailServerProfile::from(profile))).await
    })
    .await
}

/// Reads a profile.
#[utoipa::path(get, path = "/email-server-profiles/{id}", tag = "email-server-profiles",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The profile", body = EmailServerProfile)))]
pub(crate) async fn read(State(app): State<App>, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let profile = profiles::get(&mut tx, ProfileId(id)).await?.ok_or_else(missing)?;
    Ok(tagged(profile.version, EmailServerProfile::from(profile)))
}

/// Changes a profile. Whoever is at work with the old settings stops at its next step.
#[utoipa::path(patch, path = "/email-server-profiles/{id}", tag = "email-server-profiles",
    request_body = ProfileFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The profile as it is now", body = EmailServerProfile)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = profiles::lock(&mut tx, ProfileId(id), expected).await?.ok_or_else(missing)?;
        let (fields, changed) = body.value.apply(&ProfileFields::from(&before))?.split();
        let (mut profile, secret) = check::profile(&app, fields, Some(before))?;
        if changed.names().is_empty() {
            return Ok(tagged(profile.version, EmailServerProfile::from(profile)));
        }
        match profiles::save(&mut tx, &profile, &secret, &changed.names(), &caller.actor()).await {
            Ok(version) => (profile.version, profile.updated_at) = (version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        }
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(tagged(profile.version, EmailServerProfile::from(profile)))
    })
    .await
}

/// Removes a profile that no mailbox uses.
#[utoipa::path(delete, path = "/email-server-profiles/{id}", tag = "email-server-profiles",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let profile = profiles::lock(&mut tx, ProfileId(id), expected).await?.ok_or_else(missing)?;
        let users = profiles::count_mailboxes(&mut tx, ProfileId(id)).await?;
        if users > 0 {
            let detail =
                format!("{users} mailboxes use this profile. Give them another one first: PATCH their profile_id.");
            return Err(Problem::conflict("in-use", detail).with("mailboxes", users.into()));
        }
        profiles::delete(&mut tx, &profile, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn missing() -> Problem {
    Problem::not_found("email server profile")
}
