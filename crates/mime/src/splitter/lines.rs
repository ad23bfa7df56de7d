//! Line ends of a byte stream: CRLF, LF, CR CR LF, and CR alone where the first line ends so.

/// Part of a line, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    Eol(Eol),
}

/// A line end as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Eol(&'static [u8]);

impl Eol {
    pub(super) const NONE: Self = Self(b"");

    pub(super) fn as_bytes(self) -> &'static [u8] {
        self.0
    }
}

/// Cuts a stream at its line ends, however it is chunked.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// CRs seen and not given out, at most two.
    pending: u8,
    /// Decided by the first line end: old writers end lines with CR alone. Elsewhere a lone CR is
    /// content, lest a stray one cut a header field in two.
    cr_alone: Option<bool>,
}

impl LineEnds {
    pub(super) fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            match first {
                b'\n' => {
                    self.cr_alone.get_or_insert(false);
                    let eol: &[u8] = match self.pending {
                        0 => b"\n",
                        1 => b"\r\n",
                        _ => b"\r\r\n",
                    };
                    self.pending = 0;
                    give(Piece::Eol(Eol(eol)));
                    rest = &rest[1..];
                }
                b'\r' => {
                    if self.pending == 2 {
                        self.lone_cr(&mut give);
                    } else {
                        self.pending += 1;
                    }
                    rest = &rest[1..];
                }
                _ => {
                    self.settle(&mut give);
                    let (run, after) = rest.split_at(run_length(rest));
                    give(Piece::Bytes(run));
                    rest = after;
                }
            }
        }
    }

    pub(super) fn finish(&mut self, mut give: impl FnMut(Piece<'_>)) {
        self.settle(&mut give);
    }

    fn settle(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        for _ in 0..std::mem::take(&mut self.pending) {
            self.lone_cr(give);
        }
    }

    fn lone_cr(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        if *self.cr_alone.get_or_insert(true) {
            give(Piece::Eol(Eol(b"\r")));
        } else {
            give(Piece::Bytes(b"\r"));
        }
    }
}

/// Bytes before the next CR or LF.
fn run_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while length < bytes.len() && bytes[length] != b'\n' && bytes[length] != b'\r' {
        length += 1;
    }
    length
}
