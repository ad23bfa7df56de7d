//! What is known of a part before its body, and the trait that receives parts.

use crate::anomaly::{Anomalies, Anomaly};
use crate::field::Fields;
use crate::limits::Limits;
use crate::parameter::Parameterised;
use crate::text;
use crate::transfer::TransferEncoding;

/// Bytes kept of a file name; the ending survives the cut.
pub const MAX_FILE_NAME_BYTES: usize = 240;
/// Longest boundary taken (RFC 2046 allows 70 bytes).
pub const MAX_BOUNDARY_BYTES: usize = 500;

/// What a part is to a reader of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A container; other parts follow before its end.
    Multipart,
    /// Plain text to be shown as body.
    TextBody,
    /// HTML to be shown as body.
    HtmlBody,
    /// A file shown within the body (an image of the HTML).
    Inline,
    /// A file; also every message/rfc822, as one `.eml`.
    Attachment,
}

/// A part, known when its header has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Section number as in IMAP: `1` is a body without multipart, `` the outermost multipart,
    /// `1.2` the second part of the first part. Nested messages are not opened.
    pub path: String,
    /// `type/subtype` in lower case; `text/plain` where nothing is said.
    pub media_type: String,
    /// Content-Type with its parameters.
    pub content_type: Parameterised,
    /// The declared charset, as written.
    pub charset: Option<String>,
    /// How the body is coded.
    pub encoding: TransferEncoding,
    /// The file name, decoded, without directories and control characters.
    pub file_name: Option<String>,
    /// Content-ID without brackets.
    pub content_id: Option<String>,
    /// What the part is.
    pub role: Role,
}

impl PartInfo {
    /// Reads the header of a part. In a multipart/digest, `in_digest`, a part without type is
    /// message/rfc822.
    #[must_use]
    pub(crate) fn read(
        fields: &Fields,
        path: String,
        in_digest: bool,
        limits: &Limits,
        anomalies: &mut Anomalies,
    ) -> Self {
        let charset = limits.default_charset.as_deref();
        let content_type = fields.get("content-type").map(Parameterised::parse).unwrap_or_default();
        let media_type = media_type(&content_type.value, in_digest, anomalies);
        let (encoding, known) = TransferEncoding::parse(fields.get("content-transfer-encoding").unwrap_or_default());
        if !known {
            anomalies.note(Anomaly::UnknownTransferEncoding);
        }
        let disposition = fields.get("content-disposition").map(Parameterised::parse).unwrap_or_default();
        let file_name = disposition
            .text("filename", charset)
            .or_else(|| content_type.text("name", charset))
            .map(|name| clean_file_name(&name))
            .filter(|name| !name.is_empty());
        let content_id = fields.get("content-id").and_then(crate::message_id::first);
        let role = role(&media_type, &disposition.value, file_name.is_some(), content_id.is_some());
        Self {
            path,
            charset: content_type.get("charset").map(|name| text::clean_line(name, 64)),
            media_type,
            content_type,
            encoding,
            file_name,
            content_id,
            role,
        }
    }

    /// The boundary, if it can be used.
    #[must_use]
    pub(crate) fn boundary(&self) -> Option<&str> {
        let boundary = self.content_type.get("boundary")?.trim_end();
        (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY_BYTES).then_some(boundary)
    }
}

fn media_type(written: &str, in_digest: bool, anomalies: &mut Anomalies) -> String {
    let valid = written.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if valid {
        return text::cut(written, 127).to_owned();
    }
    match written {
        "" if in_digest => return "message/rfc822".to_owned(),
        "" => {}
        _ => anomalies.note(Anomaly::BadContentType),
    }
    "text/plain".to_owned()
}

/// Whether it is a token of RFC 2045.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

fn role(media_type: &str, disposition: &str, named: bool, identified: bool) -> Role {
    if media_type.starts_with("multipart/") {
        return Role::Multipart;
    }
    let attached = disposition == "attachment";
    match media_type {
        "text/plain" if !attached && !named => Role::TextBody,
        "text/html" if !attached && !named => Role::HtmlBody,
        _ if attached || media_type.starts_with("message/") => Role::Attachment,
        _ if disposition == "inline" || (identified && media_type.starts_with("image/")) => Role::Inline,
        _ => Role::Attachment,
    }
}

/// The last component of a path, on one line, short enough for any store.
fn clean_file_name(name: &str) -> String {
    let name = text::clean_line(name, 4_000);
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    // "." and ".." are directories.
    if name.bytes().all(|b| b == b'.') {
        return String::new();
    }
    if name.len() <= MAX_FILE_NAME_BYTES {
        return name.to_owned();
    }
    match name.rsplit_once('.').filter(|(_, ending)| ending.len() <= 16) {
        Some((stem, ending)) => {
            format!("{}.{ending}", text::cut(stem, MAX_FILE_NAME_BYTES - ending.len() - 1))
        }
        None => text::cut(name, MAX_FILE_NAME_BYTES).to_owned(),
    }
}

/// What a sink does with the body of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// It wants the decoded bytes.
    Body,
    /// It does not; [`PartSink::body`] is not called for this part.
    Nothing,
}

/// Receives a message while it is cut. Begins and ends nest like brackets.
pub trait PartSink {
    /// The header block of the message, within its limit. Called once, before any part.
    fn message_header(&mut self, raw: &[u8], truncated: bool);
    /// A part begins; `raw_header` is its header block within the limit (that of the message for
    /// the outermost part).
    fn part_begin(&mut self, info: &PartInfo, raw_header: &[u8]) -> Want;
    /// Decoded bytes of the innermost open part, at most [`crate::splitter::MAX_SLICE`] at once.
    fn body(&mut self, bytes: &[u8]);
    /// The innermost open part ends.
    fn part_end(&mut self);
}

#[cfg(test)]
mod tests {
    use super::clean_file_name;

    #[test]
    fn file_names_are_made_safe() {
        for (name, clean) in [
            ("a.txt", "a.txt"),
            ("C:\\temp\\b.txt", "b.txt"),
            ("../../etc/passwd", "passwd"),
            ("..", ""),
            ("x\r\ny\0.txt", "x  y .txt"),
        ] {
            assert_eq!(clean_file_name(name), clean);
        }
        let long = clean_file_name(&format!("{}.pdf", "ä".repeat(500)));
        assert!(long.len() <= 240 && long.ends_with(".pdf"));
    }
}
