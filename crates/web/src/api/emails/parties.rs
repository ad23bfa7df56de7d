//! A person says which record a party of an email is, where its address belongs to none or to several.

use axum::{extract::State, response::Response};
use lockstep_model::{email::PartyKind, id::EmailId};
use lockstep_store::{
    emails::parties,
    rights::{self, Kind, Privilege},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Shown, check, drafts::locked, email_view, view::Email};
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, IfMatch, Received},
    idempotent::tagged,
    problem::Problem,
    state::App,
    wall,
};

/// The record a party is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveParty {
    /// `user`, `queue`, `contact`, `account` or `lead`.
    record_kind: String,
    record_id: Uuid,
}

/// The email as it is now, and what was resolved along.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResolvedParty {
    #[schema(value_type = Email)]
    email: Shown,
    /// Other emails on which the same address was resolved along.
    others: u64,
    /// There are more of them: ask for the same again.
    more: bool,
}

/// Says which record a party of an email is; `position` counts `parties` from 0. Where the organisation wants it
/// (unresolve_multiple_recipients and resolve_all_alike), the same address on other emails is resolved along, 500 emails
/// at a time. Users need to write the email and to read the record; other emails are resolved along where they may write
/// all.
#[utoipa::path(post, path = "/emails/{id}/parties/{position}/resolve", tag = "emails", request_body = ResolveParty,
    params(("id" = Uuid, Path), ("position" = i32, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The email as it is now", body = ResolvedParty)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    caller: Caller,
    Id((id, position)): Id<(Uuid, i32)>,
    IfMatch(expected): IfMatch,
    body: Received<ResolveParty>,
) -> Result<Response, Problem> {
    let id = EmailId(id);
    let wanted = body.value;
    let kind = wanted.record_kind.parse::<PartyKind>().ok().filter(|kind| *kind != PartyKind::Other);
    let kind =
        kind.ok_or_else(|| Problem::field("record_kind", "choice", "one of: user, queue, contact, account, lead"))?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        let email = locked(&mut tx, &caller, id, Privilege::Write, expected).await?;
        wall::fields(&mut tx, &caller, Kind::Email, &["parties".to_owned()]).await?;
        if email.status == "draft" {
            let detail = "The parties of a draft are looked up when it is sent: PATCH its recipients.";
            return Err(Problem::conflict("draft", detail));
        }
        // To a user, what may not be read is not there.
        let readable = match Kind::of(kind.as_str()) {
            Some(kind) => wall::readable(&mut tx, &caller, kind, wanted.record_id).await?,
            None => caller.user.is_none(),
        };
        if !readable || !parties::record_exists(&mut tx, kind, wanted.record_id).await? {
            return Err(Problem::field("record_id", "exists", format!("the id of a {} that exists", kind.as_str())));
        }
        let organisation = check::organisation(&mut tx).await?;
        let mut alike = organisation.unresolve_multiple_recipients && organisation.resolve_all_alike;
        // Other emails are resolved along only by somebody who may write all of them.
        if let Some(user) = caller.user.filter(|_| alike) {
            alike = rights::may_all(&mut tx, user, Kind::Email, Privilege::Write).await?;
        }
        let record = (kind, wanted.record_id);
        let resolved = parties::resolve(&mut tx, id, position, record, alike, &caller.actor()).await?;
        let resolved = resolved.ok_or_else(|| Problem::not_found("party of this email at this position"))?;
        let email = email_view(&mut tx, &caller, id).await?;
        tx.commit().await?;
        let version = email.version();
        Ok(tagged(version, ResolvedParty { email, others: resolved.others, more: resolved.more }))
    })
    .await
}
