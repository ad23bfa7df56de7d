//! What people are told while an email waits, and when nobody knows what became of it.

use lockstep_engine::retry;
use lockstep_model::fault::{Fault, FaultScope};
use lockstep_store::{
    Result, Tx,
    alerts::{self, Part, Severity, Subject},
    deliveries, settings,
};
use serde_json::json;

use crate::Context;

/// Faults for which an email waits that somebody should hear of before the last attempt has failed.
const WAITS_FOR: &[&str] =
    &["ErrorSubmissionQuotaExceeded", "RecipientMailboxFull", "ServerStorageFull", "RefusedByPolicy"];

/// Tells why an email waits: for a quota or a rule of the server it is an alert of the email. What stops the account is told
/// of its mailbox, and what stops the server of its profile, both by [`super::health`]; of a fault of our own that keeps from
/// the server nobody else tells.
pub(crate) async fn waits(tx: &mut Tx, subject: Subject<'_>, fault: &Fault) -> Result<()> {
    let Subject::Email(_, mailbox) = subject else { return Ok(()) };
    let subject = match fault.scope {
        FaultScope::Profile if fault.local => Subject::Part(mailbox, Part::Outgoing),
        _ if WAITS_FOR.contains(&fault.code.as_str()) => subject,
        _ => return Ok(()),
    };
    alerts::raise(tx, &fault.code, Severity::Warning, subject, json!({ "message": fault.message })).await
}

/// Ends what [`waits`] has told of an email.
pub(crate) async fn waits_no_longer(tx: &mut Tx, subject: Subject<'_>) -> Result<()> {
    for code in WAITS_FOR {
        alerts::resolve(tx, code, subject).await?;
    }
    Ok(())
}

/// An email whose outcome was lost: it is sent again where its profile says so, else a person is asked. `number` is the
/// attempt's among those that count.
pub(crate) async fn unknown(
    tx: &mut Tx,
    context: &Context,
    number: u32,
    subject: Subject<'_>,
    fault: &Fault,
) -> Result<()> {
    let Subject::Email(email, _) = subject else { return Ok(()) };
    let max_attempts = settings::read(tx).await?.max_delivery_attempts();
    let schedule = context.config.send_schedule(max_attempts);
    let wait = retry::backoff(number, &schedule, rand::random());
    if let Some(wait) = wait
        && deliveries::resend_unknown(tx, email, max_attempts, context.scale.apply(wait)).await?
    {
        return Ok(());
    }
    let parameters = json!({ "cause": fault.code, "message": fault.message });
    alerts::raise(tx, "OutcomeUnknown", Severity::Error, subject, parameters).await
}
