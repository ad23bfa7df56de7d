//! The MIME tree: mixed around related around alternative, only the levels that are needed.

use std::fmt::Write as _;

use super::header::{msg_id, quoted, words};
use super::{Attachment, Base64Lines, Message, Segment, encoded_size};
use crate::part::is_token;
use crate::text;

/// Longest line of a body that is sent as it is; quoted-printable allows 76 as well.
const LINE: usize = 76;

enum Node<'a> {
    Text { html: bool, text: &'a str },
    Attachment(usize, &'a Attachment),
    Multi { kind: &'static str, children: Vec<Node<'a>> },
}

/// The segments after the header fields `head`.
pub(super) fn segments(message: &Message, head: String) -> Vec<Segment> {
    let mut writer =
        Writer { segments: Vec::new(), bytes: head.into_bytes(), seed: message.boundary_seed, multiparts: 0 };
    writer.node(&tree(message), true);
    writer.close();
    writer.segments
}

fn tree(message: &Message) -> Node<'_> {
    let text = message.body_text.as_deref().map(|text| Node::Text { html: false, text });
    let html = message.body_html.as_deref().map(|text| Node::Text { html: true, text });
    let has_html = html.is_some();
    let mut body = match (text, html) {
        (Some(text), Some(html)) => Node::Multi { kind: "alternative", children: vec![text, html] },
        (Some(body), None) | (None, Some(body)) => body,
        (None, None) => Node::Text { html: false, text: "" },
    };
    let (related, mixed): (Vec<_>, Vec<_>) = message
        .attachments
        .iter()
        .enumerate()
        .map(|(index, attachment)| (has_html && attachment.is_related(), Node::Attachment(index, attachment)))
        .partition(|(related, _)| *related);
    for (kind, nodes) in [("related", related), ("mixed", mixed)] {
        if !nodes.is_empty() {
            let children = std::iter::once(body).chain(nodes.into_iter().map(|(_, node)| node)).collect();
            body = Node::Multi { kind, children };
        }
    }
    body
}

impl Attachment {
    fn is_related(&self) -> bool {
        self.inline && self.content_id.as_deref().is_some_and(|id| msg_id(id).is_some())
    }
}

struct Writer {
    segments: Vec<Segment>,
    bytes: Vec<u8>,
    seed: [u8; 16],
    multiparts: usize,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn close(&mut self) {
        if !self.bytes.is_empty() {
            self.segments.push(Segment::Bytes(std::mem::take(&mut self.bytes)));
        }
    }

    /// Writes a node with its MIME fields; afterwards the writer stands at the beginning of a line.
    fn node(&mut self, node: &Node<'_>, outermost: bool) {
        match node {
            Node::Text { html, text } => self.text(*html, text, outermost),
            Node::Attachment(index, attachment) => self.attachment(*index, attachment),
            Node::Multi { kind, children } => {
                let boundary = self.boundary();
                let root = match children.first() {
                    Some(Node::Multi { kind, .. }) if *kind == "alternative" => "multipart/alternative",
                    _ => "text/html",
                };
                self.push(&format!("Content-Type: multipart/{kind};\r\n boundary=\"{boundary}\""));
                if *kind == "related" {
                    self.push(&format!(";\r\n type=\"{root}\""));
                }
                self.push("\r\n\r\n");
                for child in children {
                    self.push(&format!("--{boundary}\r\n"));
                    self.node(child, false);
                }
                self.push(&format!("--{boundary}--\r\n"));
            }
        }
    }

    /// `=_` can stand neither in base64 nor in quoted-printable, and a text with a line that
    /// begins with `--` is never sent as it is.
    fn boundary(&mut self) -> String {
        self.multiparts += 1;
        let mut boundary = format!("=_{}_", self.multiparts);
        for byte in self.seed {
            let _ = write!(boundary, "{byte:02x}");
        }
        boundary
    }

    fn text(&mut self, html: bool, text: &str, outermost: bool) {
        let (clean, _) = text::clean_body(text);
        let kind = if html { "html" } else { "plain" };
        self.push(&format!("Content-Type: text/{kind}; charset=utf-8\r\n"));
        if is_short_ascii(&clean) {
            self.push("Content-Transfer-Encoding: 7bit\r\n\r\n");
            self.push(&clean.replace('\n', "\r\n"));
            if !(outermost && (clean.is_empty() || clean.ends_with('\n'))) {
                self.push("\r\n");
            }
            return;
        }
        let quoted = quoted_printable(&clean);
        let crlf = clean.replace('\n', "\r\n");
        if quoted.len() as u64 <= encoded_size(crlf.len() as u64) {
            self.push("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            self.push(&quoted);
            if !(outermost && clean.ends_with('\n')) {
                self.push("\r\n");
            }
        } else {
            self.push("Content-Transfer-Encoding: base64\r\n\r\n");
            let mut encoder = Base64Lines::new();
            encoder.feed(crlf.as_bytes(), &mut self.bytes);
            encoder.finish(&mut self.bytes);
        }
    }

    fn attachment(&mut self, index: usize, attachment: &Attachment) {
        let name = text::clean_line(&attachment.name, crate::part::MAX_FILE_NAME_BYTES);
        let media_type = media_type(&attachment.media_type);
        self.push(&format!("Content-Type: {media_type}"));
        if !name.is_empty() {
            // For readers that do not know RFC 2231.
            let legacy = if is_short_name(&name) { quoted(&name) } else { format!("\"{}\"", words(&name)) };
            self.push(&format!(";\r\n name={legacy}"));
        }
        self.push("\r\nContent-Transfer-Encoding: base64\r\n");
        let disposition = if attachment.inline { "inline" } else { "attachment" };
        self.push(&format!("Content-Disposition: {disposition}"));
        self.push(&file_name_parameter(&name));
        self.push("\r\n");
        if let Some(id) = attachment.content_id.as_deref().and_then(msg_id) {
            self.push(&format!("Content-ID: {id}\r\n"));
        }
        self.push("\r\n");
        self.close();
        self.segments.push(Segment::Attachment(index));
    }
}

fn media_type(written: &str) -> String {
    let lower = written.trim().to_ascii_lowercase();
    let valid = lower.len() <= 127
        && lower.split_once('/').is_some_and(|(kind, subtype)| {
            is_token(kind) && is_token(subtype) && !matches!(kind, "multipart" | "message")
        });
    if valid { lower } else { "application/octet-stream".to_owned() }
}

fn is_short_name(name: &str) -> bool {
    name.len() <= 60 && name.bytes().all(|b| (b' '..=b'~').contains(&b)) && !name.contains("=?")
}

/// The file name, by RFC 2231 in pieces unless it is short ASCII.
fn file_name_parameter(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    if is_short_name(name) {
        return format!(";\r\n filename={}", quoted(name));
    }
    let mut pieces = vec![String::from("utf-8''")];
    for byte in name.bytes() {
        let encoded = if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        };
        match pieces.last_mut() {
            Some(piece) if piece.len() < 57 => piece.push_str(&encoded),
            _ => pieces.push(encoded),
        }
    }
    if let [only] = pieces.as_slice() {
        return format!(";\r\n filename*={only}");
    }
    pieces.iter().enumerate().fold(String::new(), |mut out, (index, piece)| {
        let _ = write!(out, ";\r\n filename*{index}*={piece}");
        out
    })
}

/// Whether every transport carries it untouched. Lines that begin with a dot, `From ` or a
/// hyphen pair are encoded, since something on the way may take them for its own.
fn is_short_ascii(text: &str) -> bool {
    text.lines().all(|line| {
        line.len() <= LINE
            && line.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
            && !line.ends_with([' ', '\t'])
            && !line.starts_with('.')
            && !line.starts_with("From ")
            && !line.starts_with("--")
    })
}

/// Quoted-printable of a text with LF line ends; the last line has no end unless the text has.
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        let mut column = 0;
        let bytes = line.as_bytes();
        for (at, &byte) in bytes.iter().enumerate() {
            let last = at + 1 == bytes.len();
            let literal = match byte {
                b'=' => false,
                b' ' | b'\t' => !last,
                b'.' | b'-' if column == 0 => false,
                b'F' if column == 0 && line[at..].starts_with("From ") => false,
                _ => (b'!'..=b'~').contains(&byte),
            };
            let width = if literal { 1 } else { 3 };
            if column + width > LINE - 1 {
                out.push_str("=\r\n");
                column = 0;
            }
            if literal {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "={byte:02X}");
            }
            column += width;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::quoted_printable;

    #[test]
    fn quoted_printable_guards_line_beginnings_and_ends() {
        assert_eq!(quoted_printable("a \n.b\n--c=\né"), "a=20\r\n=2Eb\r\n=2D-c=3D\r\n=C3=A9");
        let long = quoted_printable(&"x".repeat(500));
        assert!(long.split("\r\n").all(|line| line.len() <= 76));
    }
}
