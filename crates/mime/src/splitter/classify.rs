//! What a line is, told from its beginning: a delimiter, a header field, or content.

use super::State;

/// Longest name of a header field that is taken for one.
const MAX_FIELD_NAME: usize = 256;

/// What the beginning of a line in a header says.
pub(super) enum HeaderLine {
    Undecided,
    Field,
    Mbox,
    NoField,
}

impl State {
    /// Whether the boundary of the innermost level has not been met yet.
    pub(super) fn may_guess(&self) -> bool {
        self.levels.last().is_some_and(|level| level.children == 0)
    }

    /// Whether the current line, as far as it is known, may become a delimiter.
    pub(super) fn may_be_delimiter(&self) -> bool {
        self.levels.iter().any(|level| {
            !level.boundary.is_empty()
                && match self.line.strip_prefix(b"--") {
                    Some(rest) => match rest.strip_prefix(level.boundary.as_slice()) {
                        Some(tail) => is_delimiter_tail(tail) || tail == b"-",
                        None => level.boundary.starts_with(rest),
                    },
                    None => self.line == b"-",
                }
        })
    }

    /// The level a whole line delimits, innermost first, and whether it closes it.
    pub(super) fn delimiter(&self) -> Option<(usize, bool)> {
        let rest = self.line.strip_prefix(b"--")?;
        self.levels.iter().enumerate().rev().find_map(|(index, level)| {
            let tail = rest.strip_prefix(level.boundary.as_slice())?;
            let found = !level.boundary.is_empty() && is_delimiter_tail(tail);
            found.then(|| (index, tail.starts_with(b"--")))
        })
    }

    /// What the current line is within a header.
    pub(super) fn header_line(&self) -> HeaderLine {
        let line = self.line.as_slice();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // A continuation needs a field to continue.
            return if self.header_begun { HeaderLine::Field } else { HeaderLine::NoField };
        }
        if !self.root_done {
            let mbox: &[&[u8]] = &[b"From ", b">From "];
            if mbox.iter().any(|start| line.starts_with(start)) {
                return HeaderLine::Mbox;
            }
            if mbox.iter().any(|start| start.starts_with(line)) {
                return HeaderLine::Undecided;
            }
        }
        let name = line.iter().take_while(|b| b.is_ascii_graphic() && **b != b':').count();
        let spaces = line[name..].iter().take_while(|b| **b == b' ' || **b == b'\t').count();
        match line.get(name + spaces) {
            Some(b':') if name > 0 && name <= MAX_FIELD_NAME => HeaderLine::Field,
            None if name <= MAX_FIELD_NAME => HeaderLine::Undecided,
            _ => HeaderLine::NoField,
        }
    }
}

/// What may follow a boundary on its line: the mark of the last delimiter, and white space.
fn is_delimiter_tail(tail: &[u8]) -> bool {
    tail.strip_prefix(b"--").unwrap_or(tail).iter().all(|b| *b == b' ' || *b == b'\t')
}
