//! Values with parameters (Content-Type, Content-Disposition): RFC 2045 section 5.1 with the
//! extensions of RFC 2231, read leniently.

use crate::encoded_word;
use crate::text;
use crate::transfer::hex_value;

/// Parameters kept of one field.
const MAX_PARAMETERS: usize = 256;

/// A value and its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameterised {
    /// What stands before the first semicolon, in lower case.
    pub value: String,
    /// Name in lower case (with its `*0*` marks) and value as written, without quotes.
    parameters: Vec<(String, String)>,
}

impl Parameterised {
    /// Reads an unfolded value.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let mut pieces = split(value).into_iter();
        let value = pieces.next().unwrap_or_default();
        let value = value.split_whitespace().collect::<String>().to_ascii_lowercase();
        let parameters = pieces
            .take(MAX_PARAMETERS)
            .filter_map(|piece| {
                let (name, value) = piece.split_once('=')?;
                let name = name.trim().to_ascii_lowercase();
                (!name.is_empty()).then(|| (name, unquoted(value.trim())))
            })
            .collect();
        Self { value, parameters }
    }

    /// A parameter as written, for names that RFC 2231 never extends (boundary, charset).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter as text: continuations joined as bytes before they are decoded, since
    /// characters may be cut between them; percent escapes and, against the RFC but common,
    /// encoded words decoded.
    #[must_use]
    pub fn text(&self, name: &str, default_charset: Option<&str>) -> Option<String> {
        if let Some(value) = self.get(&format!("{name}*")) {
            return Some(decode_extended(&[(true, value)], default_charset));
        }
        let mut segments = Vec::new();
        while let Some(segment) = self.segment(name, segments.len()) {
            segments.push(segment);
        }
        if !segments.is_empty() {
            return Some(decode_extended(&segments, default_charset));
        }
        self.get(name).map(|value| encoded_word::decode(value, default_charset))
    }

    fn segment(&self, name: &str, index: usize) -> Option<(bool, &str)> {
        self.get(&format!("{name}*{index}*"))
            .map(|value| (true, value))
            .or_else(|| self.get(&format!("{name}*{index}")).map(|value| (false, value)))
    }
}

fn decode_extended(segments: &[(bool, &str)], default_charset: Option<&str>) -> String {
    let mut charset = None;
    let mut bytes = Vec::new();
    for (index, (escaped, value)) in segments.iter().enumerate() {
        let mut value = *value;
        if index == 0 && *escaped {
            let mut head = value.splitn(3, '\'');
            if let (Some(name), Some(_language), Some(rest)) = (head.next(), head.next(), head.next()) {
                charset = Some(name);
                value = rest;
            }
        }
        if *escaped {
            percent_decode(value.as_bytes(), &mut bytes);
        } else {
            bytes.extend_from_slice(value.as_bytes());
        }
    }
    let decoded = text::decode(&bytes, charset, default_charset).text;
    if charset.is_none() { encoded_word::decode(&decoded, default_charset) } else { decoded }
}

fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(byte);
        }
    }
}

/// Cuts at semicolons outside quotes and drops comments.
fn split(value: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut quoted = false;
    let mut comment = 0_usize;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(piece) = pieces.last_mut() else { break };
        match c {
            '\\' if quoted => {
                piece.push(c);
                piece.extend(chars.next_if(|next| matches!(next, '"' | '\\')));
            }
            '"' if comment == 0 => {
                quoted = !quoted;
                piece.push(c);
            }
            '(' if !quoted => comment += 1,
            ')' if comment > 0 && !quoted => comment -= 1,
            _ if comment > 0 => {}
            ';' if !quoted => {
                if pieces.len() > MAX_PARAMETERS {
                    break;
                }
                pieces.push(String::new());
            }
            _ => piece.push(c),
        }
    }
    pieces
}

/// Takes quotes off. A backslash escapes only a quote or a backslash: file names from Windows
/// carry bare ones.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => {
                out.push(chars.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\'));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        for (value, name) in [
            ("attachment; filename=plain.txt", "plain.txt"),
            ("attachment; filename=\"two words;.txt\"", "two words;.txt"),
            ("attachment; filename=\"a\\\"b.txt\"", "a\"b.txt"),
            ("attachment; filename=\"C:\\dir\\x.txt\"", "C:\\dir\\x.txt"),
            ("attachment; filename*=UTF-8''caf%C3%A9.txt", "café.txt"),
            ("attachment; filename=x; filename*=iso-8859-1'de'gr%FCn", "grün"),
            ("attachment; filename*0*=utf-8''caf%C3; filename*1*=%A9; filename*2=.txt", "café.txt"),
            ("attachment; filename*1=b; filename*0=a", "ab"),
            ("attachment; filename=\"=?utf-8?B?w6k=?=.txt\"", "é.txt"),
            ("attachment (why; not); filename=c.txt", "c.txt"),
        ] {
            let parsed = Parameterised::parse(value);
            assert_eq!(parsed.value, "attachment");
            assert_eq!(parsed.text("filename", None).as_deref(), Some(name), "{value}");
        }
    }
}
