//! Replies of the server (RFC 5321 §4.2), with enhanced status codes (RFC 2034, RFC 3463).

use std::io;

use lockstep_connector::net::line::read_line;
use lockstep_model::{fault::MAX_FAULT_TEXT, text};
use tokio::io::AsyncBufRead;

/// Most lines of one reply that are kept; further ones are read and dropped.
pub const MAX_LINES: usize = 100;
/// Most bytes of one line that are kept; the rest is read and dropped.
pub const MAX_LINE_BYTES: usize = 2 * 1024;

/// An enhanced status code: class, subject and detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced {
    /// 2, 4 or 5.
    pub class: u16,
    /// What it is about: 1 addresses, 2 mailboxes, 3 the mail system, 5 the protocol, 7 security and policy.
    pub subject: u16,
    /// Which condition of that subject.
    pub detail: u16,
}

impl Enhanced {
    /// The code at the start of a line's text, or none when there is none of class `class`.
    pub fn of(words: &str, class: u16) -> Option<Self> {
        let mut parts = words.split_whitespace().next()?.split('.');
        let mut number = || {
            let part = parts.next()?;
            let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let code = Self { class: number()?, subject: number()?, detail: number()? };
        (code.class == class && parts.next().is_none()).then_some(code)
    }
}

/// The first digit of a reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 2yz: done.
    Done,
    /// 3yz: go on.
    GoOn,
    /// 4yz: not now.
    Later,
    /// 5yz: no.
    No,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The first line's enhanced status code, where there is one that agrees with `code`.
    pub enhanced: Option<Enhanced>,
    /// The lines without their codes; at most [`MAX_LINES`] of [`MAX_LINE_BYTES`] each.
    pub lines: Vec<String>,
}

impl Reply {
    /// What kind of answer it is.
    pub fn kind(&self) -> Kind {
        match self.code / 100 {
            2 => Kind::Done,
            3 => Kind::GoOn,
            4 => Kind::Later,
            _ => Kind::No,
        }
    }

    /// Whether the answer is 2yz.
    pub fn is_done(&self) -> bool {
        self.kind() == Kind::Done
    }

    /// The server's own words on one line, code first, short enough for a fault.
    pub fn words(&self) -> String {
        let mut words = self.code.to_string();
        for line in &self.lines {
            words.push(' ');
            words.push_str(line);
            if words.len() > MAX_FAULT_TEXT {
                break;
            }
        }
        text::line(&words, MAX_FAULT_TEXT)
    }
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyLine {
    /// 200 to 599.
    pub code: u16,
    /// No further line follows.
    pub last: bool,
    /// What stands after the code.
    pub words: String,
}

impl ReplyLine {
    /// Parses a line without its CR LF; none when it is not a line of a reply.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let digits = line.get(..3)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let last = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return None,
        };
        let words = text::line_from_bytes(line.get(4..).unwrap_or_default(), MAX_LINE_BYTES);
        (200..600).contains(&code).then_some(Self { code, last, words })
    }
}

/// Reads one reply. Memory is bounded by [`MAX_LINES`] and [`MAX_LINE_BYTES`], the time by whoever waits for it.
///
/// # Errors
/// `InvalidData` when a line is not one of a reply, or the lines' codes differ; any error of the socket.
pub async fn read<R: AsyncBufRead + Unpin>(reader: &mut R) -> io::Result<Reply> {
    let mut code = None;
    let mut lines = Vec::new();
    loop {
        let raw = read_line(reader, MAX_LINE_BYTES).await?;
        let line = ReplyLine::parse(&raw).ok_or_else(|| {
            let begin = text::line_from_bytes(&raw, 80);
            io::Error::new(io::ErrorKind::InvalidData, format!("this is no SMTP reply: {begin}"))
        })?;
        let first = *code.get_or_insert(line.code);
        if first != line.code {
            let what = format!("the lines of one reply carry different codes, {first} and {}", line.code);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if lines.len() < MAX_LINES {
            lines.push(line.words);
        }
        if line.last {
            let enhanced = lines.first().and_then(|words| Enhanced::of(words, first / 100));
            return Ok(Reply { code: first, enhanced, lines });
        }
    }
}
