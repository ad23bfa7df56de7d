//! Email server profiles: how mail servers are reached, and with whose account.

mod application;
mod check;
mod location;
mod view;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lockstep_model::id::{ProfileId, UserId};
use lockstep_store::{
    Tx, audit, nudge, operations,
    profiles::{self, ProfileRecord},
    settings, users,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    PREFIX, alerts,
    holder::{Wanted, explain},
    operations::Operation,
};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, NoBody, Params, Received},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    page::{Limit, Page},
    problem::Problem,
    state::App,
};
use check::Checked;
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
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListProfiles>,
) -> Result<Response, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    let rows = profiles::list(&mut tx, query.after, limit.rows()).await?;
    let mut counts = alerts::counts(&mut tx, &caller, rows.iter().map(|profile| profile.id)).await?;
    let mut page = Page::of(rows, limit, |profile| profile.id, EmailServerProfile::from);
    for profile in &mut page.items {
        profile.alerts = Some(counts.remove(&profile.id).unwrap_or_default());
    }
    Ok(Json(page).into_response())
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
    let max_days = settings::read(&mut app.store.begin().await?).await?.process_since_max_days();
    let Checked { profile, secret, outgoing_secret } = check::profile(&app, max_days, body.value, None)?;
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        owner_exists(&mut once.tx, &profile).await?;
        let mut profile = profile.clone();
        (profile.version, profile.created_at, profile.updated_at) = (1, once.tx.now(), once.tx.now());
        if let Err(error) =
            profiles::create(&mut once.tx, &profile, &secret, &body.given.names(), &caller.actor()).await
        {
            drop(once);
            return Err(explain(&app, error, Wanted::default()).await);
        }
        profiles::set_outgoing_secret(&mut once.tx, ProfileId(profile.id), &outgoing_secret).await?;
        let location = format!("{PREFIX}/email-server-profiles/{}", profile.id);
        once.finish(Reply::created(location, 1, &EmailServerProfile::from(profile))).await
    })
    .await
}

/// Reads a profile.
#[utoipa::path(get, path = "/email-server-profiles/{id}", tag = "email-server-profiles",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The profile", body = EmailServerProfile)))]
pub(crate) async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let profile = profiles::get(&mut tx, ProfileId(id)).await?.ok_or_else(missing)?;
    let counts = alerts::counts(&mut tx, &caller, std::iter::once(id)).await?.remove(&id);
    let version = profile.version;
    let mut shown = EmailServerProfile::from(profile);
    shown.alerts = Some(counts.unwrap_or_default());
    Ok(tagged(version, shown))
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
        let as_it_was = ProfileFields::from(&before);
        let (mut fields, changed) = body.value.apply(&as_it_was)?.split();
        check::follow(&app, &mut fields, &as_it_was, &body.value);
        check::cleared(&fields, &body.value)?;
        let max_days = settings::read(&mut tx).await?.process_since_max_days();
        let Checked { mut profile, secret, outgoing_secret } = check::profile(&app, max_days, fields, Some(before))?;
        if changed.names().is_empty() {
            return Ok(tagged(profile.version, EmailServerProfile::from(profile)));
        }
        owner_exists(&mut tx, &profile).await?;
        match profiles::save(&mut tx, &profile, &secret, &changed.names(), &caller.actor()).await {
            Ok(version) => (profile.version, profile.updated_at) = (version, tx.now()),
            Err(error) => {
                drop(tx);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        }
        profiles::set_outgoing_secret(&mut tx, ProfileId(id), &outgoing_secret).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(tagged(profile.version, EmailServerProfile::from(profile)))
    })
    .await
}

/// Looks at the profile's two servers, step by step, and logs in where the profile has the account. The work goes on
/// after the answer; the operation, and the profile's last_test, tell how it went.
#[utoipa::path(post, path = "/email-server-profiles/{id}/test-connection", tag = "email-server-profiles",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The operation, to be asked for at its Location", body = Operation)))]
pub(crate) async fn test_connection(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    NoBody(key): NoBody,
) -> Result<Reply, Problem> {
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, key.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        profiles::get(&mut once.tx, ProfileId(id)).await?.ok_or_else(missing)?;
        let arguments = json!({ "profile": id });
        let operation = operations::create(&mut once.tx, TEST_CONNECTION, &arguments, &caller.actor()).await?;
        audit::note(&mut once.tx, &caller.actor(), "test-requested", "email-server-profile", Some(id), json!({}))
            .await?;
        nudge(&mut once.tx).await?;
        let operation = operations::get(&mut once.tx, operation).await?.ok_or_else(Problem::internal)?;
        let location = format!("{PREFIX}/operations/{}", operation.id);
        once.finish(Reply::accepted(location, &Operation::from(operation))).await
    })
    .await
}

/// The kind of the operation that looks at a profile's servers.
const TEST_CONNECTION: &str = "test-profile-connection";

/// Whether there is the user who is to answer for a profile.
async fn owner_exists(tx: &mut Tx, profile: &ProfileRecord) -> Result<(), Problem> {
    let Some(owner) = profile.owner_user_id else { return Ok(()) };
    if users::get(tx, UserId(owner)).await?.is_some() {
        return Ok(());
    }
    Err(Problem::field("owner_user_id", "exists", "the id of a user that exists"))
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
            let which = if users == 1 { "1 mailbox uses".to_owned() } else { format!("{users} mailboxes use") };
            let detail = format!("{which} this profile. Give another one first: PATCH profile_id.");
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
