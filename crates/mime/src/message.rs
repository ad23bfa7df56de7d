//! The sink that makes one parsed message: header, body texts, attachments, what kind it is.

use crate::anomaly::{Anomalies, Anomaly, Unparsable};
use crate::header::Headers;
use crate::limits::Limits;
use crate::part::{PartInfo, PartSink, Role, Want};
use crate::report::{MAX_REPORT_BYTES, Report};
use crate::splitter::{Outcome, Splitter};
use crate::text;

/// Bytes kept of the first text, by which two copies of a message are compared.
pub const FIRST_TEXT_BYTES: usize = 4 * 1024;

/// An attachment of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// Place among the attachments, from 0.
    pub position: usize,
    /// Section number, see [`PartInfo::path`].
    pub path: String,
    /// The file name; made from the section number and the type where none was given.
    pub name: String,
    /// `type/subtype` in lower case.
    pub media_type: String,
    /// Decoded bytes; 0 until the end of the attachment.
    pub size: u64,
    /// Content-ID without brackets.
    pub content_id: Option<String>,
    /// Shown within the body.
    pub inline: bool,
}

/// A message as the product sees it. All texts are free of control characters and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedMessage {
    /// The header.
    pub headers: Headers,
    /// Plain text, line ends LF; several text parts are joined.
    pub body_text: Option<String>,
    /// HTML as received (not sanitised), line ends LF.
    pub body_html: Option<String>,
    /// A body was longer than [`Limits::body_bytes`].
    pub body_truncated: bool,
    /// The beginning of the first text part, plain or HTML, at most [`FIRST_TEXT_BYTES`].
    pub first_text_block: Option<String>,
    /// In the order of the message.
    pub attachments: Vec<AttachmentInfo>,
    /// S/MIME or PGP signature: the raw form must be kept.
    pub is_signed: bool,
    /// S/MIME or PGP encryption: the raw form must be kept.
    pub is_encrypted: bool,
    /// A bounce or a read receipt.
    pub report: Option<Report>,
    /// A text/calendar part is there; it is also an attachment.
    pub has_calendar: bool,
    /// `method` of the first text/calendar part, upper case.
    pub calendar_method: Option<String>,
    /// Bytes of the raw message.
    pub size: u64,
    /// What was odd.
    pub anomalies: Anomalies,
    /// Why there is no sensible view.
    pub unparsable: Option<Unparsable>,
}

/// Takes the content of attachments while a message is read.
///
/// It is called from within [`Splitter::feed`], synchronously. An asynchronous caller lets it
/// collect the bytes and drains it after each feed: feeding n bytes gives at most
/// n + [`crate::splitter::MAX_HELD_BACK`] bytes.
pub trait AttachmentSink {
    /// An attachment begins. Its size is not known yet.
    fn begin(&mut self, info: &AttachmentInfo) -> Verdict;
    /// The next bytes, if it was accepted.
    fn write(&mut self, bytes: &[u8]);
    /// It ends, if it was accepted; now with its size.
    fn end(&mut self, info: &AttachmentInfo);
}

/// Whether a sink wants the content of an attachment. It is counted and listed either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No.
    Skip,
}

/// An [`AttachmentSink`] that wants no content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl AttachmentSink for Discard {
    fn begin(&mut self, _info: &AttachmentInfo) -> Verdict {
        Verdict::Skip
    }
    fn write(&mut self, _bytes: &[u8]) {}
    fn end(&mut self, _info: &AttachmentInfo) {}
}

/// Reads a whole message that is in memory, without the content of its attachments.
#[must_use]
pub fn parse(raw: &[u8], limits: &Limits) -> ParsedMessage {
    let mut splitter = Splitter::new(limits.clone());
    let mut collector = Collector::new(limits.clone(), Discard);
    splitter.feed(raw, &mut collector);
    let outcome = splitter.finish(&mut collector);
    collector.finish(outcome).0
}

/// Gathers a [`ParsedMessage`] from the events of a [`Splitter`].
#[derive(Debug)]
pub struct Collector<S> {
    limits: Limits,
    sink: S,
    headers: Headers,
    anomalies: Anomalies,
    open: Vec<Open>,
    text: Body,
    html: Body,
    first_text_block: Option<String>,
    attachments: Vec<AttachmentInfo>,
    is_signed: bool,
    is_encrypted: bool,
    report: Option<Report>,
    has_calendar: bool,
    calendar_method: Option<String>,
}

#[derive(Debug, Default)]
struct Body {
    text: Option<String>,
    truncated: bool,
}

#[derive(Debug)]
enum Open {
    Multipart,
    Text { html: bool, charset: Option<String>, bytes: Vec<u8>, truncated: bool },
    Attachment { info: AttachmentInfo, accepted: bool, kept: Vec<u8>, keep: Keep },
}

/// Why the beginning of an attachment is kept in memory as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Status,
    Returned,
}

impl<S: AttachmentSink> Collector<S> {
    /// A collector that hands attachments to `sink`. Use the same limits as for the splitter.
    #[must_use]
    pub fn new(limits: Limits, sink: S) -> Self {
        Self {
            limits,
            sink,
            headers: Headers::default(),
            anomalies: Anomalies::default(),
            open: Vec::new(),
            text: Body::default(),
            html: Body::default(),
            first_text_block: None,
            attachments: Vec::new(),
            is_signed: false,
            is_encrypted: false,
            report: None,
            has_calendar: false,
            calendar_method: None,
        }
    }

    /// The attachment sink, to drain it between feeds.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The header, empty until it has been read.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The message, and the sink back.
    #[must_use]
    pub fn finish(mut self, outcome: Outcome) -> (ParsedMessage, S) {
        let mut anomalies = outcome.anomalies;
        let body_truncated = self.text.truncated || self.html.truncated;
        if body_truncated {
            self.anomalies.note(Anomaly::BodyTruncated);
        }
        if self.text.text.as_deref().is_some_and(holds_uuencoded) {
            self.anomalies.note(Anomaly::Uuencoded);
        }
        anomalies.extend(&self.anomalies);
        let parsed = ParsedMessage {
            headers: self.headers,
            body_text: self.text.text,
            body_html: self.html.text,
            body_truncated,
            first_text_block: self.first_text_block,
            attachments: self.attachments,
            is_signed: self.is_signed,
            is_encrypted: self.is_encrypted,
            report: self.report,
            has_calendar: self.has_calendar,
            calendar_method: self.calendar_method,
            size: outcome.size,
            anomalies,
            unparsable: outcome.unparsable,
        };
        (parsed, self.sink)
    }

    fn note_kind(&mut self, info: &PartInfo) {
        match info.media_type.as_str() {
            "multipart/signed" => self.is_signed = true,
            "multipart/encrypted" => self.is_encrypted = true,
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                let kind = info.content_type.get("smime-type").unwrap_or_default();
                match kind.to_ascii_lowercase().as_str() {
                    "signed-data" | "certs-only" => self.is_signed = true,
                    _ => self.is_encrypted = true,
                }
            }
            "multipart/report" if self.report.is_none() => {
                self.report = Some(Report::new(info.content_type.get("report-type")));
            }
            "text/calendar" => {
                self.has_calendar = true;
                if self.calendar_method.is_none() {
                    let method = info.content_type.get("method");
                    self.calendar_method = method.map(|m| text::clean_line(m, 64).to_ascii_uppercase());
                }
            }
            "application/ms-tnef" | "application/vnd.ms-tnef" => self.anomalies.note(Anomaly::Tnef),
            _ => {}
        }
    }

    fn keep(&self, media_type: &str) -> Keep {
        match media_type {
            _ if self.report.is_none() => Keep::Nothing,
            "message/delivery-status" | "message/disposition-notification" => Keep::Status,
            "message/rfc822" | "text/rfc822-headers" | "message/rfc822-headers" => Keep::Returned,
            _ => Keep::Nothing,
        }
    }

    fn end_text(&mut self, html: bool, charset: Option<&str>, bytes: &[u8], truncated: bool) {
        let decoded = text::decode(bytes, charset, self.limits.default_charset.as_deref());
        let (clean, removed) = text::clean_body(&decoded.text);
        if let Some(anomaly) = decoded.anomaly {
            self.anomalies.note(anomaly);
        }
        if removed {
            self.anomalies.note(Anomaly::ControlCharacters);
        }
        if self.first_text_block.is_none() && !clean.trim().is_empty() {
            self.first_text_block = Some(text::cut(&clean, FIRST_TEXT_BYTES).to_owned());
        }
        let body = if html { &mut self.html } else { &mut self.text };
        body.truncated |= truncated;
        body.append(&clean, self.limits.body_bytes);
    }
}

impl Body {
    fn append(&mut self, text: &str, max: usize) {
        let whole = self.text.get_or_insert_default();
        if !whole.is_empty() && !whole.ends_with('\n') && whole.len() < max {
            whole.push('\n');
        }
        let kept = text::cut(text, max.saturating_sub(whole.len()));
        self.truncated |= kept.len() < text.len();
        whole.push_str(kept);
    }
}

impl<S: AttachmentSink> PartSink for Collector<S> {
    fn message_header(&mut self, raw: &[u8], _truncated: bool) {
        let (headers, anomalies) = Headers::parse(raw, &self.limits);
        self.headers = headers;
        self.anomalies.extend(&anomalies);
    }

    fn part_begin(&mut self, info: &PartInfo, _raw_header: &[u8]) -> Want {
        self.note_kind(info);
        match info.role {
            Role::Multipart => {
                self.open.push(Open::Multipart);
                Want::Nothing
            }
            Role::TextBody | Role::HtmlBody => {
                self.open.push(Open::Text {
                    html: info.role == Role::HtmlBody,
                    charset: info.charset.clone(),
                    bytes: Vec::new(),
                    truncated: false,
                });
                Want::Body
            }
            Role::Inline | Role::Attachment => {
                let attachment = AttachmentInfo {
                    position: self.attachments.len(),
                    path: info.path.clone(),
                    name: info.file_name.clone().unwrap_or_else(|| made_up_name(info)),
                    media_type: info.media_type.clone(),
                    size: 0,
                    content_id: info.content_id.clone(),
                    inline: info.role == Role::Inline,
                };
                let accepted = self.sink.begin(&attachment) == Verdict::Accept;
                self.attachments.push(attachment.clone());
                self.open.push(Open::Attachment {
                    info: attachment,
                    accepted,
                    kept: Vec::new(),
                    keep: self.keep(&info.media_type),
                });
                Want::Body
            }
        }
    }

    fn body(&mut self, slice: &[u8]) {
        match self.open.last_mut() {
            Some(Open::Text { bytes, truncated, .. }) => {
                let room = self.limits.body_bytes.saturating_sub(bytes.len());
                *truncated |= slice.len() > room;
                bytes.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            Some(Open::Attachment { info, accepted, kept, keep }) => {
                info.size += slice.len() as u64;
                if *keep != Keep::Nothing {
                    let room = MAX_REPORT_BYTES.saturating_sub(kept.len());
                    kept.extend_from_slice(&slice[..slice.len().min(room)]);
                }
                if *accepted {
                    self.sink.write(slice);
                }
            }
            Some(Open::Multipart) | None => {}
        }
    }

    fn part_end(&mut self) {
        match self.open.pop() {
            Some(Open::Text { html, charset, mut bytes, truncated }) => {
                if truncated {
                    drop_cut_character(&mut bytes);
                }
                self.end_text(html, charset.as_deref(), &bytes, truncated);
            }
            Some(Open::Attachment { info, accepted, kept, keep }) => {
                if let Some(report) = &mut self.report {
                    match keep {
                        Keep::Status => report.read_status(&info.media_type, &kept, &self.limits),
                        Keep::Returned => report.read_returned(&kept, &self.limits),
                        Keep::Nothing => {}
                    }
                }
                if accepted {
                    self.sink.end(&info);
                }
                if let Some(listed) = self.attachments.get_mut(info.position) {
                    *listed = info;
                }
            }
            Some(Open::Multipart) | None => {}
        }
    }
}

/// Removes a UTF-8 character whose end was cut off; other charsets lose at most their last one.
fn drop_cut_character(bytes: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
}

fn made_up_name(info: &PartInfo) -> String {
    let ending = match info.media_type.as_str() {
        "message/rfc822" => "eml",
        "text/calendar" => "ics",
        "text/plain" | "text/rfc822-headers" | "message/delivery-status" => "txt",
        "text/html" => "html",
        "text/vcard" | "text/x-vcard" => "vcf",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "application/pdf" => "pdf",
        "application/pgp-signature" => "asc",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "p7m",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => "p7s",
        _ => "bin",
    };
    format!("part-{}.{ending}", info.path)
}

/// A line `begin <mode> <name>` followed by one as uuencode writes it.
fn holds_uuencoded(text: &str) -> bool {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut words = line.split(' ');
        let begins = words.next() == Some("begin")
            && words.next().is_some_and(|m| matches!(m.len(), 3 | 4) && m.bytes().all(|b| b.is_ascii_digit()))
            && words.next().is_some();
        if begins
            && lines
                .next()
                .is_some_and(|next| next.starts_with('M') && next.len() >= 61 || next.len() > 1 && next.len() < 61)
        {
            return true;
        }
    }
    false
}
