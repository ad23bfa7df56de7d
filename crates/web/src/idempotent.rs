//! `Idempotency-Key`: a repeated request gets the first one's answer. The answer is kept in the transaction of the
//! effect, so there is never one without the other.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lockstep_store::{
    Tx,
    idempotency::{self, Answer},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{auth::Caller, extract::OnceKey, problem::Problem, state::AppState};

/// An answer that can be given again.
pub(crate) struct Reply {
    status: StatusCode,
    location: Option<String>,
    version: Option<i64>,
    body: Value,
}

impl Reply {
    /// 201 with the new record.
    pub(crate) fn created(location: String, version: i64, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self { status: StatusCode::CREATED, location: Some(location), version: Some(version), body }
    }

    /// 201 with something that has no address of its own.
    pub(crate) fn made(body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self { status: StatusCode::CREATED, location: None, version: None, body }
    }

    /// 202: the work goes on; `location` tells how it stands.
    pub(crate) fn accepted(location: String, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self { status: StatusCode::ACCEPTED, location: Some(location), version: None, body }
    }

    fn keep(&self) -> Value {
        json!({ "location": self.location, "version": self.version, "body": self.body })
    }

    fn again(answer: Answer) -> Self {
        let Value::Object(mut kept) = answer.body else {
            return Self { status: StatusCode::OK, location: None, version: None, body: Value::Null };
        };
        Self {
            status: StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK),
            location: kept.get("location").and_then(Value::as_str).map(str::to_owned),
            version: kept.get("version").and_then(Value::as_i64),
            body: kept.remove("body").unwrap_or_default(),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(location) = self.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if let Some(version) = self.version {
            response.headers_mut().insert(header::ETAG, etag(version));
        }
        response
    }
}

/// The ETag of a version.
pub(crate) fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// A record with its ETag.
pub(crate) fn tagged<T: Serialize>(version: i64, body: T) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::ETAG, etag(version));
    response
}

/// Either the answer given before, or a transaction to do the work in.
pub(crate) enum Begun {
    Answered(Reply),
    New(Once),
}

/// A transaction whose answer is kept when it has a key.
pub(crate) struct Once {
    pub(crate) tx: Tx,
    key: Option<(String, OnceKey)>,
}

/// Begins a request that may be a repetition.
///
/// # Errors
/// 409 when the key stands for another request.
pub(crate) async fn begin(state: &AppState, caller: &Caller, key: Option<OnceKey>) -> Result<Begun, Problem> {
    let mut tx = state.store.begin().await?;
    let Some(key) = key else { return Ok(Begun::New(Once { tx, key: None })) };
    let who = caller.id.to_string();
    match idempotency::find(&mut tx, &who, &key.key).await? {
        Some(answer) if answer.request_hash == key.hash => Ok(Begun::Answered(Reply::again(answer))),
        Some(_) => Err(Problem::conflict(
            "idempotency-key-reused",
            "This Idempotency-Key was used for another request. Use a new one for each request.",
        )),
        None => Ok(Begun::New(Once { tx, key: Some((who, key)) })),
    }
}

impl Once {
    /// Keeps the answer and commits.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub(crate) async fn finish(mut self, reply: Reply) -> Result<Reply, Problem> {
        if let Some((who, key)) = self.key {
            let answer = Answer { request_hash: key.hash, status: reply.status.as_u16(), body: reply.keep() };
            idempotency::keep(&mut self.tx, &who, &key.key, &answer).await?;
        }
        self.tx.commit().await?;
        Ok(reply)
    }
}
