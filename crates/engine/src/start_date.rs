//! From when on received mail is processed.

use chrono::{DateTime, Duration, Utc};

/// Why a start cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Further back than the deployment allows; this is the earliest it allows.
    TooFarBack(DateTime<Utc>),
    /// Further ahead than makes sense: until then nothing would be processed. This is the latest start.
    TooFarAhead(DateTime<Utc>),
    /// A mailbox cannot start before its profile does; this is the profile's start.
    BeforeProfile(DateTime<Utc>),
}

/// A start lies at most so far ahead.
const MAX_AHEAD: Duration = Duration::days(366);

/// The instant that counts for a mailbox: the later of the profile's and the mailbox's own.
pub fn effective(profile: Option<DateTime<Utc>>, mailbox: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    profile.max(mailbox)
}

/// Whether a start may be set. `max_days` is the deployment's limit, where it has one.
///
/// # Errors
/// Why not.
pub fn check(
    start: DateTime<Utc>,
    profile: Option<DateTime<Utc>>,
    max_days: Option<u32>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let days = max_days.map(|days| Duration::days(i64::from(days)));
    let earliest = days.and_then(|days| now.checked_sub_signed(days)).unwrap_or(DateTime::<Utc>::MIN_UTC);
    match profile.filter(|profile| start < *profile) {
        Some(profile) => Err(Refusal::BeforeProfile(profile)),
        None if start < earliest => Err(Refusal::TooFarBack(earliest)),
        None if start > now + MAX_AHEAD => Err(Refusal::TooFarAhead(now + MAX_AHEAD)),
        None => Ok(()),
    }
}
