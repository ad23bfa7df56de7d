//! Files that come and go through the API: streamed, never whole in memory.

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use futures::StreamExt;
use lockstep_store::{
    contents::{self, Content, ContentDigest, Writer},
    organisations::Organisation,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{extract::too_large, problem::Problem, state::App, validate::Check};

/// The media type of files of which nothing else is said.
pub(crate) const ANY_TYPE: &str = "application/octet-stream";

/// What an uploaded file is called.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Upload {
    /// File name, at most 255 characters.
    pub(crate) name: String,
}

/// The media type that a request gives its body, without parameters.
pub(crate) fn media_type(request: &Request) -> String {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() { ANY_TYPE.to_owned() } else { essence.to_ascii_lowercase() }
}

/// A file's name and type; `field` is its place in the request.
pub(crate) fn file(check: &mut Check, field: &str, name: &str, media_type: &str, limits: &Organisation) {
    let name = check.line(&format!("{field}name"), name, 255);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.trim().to_lowercase()).unwrap_or_default();
    if limits.blocked_extensions.contains(&extension) {
        let remedy = format!("another kind of file: .{extension} is blocked by the organisation");
        check.refuse(&format!("{field}name"), "blocked", remedy);
    }
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let fits = media_type.len() <= 127
        && media_type.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if !fits {
        check.refuse(
            &format!("{field}media_type"),
            "form",
            "type/subtype, such as application/pdf, without parameters",
        );
    }
}

/// Stores a body piece by piece, up to a limit.
pub(crate) async fn store(app: &App, body: Body, limit: u64) -> Result<Content, Problem> {
    if body.size_hint().lower() > limit {
        return Err(too_large(limit));
    }
    let mut writer = Writer::new(&app.store);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::bad_request("The body ended too early."))?;
        if writer.size_bytes() + piece.len() as u64 > limit {
            return Err(too_large(limit));
        }
        writer.write(&piece).await?;
    }
    Ok(writer.finish().await?)
}

/// The answer with a file's bytes. Whatever its sender called them, they are offered for saving, not for showing.
pub(crate) fn served(app: &App, name: &str, size_bytes: i64, digest: ContentDigest) -> Response {
    let mut response = Response::new(Body::from_stream(contents::read(&app.store, digest)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(ANY_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(value) = HeaderValue::from_str(&disposition(name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// `Content-Disposition` with the name as RFC 8187 writes it.
fn disposition(name: &str) -> String {
    let mut value = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(disposition("a b\"\r\nX: y.pdf"), "attachment; filename*=UTF-8''a%20b%22%0D%0AX%3A%20y.pdf");
        assert_eq!(disposition("é"), "attachment; filename*=UTF-8''%C3%A9");
    }
}
