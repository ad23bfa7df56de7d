//! Header fields written: folded, encoded words where needed (RFC 2047), nothing injected.

use std::fmt::Write as _;

use super::{Address, Message, base64_text};
use crate::address::MAX_ADDRESS_BYTES;
use crate::header::MAX_SUBJECT_BYTES;
use crate::text;

/// UTF-8 bytes in one encoded word: `=?utf-8?B?` + 60 + `?=` stays under 75 characters.
const WORD_BYTES: usize = 45;
/// Longest line of folded plain text.
const LINE: usize = 76;
const MAX_EXTRA_BYTES: usize = 4_000;
const MAX_NAME_BYTES: usize = 500;

/// Fields that extra headers cannot set.
const OWN: [&str; 14] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "resent-bcc",
    "return-path",
];

/// Writes all fields but those of MIME.
pub(super) fn write(message: &Message, out: &mut String) {
    let date = message.date.format("%a, %d %b %Y %H:%M:%S +0000");
    let _ = write!(out, "Date: {date}\r\n");
    addresses(out, "From", std::slice::from_ref(&message.from));
    addresses(out, "Sender", message.sender.as_slice());
    addresses(out, "Reply-To", &message.reply_to);
    addresses(out, "To", &message.to);
    addresses(out, "Cc", &message.cc);
    field(out, "Subject", &unstructured(&message.subject, MAX_SUBJECT_BYTES, "Subject".len()));
    ids(out, "Message-ID", std::slice::from_ref(&message.message_id));
    ids(out, "In-Reply-To", &message.in_reply_to);
    ids(out, "References", &message.references);
    for (name, value) in &message.extra_headers {
        if is_extra_name(name) {
            field(out, name, &unstructured(value, MAX_EXTRA_BYTES, name.len()));
        }
    }
    out.push_str("MIME-Version: 1.0\r\n");
}

fn field(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        let _ = write!(out, "{name}:\r\n");
    } else {
        let _ = write!(out, "{name}: {value}\r\n");
    }
}

fn is_extra_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.len() <= 70
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !lower.starts_with("content-")
        && !OWN.contains(&lower.as_str())
}

fn addresses(out: &mut String, name: &str, list: &[Address]) {
    let written: Vec<String> = list.iter().filter_map(mailbox).collect();
    if !written.is_empty() {
        field(out, name, &written.join(",\r\n "));
    }
}

fn mailbox(mailbox: &Address) -> Option<String> {
    let address: String =
        mailbox.address.chars().filter(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>')).collect();
    // A shortened address would be another one.
    if address.is_empty() || address.len() > MAX_ADDRESS_BYTES - 100 {
        return None;
    }
    let name = text::clean_line(mailbox.name.as_deref().unwrap_or_default(), MAX_NAME_BYTES);
    Some(match phrase(&name) {
        phrase if phrase.is_empty() => format!("<{address}>"),
        phrase => format!("{phrase}\r\n <{address}>"),
    })
}

fn phrase(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else if !is_plain(name) || name.len() > 60 {
        words(name)
    } else if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ') {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A quoted string.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ids(out: &mut String, name: &str, ids: &[String]) {
    let written: Vec<String> = ids.iter().filter_map(|id| msg_id(id)).collect();
    if !written.is_empty() {
        field(out, name, &written.join("\r\n "));
    }
}

/// An identifier in brackets.
pub(super) fn msg_id(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>')).collect();
    let id = text::cut(&id, 900);
    (!id.is_empty()).then(|| format!("<{id}>"))
}

/// Free text: as it is and folded if it is plain, else in encoded words.
fn unstructured(value: &str, max: usize, name_length: usize) -> String {
    let value = text::clean_line(value, max);
    if !is_plain(&value) || value.contains("  ") || value.split(' ').any(|word| word.len() > 200) {
        return words(&value);
    }
    let mut out = String::with_capacity(value.len() + 16);
    let mut column = name_length + 2;
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            if column + 1 + word.len() > LINE {
                out.push_str("\r\n");
                column = 0;
            }
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

/// Whether it can stand in a header without encoding.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| (b' '..=b'~').contains(&b)) && !value.contains("=?")
}

/// Encoded words, whole characters in each, one a line.
pub(super) fn words(value: &str) -> String {
    let mut rest = value;
    let mut encoded = Vec::new();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        encoded.push(format!("=?utf-8?B?{}?=", base64_text(now.as_bytes())));
        rest = later;
    }
    encoded.join("\r\n ")
}
