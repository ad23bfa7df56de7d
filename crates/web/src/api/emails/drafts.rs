//! Drafts: made, changed and removed.

use axum::{extract::State, http::StatusCode, response::Response};
use lockstep_model::{email::EmailStatus, id::EmailId};
use lockstep_store::{
    Tx,
    contents::Writer,
    emails::{
        self, EmailRecord,
        drafts::{self, NewAttachment},
    },
    rights::{Kind, Privilege},
};

use super::{
    check, email_view, missing,
    view::{Email, EmailFields},
};
use crate::{
    again::again,
    api::{
        PREFIX,
        holder::{Wanted, explain},
    },
    auth::Caller,
    extract::{Given, Id, IfMatch, Received, ReceivedEmail},
    idempotent::{self, Begun, Reply, tagged},
    merge::Patch,
    problem::Problem,
    state::App,
    upsert::{Origin, OriginPath, known, upsert},
    wall,
};

/// Makes a draft, with its files inside the request or uploaded later.
#[utoipa::path(post, path = "/emails", tag = "emails", request_body = EmailFields,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "The draft", body = Email)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    ReceivedEmail(body): ReceivedEmail<EmailFields>,
) -> Result<Reply, Problem> {
    let mut fields = body.value;
    let mut said = wall::said(&fields);
    if !fields.attachments.is_empty() {
        said.push("attachments".to_owned());
    }
    let mut tx = app.store.begin().await?;
    let limits = check::organisation(&mut tx).await?;
    drop(tx);
    // Contents are stored ahead: what no email comes to refer to is swept after a day.
    let mut files = Vec::new();
    for file in check::files(std::mem::take(&mut fields.attachments), &limits)? {
        let mut writer = Writer::new(&app.store);
        writer.write(&file.bytes).await?;
        let content = writer.finish().await?;
        files.push(NewAttachment { name: file.name, media_type: file.media_type, content });
    }
    again(|| async {
        let mut once = match idempotent::begin(&app, &caller, body.once.clone()).await? {
            Begun::Answered(reply) => return Ok(reply),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        check::acting(&caller, fields.sender_user_id)?;
        if let Some(author) = check::author(&fields.from) {
            wall::sending_as(tx, &caller, author).await?;
        }
        wall::fields(tx, &caller, Kind::Email, &said).await?;
        let draft = check::draft(tx, &caller, fields.clone(), None, &limits).await?;
        wall::owning(tx, &caller, Kind::Email, Privilege::Create, draft.sender.owner()).await?;
        let id = match drafts::create(&mut once.tx, &draft, &files, &body.given.names(), &caller.actor()).await {
            Ok(id) => id,
            Err(error) => {
                drop(once);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        };
        let email = email_view(&mut once.tx, &caller, id).await?;
        once.finish(Reply::created(format!("{PREFIX}/emails/{id}"), email.version(), &email)).await
    })
    .await
}

/// Changes a draft, or an email that failed: it stays failed until it is sent again.
#[utoipa::path(patch, path = "/emails/{id}", tag = "emails", request_body = EmailFields,
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The email as it is now", body = Email)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    let id = EmailId(id);
    again(|| async {
        let mut tx = app.store.begin().await?;
        let email = locked_editable(&mut tx, &caller, id, expected).await?;
        wall::fields(&mut tx, &caller, Kind::Email, &body.value.members()).await?;
        let limits = check::organisation(&mut tx).await?;
        let current = check::writable(&mut tx, &email).await?;
        let (fields, changed) = body.value.apply(&current)?.split();
        if !fields.attachments.is_empty() {
            let remedy = "nothing here: add files with POST /emails/{id}/attachments";
            return Err(Problem::field("attachments", "not-used", remedy));
        }
        let names = changed.names();
        if !names.is_empty() {
            if names.contains(&"sender_user_id") {
                check::acting(&caller, fields.sender_user_id)?;
            }
            let author = check::author(&fields.from).filter(|_| names.contains(&"from"));
            if let Some(author) = author {
                wall::sending_as(&mut tx, &caller, author).await?;
            }
            let draft = check::draft(&mut tx, &caller, fields, Some(&names), &limits).await?;
            if author.is_some() {
                wall::owning(&mut tx, &caller, Kind::Email, Privilege::Write, draft.sender.owner()).await?;
            }
            if let Err(error) = drafts::save(&mut tx, id, &draft, &names, &caller.actor()).await {
                drop(tx);
                return Err(explain(&app, error, Wanted::default()).await);
            }
        }
        let email = email_view(&mut tx, &caller, id).await?;
        tx.commit().await?;
        Ok(tagged(email.version(), email))
    })
    .await
}

/// Reads the email that another system knows by this id.
#[utoipa::path(get, path = "/emails/by-external-id/{source}/{external_id}", tag = "emails",
    params(("source" = String, Path), ("external_id" = String, Path)),
    responses((status = 200, description = "The email", body = Email)))]
pub(crate) async fn find(State(app): State<App>, caller: Caller, origin: OriginPath) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let id = known(&mut tx, Kind::Email, &origin).await?;
    wall::reading(&mut tx, &caller, Kind::Email, id).await?;
    let email = email_view(&mut tx, &caller, EmailId(id)).await?;
    Ok(tagged(email.version(), email))
}

/// Changes the draft that another system knows by this id, or makes it.
#[utoipa::path(patch, path = "/emails/by-external-id/{source}/{external_id}", tag = "emails", request_body = EmailFields,
    params(("source" = String, Path), ("external_id" = String, Path),
        ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, description = "The email as it is now", body = Email),
        (status = 201, description = "The new draft", body = Email),
        (status = 412, description = "There is, or is no, such email, against If-None-Match or If-Match")))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    IfMatch(expected): IfMatch,
    ReceivedEmail(body): ReceivedEmail<Patch>,
) -> Result<Response, Problem> {
    let make = |body| create(State(app.clone()), caller.clone(), ReceivedEmail(body));
    let change = |id, patch| {
        let body = Received { value: patch, once: None, given: Given::default() };
        update(State(app.clone()), caller.clone(), Id(id), IfMatch(expected), body)
    };
    upsert(&app, Kind::Email, origin, body.value, make, change).await
}

/// Removes a draft.
#[utoipa::path(delete, path = "/emails/{id}", tag = "emails",
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
        let email = locked(&mut tx, &caller, EmailId(id), Privilege::Delete, expected).await?;
        if !is_one_of(&email, &[EmailStatus::Draft]) {
            return Err(not_so("removed", "drafts", &email));
        }
        drafts::delete(&mut tx, &email, &caller.actor()).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// An email whose content may be changed, locked: a draft, or one that failed.
pub(super) async fn locked_editable(
    tx: &mut Tx,
    caller: &Caller,
    id: EmailId,
    expected: Option<i64>,
) -> Result<EmailRecord, Problem> {
    let email = locked(tx, caller, id, Privilege::Write, expected).await?;
    if is_one_of(&email, &[EmailStatus::Draft, EmailStatus::Failed]) {
        return Ok(email);
    }
    Err(not_so("changed", "drafts and failed emails", &email))
}

/// An email, locked, on which the caller has this privilege.
pub(super) async fn locked(
    tx: &mut Tx,
    caller: &Caller,
    id: EmailId,
    privilege: Privilege,
    expected: Option<i64>,
) -> Result<EmailRecord, Problem> {
    let found = emails::lock(tx, id, None).await?;
    wall::writing(tx, caller, Kind::Email, id.0, privilege).await?;
    let email = found.ok_or_else(missing)?;
    match expected {
        Some(expected) if expected != email.version => Err(Problem::stale(email.version)),
        _ => Ok(email),
    }
}

fn is_one_of(email: &EmailRecord, allowed: &[EmailStatus]) -> bool {
    email.direction == "outgoing" && allowed.iter().any(|status| status.as_str() == email.status)
}

fn not_so(what: &str, which: &str, email: &EmailRecord) -> Problem {
    let detail = format!("Only {which} can be {what}; this email is {} and {}.", email.direction, email.status);
    Problem::conflict("not-a-draft", detail)
}
