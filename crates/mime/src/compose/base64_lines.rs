//! Base64 in lines of 76 characters (RFC 2045 section 6.8), encoded while it streams.

/// Bytes of input for one line.
const LINE_INPUT: usize = 57;
const LINE_OUTPUT: u64 = 76 + 2;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes one content. Each line, the last too, ends in CRLF; no content gives no line.
#[derive(Debug, Default)]
pub struct Base64Lines {
    rest: Vec<u8>,
}

impl Base64Lines {
    /// An encoder for one content.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the lines they complete to `out`; at most 56 bytes are
    /// held back.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(LINE_INPUT - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() < LINE_INPUT {
                return;
            }
            push_line(&self.rest, out);
            self.rest.clear();
        }
        let mut lines = bytes.chunks_exact(LINE_INPUT);
        for line in &mut lines {
            push_line(line, out);
        }
        self.rest.extend_from_slice(lines.remainder());
    }

    /// Appends the last line.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.rest.is_empty() {
            push_line(&self.rest, out);
        }
    }
}

/// Bytes [`Base64Lines`] makes of a content of `size` bytes.
#[must_use]
pub fn encoded_size(size: u64) -> u64 {
    let line = LINE_INPUT as u64;
    let rest = size % line;
    let last = if rest == 0 { 0 } else { rest.div_ceil(3) * 4 + 2 };
    (size / line).saturating_mul(LINE_OUTPUT).saturating_add(last)
}

fn push_line(bytes: &[u8], out: &mut Vec<u8>) {
    push(bytes, out);
    out.extend_from_slice(b"\r\n");
}

fn push(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let padded = [group[0], group.get(1).copied().unwrap_or(0), group.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for digit in 0..4 {
            out.push(if digit <= group.len() { ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize] } else { b'=' });
        }
    }
}

/// Base64 without lines.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    push(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn sizes_and_chunks_agree() {
        for size in [0_usize, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1_000] {
            let content: Vec<u8> = (0..size).map(|n| n as u8).collect();
            for step in [1, 7, 57, 4_096] {
                let (mut encoder, mut out) = (Base64Lines::new(), Vec::new());
                content.chunks(step).for_each(|chunk| encoder.feed(chunk, &mut out));
                encoder.finish(&mut out);
                assert_eq!(out.len() as u64, encoded_size(size as u64), "{size} by {step}");
                let joined: Vec<u8> = out.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
                assert_eq!(joined, encode(&content).into_bytes());
                assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 77));
            }
        }
    }
}
