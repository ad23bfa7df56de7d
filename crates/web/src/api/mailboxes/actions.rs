//! What is done with a mailbox: its address is approved or rejected, it is tested and enabled.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use lockstep_model::id::{MailboxId, OperationId, ProfileId};
use lockstep_store::{
    Tx,
    access::Role,
    audit, item_failures, links,
    mailbox_tests::waiting,
    mailboxes::{self, MailboxRecord},
    nudge, operations,
    profiles::{self, SecretChange},
    rights::{Kind, Privilege},
    schedules, settings,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{answer, items::EVERYTHING, missing, view::Mailbox};
use crate::{
    again::again,
    api::{PREFIX, operations::Operation},
    auth::Caller,
    extract::{Id, IfMatch, MaybeBody, Params},
    idempotent::{self, Begun, Reply, tagged},
    page::{Limit, Page},
    problem::Problem,
    state::App,
    validate::Check,
    wall,
};

/// Approves the mailbox's address. Users need the privilege approve-email-addresses, and are shown the address alone.
#[utoipa::path(post, path = "/mailboxes/{id}/approve", tag = "mailboxes",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<Response, Problem> {
    decided(&app, &caller, MailboxId(id), expected, true).await
}

/// Which waiting addresses to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAwaiting {
    /// Items in a page, at most 200.
    limit: Option<u16>,
    /// The next of the page before.
    after: Option<Uuid>,
}

/// An address that waits for approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AwaitingAddress {
    /// Its mailbox.
    id: Uuid,
    name: String,
    address: String,
    /// `pending`.
    address_status: String,
    /// The ETag of the mailbox without its quotes.
    version: i64,
}

/// Lists the addresses that wait for approval, where the organisation asks for it. Users need the privilege
/// approve-email-addresses.
#[utoipa::path(get, path = "/mailboxes/awaiting-approval", tag = "mailboxes", params(ListAwaiting),
    responses((status = 200, description = "A page of addresses", body = Page<AwaitingAddress>)))]
pub(crate) async fn awaiting_approval(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListAwaiting>,
) -> Result<Json<Page<AwaitingAddress>>, Problem> {
    let limit = Limit::of(query.limit);
    let mut tx = app.store.begin().await?;
    wall::organisation(&mut tx, &caller, Privilege::ApproveEmailAddresses).await?;
    let rows = mailboxes::awaiting_approval(&mut tx, query.after, limit.rows()).await?;
    let view = |row: mailboxes::Awaiting| AwaitingAddress {
        id: row.id,
        name: row.name,
        address: row.address,
        address_status: row.address_status,
        version: row.version,
    };
    Ok(Json(Page::of(rows, limit, |row| row.id, view)))
}

/// Rejects the mailbox's address: nothing is processed. Users need the privilege approve-email-addresses.
#[utoipa::path(post, path = "/mailboxes/{id}/reject", tag = "mailboxes",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn reject(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<Response, Problem> {
    decided(&app, &caller, MailboxId(id), expected, false).await
}

async fn decided(
    app: &App,
    caller: &Caller,
    id: MailboxId,
    expected: Option<i64>,
    approved: bool,
) -> Result<Response, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        decide(&mut tx, caller, id, expected, approved).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await?;
    if caller.user.is_none() {
        return answer(app, caller, id).await;
    }
    // Whoever approves addresses sees the address, and nothing else of the mailbox.
    let mut tx = app.store.begin().await?;
    let mailbox = mailboxes::get(&mut tx, id).await?.ok_or_else(missing)?;
    let shown = json!({
        "id": mailbox.id,
        "name": mailbox.name,
        "address": mailbox.address,
        "address_status": mailbox.address_status,
        "approved_by": mailbox.approved_by,
        "approved_at": mailbox.approved_at,
        "version": mailbox.version,
    });
    Ok(tagged(mailbox.version, shown))
}

/// Approves or rejects an address. Deciding the same again changes nothing: the first approval's name and time stay.
pub(super) async fn decide(
    tx: &mut Tx,
    caller: &Caller,
    id: MailboxId,
    expected: Option<i64>,
    approved: bool,
) -> Result<(), Problem> {
    wall::organisation(tx, caller, Privilege::ApproveEmailAddresses).await?;
    let mailbox = mailboxes::lock(tx, id, expected).await?.ok_or_else(missing)?;
    if mailbox.address_status == "empty" {
        return Err(Problem::conflict("no-address", "The mailbox has no address to decide on."));
    }
    let decided = if approved { "approved" } else { "rejected" };
    if mailbox.address_status != decided {
        mailboxes::decide(tx, &mailbox, approved, &caller.actor()).await?;
    }
    Ok(())
}

/// What a test may be asked for with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestFields {
    /// From now on mail received after this is processed, and everything in the mailbox is judged again, so that what was
    /// too old becomes a record, and what was a record and was deleted comes back. Administrators only.
    process_email_from: Option<DateTime<Utc>>,
    /// The mailbox's contacts, tasks and appointments are synchronised with this organisation from now on, even if the
    /// mailbox says that they are with another one, which then stops (alert `MailboxOfAnotherOrganization`).
    /// Administrators only. Default: false.
    #[serde(default)]
    take_over_items: bool,
}

/// Tests the mailbox's server and account, and enables what works. The work goes on after the answer; the operation
/// tells how it went. What fails for a reason that may pass is tried again for a while, the operation pending meanwhile,
/// with a result so far. A test that was asked for before and is not over is given up for this one.
#[utoipa::path(post, path = "/mailboxes/{id}/test-and-enable", tag = "mailboxes", request_body = Option<TestFields>,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The operation, to be asked for at its Location", body = Operation)))]
pub(crate) async fn test_and_enable(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    MaybeBody(body): MaybeBody<TestFields>,
) -> Result<Reply, Problem> {
    let TestFields { process_email_from: start, take_over_items } = body.value;
    if caller.role != Role::Administrator && (start.is_some() || take_over_items) {
        let detail = if start.is_some() {
            "Only an administrator sets the date from which email is processed."
        } else {
            "Only an administrator takes a mailbox over from another organisation."
        };
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail));
    }
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        if let Some(start) = start {
            begin_at(&mut once.tx, &caller, MailboxId(id), start).await?;
        }
        let operation = ask_for_test_and(&mut once.tx, &caller, MailboxId(id), take_over_items).await?;
        nudge(&mut once.tx).await?;
        let created = operations::get(&mut once.tx, operation).await?.ok_or_else(Problem::internal)?;
        once.finish(Reply::accepted(format!("{PREFIX}/operations/{operation}"), &Operation::from(created))).await
    })
    .await
}

/// From now on email is processed that was received after `start`, and everything in the mailbox is judged again.
async fn begin_at(tx: &mut Tx, caller: &Caller, id: MailboxId, start: DateTime<Utc>) -> Result<(), Problem> {
    let before = mailboxes::lock(tx, id, None).await?.ok_or_else(missing)?;
    let of_profile = match before.profile_id {
        Some(profile) => profiles::get(tx, ProfileId(profile)).await?.and_then(|profile| profile.process_emails_from),
        None => None,
    };
    let mut check = Check::default();
    check.instant("process_email_from", Some(start));
    let max_days = settings::read(tx).await?.process_since_max_days();
    check.start("process_email_from", start, of_profile, max_days, tx.now());
    check.finish()?;
    if before.process_email_from != Some(start) {
        let mailbox = MailboxRecord { process_email_from: Some(start), ..before };
        mailboxes::save(tx, &mailbox, &SecretChange::Keep, &["process_email_from"], &caller.actor()).await?;
    }
    item_failures::judge_again(tx, id, EVERYTHING, &caller.actor()).await?;
    Ok(())
}

/// Asks for a test, where there is something to test. The caller nudges.
pub(super) async fn ask_for_test(tx: &mut Tx, caller: &Caller, id: MailboxId) -> Result<OperationId, Problem> {
    ask_for_test_and(tx, caller, id, false).await
}

/// The same, and perhaps takes the mailbox over from another organisation.
async fn ask_for_test_and(
    tx: &mut Tx,
    caller: &Caller,
    id: MailboxId,
    take_over_items: bool,
) -> Result<OperationId, Problem> {
    wall::writing(tx, caller, Kind::Mailbox, id.0, Privilege::Write).await?;
    let mailbox = mailboxes::get(tx, id).await?.ok_or_else(missing)?;
    if mailbox.profile_id.is_none() {
        return Err(Problem::conflict("no-profile", "The mailbox has no profile: PATCH its profile_id first."));
    }
    if !mailbox.active {
        return Err(Problem::conflict("inactive", "The mailbox is inactive: PATCH active to true first."));
    }
    if [&mailbox.incoming_method, &mailbox.outgoing_method, &mailbox.act_method]
        .iter()
        .all(|method| method.as_str() != "server-side")
    {
        return Err(Problem::conflict("no-method", "No method of the mailbox is server-side: nothing to test."));
    }
    if take_over_items && mailbox.act_method != "server-side" {
        let remedy = "false, as act_method of the mailbox is none: no contacts, tasks or appointments are synchronised";
        return Err(Problem::field("take_over_items", "act-method", remedy));
    }
    let operation = waiting::ask_and(tx, id, take_over_items, &caller.actor()).await?.ok_or_else(missing)?;
    let mut detail = json!({ "operation": operation });
    if take_over_items {
        detail["take_over_items"] = json!(true);
    }
    audit::note(tx, &caller.actor(), "tested", "mailbox", Some(id.0), detail).await?;
    Ok(operation)
}

/// Agrees to deletions that wait because so many came at once (alert `DeletionsHeld`): those of the next hour are carried
/// out.
#[utoipa::path(post, path = "/mailboxes/{id}/agree-deletions", tag = "mailboxes", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn agree_deletions(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mailbox = MailboxId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        mailboxes::get(&mut tx, mailbox).await?.ok_or_else(missing)?;
        let waiting = links::held(&mut tx, mailbox).await?;
        if waiting == 0 {
            return Err(Problem::conflict("nothing-waits", "No deletion waits in this mailbox."));
        }
        links::agree_to_deletions(&mut tx, mailbox).await?;
        schedules::hasten(&mut tx, mailbox).await?;
        let detail = json!({ "items": waiting });
        audit::note(&mut tx, &caller.actor(), "deletions-agreed", "mailbox", Some(id), detail).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await?;
    answer(&app, &caller, mailbox).await
}

/// Has a mailbox looked at now instead of at its next turn. An extension, for diagnosis: users cannot ask for it, and
/// nothing is skipped for it. A profile's minimum polling interval, a server that wants to be left alone, a failing
/// server's pause and a run under way hold as ever; `due_at` of the lanes tells when it will be.
#[utoipa::path(post, path = "/mailboxes/{id}/sync-now", tag = "mailboxes", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mailbox as it is now", body = Mailbox)))]
pub(crate) async fn sync_now(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mailbox = MailboxId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        mailboxes::get(&mut tx, mailbox).await?.ok_or_else(missing)?;
        if schedules::hasten(&mut tx, mailbox).await? == 0 {
            return Err(Problem::conflict(
                "not-scheduled",
                "The mailbox is not read at present; GET /explanations/mailboxes/{id} tells why.",
            ));
        }
        audit::note(&mut tx, &caller.actor(), "hastened", "mailbox", Some(id), json!({})).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await?;
    answer(&app, &caller, mailbox).await
}
