//! Charsets into Unicode, and the cleaning every text passes before it leaves this crate.

use mail_parser::decoders::charsets::map::charset_decoder;

use crate::anomaly::Anomaly;
use crate::utf7;

/// A decoded text and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text; always valid, not yet cleaned of control characters.
    pub text: String,
    /// [`Anomaly::UnknownCharset`] or [`Anomaly::InvalidCharset`].
    pub anomaly: Option<Anomaly>,
}

/// Decodes `bytes` by the declared charset. Without one (or with us-ascii and 8-bit bytes all
/// the same): UTF-8 if valid, ISO-2022-JP if its escapes are there, else `default`, else
/// windows-1252. An unknown charset is read like an undeclared one and reported.
///
/// The output has at most three bytes for each byte of input: bound the input.
#[must_use]
pub fn decode(bytes: &[u8], declared: Option<&str>, default: Option<&str>) -> Decoded {
    let name = declared.map(canonical_name).unwrap_or_default();
    match name.as_str() {
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "default" => {
            Decoded { text: undeclared(bytes, default), anomaly: None }
        }
        "utf-8" | "utf8" | "utf_8" | "unicode-1-1-utf-8" | "cp65001" | "utf8mb4" => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => Decoded { text: text.to_owned(), anomaly: None },
                Err(_) => Decoded {
                    text: String::from_utf8_lossy(bytes).into_owned(),
                    anomaly: Some(Anomaly::InvalidCharset),
                },
            }
        }
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "unicode-2-0-utf-7" => {
            Decoded { text: utf7::decode(bytes), anomaly: None }
        }
        other => match by_name(bytes, other) {
            Some(text) => {
                let invalid = text.contains(char::REPLACEMENT_CHARACTER);
                Decoded { text, anomaly: invalid.then_some(Anomaly::InvalidCharset) }
            }
            None => Decoded { text: undeclared(bytes, default), anomaly: Some(Anomaly::UnknownCharset) },
        },
    }
}

/// Whether a charset of this name can be decoded, as for the setting of a default.
#[must_use]
pub fn is_known_charset(name: &str) -> bool {
    decode(b"ab", Some(name), None).anomaly.is_none()
}

fn undeclared(bytes: &[u8], default: Option<&str>) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if !text.contains("\u{1b}$") {
            return text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        }
        if let Some(text) = by_name(bytes, "iso-2022-jp") {
            return text;
        }
    }
    default
        .map(canonical_name)
        .and_then(|name| by_name(bytes, &name))
        .or_else(|| by_name(bytes, "windows-1252"))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

fn by_name(bytes: &[u8], name: &str) -> Option<String> {
    let text = charset_decoder(name.as_bytes()).map(|decode| decode(bytes))?;
    // Encodings the library knows by name only (ISO-2022-KR, HZ) give one replacement
    // character for the whole text.
    let given_up = bytes.len() > 1 && text == "\u{fffd}";
    (!given_up).then_some(text)
}

fn canonical_name(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    // "charset=iso-8859-1;" and the like: the value ends where no charset name goes on.
    let end = name.find(|c: char| c.is_whitespace() || matches!(c, ';' | ',' | '"'));
    let name = &name[..end.unwrap_or(name.len())];
    cut(name, 45).to_ascii_lowercase()
}

/// At most `max` bytes of `text`, cut at a character.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// One line for a header value: control characters (NUL, CR, LF, tab) become spaces, the ends
/// are trimmed, and it is cut at `max` bytes.
#[must_use]
pub fn clean_line(text: &str, max: usize) -> String {
    let cleaned: String =
        cut(text.trim(), max.saturating_mul(2)).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(cleaned.trim(), max).trim_end().to_owned()
}

/// A body text: line ends become LF, other control characters but tab and form feed are
/// removed. The flag tells whether any was removed.
#[must_use]
pub fn clean_body(text: &str) -> (String, bool) {
    let mut cleaned = String::with_capacity(text.len());
    let mut removed = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    cleaned.push('\n');
                }
            }
            '\n' | '\t' | '\u{c}' => cleaned.push(c),
            c if c < ' ' || c == '\u{7f}' => removed = true,
            c => cleaned.push(c),
        }
    }
    (cleaned, removed)
}
