//! Outgoing messages, the same bytes for the same input: no clock, no randomness, no host name.
//!
//! Header values can inject nothing: control characters become spaces or vanish. Lines stay
//! within 998 bytes (RFC 5322). Attachments are base64, streamed by [`Base64Lines`]; a message
//! as attachment is sent as application/octet-stream, since RFC 2046 forbids base64 for
//! message/rfc822 and its lines are not ours to trust.

mod base64_lines;
mod body;
mod header;

use chrono::{DateTime, Utc};

pub use crate::address::Address;
pub use base64_lines::{Base64Lines, encoded_size};

pub(crate) use base64_lines::encode as base64_text;

/// A message to be written. Bcc recipients belong to the envelope; there is no field for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Message-ID without brackets
    pub message_id: String,
    /// Date, written in UTC with whole seconds
    pub date: DateTime<Utc>,
    /// From
    pub from: Address,
    /// Sender, where it is another than From
    pub sender: Option<Address>,
    /// To
    pub to: Vec<Address>,
    /// Cc
    pub cc: Vec<Address>,
    /// Reply-To
    pub reply_to: Vec<Address>,
    /// Subject
    pub subject: String,
    /// In-Reply-To, without brackets
    pub in_reply_to: Vec<String>,
    /// References, without brackets
    pub references: Vec<String>,
    /// Plain text; line ends of any kind
    pub body_text: Option<String>,
    /// HTML
    pub body_html: Option<String>,
    /// Attachments in order
    pub attachments: Vec<Attachment>,
    /// Further fields, such as [`crate::header::LOOP_HEADER`]. Names that are no field names, that
    /// this module writes itself, Bcc and MIME fields are left out.
    pub extra_headers: Vec<(String, String)>,
    /// Makes the boundaries. Take it from the record's id, so that a second try writes the same.
    pub boundary_seed: [u8; 16],
}

/// An attachment, known before its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name
    pub name: String,
    /// `type/subtype`; anything else is sent as application/octet-stream.
    pub media_type: String,
    /// Bytes of the content
    pub size: u64,
    /// Content-ID without brackets
    pub content_id: Option<String>,
    /// Shown within the HTML: goes into multipart/related if it has a Content-ID and there is HTML.
    pub inline: bool,
}

/// A piece of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// To be sent as it is.
    Bytes(Vec<u8>),
    /// The content of the attachment of this index, through [`Base64Lines`].
    Attachment(usize),
}

/// Lays a message out. Attachments appear once each; lines end in CRLF, the last one too; dots
/// are not doubled, that is the transport's.
#[must_use]
pub fn plan(message: &Message) -> Vec<Segment> {
    let mut head = String::new();
    header::write(message, &mut head);
    body::segments(message, head)
}

/// Exact bytes of the message of a plan, as for `SIZE=` (RFC 1870), if the attachments have the
/// sizes they claim.
#[must_use]
pub fn total_size(message: &Message, segments: &[Segment]) -> u64 {
    segments.iter().fold(0, |total, segment| {
        total
            + match segment {
                Segment::Bytes(bytes) => bytes.len() as u64,
                Segment::Attachment(index) => message.attachments.get(*index).map_or(0, |a| encoded_size(a.size)),
            }
    })
}
