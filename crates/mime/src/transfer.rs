//! Content-Transfer-Encoding (RFC 2045 section 6), decoded while it arrives.

use crate::anomaly::{Anomalies, Anomaly};

/// White space held back at a line's end in quoted-printable, where it does not count; a longer
/// run is content.
const HELD_SPACE: usize = 256;

/// How the bytes of a part are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, or unknown: as they are.
    Identity,
    /// base64
    Base64,
    /// quoted-printable
    QuotedPrintable,
}

impl TransferEncoding {
    /// Reads the value of the field; the flag is false if the name is unknown.
    #[must_use]
    pub fn parse(value: &str) -> (Self, bool) {
        let name = value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | ';' | '.'));
        match name.to_ascii_lowercase().as_str() {
            "base64" => (Self::Base64, true),
            "quoted-printable" => (Self::QuotedPrintable, true),
            "" | "7bit" | "8bit" | "binary" | "7-bit" | "8-bit" => (Self::Identity, true),
            _ => (Self::Identity, false),
        }
    }
}

/// An incremental decoder of one part. It takes the bytes within lines and the line ends apart,
/// as quoted-printable must; it writes at most as many bytes as it was given, plus what it held
/// back (under 300).
#[derive(Debug)]
pub enum Decoder {
    /// As they are.
    Identity,
    /// base64
    Base64(Base64Decoder),
    /// quoted-printable
    QuotedPrintable(QuotedPrintableDecoder),
}

impl Decoder {
    /// The decoder of an encoding.
    #[must_use]
    pub fn new(encoding: TransferEncoding) -> Self {
        match encoding {
            TransferEncoding::Identity => Self::Identity,
            TransferEncoding::Base64 => Self::Base64(Base64Decoder::default()),
            TransferEncoding::QuotedPrintable => Self::QuotedPrintable(QuotedPrintableDecoder::default()),
        }
    }

    /// Bytes of a line, without its end.
    pub fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        match self {
            Self::Identity => out.extend_from_slice(bytes),
            Self::Base64(decoder) => decoder.bytes(bytes, out, anomalies),
            Self::QuotedPrintable(decoder) => decoder.bytes(bytes, out, anomalies),
        }
    }

    /// The end of a line.
    pub fn line_end(&mut self, eol: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        match self {
            Self::Identity => out.extend_from_slice(eol),
            Self::Base64(_) => {}
            Self::QuotedPrintable(decoder) => decoder.line_end(eol, out, anomalies),
        }
    }

    /// [`Self::line_end`] unless `eol` is empty.
    pub(crate) fn line_end_if(&mut self, eol: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        if !eol.is_empty() {
            self.line_end(eol, out, anomalies);
        }
    }

    /// The end of the part.
    pub fn finish(&mut self, out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        match self {
            Self::Identity => {}
            Self::Base64(decoder) => decoder.finish(out, anomalies),
            Self::QuotedPrintable(decoder) => decoder.finish(out, anomalies),
        }
    }
}

const SKIP: u8 = 64;
const PAD: u8 = 65;
const BAD: u8 = 66;

const BASE64_VALUES: [u8; 256] = {
    let mut table = [BAD; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table[b' ' as usize] = SKIP;
    table[b'\t' as usize] = SKIP;
    table[b'\r' as usize] = SKIP;
    table[b'\n' as usize] = SKIP;
    table[b'=' as usize] = PAD;
    table
};

/// Lenient base64: foreign bytes are passed over and reported, padding ends a group, and data
/// after padding begins a new one.
#[derive(Debug, Default)]
pub struct Base64Decoder {
    group: u32,
    digits: u8,
    padded: bool,
}

impl Base64Decoder {
    /// Decodes what a slice completes.
    pub fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        for &byte in bytes {
            let value = BASE64_VALUES[usize::from(byte)];
            if value < SKIP {
                self.padded = false;
                self.group = (self.group << 6) | u32::from(value);
                self.digits += 1;
                if self.digits == 4 {
                    let [_, a, b, c] = self.group.to_be_bytes();
                    out.extend_from_slice(&[a, b, c]);
                    self.group = 0;
                    self.digits = 0;
                }
            } else if value == PAD {
                self.end_group(out, anomalies, true);
            } else if value == BAD {
                anomalies.note(Anomaly::BadBase64);
            }
        }
    }

    /// Gives out a last group that has no padding.
    pub fn finish(&mut self, out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        self.end_group(out, anomalies, false);
    }

    fn end_group(&mut self, out: &mut Vec<u8>, anomalies: &mut Anomalies, by_padding: bool) {
        match self.digits {
            0 if by_padding && !self.padded => anomalies.note(Anomaly::BadBase64),
            0 => {}
            1 => anomalies.note(Anomaly::TruncatedBase64),
            digits => {
                let [_, a, b, _] = (self.group << (6 * (4 - u32::from(digits)))).to_be_bytes();
                out.push(a);
                if digits == 3 {
                    out.push(b);
                }
                if !by_padding {
                    anomalies.note(Anomaly::TruncatedBase64);
                }
            }
        }
        self.padded = by_padding;
        self.group = 0;
        self.digits = 0;
    }
}

/// Lenient quoted-printable: `=` that begins no escape stays and is reported.
#[derive(Debug, Default)]
pub struct QuotedPrintableDecoder {
    escape: Escape,
    space: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Escape {
    #[default]
    None,
    Equals,
    /// `=` and white space, which is a soft line break if the line ends here.
    EqualsSpace,
    Digit(u8),
}

impl QuotedPrintableDecoder {
    fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        for &byte in bytes {
            match self.escape {
                Escape::None => self.plain(byte, out),
                Escape::Equals if byte == b' ' || byte == b'\t' => {
                    self.escape = Escape::EqualsSpace;
                    self.space.push(byte);
                }
                Escape::Equals if byte.is_ascii_hexdigit() => self.escape = Escape::Digit(byte),
                Escape::Equals => {
                    anomalies.note(Anomaly::BadQuotedPrintable);
                    out.push(b'=');
                    self.escape = Escape::None;
                    self.plain(byte, out);
                }
                Escape::EqualsSpace => {
                    if (byte == b' ' || byte == b'\t') && self.space.len() < HELD_SPACE {
                        self.space.push(byte);
                    } else {
                        anomalies.note(Anomaly::BadQuotedPrintable);
                        out.push(b'=');
                        self.escape = Escape::None;
                        self.plain(byte, out);
                    }
                }
                Escape::Digit(first) => {
                    self.escape = Escape::None;
                    if let (Some(high), Some(low)) = (hex_value(first), hex_value(byte)) {
                        out.push(high << 4 | low);
                    } else {
                        anomalies.note(Anomaly::BadQuotedPrintable);
                        out.extend_from_slice(&[b'=', first]);
                        self.plain(byte, out);
                    }
                }
            }
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b' ' | b'\t' if self.space.len() < HELD_SPACE => self.space.push(byte),
            b'=' => {
                out.append(&mut self.space);
                self.escape = Escape::Equals;
            }
            _ => {
                out.append(&mut self.space);
                out.push(byte);
            }
        }
    }

    fn line_end(&mut self, eol: &[u8], out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        self.space.clear();
        match std::mem::take(&mut self.escape) {
            Escape::Equals | Escape::EqualsSpace => {}
            Escape::None => out.extend_from_slice(eol),
            Escape::Digit(first) => {
                anomalies.note(Anomaly::BadQuotedPrintable);
                out.extend_from_slice(&[b'=', first]);
                out.extend_from_slice(eol);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>, anomalies: &mut Anomalies) {
        self.line_end(b"", out, anomalies);
    }
}

/// The value of a hexadecimal digit in either case.
pub(crate) fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(encoding: TransferEncoding, input: &str) -> (String, Vec<Anomaly>) {
        let (mut out, mut anomalies) = (Vec::new(), Anomalies::default());
        let mut decoder = Decoder::new(encoding);
        for line in input.split_inclusive('\n') {
            let bytes = line.trim_end_matches('\n');
            decoder.bytes(bytes.as_bytes(), &mut out, &mut anomalies);
            if line.ends_with('\n') {
                decoder.line_end(b"\n", &mut out, &mut anomalies);
            }
        }
        decoder.finish(&mut out, &mut anomalies);
        (String::from_utf8_lossy(&out).into_owned(), anomalies.as_slice().to_vec())
    }

    #[test]
    fn base64_is_lenient() {
        for (input, output, anomalies) in [
            ("aGVsbG8=", "hello", vec![]),
            ("aGVs\nbG8=\n", "hello", vec![]),
            ("aGVsbG8", "hello", vec![Anomaly::TruncatedBase64]),
            ("aGVsb", "hel", vec![Anomaly::TruncatedBase64]),
            ("aGV-sbG8=", "hello", vec![Anomaly::BadBase64]),
            ("YQ==Yg==", "ab", vec![]),
            ("====", "", vec![Anomaly::BadBase64]),
            ("", "", vec![]),
        ] {
            assert_eq!(run(TransferEncoding::Base64, input), (output.to_owned(), anomalies), "{input}");
        }
    }

    #[test]
    fn quoted_printable_is_lenient() {
        for (input, output, bad) in [
            ("a=20b", "a b", false),
            ("soft=\nbreak", "softbreak", false),
            ("soft=  \nbreak", "softbreak", false),
            ("trail \t\nnext", "trail\nnext", false),
            ("=c3=A9", "é", false),
            ("1=2", "1=2", true),
            ("=ZZ", "=ZZ", true),
            ("= x", "= x", true),
            ("==41", "=A", true),
            ("end=", "end", false),
            ("end=4", "end=4", true),
        ] {
            let (text, anomalies) = run(TransferEncoding::QuotedPrintable, input);
            assert_eq!((text.as_str(), !anomalies.is_empty()), (output, bad), "{input}");
        }
    }
}
