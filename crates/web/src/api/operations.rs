//! Asynchronous operations: how they stand.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::id::OperationId;
use lockstep_store::{operations, rights::Kind};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{auth::Caller, extract::Id, problem::Problem, state::App, wall};

/// An asynchronous operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    pub(crate) id: Uuid,
    /// What is done.
    pub(crate) kind: String,
    /// With what.
    #[schema(value_type = Object)]
    pub(crate) arguments: Value,
    /// `pending`, `done` or `failed`.
    pub(crate) state: String,
    /// How many runs have failed.
    pub(crate) attempts: i32,
    /// When it runs next, or ran last.
    pub(crate) due_at: DateTime<Utc>,
    /// What came of it; while it is pending, what came of it so far.
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    pub(crate) requested_by: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

impl From<operations::Operation> for Operation {
    fn from(operation: operations::Operation) -> Self {
        Self {
            id: operation.id.0,
            kind: operation.kind,
            arguments: operation.arguments,
            state: operation.state,
            attempts: operation.attempts,
            due_at: operation.due_at,
            result: operation.result,
            requested_by: operation.requested_by,
            created_at: operation.created_at,
            ended_at: operation.ended_at,
        }
    }
}

/// Reads an operation.
#[utoipa::path(get, path = "/operations/{id}", tag = "operations", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The operation", body = Operation)))]
pub(crate) async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let operation = operations::get(&mut tx, OperationId(id)).await?.ok_or_else(missing)?;
    // To a user only what was asked for on its own mailbox is there.
    let mailbox = operation.arguments.get("mailbox").and_then(Value::as_str).and_then(|id| id.parse().ok());
    if caller.user.is_some() && !wall::readable(&mut tx, &caller, Kind::Mailbox, mailbox.unwrap_or_default()).await? {
        return Err(missing());
    }
    Ok(Json(Operation::from(operation)).into_response())
}

fn missing() -> Problem {
    Problem::not_found("operation")
}
