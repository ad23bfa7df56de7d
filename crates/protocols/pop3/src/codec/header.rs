//! The header block at the beginning of a message, within a bound.

/// Longest header block kept, in bytes.
pub const MAX_HEADER: usize = 256 * 1024;

/// Collects what comes before a message's first empty line, and that line. Everything after is ignored.
#[derive(Debug, Default)]
pub struct HeaderBlock {
    kept: Vec<u8>,
    in_line: usize,
    last: u8,
    ended: bool,
    cut: bool,
}

impl HeaderBlock {
    /// Takes the next bytes of the message.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !self.ended && !bytes.is_empty() {
            let line = bytes.iter().position(|b| *b == b'\n');
            let taken = line.map_or(bytes.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(taken);
            // Room for the line breaks that `finish` may add.
            let room = (MAX_HEADER - 4).saturating_sub(self.kept.len());
            let fits = !self.cut && piece.len() <= room;
            if fits {
                self.kept.extend_from_slice(piece);
            } else if !self.cut {
                self.kept.extend_from_slice(&piece[..room]);
                self.cut = true;
            }
            let text = if line.is_some() { taken - 1 } else { taken };
            if text > 0 {
                self.last = piece[text - 1];
            }
            self.in_line = self.in_line.saturating_add(text);
            if line.is_some() {
                self.ended = self.in_line == 0 || (self.in_line == 1 && self.last == b'\r');
                self.in_line = 0;
            }
            bytes = rest;
        }
    }

    /// The block with the empty line that ends it. A block that was too long ends after its last whole line.
    pub fn finish(mut self) -> Vec<u8> {
        if self.cut {
            if let Some(at) = self.kept.iter().rposition(|b| *b == b'\n') {
                self.kept.truncate(at + 1);
            }
        } else if self.ended {
            return self.kept;
        }
        if !self.kept.is_empty() && self.kept.last() != Some(&b'\n') {
            self.kept.extend_from_slice(b"\r\n");
        }
        self.kept.extend_from_slice(b"\r\n");
        self.kept
    }
}
