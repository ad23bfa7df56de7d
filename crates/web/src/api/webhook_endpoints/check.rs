//! The rules of a webhook endpoint.

use axum::http::StatusCode;
use lockstep_model::text;
use lockstep_store::{
    Tx,
    webhooks::{self, RECORD_KINDS, Span},
};
use url::Url;
use uuid::Uuid;

use super::view::{Start, WebhookEndpointFields};
use crate::{host, problem::Problem, state::AppState, validate::Check};

/// Longest URL, in characters.
const MAX_URL: usize = 2_000;

/// The fields as they are kept: trimmed, kinds sorted and each once, the URL as the standard spells it.
///
/// # Errors
/// A problem with every rule that is broken.
pub(super) fn fields(state: &AppState, mut fields: WebhookEndpointFields) -> Result<WebhookEndpointFields, Problem> {
    let mut check = Check::default();
    fields.name = check.line("name", &fields.name, 100);
    if fields.description.chars().count() > 2_000 {
        check.refuse("description", "length", "at most 2000 characters");
    }
    fields.url = url(&mut check, state, &fields.url);
    for (at, kind) in fields.record_kinds.iter().enumerate() {
        if !RECORD_KINDS.contains(&kind.as_str()) {
            let remedy = format!("one of: {}", RECORD_KINDS.join(", "));
            check.refuse(&format!("record_kinds.{at}"), "choice", remedy);
        }
    }
    check.finish()?;
    fields.record_kinds.sort();
    fields.record_kinds.dedup();
    Ok(fields)
}

fn url(check: &mut Check, state: &AppState, written: &str) -> String {
    const FORM: &str = "an absolute URL such as https://crm.example.com/hooks";
    // The parser drops tabs and line ends, and so does trimming; a person who sees them in a list would not.
    let line = text::is_line(written);
    let written = written.trim();
    if written.chars().count() > MAX_URL {
        check.refuse("url", "length", format!("at most {MAX_URL} characters"));
        return String::new();
    }
    let url = Url::parse(written).ok().filter(|_| line);
    let Some(url) = url.filter(|url| matches!(url.scheme(), "https" | "http")) else {
        check.refuse("url", "url", FORM);
        return String::new();
    };
    if url.scheme() == "http" && !state.allow_plain_connections {
        let remedy = "https: this installation does not allow connections without TLS (allow_plain_connections)";
        check.refuse("url", "plain-not-allowed", remedy);
    }
    if !url.username().is_empty() || url.password().is_some() {
        check.refuse("url", "credentials", "a URL without user name and password: events are signed instead");
    }
    if url.fragment().is_some() {
        check.refuse("url", "fragment", "a URL without a fragment: it would not be sent");
    }
    if url.port() == Some(0) {
        check.refuse("url", "range", "a port from 1 to 65535");
    }
    if let Some(remedy) = host::refuse_receiver(url.host_str().unwrap_or_default(), state.receivers) {
        check.refuse("url", "host", remedy);
    }
    url.to_string()
}

/// What the feed holds.
///
/// # Errors
/// 409 before the organisation is set up.
pub(super) async fn span(tx: &mut Tx) -> Result<Span, Problem> {
    webhooks::span(tx).await?.ok_or_else(|| {
        Problem::conflict("not-set-up", "The organisation is not set up yet; the command line does that.")
    })
}

/// The place that is asked for; `otherwise` where none is.
///
/// # Errors
/// 410 when that place has lost its meaning.
pub(super) fn place(start: &Start, span: Span, otherwise: (Uuid, i64)) -> Result<(Uuid, i64), Problem> {
    let mut check = Check::default();
    let place = match (start.after, start.epoch) {
        (None, None) if start.from_now => (span.epoch, span.newest),
        (None, None) => otherwise,
        (Some(_), None) => {
            check.refuse("epoch", "required", "the epoch that after belongs to");
            otherwise
        }
        (None, Some(_)) => {
            check.refuse("after", "required", "a position of the change feed; epoch and after go together");
            otherwise
        }
        (Some(_), Some(_)) if start.from_now => {
            check.refuse("from_now", "not-used", "either from_now, or after and epoch");
            otherwise
        }
        (Some(after), Some(epoch)) => (epoch, after),
    };
    check.finish()?;
    if span.holds(place.0, place.1) {
        return Ok(place);
    }
    Err(Problem::new(
        StatusCode::GONE,
        "position-gone",
        "Position gone",
        "The position has lost its meaning: it is too old, or from before a restored backup. Resume with from_now true, \
         or with after and epoch of a fresh GET /api/v1/changes, and let the receiver read every record again.",
    )
    .with("epoch", span.epoch.to_string().into())
    .with("oldest", span.oldest.into())
    .with("newest", span.newest.into()))
}
