//! Erasing a person outside: what there is of them, and its removal.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use lockstep_store::{
    Tx, audit,
    erasure::{self, Counts},
    nudge, operations,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{PREFIX, operations::Operation};
use crate::{
    again::again,
    auth::Caller,
    extract::Received,
    idempotent::{self, Begun, Reply},
    problem::Problem,
    state::App,
    validate::Check,
};

/// Whom to look for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    /// Their email address.
    address: String,
}

/// Whom to erase, and how.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erasure {
    /// The person's email address. It may not be a user's or a queue's.
    address: String,
    /// What happens to emails from or to the person.
    emails: Emails,
}

/// What happens to emails from or to the person.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Emails {
    /// They are removed, with their texts and attachments.
    Delete,
    /// They stay; the person is taken out of the list of parties, and the raw form goes. Texts and subjects stay as they are.
    Anonymise,
}

impl From<Emails> for erasure::Emails {
    fn from(emails: Emails) -> Self {
        match emails {
            Emails::Delete => Self::Delete,
            Emails::Anonymise => Self::Anonymise,
        }
    }
}

/// How much there is of a person, place by place.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    /// Contacts, accounts and leads with the address.
    people: u64,
    /// Tasks, appointments and the like that it is on; they stay, without it.
    activities: u64,
    /// Synchronisation filters with the address, or a name of the person, in a condition or in their name. They stay: such
    /// a condition holds for no record from then on, or goes on without this value.
    filters: u64,
    /// Emails from or to it.
    emails: u64,
    /// Of these, emails that are being sent: they are left until they are sent.
    emails_being_sent: i64,
    /// Alerts that name it.
    alerts: u64,
    /// Answers kept for repeated requests that name it.
    answers: u64,
    /// Ended operations that name it.
    operations: u64,
    /// Messages that became no record, of which something was said that names it.
    item_details: u64,
    /// Values that gave way in synchronisation, and words about what could not be synchronised, that name it.
    kept_values: u64,
}

/// Looks for what there is of a person; nothing is changed.
#[utoipa::path(post, path = "/erasures/preview", tag = "erasures", request_body = Person,
    responses((status = 200, description = "How much there is, place by place", body = Found)))]
pub(crate) async fn preview(State(app): State<App>, body: Received<Person>) -> Result<Response, Problem> {
    let key = checked(&body.value.address)?;
    let mut tx = app.store.begin().await?;
    outside(&mut tx, &key).await?;
    let Counts { people, activities, filters, emails, alerts, answers, operations, item_details, kept_values } =
        erasure::count(&mut tx, &key).await?;
    let emails_being_sent = erasure::being_sent(&mut tx, &key).await?;
    let found = Found {
        people,
        activities,
        filters,
        emails,
        emails_being_sent,
        alerts,
        answers,
        operations,
        item_details,
        kept_values,
    };
    Ok(Json(found).into_response())
}

/// Erases a person. The work goes on after the answer; the operation tells how much was erased. This cannot be undone.
#[utoipa::path(post, path = "/erasures", tag = "erasures", request_body = Erasure,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The operation, to be asked for at its Location", body = Operation),
        (status = 409, description = "The address belongs to a user or a queue")))]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: Received<Erasure>) -> Result<Reply, Problem> {
    let key = checked(&body.value.address)?;
    let emails = erasure::Emails::from(body.value.emails);
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        outside(&mut once.tx, &key).await?;
        let arguments = json!({ "address_key": key, "emails": emails });
        let operation = operations::create(&mut once.tx, erasure::KIND, &arguments, &caller.actor()).await?;
        let detail = json!({ "operation": operation, "emails": emails });
        audit::note(&mut once.tx, &caller.actor(), "erasure-asked-for", "person", None, detail).await?;
        nudge(&mut once.tx).await?;
        let created = operations::get(&mut once.tx, operation).await?.ok_or_else(Problem::internal)?;
        once.finish(Reply::accepted(format!("{PREFIX}/operations/{operation}"), &Operation::from(created))).await
    })
    .await
}

fn checked(address: &str) -> Result<String, Problem> {
    let mut check = Check::default();
    let (_, key) = check.address("address", address);
    check.finish()?;
    Ok(key)
}

/// Refuses addresses of the organisation's own users and queues: their mailbox would go on with it.
async fn outside(tx: &mut Tx, key: &str) -> Result<(), Problem> {
    match erasure::holder(tx, key).await? {
        None => Ok(()),
        Some((kind, id)) => Err(Problem::conflict(
            "own-address",
            format!("The address belongs to the {kind} {id}. Give that {kind} another address first."),
        )),
    }
}
