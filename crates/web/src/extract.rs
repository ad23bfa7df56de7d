//! How requests are read: every way to be malformed ends in a problem that names the place.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    json::{self, clip},
    problem::Problem,
    query,
    state::App,
    validate::Check,
};

/// A JSON body. With an `Idempotency-Key`, a hash of what was asked comes along.
pub(crate) struct Received<T> {
    pub(crate) value: T,
    pub(crate) once: Option<OnceKey>,
    pub(crate) given: Given,
}

/// Names of the members to which a request gives a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(Vec<String>);

impl Given {
    pub(crate) fn of(members: &Map<String, Value>) -> Self {
        Self(members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone()).collect())
    }

    /// These and others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// An `Idempotency-Key` and a hash of the request it stands for.
#[derive(Clone, Debug)]
pub(crate) struct OnceKey {
    pub(crate) key: String,
    pub(crate) hash: Vec<u8>,
}

/// Like [`Received`], for emails with attachments inside.
pub(crate) struct ReceivedEmail<T>(pub(crate) Received<T>);

/// Like [`Received`] where the body may be missing altogether.
pub(crate) struct NoBody(pub(crate) Option<OnceKey>);

impl<T: DeserializeOwned> FromRequest<App> for Received<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &App) -> Result<Self, Problem> {
        read(request, state, state.limits.max_body_bytes).await
    }
}

impl<T: DeserializeOwned> FromRequest<App> for ReceivedEmail<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &App) -> Result<Self, Problem> {
        Ok(Self(read(request, state, state.limits.max_email_body_bytes).await?))
    }
}

/// Like [`Received`] where the body may be missing altogether: then nothing is asked for.
pub(crate) struct MaybeBody<T>(pub(crate) Received<T>);

impl<T: DeserializeOwned + Default> FromRequest<App> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &App) -> Result<Self, Problem> {
        let target = format!("{} {}", request.method(), request.uri().path());
        let (parts, body) = request.into_parts();
        let bytes = read_bytes(body, state.limits.max_body_bytes).await?;
        if bytes.is_empty() {
            let once = once_key(&parts.headers, &target, &Value::Null)?;
            return Ok(Self(Received { value: T::default(), once, given: Given::default() }));
        }
        Ok(Self(read(Request::from_parts(parts, Body::from(bytes)), state, state.limits.max_body_bytes).await?))
    }
}

impl FromRequest<App> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let target = format!("{} {}", request.method(), request.uri().path());
        let once = once_key(request.headers(), &target, &Value::Null)?;
        Ok(Self(once))
    }
}

async fn read<T: DeserializeOwned>(request: Request, state: &App, limit: usize) -> Result<Received<T>, Problem> {
    require_json(request.headers())?;
    let target = format!("{} {}", request.method(), request.uri().path());
    let headers = request.headers().clone();
    let protected = state.transport.protect(request.extensions(), &headers);
    let bytes = read_bytes(request.into_body(), limit).await?;
    let value = json::parse(&bytes)?;
    drop(bytes);
    refuse_nul(&value, &mut String::new())?;
    if !protected {
        refuse_passwords(&value)?;
    }
    let once = once_key(&headers, &target, &value)?;
    let given = value.as_object().map(Given::of).unwrap_or_default();
    Ok(Received { value: json::from_value(value)?, once, given })
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(essence.as_str(), "application/json" | "application/merge-patch+json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
        "The body must be JSON, announced as Content-Type: application/json.",
    ))
}

async fn read_bytes(body: Body, limit: usize) -> Result<bytes::Bytes, Problem> {
    to_bytes(body, limit).await.map_err(|error| {
        use std::error::Error as _;
        let too_long = error.source().is_some_and(|source| source.to_string().contains("length limit"));
        if too_long { too_large(limit as u64) } else { Problem::bad_request("The body ended too early.") }
    })
}

/// The body is longer than allowed.
pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "Body too large",
        format!("The body may have at most {limit} bytes here."),
    )
    .with("limit_bytes", limit.into())
}

/// Whether a member of this name is a password, or an application's.
fn is_secret(name: &str) -> bool {
    name.ends_with("password") || name == "client_secret"
}

/// Passwords that others could have read on the way are not taken.
fn refuse_passwords(value: &Value) -> Result<(), Problem> {
    let Value::Object(members) = value else { return Ok(()) };
    let mut check = Check::default();
    for (name, _) in members.iter().filter(|(name, member)| is_secret(name) && !member.is_null()) {
        let remedy = "send it over HTTPS. Where a proxy speaks HTTPS for this service, name its network in \
                      web.trusted_proxies; web.allow_credentials_over_plain_http takes passwords anyway";
        check.refuse(&clip(name, 64), "plain-http", remedy);
    }
    check.finish()
}

/// PostgreSQL keeps no NUL in text, and nothing else needs one.
fn refuse_nul(value: &Value, path: &mut String) -> Result<(), Problem> {
    let refuse = |path: &str| Err(Problem::field(path.trim_start_matches('.'), "characters", "text without U+0000"));
    let length = path.len();
    match value {
        Value::String(text) if text.contains('\0') => return refuse(path),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!(".{at}"));
                refuse_nul(item, path)?;
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if name.contains('\0') {
                    return refuse(path);
                }
                path.push('.');
                path.push_str(&clip(name, 64));
                refuse_nul(member, path)?;
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

fn once_key(headers: &HeaderMap, target: &str, body: &Value) -> Result<Option<OnceKey>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|k| (1..=255).contains(&k.len()));
    let key = key.ok_or_else(|| Problem::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters."))?;
    let mut hash = Sha256::new();
    hash.update(target.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(&without_secrets(body)).unwrap_or_default());
    Ok(Some(OnceKey { key: key.to_owned(), hash: hash.finalize().to_vec() }))
}

/// A stored hash of a request must not be a way to guess a password that was in it.
fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| {
                    let member = if is_secret(name) { Value::Bool(true) } else { without_secrets(member) };
                    (name.clone(), member)
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The query of a request.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        query::read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The ids of a path.
pub(crate) struct Id<T = Uuid>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("An id in the path is not a UUID."))?;
        Ok(Self(id))
    }
}

/// The words of a path.
pub(crate) struct Words<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Words<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        let Path(words) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("The path holds something that is no percent-encoded UTF-8."))?;
        Ok(Self(words))
    }
}

/// The address a request came from, where that is known.
pub(crate) struct Client(pub(crate) Option<std::net::IpAddr>);

impl FromRequestParts<App> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        Ok(Self(state.transport.client(&parts.extensions, &parts.headers)))
    }
}

/// The version that `If-Match` asks for; `None` without the header or with `*`.
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        if text.contains(',') {
            return Err(Problem::bad_request("If-Match must hold one ETag."));
        }
        // A text that is none of our ETags is no version of the record: no version is below 1.
        let version = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
        Ok(Self(Some(version.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_refused_wherever_it_is() {
        assert!(refuse_nul(&json!({"a": [{"b": "x\0"}]}), &mut String::new()).is_err());
        assert!(refuse_nul(&json!({"a\0": 1}), &mut String::new()).is_err());
        assert!(refuse_nul(&json!({"a": ["x"]}), &mut String::new()).is_ok());
    }

    #[test]
    fn the_hash_of_a_request_does_not_tell_its_password() {
        let hash = |body| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", header::HeaderValue::from_static("k"));
            once_key(&headers, "POST /x", &body).unwrap().unwrap().hash
        };
        for name in ["password", "outgoing_password", "client_secret"] {
            assert_eq!(hash(json!({ name: "a" })), hash(json!({ name: "b" })));
        }
        assert_ne!(hash(json!({"name": "a"})), hash(json!({"name": "b"})));
    }
}
