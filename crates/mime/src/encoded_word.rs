//! Encoded words (RFC 2047) of header values. Neighbours of one charset are joined before they
//! are decoded, because many writers cut a character in two.

use crate::anomaly::Anomalies;
use crate::text;
use crate::transfer::{Base64Decoder, hex_value};

/// Longest encoded text of one word; the RFC allows 75, writers in the field use whole lines.
const MAX_WORD: usize = 2_000;
/// What only looks like a word is left alone this often in one value; later ones are broken up,
/// since a parser may try each of them to the end of the value.
const MAX_FALSE_STARTS: usize = 64;

enum Token<'a> {
    Literal(&'a str),
    /// A run of words, decoded.
    Words(String),
}

/// The value with its words decoded, as for Subject.
#[must_use]
pub fn decode(value: &str, default_charset: Option<&str>) -> String {
    let mut out = String::with_capacity(value.len());
    for token in tokens(value, default_charset) {
        match token {
            Token::Literal(text) => out.push_str(text),
            Token::Words(text) => out.push_str(&text),
        }
    }
    out
}

/// The value with every word written anew in UTF-8 and base64, whole characters in each, as an
/// address parser wants it.
#[must_use]
pub(crate) fn recode(value: &str, default_charset: Option<&str>) -> String {
    let mut out = String::with_capacity(value.len());
    let mut false_starts = 0;
    for token in tokens(value, default_charset) {
        match token {
            Token::Literal(text) => {
                let starts = text.matches("=?").count();
                false_starts += starts;
                if starts > 0 && false_starts > MAX_FALSE_STARTS {
                    out.push_str(&text.replace("=?", "= ?"));
                } else {
                    out.push_str(text);
                }
            }
            Token::Words(text) => {
                out.push_str("=?utf-8?B?");
                out.push_str(&crate::compose::base64_text(text.as_bytes()));
                out.push_str("?=");
            }
        }
    }
    out
}

fn tokens<'a>(value: &'a str, default_charset: Option<&str>) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    let mut literal_from = 0;
    let mut at = 0;
    while let Some(found) = value[at..].find("=?") {
        let start = at + found;
        let Some(first) = Word::parse(&value[start..]) else {
            at = start + 2;
            continue;
        };
        if literal_from < start {
            tokens.push(Token::Literal(&value[literal_from..start]));
        }
        let mut end = start + first.len;
        let mut decoded = String::new();
        let mut charset = first.charset;
        let mut bytes = first.bytes;
        // White space between two words is no text.
        while let Some(next) = next_word(&value[end..]) {
            let (gap, word) = next;
            end += gap + word.len;
            if word.charset.eq_ignore_ascii_case(charset) {
                bytes.extend_from_slice(&word.bytes);
            } else {
                decoded.push_str(&text::decode(&bytes, Some(charset), default_charset).text);
                charset = word.charset;
                bytes = word.bytes;
            }
        }
        decoded.push_str(&text::decode(&bytes, Some(charset), default_charset).text);
        tokens.push(Token::Words(decoded));
        literal_from = end;
        at = end;
    }
    if literal_from < value.len() {
        tokens.push(Token::Literal(&value[literal_from..]));
    }
    tokens
}

fn next_word(rest: &str) -> Option<(usize, Word<'_>)> {
    let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
    Word::parse(trimmed).map(|word| (rest.len() - trimmed.len(), word))
}

struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    /// Bytes it takes in the value.
    len: usize,
}

impl<'a> Word<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let rest = value.strip_prefix("=?")?;
        let charset_end = text::cut(rest, 64).find('?')?;
        // RFC 2231 section 5: a language may follow the charset.
        let charset = rest[..charset_end].split('*').next().unwrap_or_default();
        if charset.is_empty() || !charset.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let rest = &rest[charset_end + 1..];
        let mut head = rest.chars();
        let encoding = head.next()?.to_ascii_lowercase();
        let payload = head.as_str().strip_prefix('?')?;
        let end = text::cut(payload, MAX_WORD).find("?=")?;
        let len = value.len() - payload.len() + end + 2;
        let payload = &payload[..end];
        let bytes = match encoding {
            'b' => decode_b(payload.as_bytes()),
            'q' => decode_q(payload.as_bytes()),
            _ => return None,
        };
        Some(Self { charset, bytes, len })
    }
}

fn decode_b(payload: &[u8]) -> Vec<u8> {
    let (mut out, mut anomalies) = (Vec::with_capacity(payload.len()), Anomalies::default());
    let mut decoder = Base64Decoder::default();
    decoder.bytes(payload, &mut out, &mut anomalies);
    decoder.finish(&mut out, &mut anomalies);
    out
}

fn decode_q(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut rest = payload;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => {
                if let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) {
                    out.push(high << 4 | low);
                    rest = after;
                } else {
                    out.push(b'=');
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn words_and_what_only_looks_like_them() {
        for (value, text) in [
            ("plain", "plain"),
            ("=?utf-8?Q?caf=C3=A9?=", "café"),
            ("=?UTF-8?B?w6k=?= =?utf-8?Q?_x?=", "é x"),
            ("a =?iso-8859-1?q?=E9?= b", "a é b"),
            // A character cut in two.
            ("=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"),
            ("=?utf-8?B?w6nD?=\t=?utf-8?B?qQ==?=", "éé"),
            ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
            ("=?iso-8859-1?Q?=E9?= =?koi8-r?B?8A==?=", "éП"),
            ("=?utf-8*de?Q?gr=C3=BCn?=", "grün"),
            ("=?nowhere-7?Q?abc?=", "abc"),
            ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            ("=?utf-8?Q?open", "=?utf-8?Q?open"),
            ("2 =? 3 ?=", "2 =? 3 ?="),
        ] {
            assert_eq!(decode(value, None), text, "{value}");
        }
    }
}
