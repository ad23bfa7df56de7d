//! What is done with an outgoing email: it is sent, called off, or its lost outcome is decided.

use axum::{Json, extract::State, response::Response};
use lockstep_engine::token;
use lockstep_model::{
    address::AddressKey,
    email::{DeliveryState, EmailStatus},
    id::{EmailId, MailboxId, UserId},
    mailbox::Owner,
};
use lockstep_store::{
    Tx, deliveries,
    emails::{
        self, EmailRecord, Party, refused,
        sending::{self, Heading},
    },
    incoming, nudge,
    organisations::Organisation,
    restores,
    rights::{Kind, Privilege},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{check, drafts::locked, email_view, missing, view::Email};
use crate::{
    again::again,
    api::PREFIX,
    auth::Caller,
    extract::{Id, IfMatch, NoBody, Received},
    idempotent::{self, Begun, Reply, tagged},
    problem::Problem,
    state::App,
    validate::Check,
    wall,
};

/// Puts a draft, or an email that failed, into Pending Send. It leaves that when the sender's mailbox is active,
/// approved, tested and enabled.
#[utoipa::path(post, path = "/emails/{id}/send", tag = "emails",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "The email, waiting to be sent", body = Email)))]
pub(crate) async fn send(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    NoBody(key): NoBody,
) -> Result<Reply, Problem> {
    let id = EmailId(id);
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, key.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        deliveries::lock(tx, id).await?;
        let email = locked(tx, &caller, id, Privilege::Write, expected).await?;
        let status = status_of(&email)?;
        if email.direction != "outgoing"
            || !status.may_become(EmailStatus::PendingSend)
            || status == EmailStatus::Sending
        {
            return Err(Problem::conflict(
                "not-sendable",
                format!("Only drafts and failed emails can be sent; this one is {}.", email.status),
            ));
        }
        let Some(mailbox) = email.from_mailbox_id.map(MailboxId) else {
            return Err(Problem::conflict(
                "no-mailbox",
                "The sender has no mailbox any more: PATCH from of the draft.",
            ));
        };
        let limits = check::organisation(tx).await?;
        // Base64 and headers make a message about a third larger than what it holds.
        if email.size_bytes.saturating_mul(7) / 5 > limits.max_message_bytes {
            let detail =
                format!("The message would be larger than {} bytes (max_message_bytes).", limits.max_message_bytes);
            return Err(Problem::conflict("message-too-large", detail));
        }
        let acting = caller.user.or(email.sender_user_id.map(UserId));
        let mut sender = None;
        if let Some(author) = check::author(&check::writable(tx, &email).await?.from) {
            sender = acting.filter(|acting| author != Owner::User(*acting));
            if let Some(acting) = sender {
                wall::user_sends_as(tx, acting, author).await?;
            }
        }
        let parties = emails::parties(tx, id, None).await?;
        let (domain, recipients) = envelope(&parties)?;
        if !limits.allow_unresolved_recipients {
            all_resolved(tx, &parties).await?;
        }
        let (subject, token) = heading(tx, &email, mailbox, &limits).await?;
        let heading = Heading { sender_domain: &domain, subject: &subject, token: token.as_deref(), sender };
        let requested = sending::request(tx, &email, mailbox, &heading, &recipients, &caller.actor()).await?;
        if requested.is_none() {
            return Err(Problem::conflict("all-accepted", "Every recipient has accepted this email already."));
        }
        nudge(tx).await?;
        let email = email_view(tx, &caller, id).await?;
        once.finish(Reply::accepted(format!("{PREFIX}/emails/{id}"), &email)).await
    })
    .await
}

/// The subject as it is sent, and the token it ends with. An email that was sent with one before keeps it.
async fn heading(
    tx: &mut Tx,
    email: &EmailRecord,
    mailbox: MailboxId,
    organisation: &Organisation,
) -> Result<(String, Option<String>), Problem> {
    let shape = token::Shape {
        prefix: organisation.token_prefix.clone(),
        base: organisation.token_base.unsigned_abs(),
        user_digits: u8::try_from(organisation.token_user_digits).unwrap_or(u8::MAX),
        counter_digits: u8::try_from(organisation.token_counter_digits).unwrap_or(u8::MAX),
    };
    let token = match &email.tracking_token {
        Some(kept) => Some(token::Token::kept(kept)),
        None if organisation.use_tracking_tokens => {
            let (user, message) = sending::next_token(tx, mailbox).await?;
            Some(shape.token(user, message))
        }
        None => None,
    };
    let Some(token) = token else { return Ok((email.subject.clone(), None)) };
    let bare = token::without(&email.subject, &shape);
    Ok((token::append(&bare, &token, token::MAX_SUBJECT), Some(token.as_str().to_owned())))
}

/// The sender's domain, and each address once. Addresses that cannot be sent to are named, all of them.
fn envelope(parties: &[Party]) -> Result<(String, Vec<String>), Problem> {
    let mut check = Check::default();
    let mut domain = None;
    let mut seen: Vec<AddressKey> = Vec::new();
    let mut recipients = Vec::new();
    let mut counts = [("to", 0_usize), ("cc", 0), ("bcc", 0)];
    for party in parties {
        let key = check::key(&party.address);
        if party.role == "from" {
            domain = key.map(|key| key.domain().to_owned());
            continue;
        }
        let Some((list, count)) = counts.iter_mut().find(|(list, _)| *list == party.role) else { continue };
        let place = format!("{list}.{count}.address");
        *count += 1;
        let Some(key) = key else {
            check.refuse(&place, "address", format!("an email address; {:?} is none", party.address));
            continue;
        };
        if !seen.contains(&key) {
            seen.push(key);
            recipients.push(party.address.trim().to_owned());
        }
    }
    if counts.iter().all(|(_, count)| *count == 0) {
        check.refuse("to", "required", "at least one recipient in to, cc or bcc");
    }
    if domain.is_none() {
        check.refuse("from", "address", "a sender whose mailbox has an email address");
    }
    check.finish()?;
    Ok((domain.unwrap_or_default(), recipients))
}

/// Whether every recipient belongs to a record, as the organisation asks; those that do not are named.
async fn all_resolved(tx: &mut Tx, parties: &[Party]) -> Result<(), Problem> {
    let keys: Vec<_> = parties.iter().filter_map(|party| party.address_key.clone()).collect();
    let known = incoming::addressees(tx, &keys).await?;
    let mut check = Check::default();
    let mut counts = [("to", 0_usize), ("cc", 0), ("bcc", 0)];
    for party in parties {
        let Some((list, count)) = counts.iter_mut().find(|(list, _)| *list == party.role) else { continue };
        let place = format!("{list}.{count}.address");
        *count += 1;
        if !known.iter().any(|record| Some(&record.address_key) == party.address_key.as_ref()) {
            let remedy = format!(
                "an address that belongs to a record; {:?} belongs to none, and the organisation does not allow that \
                 (allow_unresolved_recipients)",
                party.address
            );
            check.refuse(&place, "unresolved", remedy);
        }
    }
    check.finish()
}

/// Makes a draft of an email that was sent, with its files, to those of its recipients who were refused, and to nobody
/// else. It is corrected and sent like any draft.
#[utoipa::path(post, path = "/emails/{id}/copy-to-refused", tag = "emails",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The new draft", body = Email)))]
pub(crate) async fn copy_to_refused(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    NoBody(key): NoBody,
) -> Result<Reply, Problem> {
    let id = EmailId(id);
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, key.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        let email = locked(tx, &caller, id, Privilege::Write, expected).await?;
        let Some(draft) = refused::copy(tx, id, &caller.actor()).await? else {
            let detail = format!(
                "Only an email that was sent, and that some recipients were refused for, is copied to them; this one is \
                 {}. One that failed is sent again as it is.",
                email.status
            );
            return Err(Problem::conflict("none-refused", detail));
        };
        // The draft has the owner of the email: making it is a privilege of its own.
        wall::writing(tx, &caller, Kind::Email, draft.0, Privilege::Create).await?;
        let view = email_view(tx, &caller, draft).await?;
        once.finish(Reply::created(format!("{PREFIX}/emails/{draft}"), view.version(), &view)).await
    })
    .await
}

/// Calls an email off. One that is being sent at this moment cannot be.
#[utoipa::path(post, path = "/emails/{id}/cancel", tag = "emails",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The email, called off", body = Email)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
) -> Result<Response, Problem> {
    let id = EmailId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        deliveries::lock(&mut tx, id).await?;
        let email = locked(&mut tx, &caller, id, Privilege::Write, expected).await?;
        if email.direction != "outgoing" || !status_of(&email)?.may_become(EmailStatus::Canceled) {
            let detail = format!("Drafts, waiting and failed emails can be called off; this one is {}.", email.status);
            return Err(Problem::conflict("not-cancelable", detail));
        }
        sending::cancel(&mut tx, id, &caller.actor()).await?;
        let email = email_view(&mut tx, &caller, id).await?;
        tx.commit().await?;
        Ok(tagged(email.version(), email))
    })
    .await
}

/// What became of it.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decision {
    /// It was sent.
    Sent,
    /// It was not, and is to be sent again.
    SendAgain,
    /// It was not, and is not to be.
    Failed,
}

impl From<Decision> for sending::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Sent => Self::Sent,
            Decision::SendAgain => Self::SendAgain,
            Decision::Failed => Self::Failed,
        }
    }
}

/// What a person knows of an attempt whose outcome was lost.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveDelivery {
    decision: Decision,
}

/// Decides what became of an email when the connection was lost after it was handed over.
#[utoipa::path(post, path = "/emails/{id}/resolve-delivery", tag = "emails", request_body = ResolveDelivery,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The email as it is now", body = Email)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<ResolveDelivery>,
) -> Result<Response, Problem> {
    let id = EmailId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        let delivery = deliveries::lock(&mut tx, id).await?;
        emails::lock(&mut tx, id, expected).await?.ok_or_else(missing)?;
        let Some(delivery) = delivery.filter(|delivery| delivery.state == DeliveryState::Unknown) else {
            return Err(Problem::conflict(
                "outcome-known",
                "There is nothing to decide: the outcome of this email is known.",
            ));
        };
        sending::resolve(&mut tx, id, delivery.mailbox, body.value.decision.into(), &caller.actor()).await?;
        nudge(&mut tx).await?;
        let email = email_view(&mut tx, &caller, id).await?;
        tx.commit().await?;
        Ok(tagged(email.version(), email))
    })
    .await
}

/// One decision for the emails that a restored backup has left open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveRestored {
    decision: Decision,
    /// Only those of this mailbox.
    mailbox_id: Option<Uuid>,
}

/// For how many it was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResolvedRestored {
    resolved: u64,
    /// 200 are decided on at once, and there are more: ask again.
    more: bool,
}

/// Decides what became of emails that were waiting or on their way in a backup that was restored, 200 at a time. Other
/// emails whose outcome was lost are not touched.
#[utoipa::path(post, path = "/emails/resolve-restored", tag = "emails", request_body = ResolveRestored,
    responses((status = 200, description = "How many there were", body = ResolvedRestored)))]
pub(crate) async fn resolve_restored(
    State(app): State<App>,
    caller: Caller,
    body: Received<ResolveRestored>,
) -> Result<Json<ResolvedRestored>, Problem> {
    let (decision, mailbox) = (body.value.decision, body.value.mailbox_id.map(MailboxId));
    again(|| async {
        let mut tx = app.store.begin().await?;
        let decided = restores::decide(&mut tx, decision.into(), mailbox, &caller.actor()).await?;
        nudge(&mut tx).await?;
        tx.commit().await?;
        Ok(Json(ResolvedRestored { resolved: decided.emails, more: decided.more }))
    })
    .await
}

fn status_of(email: &EmailRecord) -> Result<EmailStatus, Problem> {
    email.status.parse().map_err(|_| Problem::internal())
}
