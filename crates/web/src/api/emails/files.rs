//! Files of emails: streamed in and out, never whole in memory.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use lockstep_model::id::{AttachmentId, EmailId};
use lockstep_store::{
    emails::{
        self,
        drafts::{self, NewAttachment},
    },
    rights::Kind,
};
use uuid::Uuid;

use super::{check, drafts::locked_editable, email_view, view::Email};
use crate::{
    again::again,
    api::{
        PREFIX,
        uploads::{self, Upload},
    },
    auth::Caller,
    extract::{Id, IfMatch, Params},
    idempotent::Reply,
    problem::Problem,
    state::App,
    validate::Check,
    wall::{self, Veil},
};

/// Adds a file to a draft or to an email that failed. The body is the file itself, its Content-Type the file's.
#[utoipa::path(post, path = "/emails/{id}/attachments", tag = "emails",
    params(("id" = Uuid, Path), Upload, ("If-Match" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "The email with its new file; Location is the file's content", body = Email)))]
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Params(query): Params<Upload>,
    request: Request,
) -> Result<Reply, Problem> {
    let id = EmailId(id);
    let mut tx = app.store.begin().await?;
    locked_editable(&mut tx, &caller, id, expected).await?;
    wall::fields(&mut tx, &caller, Kind::Email, &["attachments".to_owned()]).await?;
    let limits = check::organisation(&mut tx).await?;
    drop(tx);
    let media_type = uploads::media_type(&request);
    let mut checked = Check::default();
    uploads::file(&mut checked, "", &query.name, &media_type, &limits);
    checked.finish()?;
    let content = uploads::store(&app, request.into_body(), limits.max_attachment_bytes.unsigned_abs()).await?;
    let file = NewAttachment { name: query.name.trim().to_owned(), media_type, content };
    again(|| async {
        let mut tx = app.store.begin().await?;
        locked_editable(&mut tx, &caller, id, expected).await?;
        if emails::attachments(&mut tx, id).await?.len() >= check::MAX_ATTACHMENTS {
            let detail = format!("An email has at most {} files.", check::MAX_ATTACHMENTS);
            return Err(Problem::conflict("too-many-files", detail));
        }
        let added = drafts::attach(&mut tx, id, &file, &caller.actor()).await?;
        let email = email_view(&mut tx, &caller, id).await?;
        tx.commit().await?;
        Ok(Reply::created(format!("{PREFIX}/emails/{id}/attachments/{added}/content"), email.version(), &email))
    })
    .await
}

/// Takes a file from a draft or from an email that failed.
#[utoipa::path(delete, path = "/emails/{id}/attachments/{attachment_id}", tag = "emails",
    params(("id" = Uuid, Path), ("attachment_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id((id, attachment)): Id<(Uuid, Uuid)>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        locked_editable(&mut tx, &caller, EmailId(id), expected).await?;
        wall::fields(&mut tx, &caller, Kind::Email, &["attachments".to_owned()]).await?;
        if !drafts::detach(&mut tx, EmailId(id), AttachmentId(attachment), &caller.actor()).await? {
            return Err(Problem::not_found("attachment"));
        }
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A file's bytes. Whatever the sender called them, they are offered for saving, not for showing.
#[utoipa::path(get, path = "/emails/{id}/attachments/{attachment_id}/content", tag = "emails",
    params(("id" = Uuid, Path), ("attachment_id" = Uuid, Path)),
    responses((status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn content(
    State(app): State<App>,
    caller: Caller,
    Id((id, attachment)): Id<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    wall::reading(&mut tx, &caller, Kind::Email, id).await?;
    if Veil::of(&mut tx, &caller, Kind::Email).await?.hides("attachments") {
        return Err(Problem::not_found("attachment"));
    }
    let found = emails::attachment(&mut tx, EmailId(id), AttachmentId(attachment)).await?;
    drop(tx);
    let (file, digest) = found.ok_or_else(|| Problem::not_found("attachment"))?;
    let Some(digest) = digest else {
        let why = file.left_out.unwrap_or_default();
        return Err(Problem::conflict("left-out", format!("The content of this file was left out: {why}.")));
    };
    Ok(uploads::served(&app, &file.name, file.size_bytes, digest))
}
