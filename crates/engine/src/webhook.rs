//! Telling other programs of changes: what is signed, what an answer means, when it is tried again and when not any more.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    cadence::shortened,
    retry::{self, Schedule},
};

/// Failed attempts are repeated after 5, 10, 20 … seconds, at most an hour; how often is decided by [`FAILING_FOR`].
pub const SCHEDULE: Schedule =
    Schedule { base: Duration::from_secs(5), cap: Duration::from_secs(60 * 60), max_attempts: u32::MAX };

/// An endpoint that has failed for so long is disabled.
pub const FAILING_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What is signed (Standard Webhooks): id, instant in seconds since 1970, and the body as it is sent, with full stops
/// between them.
pub fn signed_content(id: &str, at: DateTime<Utc>, body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}.{}.", at.timestamp()).into_bytes();
    content.extend_from_slice(body);
    content
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was accepted (2xx).
    Accepted,
    /// The receiver wants no more (410).
    Gone,
    /// Anything else, redirections too: try again.
    Again,
}

/// Judges a status.
pub fn verdict(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Accepted,
        410 => Verdict::Gone,
        _ => Verdict::Again,
    }
}

/// The wait after the given failed attempt (from 1): the schedule's, or what the receiver asked for if that is longer,
/// at most the schedule's cap.
pub fn wait(attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let scheduled = retry::backoff(attempt, &SCHEDULE, jitter).unwrap_or_else(|| shortened(SCHEDULE.cap, jitter));
    scheduled.max(retry_after.unwrap_or_default().min(SCHEDULE.cap))
}

/// How long a `Retry-After` asks to wait (RFC 9110, section 10.2.3): seconds or a date. `None` for anything else; a date
/// that has passed asks for nothing.
pub fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit ask for longer than anybody waits.
        return Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

/// Whether an endpoint that has failed since then has failed for too long. `limit` is [`FAILING_FOR`], scaled.
pub fn gives_up(failing_since: DateTime<Utc>, now: DateTime<Utc>, limit: Duration) -> bool {
    (now - failing_since).to_std().is_ok_and(|failing| failing >= limit)
}
