//! What is done with a mailbox: its address is approved or rejected, it is tested and enabled.

use axum::{extract::State, response::Response};
use lockstep_model::id::{MailboxId, OperationId};
use lockstep_store::{Tx, audit, mailboxes, nudge, operations};
use serde_json::json;

use super::{answer, missing, view::Mailbox};
use crate::{
    again::again,
    api::{PREFIX, operations::Operation},
    auth::Caller,
    extract::{Id, IfMatch, NoBody},
    idempotent::{self, Begun, Reply},
    problem::Problem,
    state::App,
};

/// The kind of the operation that tests a mailbox and enables what works.
const TEST_AND_ENABLE: &str = "test-and-enable-mailbox";

/// Approves the mailbox's address.
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

/// Rejects the mailbox's address: nothing is processed.
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
    answer(app, id).await
}

/// Approves or rejects an address. Deciding the same again changes nothing: the first approval's name and time stay.
pub(super) async fn decide(
    tx: &mut Tx,
    caller: &Caller,
    id: MailboxId,
    expected: Option<i64>,
    approved: bool,
) -> Result<(), Problem> {
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

/// Tests the mailbox's server and account, and enables what works. The work goes on after the answer; the operation
/// tells how it went.
#[utoipa::path(post, path = "/mailboxes/{id}/test-and-enable", tag = "mailboxes",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The operation, to be asked for at its Location", body = Operation)))]
pub(crate) async fn test_and_enable(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    NoBody(key): NoBody,
) -> Result<Reply, Problem> {
    let mut once = match idempotent::begin(&app, &caller, key).await? {
        Begun::Answered(reply) => return Ok(reply),
        Begun::New(once) => once,
    };
    let operation = ask_for_test(&mut once.tx, &caller, MailboxId(id)).await?;
    nudge(&mut once.tx).await?;
    let created = operations::get(&mut once.tx, operation).await?.ok_or_else(Problem::internal)?;
    once.finish(Reply::accepted(format!("{PREFIX}/operations/{operation}"), &Operation::from(created))).await
}

/// Asks for a test, where there is something to test. The caller nudges.
pub(super) async fn ask_for_test(tx: &mut Tx, caller: &Caller, id: MailboxId) -> Result<OperationId, Problem> {
    let mailbox = mailboxes::get(tx, id).await?.ok_or_else(missing)?;
    if mailbox.profile_id.is_none() {
        return Err(Problem::conflict("no-profile", "The mailbox has no profile: PATCH its profile_id first."));
    }
    if !mailbox.active {
        return Err(Problem::conflict("inactive", "The mailbox is inactive: PATCH active to true first."));
    }
    if [&mailbox.incoming_method, &mailbox.outgoing_method].iter().all(|method| method.as_str() == "none") {
        return Err(Problem::conflict(
            "no-method",
            "Neither direction of the mailbox is server-side: nothing to test.",
        ));
    }
    let arguments = json!({ "mailbox": id.0 });
    let operation = operations::create(tx, TEST_AND_ENABLE, &arguments, &caller.actor()).await?;
    audit::note(tx, &caller.actor(), "tested", "mailbox", Some(id.0), json!({ "operation": operation })).await?;
    Ok(operation)
}
