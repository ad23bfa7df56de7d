//! Rules of fields that are the same everywhere. All broken rules of a request are told at once.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use lockstep_engine::start_date::{self, Refusal};
use lockstep_model::{address::AddressKey, text};
use uuid::Uuid;

use crate::{
    bounds,
    problem::{FieldError, Problem},
};

/// Most field errors in one answer.
const MAX_ERRORS: usize = 50;
/// What text of one line is, see [`text::is_line`].
const ONE_LINE: &str = "one line without control characters, also those of the direction of writing";

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    /// Notes a broken rule.
    pub(crate) fn refuse(&mut self, field: &str, rule: &str, remedy: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError { field: field.to_owned(), rule: rule.to_owned(), remedy: remedy.into() });
        }
    }

    /// Text of one line: 1 to `max` characters, no control characters. Returned without white space around it.
    pub(crate) fn line(&mut self, field: &str, text: &str, max: usize) -> String {
        if text.trim().is_empty() {
            self.refuse(field, "length", format!("1 to {max} characters"));
        }
        self.optional_line(field, text, max)
    }

    /// Text of one line that may be empty. What has no place in a line is refused also where it would be trimmed.
    pub(crate) fn optional_line(&mut self, field: &str, text: &str, max: usize) -> String {
        if !text::is_line(text) {
            self.refuse(field, "characters", ONE_LINE);
        }
        let text = text.trim();
        if text.chars().count() > max {
            self.refuse(field, "length", format!("at most {max} characters"));
        }
        text.to_owned()
    }

    /// An email address; returns it trimmed, with its key.
    pub(crate) fn address(&mut self, field: &str, written: &str) -> (String, String) {
        if !text::is_line(written) {
            self.refuse(field, "characters", ONE_LINE);
            return (String::new(), String::new());
        }
        let written = written.trim();
        let key = AddressKey::of(written).filter(|_| !written.contains(['<', '>']));
        let Some(key) = key else {
            self.refuse(field, "address", "an email address such as ann@example.com, without a display name");
            return (String::new(), String::new());
        };
        (written.to_owned(), key.as_str().to_owned())
    }

    /// A time zone, by its name in the IANA database.
    pub(crate) fn time_zone(&mut self, field: &str, name: &str) -> String {
        if name.parse::<Tz>().is_err() {
            self.refuse(field, "time-zone", "a time zone of the IANA list such as Europe/Berlin");
        }
        name.to_owned()
    }

    /// Whose a record is: a user's or a team's.
    pub(crate) fn owner(&mut self, user: Option<Uuid>, team: Option<Uuid>) {
        if user.is_some() && team.is_some() {
            self.refuse("owner_team_id", "one-of", "either owner_user_id or owner_team_id");
        }
    }

    /// A number within the bounds of its field.
    pub(crate) fn range(&mut self, field: &str, value: i64) {
        if let Some((low, high)) = bounds::of(field)
            && !(low..=high).contains(&value)
        {
            self.refuse(field, "range", format!("a number from {low} to {high}"));
        }
    }

    /// An instant that mail can have.
    pub(crate) fn instant(&mut self, field: &str, value: Option<DateTime<Utc>>) {
        if value.is_some_and(|at| !(1970..=9999).contains(&at.year())) {
            self.refuse(field, "range", "an instant from 1970 to 9999");
        }
    }

    /// An instant at which something ends that need not end: with one so far ahead, it does not.
    pub(crate) fn expiry(&mut self, field: &str, value: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        const FURTHEST: TimeDelta = TimeDelta::days(36_525);
        self.instant(field, value);
        if value.is_some_and(|at| at.year() <= 9999 && at > now + FURTHEST) {
            let remedy = format!(
                "{} or earlier, at most a hundred years ahead; left out, there is no end",
                (now + FURTHEST).to_rfc3339()
            );
            self.refuse(field, "too-far-ahead", remedy);
        }
    }

    /// The instant from which received email is processed, where a request sets it: not before the profile's, not further
    /// back than the deployment allows, and at most a year ahead.
    pub(crate) fn start(
        &mut self,
        field: &str,
        start: DateTime<Utc>,
        of_profile: Option<DateTime<Utc>>,
        max_days: Option<u32>,
        now: DateTime<Utc>,
    ) {
        match start_date::check(start, of_profile, max_days, now) {
            Ok(()) => {}
            Err(Refusal::BeforeProfile(at)) => {
                self.refuse(field, "before-profile", format!("{} or later: its profile starts then", at.to_rfc3339()));
            }
            Err(Refusal::TooFarBack(at)) => {
                let remedy = format!("{} or later: this deployment allows no earlier start", at.to_rfc3339());
                self.refuse(field, "too-far-back", remedy);
            }
            Err(Refusal::TooFarAhead(at)) => {
                let remedy = format!("{} or earlier: a start is at most a year ahead", at.to_rfc3339());
                self.refuse(field, "too-far-ahead", remedy);
            }
        }
    }

    /// The id of a record in another system: both of `source` and `external_id`, or neither.
    pub(crate) fn origin(
        &mut self,
        source: Option<&str>,
        external_id: Option<&str>,
    ) -> (Option<String>, Option<String>) {
        if source.is_some() != external_id.is_some() {
            let missing = if source.is_none() { "source" } else { "external_id" };
            self.refuse(missing, "required", "source and external_id go together");
        }
        (source.map(|s| self.line("source", s, 100)), external_id.map(|e| self.line("external_id", e, 255)))
    }

    /// Ends the check.
    ///
    /// # Errors
    /// A problem with every broken rule.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}
