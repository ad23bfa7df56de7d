//! Reports about earlier messages: bounces (RFC 3464) and read receipts (RFC 3798).

use crate::field::Fields;
use crate::header::MAX_VALUE_BYTES;
use crate::limits::Limits;
use crate::message_id;
use crate::text;

/// Recipients kept of one report.
pub const MAX_RECIPIENTS: usize = 1_000;
/// Bytes kept of a report part, and of the returned message's header.
pub const MAX_REPORT_BYTES: usize = 128 * 1024;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// A delivery status notification.
    Delivery,
    /// A message disposition notification (read receipt).
    Disposition,
    /// Another multipart/report.
    Other,
}

/// A report as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is about.
    pub kind: ReportKind,
    /// Message-ID of the message it tells about, without brackets.
    pub original_message_id: Option<String>,
    /// What it says of each recipient.
    pub recipients: Vec<ReportedRecipient>,
}

/// The fate of a message for one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedRecipient {
    /// Final-Recipient, or else Original-Recipient, without the address type.
    pub recipient: String,
    /// Action of a bounce (`failed`, `delayed`, `delivered`, `relayed`, `expanded`) or
    /// Disposition of a receipt, lower case.
    pub action: Option<String>,
    /// Status (RFC 3463): `5.1.1`
    pub status: Option<String>,
    /// Diagnostic-Code without its type
    pub diagnostic: Option<String>,
}

impl Report {
    pub(crate) fn new(report_type: Option<&str>) -> Self {
        let kind = match report_type.unwrap_or_default().to_ascii_lowercase().as_str() {
            "delivery-status" => ReportKind::Delivery,
            "disposition-notification" => ReportKind::Disposition,
            _ => ReportKind::Other,
        };
        Self { kind, original_message_id: None, recipients: Vec::new() }
    }

    /// Takes the content of a message/delivery-status or message/disposition-notification part.
    pub(crate) fn read_status(&mut self, media_type: &str, content: &[u8], limits: &Limits) {
        if self.kind == ReportKind::Other {
            self.kind = match media_type {
                "message/delivery-status" => ReportKind::Delivery,
                _ => ReportKind::Disposition,
            };
        }
        for group in groups(content) {
            let fields = Fields::parse(&group, limits.default_charset.as_deref());
            if let Some(id) = fields.get("original-message-id").and_then(message_id::first) {
                self.original_message_id.get_or_insert(id);
            }
            let recipient = fields.get("final-recipient").or_else(|| fields.get("original-recipient"));
            if let Some(recipient) = recipient
                && self.recipients.len() < MAX_RECIPIENTS
            {
                self.recipients.push(ReportedRecipient {
                    recipient: without_type(recipient),
                    action: word(fields.get("action").or_else(|| fields.get("disposition"))),
                    status: word(fields.get("status")),
                    diagnostic: fields.get("diagnostic-code").map(without_type),
                });
            }
        }
    }

    /// Takes the returned message or its header.
    pub(crate) fn read_returned(&mut self, content: &[u8], limits: &Limits) {
        let header = groups(content).next().unwrap_or_default();
        let fields = Fields::parse(&header, limits.default_charset.as_deref());
        if let Some(id) = fields.get("message-id").and_then(message_id::first) {
            self.original_message_id.get_or_insert(id);
        }
    }
}

/// Blocks of lines between blank lines.
fn groups(content: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut lines = content.split(|b| *b == b'\n').peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.trim_ascii().is_empty()).is_some() {}
        lines.peek()?;
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.trim_ascii().is_empty()) {
            block.extend_from_slice(line);
            block.push(b'\n');
        }
        Some(block)
    })
}

/// `rfc822; a@x.test` → `a@x.test`
fn without_type(value: &str) -> String {
    let value = value.split_once(';').map_or(value, |(_, rest)| rest).trim();
    let value = value.strip_prefix('<').and_then(|v| v.strip_suffix('>')).unwrap_or(value);
    text::clean_line(value, MAX_VALUE_BYTES)
}

fn word(value: Option<&str>) -> Option<String> {
    let value = text::clean_line(value?, MAX_VALUE_BYTES).to_ascii_lowercase();
    // "automatic-action/MDN-sent-automatically; displayed": what was done stands last.
    let value = value.rsplit(';').next().unwrap_or_default().trim();
    let value = value.split_whitespace().next()?;
    Some(value.to_owned())
}
