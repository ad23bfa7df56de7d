//! The header of a message as the product uses it: decoded, cleaned, bounded.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone, Utc};
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::address::{self, Address};
use crate::anomaly::{Anomalies, Anomaly};
use crate::encoded_word;
use crate::field::Fields;
use crate::limits::Limits;
use crate::message_id;
use crate::text;

/// Bytes kept of the subject.
pub const MAX_SUBJECT_BYTES: usize = 4_000;
/// Bytes kept of any other text value.
pub const MAX_VALUE_BYTES: usize = 1_000;

/// How urgent the sender calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Importance {
    /// Importance: low, or X-Priority 4 and 5
    Low,
    /// Nothing is said.
    #[default]
    Normal,
    /// Importance: high, or X-Priority 1 and 2
    High,
}

/// The fields of a message header that have a meaning here. Of a field that must stand once, the
/// first with content counts; address fields that stand several times are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Subject, at most [`MAX_SUBJECT_BYTES`].
    pub subject: Option<String>,
    /// From
    pub from: Vec<Address>,
    /// Sender
    pub sender: Option<Address>,
    /// To
    pub to: Vec<Address>,
    /// Cc
    pub cc: Vec<Address>,
    /// Bcc, as kept in one's own sent mail
    pub bcc: Vec<Address>,
    /// Reply-To
    pub reply_to: Vec<Address>,
    /// Message-ID without brackets; at most [`message_id::MAX_BYTES`].
    pub message_id: Option<String>,
    /// In-Reply-To
    pub in_reply_to: Vec<String>,
    /// References, the last [`message_id::MAX_REFERENCES`]
    pub references: Vec<String>,
    /// Date
    pub date: Option<DateTime<Utc>>,
    /// The offset from UTC the date was written with, in minutes.
    pub date_offset_minutes: Option<i32>,
    /// Auto-Submitted (RFC 3834), lower case, without parameters; `no` is kept.
    pub auto_submitted: Option<String>,
    /// Precedence, lower case: `bulk`, `list`, `junk`
    pub precedence: Option<String>,
    /// A List-… field of RFC 2369 or RFC 2919 stands there.
    pub is_list: bool,
    /// List-Id as written
    pub list_id: Option<String>,
    /// X-Lockstep-Organisation: the message left a system like this one.
    pub loop_organisation: Option<String>,
    /// Thread-Index of Outlook
    pub thread_index: Option<String>,
    /// Disposition-Notification-To: the sender asks for a read receipt.
    pub receipt_to: Vec<Address>,
    /// Importance or X-Priority
    pub importance: Importance,
    /// The topmost Return-Path, which the last server writes (RFC 5321 §4.4); `<>` where it is empty.
    pub return_path: Option<String>,
    /// The topmost Authentication-Results (RFC 8601).
    pub authentication_results: Option<String>,
    /// Content-Class of Outlook and Exchange, lower case: what sort of message it is beside its media type.
    pub content_class: Option<String>,
    /// The media type of the message, lower case, `text/plain` if none is given.
    pub content_type: String,
}

/// The header field that marks a message which left a Lockstep system; its value is the UUID of
/// the organisation.
pub const LOOP_HEADER: &str = "X-Lockstep-Organisation";

impl Headers {
    /// Reads a raw header block.
    #[must_use]
    pub fn parse(raw: &[u8], limits: &Limits) -> (Self, Anomalies) {
        let fields = Fields::parse(raw, limits.default_charset.as_deref());
        let mut reader = Reader { fields: &fields, limits, anomalies: Anomalies::default() };
        let headers = reader.headers();
        (headers, reader.anomalies)
    }
}

struct Reader<'a> {
    fields: &'a Fields,
    limits: &'a Limits,
    anomalies: Anomalies,
}

impl Reader<'_> {
    fn headers(&mut self) -> Headers {
        let date = self.fields.get("date").and_then(parse_date);
        let headers = Headers {
            subject: self.text("subject", MAX_SUBJECT_BYTES),
            from: self.addresses("from"),
            sender: self.addresses("sender").into_iter().next(),
            to: self.addresses("to"),
            cc: self.addresses("cc"),
            bcc: self.addresses("bcc"),
            reply_to: self.addresses("reply-to"),
            message_id: self.fields.all("message-id").find_map(message_id::first),
            in_reply_to: self.ids("in-reply-to"),
            references: self.ids("references"),
            date: date.map(|date| date.with_timezone(&Utc)),
            date_offset_minutes: date.map(|date| date.offset().local_minus_utc() / 60),
            auto_submitted: self.keyword("auto-submitted"),
            precedence: self.keyword("precedence"),
            is_list: self.fields.iter().any(|field| is_list_field(&field.name)),
            list_id: self.text("list-id", MAX_VALUE_BYTES),
            loop_organisation: self.text("x-lockstep-organisation", MAX_VALUE_BYTES),
            thread_index: self.text("thread-index", MAX_VALUE_BYTES),
            receipt_to: self.addresses("disposition-notification-to"),
            importance: self.importance(),
            return_path: self.raw("return-path"),
            authentication_results: self.raw("authentication-results"),
            content_class: self.keyword("content-class"),
            content_type: self.content_type(),
        };
        for (missing, anomaly) in [
            (headers.from.is_empty(), Anomaly::MissingFrom),
            (headers.date.is_none(), Anomaly::MissingDate),
            (headers.message_id.is_none(), Anomaly::MissingMessageId),
        ] {
            if missing {
                self.anomalies.note(anomaly);
            }
        }
        headers
    }

    fn default_charset(&self) -> Option<&str> {
        self.limits.default_charset.as_deref()
    }

    fn text(&mut self, name: &str, max: usize) -> Option<String> {
        let value = encoded_word::decode(self.fields.get(name)?, self.default_charset());
        if value.contains('\0') {
            self.anomalies.note(Anomaly::ControlCharacters);
        }
        Some(text::clean_line(&value, max)).filter(|value| !value.is_empty())
    }

    /// A value as it stands, on one line.
    fn raw(&self, name: &str) -> Option<String> {
        Some(text::clean_line(self.fields.get(name)?, MAX_VALUE_BYTES)).filter(|value| !value.is_empty())
    }

    fn keyword(&self, name: &str) -> Option<String> {
        let value = self.fields.get(name)?.split([';', '(']).next().unwrap_or_default();
        let value = text::clean_line(value, MAX_VALUE_BYTES).to_ascii_lowercase();
        (!value.is_empty()).then_some(value)
    }

    fn addresses(&mut self, name: &str) -> Vec<Address> {
        let mut addresses = Vec::new();
        for value in self.fields.all(name) {
            let room = self.limits.addresses.saturating_sub(addresses.len());
            let (more, cut) = address::parse_list(value, self.default_charset(), room);
            addresses.extend(more);
            if cut {
                self.anomalies.note(Anomaly::TooManyAddresses);
                break;
            }
        }
        addresses
    }

    fn ids(&self, name: &str) -> Vec<String> {
        let mut ids: Vec<String> = self.fields.all(name).flat_map(message_id::all).collect();
        ids.split_off(ids.len().saturating_sub(message_id::MAX_REFERENCES))
    }

    fn importance(&self) -> Importance {
        let written = self.keyword("importance").or_else(|| self.keyword("x-priority"));
        match written.unwrap_or_default().as_bytes() {
            [b'1' | b'2', ..] | b"high" => Importance::High,
            [b'4' | b'5', ..] | b"low" => Importance::Low,
            _ => Importance::Normal,
        }
    }

    fn content_type(&self) -> String {
        let value = self.fields.get("content-type").map(crate::parameter::Parameterised::parse);
        let value = value.map(|v| v.value).filter(|v| v.contains('/'));
        value.map_or_else(|| "text/plain".to_owned(), |v| text::cut(&v, 127).to_owned())
    }
}

fn is_list_field(name: &str) -> bool {
    matches!(name, "list-id" | "list-post" | "list-unsubscribe" | "list-help" | "list-archive")
}

/// Reads a date of RFC 5322 and what comes near; `None` if it is no day of the years 1970–2199.
/// Without zone it is taken for UTC.
#[must_use]
pub fn parse_date(value: &str) -> Option<DateTime<FixedOffset>> {
    let value = text::cut(value, 200);
    let parsed = parsed_date(value).or_else(|| parsed_date(&with_seconds(value)?))?;
    if !(1970..2200).contains(&parsed.year) {
        return None;
    }
    let seconds = (i32::from(parsed.tz_hour) * 60 + i32::from(parsed.tz_minute)) * 60;
    let offset = FixedOffset::east_opt(if parsed.tz_before_gmt { -seconds } else { seconds })?;
    // A leap second is written as 60.
    NaiveDate::from_ymd_opt(i32::from(parsed.year), u32::from(parsed.month), u32::from(parsed.day))?
        .and_hms_opt(u32::from(parsed.hour), u32::from(parsed.minute), u32::from(parsed.second).min(59))
        .and_then(|local| offset.from_local_datetime(&local).single())
}

fn parsed_date(value: &str) -> Option<mail_parser::DateTime> {
    // The parser drops a field that no line end completes.
    let line = format!("{value}\n");
    match MessageStream::new(line.as_bytes()).parse_date() {
        HeaderValue::DateTime(parsed) => Some(parsed),
        _ => None,
    }
}

/// The value with seconds put after a time of day that has none (the RFC allows it, the parser
/// does not): `10:52 GMT` → `10:52:00 GMT`.
fn with_seconds(value: &str) -> Option<String> {
    let colon = value.find(':')?;
    let rest = &value[colon + 1..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (minutes, after) = rest.split_at(digits);
    let complete = after.starts_with(':');
    (!complete).then(|| format!("{}:{minutes}:00{after}", &value[..colon]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_in_the_wild() {
        for (value, utc) in [
            ("Tue, 1 Jul 2025 10:52:37 +0200", Some("2025-07-01T08:52:37+00:00")),
            ("1 Jul 2025 10:52 GMT", Some("2025-07-01T10:52:00+00:00")),
            ("Tue, 1 Jul 2025 10:52:37 -0330 (NST)", Some("2025-07-01T14:22:37+00:00")),
            ("Mon, 30 Jun 2025 23:59:60 +0000", Some("2025-06-30T23:59:59+00:00")),
            ("31 Feb 2025 10:00:00 +0000", None),
            ("yesterday", None),
            ("1 Jan 9999 00:00:00 +0000", None),
        ] {
            assert_eq!(parse_date(value).map(|d| d.with_timezone(&Utc).to_rfc3339()).as_deref(), utc, "{value}");
        }
    }

    #[test]
    fn raw_eight_bit_headers_keep_their_letters() {
        let raw = b"Subject: Gr\xFC\xDFe\r\nFrom: J\xFCrgen <j@x.test>\r\n";
        let (headers, _) = Headers::parse(raw, &Limits::default());
        assert_eq!(headers.subject.as_deref(), Some("Grüße"));
        assert_eq!(headers.from[0].name.as_deref(), Some("Jürgen"));
        // B27: the code page of the profile.
        let limits = Limits { default_charset: Some("windows-1251".into()), ..Limits::default() };
        let (headers, _) = Headers::parse(b"Subject: \xCF\xF0\xE8\xE2\xE5\xF2\r\n", &limits);
        assert_eq!(headers.subject.as_deref(), Some("Привет"));
    }

    #[test]
    fn what_the_last_server_wrote_stands_on_top() {
        let raw = b"Return-Path: <>\r\nAuthentication-Results: mx;\r\n dmarc=fail\r\nReturn-Path: <a@b.test>\r\n\
            Authentication-Results: evil; dmarc=pass\r\n";
        let (headers, _) = Headers::parse(raw, &Limits::default());
        assert_eq!(headers.return_path.as_deref(), Some("<>"));
        assert_eq!(headers.authentication_results.as_deref(), Some("mx; dmarc=fail"));
    }

    #[test]
    fn hostile_values_are_bounded() {
        let mut raw = b"Subject: ".to_vec();
        raw.extend("x\0".repeat(50_000).bytes());
        raw.extend(b"\r\nTo: ");
        raw.extend(" =?utf-8?".repeat(20_000).bytes());
        raw.extend(b"\r\n");
        let started = std::time::Instant::now();
        let (headers, anomalies) = Headers::parse(&raw, &Limits::default());
        assert!(headers.subject.unwrap().len() <= MAX_SUBJECT_BYTES);
        assert!(anomalies.contains(Anomaly::ControlCharacters));
        assert!(started.elapsed().as_secs() < 20);
    }
}
