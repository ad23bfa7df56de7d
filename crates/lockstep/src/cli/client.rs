//! A thin client of the REST API.

use std::{io::Read, path::PathBuf, time::Duration};

use clap::Args;
use futures::StreamExt;
use reqwest::{Client, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{Error, Result, table::harmless};

/// Where the API's paths begin.
const PREFIX: &str = "api/v1";
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Longest key file, in bytes.
const MAX_KEY_FILE: u64 = 4096;

/// How the API is reached, and how answers are shown.
#[derive(Debug, Clone, Args)]
pub(super) struct Access {
    /// Address of the web role.
    #[arg(long, env = "LOCKSTEP_API_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api_url: Url,
    /// The key.
    #[arg(long, env = "LOCKSTEP_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<Hidden>,
    /// File that holds the key.
    #[arg(long, env = "LOCKSTEP_API_KEY_FILE", value_name = "FILE", conflicts_with = "api_key")]
    api_key_file: Option<PathBuf>,
    /// Shows the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A secret argument.
#[derive(Debug, Clone)]
pub(super) struct Hidden(SecretString);

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text.to_owned()))
    }
}

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) etag: Option<String>,
    /// `Null` when there is none.
    pub(super) body: Value,
}

/// A client with a key.
pub(super) struct Api {
    client: Client,
    base: Url,
    key: SecretString,
}

impl Access {
    /// Prepares the client.
    pub(super) fn connect(&self) -> Result<Api> {
        let key = match (&self.api_key, &self.api_key_file) {
            (Some(Hidden(key)), _) => key.clone(),
            (None, Some(path)) => {
                let mut text = String::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text))
                    .map_err(|error| Error::new(format!("the key cannot be read from {}: {error}", path.display())))?;
                SecretString::from(text.trim().to_owned())
            }
            (None, None) => {
                return Err(Error::new(
                    "no key: set LOCKSTEP_API_KEY, or give --api-key-file; `lockstep api-key create` makes one",
                ));
            }
        };
        if !matches!(self.api_url.scheme(), "http" | "https") || self.api_url.cannot_be_a_base() {
            return Err(Error::new("--api-url must be an http or https address"));
        }
        let mut base = self.api_url.clone();
        base.set_path(&format!("{}/{PREFIX}/", base.path().trim_end_matches('/')));
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::new(format!("the HTTP client cannot start: {error}")))?;
        Ok(Api { client, base, key })
    }
}

/// What goes with a request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    pub(super) if_match: Option<String>,
}

impl Api {
    /// One request. `path` may begin with `/` or `/api/v1/`.
    pub(super) async fn call(&self, method: Method, path: &str, request: Request) -> Result<Answer> {
        let path = path.trim_start_matches('/');
        let path = path.strip_prefix(PREFIX).map_or(path, |rest| rest.trim_start_matches('/'));
        let mut url = self.base.join(path).map_err(|error| Error::new(format!("{path:?} is not a path: {error}")))?;
        if url.origin() != self.base.origin() {
            return Err(Error::new(format!("{path:?} leads to another server; give a path")));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut call = self.client.request(method.clone(), url.clone()).bearer_auth(self.key.expose_secret());
        if method == Method::POST {
            call = call.header("idempotency-key", uuid::Uuid::new_v4().to_string());
        }
        if let Some(etag) = request.if_match {
            call = call.header(header::IF_MATCH, etag);
        }
        if let Some(body) = request.body {
            call = call.json(&body);
        }
        let failed = |error: reqwest::Error| {
            Error::new(format!(
                "the API at {} cannot be reached: {}; start the web role or correct --api-url",
                self.base.origin().ascii_serialization(),
                causes(&error.without_url())
            ))
        };
        let response = call.send().await.map_err(failed)?;
        let status = response.status();
        let etag = response.headers().get(header::ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(failed)?);
            if bytes.len() > MAX_ANSWER {
                return Err(Error::new("the answer is too large"));
            }
        }
        let body = if bytes.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&bytes).ok() };
        if !status.is_success() {
            return Err(Error::new(problem(status, body.as_ref())));
        }
        let body =
            body.ok_or_else(|| Error::new(format!("the answer ({status}) is not JSON; is this the web role?")))?;
        Ok(Answer { etag, body })
    }

    /// A list, page by page, at most `most` items.
    pub(super) async fn list(&self, path: &str, query: &[(String, String)], most: usize) -> Result<Vec<Value>> {
        let mut items: Vec<Value> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit".to_owned(), (most - items.len()).clamp(1, 200).to_string()));
            query.extend(after.take().map(|after| ("after".to_owned(), after)));
            let answer = self.call(Method::GET, path, Request { query, ..Request::default() }).await?;
            let Value::Object(mut page) = answer.body else { return Err(Error::new("the answer is not a list")) };
            let Some(Value::Array(found)) = page.remove("items") else {
                return Err(Error::new("the answer is not a list"));
            };
            let empty = found.is_empty();
            items.extend(found);
            items.truncate(most);
            match page.remove("next") {
                Some(Value::String(next)) if !empty && items.len() < most => after = Some(next),
                _ => return Ok(items),
            }
        }
    }
}

/// An error with its reasons, since the outermost one often says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// A problem document (RFC 9457) as lines: what happened, then each field with its remedy.
fn problem(status: StatusCode, body: Option<&Value>) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(harmless);
    let Some(body) = body.filter(|body| body.is_object()) else {
        return format!("the server answers {status}, and does not say why");
    };
    let title = text(body, "title").unwrap_or_else(|| status.to_string());
    let mut lines = format!("{title} ({})", status.as_u16());
    if let Some(detail) = text(body, "detail") {
        lines = format!("{lines}: {detail}");
    }
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let field = text(error, "field").unwrap_or_default();
        let rule = text(error, "rule").unwrap_or_default();
        let remedy = text(error, "remedy").unwrap_or_default();
        lines = format!("{lines}\n  - {field} ({rule}): expected {remedy}");
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_shows_detail_field_and_remedy() {
        let body = json!({
            "type": "/problems/invalid", "title": "Invalid request", "status": 422, "detail": "Not accepted.",
            "errors": [{ "field": "incoming.port", "rule": "range", "remedy": "a port from 1 to 65535" }],
        });
        assert_eq!(
            problem(StatusCode::UNPROCESSABLE_ENTITY, Some(&body)),
            "Invalid request (422): Not accepted.\n  - incoming.port (range): expected a port from 1 to 65535"
        );
        assert!(problem(StatusCode::BAD_GATEWAY, None).contains("502"));
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", Hidden::from("lsk_secret")).contains("lsk_secret"));
    }
}
