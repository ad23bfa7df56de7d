//! The streaming splitter: any bytes in, parts out, memory bounded whatever arrives.
//!
//! A line is looked at only as far as it takes to tell whether it is a delimiter or a header
//! field; the rest of it passes through. The line end before a delimiter belongs to the
//! delimiter, so the last line end is held back until the next line is known.

mod classify;
mod lines;

use crate::anomaly::{Anomalies, Anomaly, Unparsable};
use crate::field::Fields;
use crate::limits::Limits;
use crate::part::{PartInfo, PartSink, Role, Want};
use crate::transfer::Decoder;

use classify::HeaderLine;
use lines::{Eol, LineEnds, Piece};

/// Largest slice of decoded bytes a sink receives.
pub const MAX_SLICE: usize = 64 * 1024;
/// One call of [`Splitter::feed`] with n bytes gives at most n plus this many decoded bytes; a
/// sink that only stores them, and is drained between calls, is therefore bounded as well.
pub const MAX_HELD_BACK: usize = 4 * 1024;

/// Bytes handed to the decoder at once.
const STEP: usize = 16 * 1024;
/// How far the beginning of an undecided line is kept.
const PROBE: usize = 1_024;

/// Cuts one message. See the module's documentation.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    line_ends: LineEnds,
    state: State,
}

/// What a message was, when all of it has been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What had to be repaired or left out.
    pub anomalies: Anomalies,
    /// Why there is no sensible view of it.
    pub unparsable: Option<Unparsable>,
    /// Bytes fed.
    pub size: u64,
    /// Parts seen, multiparts counted.
    pub parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The header of the message or of a part.
    Header,
    /// The body of a part that is no multipart; `decoder` is there if it is wanted.
    Body,
    /// Before the first delimiter of the innermost level, after a closed one, or in a part that
    /// is left out: nothing counts but delimiters.
    Between,
    /// The rest of the message is ignored.
    Over,
}

#[derive(Debug)]
struct Level {
    /// Empty if unknown: then it may be guessed from the body.
    boundary: Vec<u8>,
    path: String,
    children: usize,
    digest: bool,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    levels: Vec<Level>,
    /// The beginning of the current line while it is undecided.
    line: Vec<u8>,
    decided: bool,
    held_eol: Eol,
    header: Vec<u8>,
    header_truncated: bool,
    /// A line of the current header has been taken.
    header_begun: bool,
    root_done: bool,
    /// A line that looks like a delimiter of an unknown boundary.
    guess: Vec<u8>,
    decoder: Option<Decoder>,
    out: Vec<u8>,
    parts: usize,
    leaves: usize,
    size: u64,
    content_seen: bool,
    anomalies: Anomalies,
    unparsable: Option<Unparsable>,
}

impl Splitter {
    /// A splitter for one message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State {
            mode: Mode::Header,
            levels: Vec::new(),
            line: Vec::new(),
            decided: false,
            held_eol: Eol::NONE,
            header: Vec::new(),
            header_truncated: false,
            header_begun: false,
            root_done: false,
            guess: Vec::new(),
            decoder: None,
            out: Vec::new(),
            parts: 0,
            leaves: 0,
            size: 0,
            content_seen: false,
            anomalies: Anomalies::default(),
            unparsable: None,
        };
        Self { limits, line_ends: LineEnds::default(), state }
    }

    /// Takes the next bytes, in chunks of any size. All decoded bytes they complete are given
    /// out before it returns.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn PartSink) {
        let Self { limits, line_ends, state } = self;
        state.size = state.size.saturating_add(bytes.len() as u64);
        line_ends.feed(bytes, |piece| state.piece(piece, limits, sink));
        state.give_out(sink);
    }

    /// Ends the message: closes what is open and says what it was.
    pub fn finish(mut self, sink: &mut dyn PartSink) -> Outcome {
        let Self { limits, line_ends, state } = &mut self;
        line_ends.finish(|piece| state.piece(piece, limits, sink));
        state.finish(limits, sink);
        Outcome {
            anomalies: std::mem::take(&mut state.anomalies),
            unparsable: state.unparsable,
            size: state.size,
            parts: state.parts,
        }
    }

    /// Bytes of memory its buffers take now, for tests and metrics.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let state = &self.state;
        let levels: usize = state.levels.iter().map(|l| l.boundary.capacity() + l.path.capacity()).sum();
        state.line.capacity() + state.header.capacity() + state.guess.capacity() + state.out.capacity() + levels
    }
}

impl State {
    fn piece(&mut self, piece: Piece<'_>, limits: &Limits, sink: &mut dyn PartSink) {
        if self.mode == Mode::Over {
            return;
        }
        match piece {
            Piece::Bytes(bytes) => {
                self.content_seen = true;
                self.bytes(bytes, limits, sink);
            }
            Piece::Eol(eol) => self.line_end(eol, limits, sink),
        }
    }

    fn bytes(&mut self, bytes: &[u8], limits: &Limits, sink: &mut dyn PartSink) {
        if self.decided {
            self.content(bytes, limits, sink);
            return;
        }
        let in_body = self.mode == Mode::Body && self.line.is_empty();
        if in_body && (self.levels.is_empty() || bytes.first() != Some(&b'-')) {
            self.decided = true;
            self.content(bytes, limits, sink);
            return;
        }
        let (kept, rest) = bytes.split_at(bytes.len().min(PROBE - self.line.len()));
        self.line.extend_from_slice(kept);
        self.decide(limits, sink);
        if self.decided && !rest.is_empty() {
            self.content(rest, limits, sink);
        }
    }

    /// Looks at the beginning of a line; once it is clear what it is, passes it on.
    fn decide(&mut self, limits: &Limits, sink: &mut dyn PartSink) {
        let full = self.line.len() >= PROBE;
        if !full && self.may_be_delimiter() {
            return;
        }
        if self.mode == Mode::Header {
            match self.header_line() {
                HeaderLine::Undecided if !full => return,
                HeaderLine::Field | HeaderLine::Mbox => {}
                HeaderLine::Undecided | HeaderLine::NoField => {
                    self.anomalies.note(Anomaly::MissingBlankLine);
                    self.end_header(limits, sink);
                    // The header may have opened a multipart this line delimits.
                    if !full && self.may_be_delimiter() {
                        return;
                    }
                }
            }
        }
        if self.mode == Mode::Between && self.guess_applies(full, limits, sink) {
            return;
        }
        let line = std::mem::take(&mut self.line);
        self.decided = true;
        self.content(&line, limits, sink);
        self.line = line;
        self.line.clear();
    }

    /// Between parts of a multipart whose boundary never came: a line `--x` followed by a line
    /// `Content-…` shows the boundary that is really used. True while more must be seen, or if
    /// the line has been taken as the first of a part header.
    fn guess_applies(&mut self, full: bool, limits: &Limits, sink: &mut dyn PartSink) -> bool {
        const FIELD: &[u8] = b"content-";
        if !self.may_guess() {
            return false;
        }
        if self.line.starts_with(b"--") || self.line == b"-" {
            return !full;
        }
        if self.guess.is_empty() {
            return false;
        }
        let seen = self.line.len().min(FIELD.len());
        if !self.line[..seen].eq_ignore_ascii_case(&FIELD[..seen]) {
            self.guess.clear();
            return false;
        }
        if seen < FIELD.len() {
            return true;
        }
        let boundary = self.guess.split_off(2);
        self.guess.clear();
        self.anomalies.note(Anomaly::WrongBoundary);
        if let Some(level) = self.levels.last_mut() {
            level.boundary = boundary;
        }
        self.begin_part(limits, sink);
        if self.mode == Mode::Header {
            self.decide(limits, sink);
        }
        true
    }

    /// Bytes of a line that is no delimiter.
    fn content(&mut self, bytes: &[u8], limits: &Limits, sink: &mut dyn PartSink) {
        match self.mode {
            Mode::Header => self.header_bytes(bytes, limits),
            Mode::Body => {
                let eol = std::mem::replace(&mut self.held_eol, Eol::NONE);
                let Some(decoder) = self.decoder.as_mut() else { return };
                decoder.line_end_if(eol.as_bytes(), &mut self.out, &mut self.anomalies);
                for step in bytes.chunks(STEP) {
                    decoder.bytes(step, &mut self.out, &mut self.anomalies);
                    if self.out.len() >= STEP {
                        sink.body(&self.out);
                        self.out.clear();
                    }
                }
            }
            Mode::Between | Mode::Over => {}
        }
    }

    fn header_bytes(&mut self, bytes: &[u8], limits: &Limits) {
        self.header_begun = true;
        let room = limits.header_bytes.saturating_sub(self.header.len());
        if bytes.len() > room {
            self.header_truncated = true;
        }
        self.header.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line_end(&mut self, eol: Eol, limits: &Limits, sink: &mut dyn PartSink) {
        if !self.decided {
            if self.mode == Mode::Header && self.line.is_empty() {
                self.blank_line_in_header(limits, sink);
                return;
            }
            if self.undecided_line_ends(limits, sink) {
                return;
            }
        }
        match self.mode {
            Mode::Header => {
                match eol.as_bytes() {
                    b"\n" => self.anomalies.note(Anomaly::BareLf),
                    b"\r" => self.anomalies.note(Anomaly::BareCr),
                    _ => {}
                }
                self.header_bytes(eol.as_bytes(), limits);
            }
            Mode::Body => self.held_eol = eol,
            Mode::Between | Mode::Over => {}
        }
        self.line.clear();
        self.decided = false;
    }

    /// A line of which everything is known now. True if it was a delimiter.
    fn undecided_line_ends(&mut self, limits: &Limits, sink: &mut dyn PartSink) -> bool {
        if self.mode == Mode::Header
            && !self.line.is_empty()
            && self.delimiter().is_none()
            && !matches!(self.header_line(), HeaderLine::Field | HeaderLine::Mbox)
        {
            self.anomalies.note(Anomaly::MissingBlankLine);
            self.end_header(limits, sink);
        }
        if let Some((level, closing)) = self.delimiter() {
            self.line.clear();
            self.at_delimiter(level, closing, limits, sink);
            return true;
        }
        if self.mode == Mode::Between && self.may_guess() {
            let trimmed = self.line.trim_ascii_end();
            self.guess.clear();
            if trimmed.len() > 3 && trimmed.starts_with(b"--") && !trimmed.ends_with(b"--") {
                self.guess.extend_from_slice(trimmed);
            }
        }
        let line = std::mem::take(&mut self.line);
        self.content(&line, limits, sink);
        self.line = line;
        false
    }

    fn blank_line_in_header(&mut self, limits: &Limits, sink: &mut dyn PartSink) {
        if !self.root_done && !self.header_begun {
            self.anomalies.note(Anomaly::LeadingBlankLines);
            return;
        }
        self.end_header(limits, sink);
    }

    fn at_delimiter(&mut self, level: usize, closing: bool, limits: &Limits, sink: &mut dyn PartSink) {
        if self.mode == Mode::Header {
            self.end_header(limits, sink);
        }
        self.end_leaf(sink);
        if self.levels.len() > level + 1 {
            self.anomalies.note(Anomaly::MissingCloseBoundary);
            self.close_levels(level + 1, sink);
        }
        if closing {
            self.close_levels(level, sink);
            self.mode = Mode::Between;
        } else {
            self.begin_part(limits, sink);
        }
    }

    fn begin_part(&mut self, limits: &Limits, sink: &mut dyn PartSink) {
        if self.parts >= limits.parts {
            self.anomalies.note(Anomaly::TooManyParts);
            self.unparsable.get_or_insert(Unparsable::TooManyParts);
            self.close_levels(0, sink);
            self.mode = Mode::Over;
            return;
        }
        if let Some(level) = self.levels.last_mut() {
            level.children += 1;
        }
        self.mode = Mode::Header;
        self.header_begun = false;
    }

    /// The header of the message or of a part is complete.
    fn end_header(&mut self, limits: &Limits, sink: &mut dyn PartSink) {
        let header = std::mem::take(&mut self.header);
        let truncated = std::mem::take(&mut self.header_truncated);
        let fields = Fields::parse(&header, limits.default_charset.as_deref());
        if fields.iter().any(|field| field.eight_bit) {
            self.anomalies.note(Anomaly::RawEightBitHeader);
        }
        let root = !std::mem::replace(&mut self.root_done, true);
        if root {
            self.judge_root(&header, &fields, truncated);
            sink.message_header(&header, truncated);
        } else if truncated {
            self.anomalies.note(Anomaly::PartHeaderTruncated);
        }
        self.parts += 1;
        let (path, in_digest) = match self.levels.last() {
            Some(level) if level.path.is_empty() => (level.children.to_string(), level.digest),
            Some(level) => (format!("{}.{}", level.path, level.children), level.digest),
            None => ("1".to_owned(), false),
        };
        let mut info = PartInfo::read(&fields, path, in_digest, limits, &mut self.anomalies);
        self.held_eol = Eol::NONE;
        if info.role == Role::Multipart {
            if self.levels.is_empty() {
                info.path.clear();
            }
            self.begin_multipart(&info, &header, limits, sink);
        } else {
            self.leaves += 1;
            let want = sink.part_begin(&info, &header);
            self.decoder = (want == Want::Body).then(|| Decoder::new(info.encoding));
            self.mode = Mode::Body;
        }
    }

    fn judge_root(&mut self, header: &[u8], fields: &Fields, truncated: bool) {
        if header.starts_with(b"From ") || header.starts_with(b">From ") {
            self.anomalies.note(Anomaly::MboxFromLine);
        }
        if fields.is_empty() {
            self.unparsable.get_or_insert(Unparsable::NoHeaderField);
        }
        if truncated {
            self.anomalies.note(Anomaly::HeaderTruncated);
            self.unparsable.get_or_insert(Unparsable::HeaderTooLarge);
        }
    }

    fn begin_multipart(&mut self, info: &PartInfo, header: &[u8], limits: &Limits, sink: &mut dyn PartSink) {
        self.mode = Mode::Between;
        if self.levels.len() >= limits.depth {
            self.anomalies.note(Anomaly::TooDeep);
            self.unparsable.get_or_insert(Unparsable::TooDeep);
            return;
        }
        let boundary = info.boundary().map(str::as_bytes).unwrap_or_default().to_vec();
        if boundary.is_empty() {
            self.anomalies.note(Anomaly::MissingBoundary);
        }
        sink.part_begin(info, header);
        self.guess.clear();
        self.levels.push(Level {
            boundary,
            path: info.path.clone(),
            children: 0,
            digest: info.media_type == "multipart/digest",
        });
    }

    fn end_leaf(&mut self, sink: &mut dyn PartSink) {
        if self.mode != Mode::Body {
            return;
        }
        self.held_eol = Eol::NONE;
        if let Some(mut decoder) = self.decoder.take() {
            decoder.finish(&mut self.out, &mut self.anomalies);
        }
        self.give_out(sink);
        sink.part_end();
        self.mode = Mode::Between;
    }

    /// Closes all levels from `down_to` inwards.
    fn close_levels(&mut self, down_to: usize, sink: &mut dyn PartSink) {
        while self.levels.len() > down_to {
            if self.levels.pop().is_some_and(|level| level.children == 0) {
                self.anomalies.note(Anomaly::EmptyMultipart);
            }
            sink.part_end();
        }
    }

    fn give_out(&mut self, sink: &mut dyn PartSink) {
        if !self.out.is_empty() {
            sink.body(&self.out);
            self.out.clear();
        }
    }

    fn finish(&mut self, limits: &Limits, sink: &mut dyn PartSink) {
        if !self.content_seen {
            self.unparsable.get_or_insert(Unparsable::Empty);
        }
        if self.mode == Mode::Over {
            return;
        }
        // The last line need not have an end.
        if !self.decided && !self.line.is_empty() {
            self.undecided_line_ends(limits, sink);
        }
        if self.mode == Mode::Header {
            self.end_header(limits, sink);
        }
        if self.mode == Mode::Body {
            self.content(b"", limits, sink);
            self.end_leaf(sink);
        }
        if !self.levels.is_empty() {
            self.anomalies.note(Anomaly::MissingCloseBoundary);
            self.close_levels(0, sink);
        }
        if self.leaves == 0 {
            self.unparsable.get_or_insert(Unparsable::NoParts);
        }
    }
}
