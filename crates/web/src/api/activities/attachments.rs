//! Files of appointments: streamed in and out, never whole in memory. A file is its name and its content: sent again, it is
//! there once. Series and service activities have none.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_engine::merge::attachments as rules;
use lockstep_model::{
    id::AttachmentId,
    record::{Kind, RecordId},
};
use lockstep_store::{
    Tx,
    activities::Activity,
    activity_attachments::{self, MAX_ATTACHMENTS, NewAttachment},
    lanes, organisations, rights,
    rights::Privilege,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{body, locked};
use crate::{
    again::again,
    api::{
        PREFIX,
        uploads::{self, Upload},
    },
    auth::Caller,
    extract::{Id, IfMatch, Params},
    idempotent::Reply,
    page::Page,
    problem::Problem,
    state::App,
    validate::Check,
    wall,
};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, upload)).routes(routes!(remove)).routes(routes!(content))
}

/// A file of an appointment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppointmentAttachment {
    id: Uuid,
    /// File name.
    name: String,
    /// Media type.
    media_type: String,
    /// Length in bytes.
    size_bytes: i64,
    /// SHA-256 digest of its content, in hexadecimal.
    digest: String,
    created_at: DateTime<Utc>,
}

impl From<activity_attachments::Attachment> for AppointmentAttachment {
    fn from(file: activity_attachments::Attachment) -> Self {
        Self {
            id: file.id.0,
            name: file.name,
            media_type: file.media_type,
            size_bytes: file.size_bytes,
            digest: hex::encode(file.digest),
            created_at: file.created_at,
        }
    }
}

/// Lists the files of an appointment, all at once: at most 100.
#[utoipa::path(get, path = "/appointments/{id}/attachments", tag = "appointments", params(("id" = Uuid, Path)),
    responses((status = 200, description = "Its files", body = Page<AppointmentAttachment>)))]
async fn list(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    there(&mut tx, &caller, id).await?;
    let files = activity_attachments::list(&mut tx, id).await?;
    let items: Vec<AppointmentAttachment> = files.into_iter().map(Into::into).collect();
    Ok(Json(Page { items, next: None }).into_response())
}

/// Adds a file to an appointment. The body is the file itself, its Content-Type the file's. One that is there already, with
/// this name and this content, is left as it is.
#[utoipa::path(post, path = "/appointments/{id}/attachments", tag = "appointments",
    params(("id" = Uuid, Path), Upload, ("If-Match" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "The file; Location is its content, ETag the appointment's",
        body = AppointmentAttachment)))]
async fn upload(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    IfMatch(expected): IfMatch,
    Params(query): Params<Upload>,
    request: Request,
) -> Result<Reply, Problem> {
    let mut tx = app.store.begin().await?;
    writable(&mut tx, &caller, id, expected).await?;
    let limits = organisations::get(&mut tx).await?.ok_or_else(|| {
        Problem::conflict("not-set-up", "The organisation is not set up yet; the command line does that.")
    })?;
    drop(tx);
    let (name, media_type) = (query.name.trim(), uploads::media_type(&request));
    let mut check = Check::default();
    uploads::file(&mut check, "", name, &media_type, &limits);
    check.finish()?;
    if rules::name(name) != name {
        let remedy = format!("a file name of at most {} bytes without / and \\", rules::MAX_NAME);
        return Err(Problem::field("name", "form", remedy));
    }
    let content = uploads::store(&app, request.into_body(), limits.max_attachment_bytes.unsigned_abs()).await?;
    let file = NewAttachment { name: name.to_owned(), media_type, content };
    again(|| async {
        let mut tx = app.store.begin().await?;
        let activity = writable(&mut tx, &caller, id, expected).await?;
        let before = activity_attachments::list(&mut tx, id).await?;
        let is_it =
            |known: &activity_attachments::Attachment| known.name == file.name && known.digest == file.content.digest;
        if !before.iter().any(is_it) && before.len() >= MAX_ATTACHMENTS {
            let detail = format!("An appointment has at most {MAX_ATTACHMENTS} files.");
            return Err(Problem::conflict("too-many-files", detail));
        }
        let files = std::slice::from_ref(&file);
        let (added, version) = activity_attachments::add(&mut tx, &activity, files, &caller.actor()).await?;
        if !added.is_empty() {
            lanes::wake(&mut tx, &[RecordId(id)], None).await?;
        }
        let there = activity_attachments::list(&mut tx, id).await?.into_iter().find(is_it);
        let there = AppointmentAttachment::from(there.ok_or_else(|| Problem::not_found("attachment"))?);
        tx.commit().await?;
        let location = format!("{PREFIX}/appointments/{id}/attachments/{}/content", there.id);
        Ok(Reply::created(location, version, &there))
    })
    .await
}

/// Takes a file from an appointment.
#[utoipa::path(delete, path = "/appointments/{id}/attachments/{attachment_id}", tag = "appointments",
    params(("id" = Uuid, Path), ("attachment_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id((id, attachment)): Id<(Uuid, Uuid)>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    again(|| async {
        let mut tx = app.store.begin().await?;
        let activity = writable(&mut tx, &caller, id, expected).await?;
        let files = [AttachmentId(attachment)];
        let (gone, _) = activity_attachments::remove(&mut tx, &activity, &files, &caller.actor()).await?;
        if gone == 0 {
            return Err(Problem::not_found("attachment"));
        }
        lanes::wake(&mut tx, &[RecordId(id)], None).await?;
        tx.commit().await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A file's bytes. Whatever it is called, they are offered for saving, not for showing.
#[utoipa::path(get, path = "/appointments/{id}/attachments/{attachment_id}/content", tag = "appointments",
    params(("id" = Uuid, Path), ("attachment_id" = Uuid, Path)),
    responses((status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream")))]
async fn content(
    State(app): State<App>,
    caller: Caller,
    Id((id, attachment)): Id<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    there(&mut tx, &caller, id).await?;
    let files = activity_attachments::list(&mut tx, id).await?;
    drop(tx);
    let file = files.into_iter().find(|file| file.id.0 == attachment);
    let file = file.ok_or_else(|| Problem::not_found("attachment"))?;
    Ok(uploads::served(&app, &file.name, file.size_bytes, file.digest))
}

/// Lets a caller see the files of an appointment.
async fn there(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<(), Problem> {
    wall::reading(tx, caller, rights::Kind::Appointment, id).await?;
    let found = lockstep_store::activities::get(tx, rights::Kind::Appointment, id).await?;
    found.map(drop).ok_or_else(|| Problem::not_found(Kind::Appointment.name()))
}

/// An appointment, locked, whose files this caller may change. Those of closed ones are not changed, as nothing else is.
async fn writable(tx: &mut Tx, caller: &Caller, id: Uuid, expected: Option<i64>) -> Result<Activity, Problem> {
    let activity = locked(tx, caller, Kind::Appointment, id, Privilege::Write, expected).await?;
    body::closed(&activity, &activity, &["attachments"])?;
    Ok(activity)
}
