//! Every refusal is a problem document (RFC 9457) that says what to do; none shows internals.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::constraints;

/// What is wrong with one field, and what would be right.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// Path of the field in the request, such as `incoming.port`.
    pub(crate) field: String,
    /// The rule that is broken: a stable word.
    pub(crate) rule: String,
    /// What would be accepted.
    pub(crate) remedy: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Content>);

#[derive(Clone, Debug, Serialize)]
struct Content {
    /// Which problem: a stable reference.
    #[serde(rename = "type")]
    kind: String,
    /// The problem in a few words, always the same for its type.
    title: String,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What happened this time, and what to do.
    detail: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(flatten)]
    more: Map<String, Value>,
    #[serde(skip)]
    headers: HeaderMap,
    /// Another transaction was in the way: the same request may succeed at once.
    #[serde(skip)]
    collision: bool,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// Its HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// A problem; `kind` is the last part of its type.
    pub(crate) fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            more: Map::new(),
            headers: HeaderMap::new(),
            collision: false,
        }))
    }

    /// What happened this time, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether it is no refusal, but a failure of ours.
    pub(crate) fn is_internal(&self) -> bool {
        self.0.status.is_server_error()
    }

    /// Something is wrong with these fields.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let fields = errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>().join(", ");
        let detail = format!("These fields are not accepted: {fields}. Each entry of errors says what would be.");
        let mut problem = Self::unprocessable(detail);
        problem.0.errors = errors;
        problem
    }

    /// Something is wrong with one field.
    pub(crate) fn field(field: &str, rule: &str, remedy: impl Into<String>) -> Self {
        let error = FieldError { field: field.to_owned(), rule: rule.to_owned(), remedy: remedy.into() };
        Self::invalid(vec![error])
    }

    /// Another record has what a field is to have.
    pub(crate) fn taken(field: &str, remedy: &str) -> Self {
        let mut problem = Self::conflict("taken", format!("The value of {field} is taken: {remedy}."));
        problem.0.errors =
            vec![FieldError { field: field.to_owned(), rule: "taken".to_owned(), remedy: remedy.to_owned() }];
        problem
    }

    /// The same problem, said to be one of a field.
    pub(crate) fn about(mut self, field: &str, rule: &str, remedy: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { field: field.to_owned(), rule: rule.to_owned(), remedy: remedy.into() });
        self
    }

    /// The request is JSON, but not what is asked for as a whole.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request", detail)
    }

    /// The request cannot be read.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// There is no such record.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("There is no such {what}."))
    }

    /// The caller may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// The caller may not write these fields.
    pub(crate) fn forbidden_fields<'a>(fields: impl IntoIterator<Item = &'a str>, remedy: impl Into<String>) -> Self {
        let remedy = remedy.into();
        let error = |field: &str| FieldError {
            field: field.to_owned(),
            rule: "not-permitted".to_owned(),
            remedy: remedy.clone(),
        };
        let errors: Vec<_> = fields.into_iter().map(error).collect();
        let names = errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>().join(", ");
        let mut problem = Self::forbidden(format!("You may not use these fields in this way: {names}."));
        problem.0.errors = errors;
        problem
    }

    /// The request does not fit the present state.
    pub(crate) fn conflict(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, "Conflict", detail)
    }

    /// The service cannot answer at the moment.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
            .header(header::RETRY_AFTER, "5")
    }

    /// A mistake of ours; the log has the rest.
    pub(crate) fn internal() -> Self {
        let detail = "The request could not be answered because of an error in this service; its log says more.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// The same problem with one more member.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// The same problem with a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// The same problem, as what a repetition may be without.
    pub(crate) fn collision(mut self) -> Self {
        self.0.collision = true;
        self
    }

    /// Whether another transaction was in the way, so that doing the same again may succeed.
    pub(crate) fn is_collision(&self) -> bool {
        self.0.collision
    }

    #[cfg(test)]
    pub(crate) fn content(&self) -> impl Serialize + '_ {
        &self.0
    }

    /// What is wrong with which field.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = *self.0;
        let body = serde_json::to_vec(&content).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = content.status;
        *response.headers_mut() = content.headers;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<lockstep_store::Error> for Problem {
    fn from(error: lockstep_store::Error) -> Self {
        use lockstep_store::Error;
        match &error {
            Error::Unavailable(_) => {
                tracing::warn!(%error, "database unavailable");
                Self::unavailable("The database cannot be reached at the moment. Try again shortly.")
            }
            Error::Collided(_) => {
                let problem = Self::unavailable("Another request changed the same records at this moment. Try again.");
                if error.is_deadlock() { problem.collision() } else { problem }
            }
            Error::Stale { current } => Self::stale(*current),
            Error::Conflict(conflict) => constraints::taken(&conflict.constraint),
            Error::Reference { constraint } => Self::reference(constraint),
            Error::Rule { constraint } => {
                tracing::error!(%constraint, "a value passed validation and broke a rule of the database");
                constraints::broken(constraint)
            }
            Error::Unreadable { .. } | Error::Sealed(_) | Error::Other(_) => {
                tracing::error!(%error, "request failed");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// The record is at another version than the caller expects.
    pub(crate) fn stale(current: i64) -> Self {
        let detail = format!(
            "The record has changed since it was read: it is at version {current} now. Read it again, repeat the \
             change on what you find, and send its ETag as If-Match."
        );
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed in the meantime", detail)
            .with("current_version", current.into())
    }

    /// A reference to a record that does not exist, named by the field that holds it.
    fn reference(constraint: &str) -> Self {
        if constraint == "organisations_default_security_role" {
            return Self::field("default_security_role_id", "exists", "the id of a security role that exists");
        }
        for field in ["owner_user_id", "owner_team_id", "profile_id"] {
            if constraint.contains(field) && !constraint.starts_with("lane") {
                return Self::field(field, "exists", "the id of a record that exists");
            }
        }
        Self::conflict("in-use", format!("Another record refers to this one, or to one that is gone ({constraint})."))
    }
}
