//! One member of a JSON value, by its path: what it must be, and the words when it is not.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use lockstep_model::{address::AddressKey, text::is_odd};
use serde_json::{Map, Value as Json};

use super::{Words, Wrong};

/// What was read, or what is wrong.
pub(crate) type Read<T> = Result<T, Wrong>;

/// The years of a date: those that every mail server can hold.
const YEARS: std::ops::RangeInclusive<i32> = 1601..=4500;

/// Whose words a value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A program's or a person's: every rule holds.
    Request,
    /// Our own: what was once written, or came from a mail server, is read as it stands.
    Row,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct At<'a> {
    path: String,
    json: &'a Json,
    from: Source,
}

impl<'a> At<'a> {
    pub(crate) fn new(path: &str, json: &'a Json, from: Source) -> Self {
        Self { path: path.to_owned(), json, from }
    }

    /// Whether it is somebody's request.
    pub(crate) fn is_request(&self) -> bool {
        self.from == Source::Request
    }

    /// It is not what was expected.
    pub(crate) fn wrong(&self, expected: impl Into<String>) -> Wrong {
        Wrong { path: self.path.clone(), expected: expected.into() }
    }

    fn object(&self) -> Read<&'a Map<String, Json>> {
        self.json.as_object().ok_or_else(|| self.wrong("a JSON object is expected"))
    }

    /// The value of an object of others.
    pub(crate) fn json(&self) -> &'a Json {
        self.json
    }

    /// Whether an object has this member.
    pub(crate) fn has(&self, name: &str) -> Read<bool> {
        Ok(self.object()?.contains_key(name))
    }

    /// Refuses members other than these.
    pub(crate) fn only(&self, known: &[&str]) -> Read<()> {
        let unknown = self.object()?.keys().find(|name| !known.contains(&name.as_str()));
        let Some(unknown) = unknown else { return Ok(()) };
        let expected = format!("no such member; there are {}", known.join(", "));
        Err(Wrong { path: format!("{}.{}", self.path, shortened(unknown)), expected })
    }

    /// A member that must be there.
    pub(crate) fn member(&self, name: &str) -> Read<At<'a>> {
        self.optional(name)?.ok_or_else(|| Wrong {
            path: format!("{}.{name}", self.path),
            expected: "a value: it is missing".to_owned(),
        })
    }

    /// A member that may be left out, or be null.
    pub(crate) fn optional(&self, name: &str) -> Read<Option<At<'a>>> {
        let found = self.object()?.get(name).filter(|json| !json.is_null());
        Ok(found.map(|json| At { path: format!("{}.{name}", self.path), json, from: self.from }))
    }

    /// The members of an object whose names are data.
    pub(crate) fn members(&self) -> Read<impl Iterator<Item = (&'a str, At<'a>)>> {
        let (path, from) = (self.path.clone(), self.from);
        let members = self.object()?.iter();
        Ok(members
            .map(move |(name, json)| (name.as_str(), At { path: format!("{path}.{}", shortened(name)), json, from })))
    }

    /// A list of at most `max`.
    pub(crate) fn list(&self, max: usize) -> Read<Vec<At<'a>>> {
        let items = self.json.as_array().ok_or_else(|| self.wrong(format!("a list of at most {max}")))?;
        if items.len() > max {
            return Err(self.wrong(format!("a list of at most {max}; there are {}", items.len())));
        }
        let at = |(n, json)| At { path: format!("{}.{n}", self.path), json, from: self.from };
        Ok(items.iter().enumerate().map(at).collect())
    }

    fn text(&self, expected: &str) -> Read<&'a str> {
        self.json.as_str().ok_or_else(|| self.wrong(expected))
    }

    /// Text of one line.
    pub(crate) fn line(&self, max: usize) -> Read<String> {
        let expected = format!(
            "one line of at most {max} characters, without control characters, also those of the direction of writing"
        );
        let text = self.text(&expected)?;
        let odd = if self.is_request() { is_odd } else { char::is_control };
        if text.chars().count() > max || text.chars().any(odd) {
            return Err(self.wrong(expected));
        }
        Ok(text.trim().to_owned())
    }

    /// Text of many lines.
    pub(crate) fn block(&self, max: usize) -> Read<String> {
        let expected =
            format!("text of at most {max} characters, without control characters other than tab and line ends");
        let text = self.text(&expected)?;
        let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.chars().count() > max || text.chars().any(odd) {
            return Err(self.wrong(expected));
        }
        Ok(text.to_owned())
    }

    /// A whole number.
    pub(crate) fn number(&self, low: u32, high: u32) -> Read<u32> {
        let number = self.json.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| self.wrong(format!("a whole number from {low} to {high}")))
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(&self, words: Words<T>) -> Read<T> {
        let found = self.json.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        found.map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(format!("one of {}", words.join(", ")))
        })
    }

    /// One of some values, by name.
    pub(crate) fn named<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Read<T> {
        let found = self.json.as_str().and_then(|text| all.iter().copied().find(|value| name(*value) == text));
        found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|value| name(*value)).collect();
            self.wrong(format!("one of {}", names.join(", ")))
        })
    }

    /// `true` or `false`.
    pub(crate) fn truth(&self) -> Read<bool> {
        self.json.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A day.
    pub(crate) fn date(&self) -> Read<NaiveDate> {
        let date = self.json.as_str().and_then(|text| text.parse::<NaiveDate>().ok());
        date.filter(|date| YEARS.contains(&date.year()))
            .ok_or_else(|| self.wrong(format!("a date such as 2027-03-31, {}", years())))
    }

    /// A moment.
    pub(crate) fn instant(&self) -> Read<DateTime<Utc>> {
        let at = self.json.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| at.to_utc());
        at.filter(|at| YEARS.contains(&at.year()))
            .ok_or_else(|| self.wrong(format!("an instant with its offset such as 2027-03-31T09:00:00Z, {}", years())))
    }

    /// A local time.
    pub(crate) fn local(&self) -> Read<NaiveDateTime> {
        let text = self.json.as_str().unwrap_or_default();
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"));
        time.ok().filter(|time| YEARS.contains(&time.year())).ok_or_else(|| {
            self.wrong(format!("a local time without an offset such as 2027-03-31T09:00:00, {}", years()))
        })
    }

    /// A time zone.
    pub(crate) fn zone(&self) -> Read<Tz> {
        let zone = self.json.as_str().and_then(|name| name.parse::<Tz>().ok());
        zone.ok_or_else(|| self.wrong("a time zone of the IANA list such as Europe/Berlin"))
    }

    /// An email address.
    pub(crate) fn address(&self) -> Read<AddressKey> {
        let fits = |written: &&str| !(written.contains(['<', '>']) || self.is_request() && written.chars().any(is_odd));
        let written = self.json.as_str().filter(fits);
        written
            .and_then(AddressKey::of)
            .ok_or_else(|| self.wrong("an email address such as ann@example.com, without a display name"))
    }
}

/// [`YEARS`] in words.
fn years() -> String {
    format!("of the years {} to {}", YEARS.start(), YEARS.end())
}

/// A name from outside, as it is told back.
fn shortened(name: &str) -> String {
    lockstep_model::text::line(name, 64)
}
