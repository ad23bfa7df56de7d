//! Secured fields: those that only whom a security role lets reads and writes.

use axum::{Json, extract::State, http::StatusCode};
use lockstep_store::{rights::Kind, security_roles};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{auth::Caller, extract::Words, problem::Problem, state::App};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(secure, open))
}

/// A secured field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecuredField {
    /// `email`, `contact`, `account` or `lead`.
    record_kind: String,
    field: String,
}

/// Every secured field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecuredFields {
    items: Vec<SecuredField>,
}

/// Lists the secured fields.
#[utoipa::path(get, path = "/secured-fields", tag = "rights",
    responses((status = 200, description = "All of them", body = SecuredFields)))]
async fn list(State(app): State<App>) -> Result<Json<SecuredFields>, Problem> {
    let fields = security_roles::secured(&mut app.store.begin().await?).await?;
    let items = fields.into_iter().map(|(record_kind, field)| SecuredField { record_kind, field }).collect();
    Ok(Json(SecuredFields { items }))
}

/// Secures a field: from now on users read and write it only where a security role of theirs lets them.
#[utoipa::path(put, path = "/secured-fields/{record_kind}/{field}", tag = "rights",
    params(("record_kind" = String, Path), ("field" = String, Path)),
    responses((status = 204, description = "It is secured")))]
async fn secure(
    State(app): State<App>,
    caller: Caller,
    Words((kind, field)): Words<(String, String)>,
) -> Result<StatusCode, Problem> {
    securable("record_kind", "field", &kind, &field)
        .map_err(|(field, remedy)| Problem::field(&field, "choice", remedy))?;
    let mut tx = app.store.begin().await?;
    security_roles::secure(&mut tx, &kind, &field, &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Opens a field again to everybody who reads or writes the record.
#[utoipa::path(delete, path = "/secured-fields/{record_kind}/{field}", tag = "rights",
    params(("record_kind" = String, Path), ("field" = String, Path)),
    responses((status = 204, description = "It is open")))]
async fn open(
    State(app): State<App>,
    caller: Caller,
    Words((kind, field)): Words<(String, String)>,
) -> Result<StatusCode, Problem> {
    securable("record_kind", "field", &kind, &field)
        .map_err(|(field, remedy)| Problem::field(&field, "choice", remedy))?;
    let mut tx = app.store.begin().await?;
    security_roles::open(&mut tx, &kind, &field, &caller.actor()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A field that can be secured; else the name of what is wrong, and what would be right.
pub(super) fn securable(kind_at: &str, field_at: &str, kind: &str, field: &str) -> Result<(), (String, String)> {
    let known: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| !kind.securable().is_empty()).collect();
    let Some(found) = known.iter().find(|known| known.as_str() == kind) else {
        let names: Vec<_> = known.iter().map(|kind| kind.as_str()).collect();
        return Err((kind_at.to_owned(), format!("one of: {}", names.join(", "))));
    };
    if !found.securable().contains(&field) {
        return Err((field_at.to_owned(), format!("one of: {}", found.securable().join(", "))));
    }
    Ok(())
}
