//! The message as DATA wants it (RFC 5321 §4.5.2): every line ends in CR LF, and a dot at its start is doubled.

/// Streaming encoder. A lone CR or LF becomes CR LF, so that no server can see an end of the message where there is
/// none. Holds two flags, no data.
#[derive(Clone, Debug)]
pub struct DotEncoder {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for DotEncoder {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false }
    }
}

impl DotEncoder {
    /// What ends a message (RFC 5321 §4.1.1.4), after the CR LF that [`DotEncoder::finish`] has seen to.
    pub const END: &[u8] = b".\r\n";

    /// Appends the encoded form of the next piece of the message; at most twice its length.
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            if self.at_line_start && *first == b'.' {
                out.push(b'.');
            }
            let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
            let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
            out.extend_from_slice(line);
            self.at_line_start = false;
            if let Some((end, tail)) = tail.split_first() {
                out.extend_from_slice(b"\r\n");
                self.at_line_start = true;
                self.after_cr = *end == b'\r';
                rest = tail;
            } else {
                rest = tail;
            }
        }
    }

    /// Appends the CR LF of a last line that has none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.at_line_start, true) {
            out.extend_from_slice(b"\r\n");
        }
    }
}
