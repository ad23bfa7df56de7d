//! Tokens out of bytes that arrive in pieces. The library parses each tag; this finds where tags begin and end, so that
//! text of any length passes through in pieces and is never held.

use std::{borrow::Cow, fmt};

use quick_xml::events::BytesStart;

/// Deepest nesting that is followed.
pub const MAX_DEPTH: usize = 64;
/// Longest tag, comment or processing instruction, in bytes. Sync states are text, so tags stay small.
pub const MAX_MARKUP: usize = 64 * 1024;
/// Most attributes of one element.
const MAX_ATTRIBUTES: usize = 64;
/// Longest reference to a character, `&` and `;` included.
const MAX_REFERENCE: usize = 16;
/// Longest piece of text in one token.
const MAX_TEXT: usize = 64 * 1024;

/// A token. Names come without their prefixes: the vocabularies of EWS share no names that could be mistaken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An element begins. Declarations of namespaces are not among the attributes.
    Start {
        /// Local name.
        name: String,
        /// Local names and values.
        attributes: Vec<(String, String)>,
    },
    /// Text, or a piece of it.
    Text(String),
    /// The innermost element ends.
    End,
}

/// Why something is not the XML it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the XML is malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Finds tokens. Holds one piece of input and, at most, one tag.
#[derive(Debug, Default)]
pub struct Tokenizer {
    held: Vec<u8>,
    at: usize,
    /// Full names of the open elements.
    open: Vec<String>,
    begun: bool,
    over: bool,
    in_cdata: bool,
    /// A self-closing tag was given as a start; its end follows.
    closing: bool,
}

impl Tokenizer {
    /// Adds input. What was given out already is forgotten.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.held.drain(..self.at);
            self.at = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// Whether the outermost element has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next token; `None` when more input is needed, or nothing follows.
    ///
    /// # Errors
    /// What is not well-formed, and what is beyond the bounds.
    pub fn take(&mut self) -> Result<Option<Token>, Malformed> {
        if self.closing {
            self.closing = false;
            return Ok(Some(self.close()));
        }
        loop {
            if !self.begun && self.at == 0 {
                match self.held.as_slice() {
                    [0xef, 0xbb, 0xbf, ..] => self.at = 3,
                    [] | [0xef] | [0xef, 0xbb] => return Ok(None),
                    _ => {}
                }
            }
            let rest = &self.held[self.at..];
            if rest.is_empty() {
                return Ok(None);
            }
            if self.in_cdata {
                let Some(token) = self.cdata()? else { return Ok(None) };
                if let Some(token) = token {
                    return Ok(Some(token));
                }
                continue;
            }
            if rest[0] == b'<' {
                match self.markup()? {
                    Found::Token(token) => return Ok(Some(token)),
                    Found::Skipped => {}
                    Found::Incomplete => return Ok(None),
                }
            } else {
                match self.text()? {
                    Found::Token(token) => return Ok(Some(token)),
                    Found::Skipped => {}
                    Found::Incomplete => return Ok(None),
                }
            }
        }
    }

    fn close(&mut self) -> Token {
        self.open.pop();
        self.over = self.open.is_empty();
        Token::End
    }

    fn text(&mut self) -> Result<Found, Malformed> {
        let rest = &self.held[self.at..];
        let window = &rest[..rest.len().min(MAX_TEXT)];
        // Most windows of a long content have no markup; looking for it in one go is much faster.
        let end = if window.contains(&b'<') { window.iter().position(|byte| *byte == b'<') } else { None };
        let mut piece = &window[..end.unwrap_or(window.len())];
        let complete = end.is_some();
        if self.open.is_empty() {
            // Before and after the document there is nothing but white space.
            let blank = piece.iter().all(u8::is_ascii_whitespace);
            self.at += piece.len();
            self.begun = true;
            return if blank { Ok(Found::Skipped) } else { Err(Malformed("text outside of the document")) };
        }
        if !complete {
            let cut = piece.len().saturating_sub(MAX_REFERENCE);
            if let Some(reference) = piece[cut..].iter().rposition(|byte| *byte == b'&')
                && !piece[cut + reference..].contains(&b';')
            {
                piece = &piece[..cut + reference];
            }
            piece = whole_characters(piece);
            if piece.is_empty() {
                return Ok(Found::Incomplete);
            }
        }
        let text = resolve(&String::from_utf8_lossy(piece))?.into_owned();
        self.at += piece.len();
        Ok(Found::Token(Token::Text(text)))
    }

    /// A piece of a CDATA section; `Some(None)` when it has ended.
    fn cdata(&mut self) -> Result<Option<Option<Token>>, Malformed> {
        let rest = &self.held[self.at..];
        let window = &rest[..rest.len().min(MAX_TEXT)];
        let end = window.windows(3).position(|three| three == b"]]>");
        let piece = match end {
            Some(end) => &rest[..end],
            None => whole_characters(&window[..window.len().saturating_sub(2)]),
        };
        let token = (!piece.is_empty()).then(|| Token::Text(String::from_utf8_lossy(piece).into_owned()));
        self.at += piece.len();
        if end.is_some() {
            self.at += 3;
            self.in_cdata = false;
            return Ok(Some(token));
        }
        Ok(token.map(Some))
    }

    fn markup(&mut self) -> Result<Found, Malformed> {
        let rest = &self.held[self.at..];
        let bounded = |found: Option<usize>| match found {
            Some(end) if end <= MAX_MARKUP => Ok(Some(end)),
            None if rest.len() <= MAX_MARKUP => Ok(None),
            _ => Err(Malformed("a tag or comment without end")),
        };
        let until = |end: &[u8], from: usize| {
            let window = rest.get(from..).unwrap_or_default();
            let window = &window[..window.len().min(MAX_MARKUP + 1)];
            window.windows(end.len()).position(|bytes| bytes == end).map(|at| from + at + end.len())
        };
        self.begun = true;
        if rest.starts_with(b"<?") || rest.starts_with(b"<!--") {
            let end = if rest.starts_with(b"<?") { until(b"?>", 2) } else { until(b"-->", 4) };
            let Some(end) = bounded(end)? else { return Ok(Found::Incomplete) };
            self.at += end;
            return Ok(Found::Skipped);
        }
        if rest.starts_with(b"<!") {
            const CDATA: &[u8] = b"<![CDATA[";
            if rest.starts_with(CDATA) && !self.open.is_empty() {
                self.at += CDATA.len();
                self.in_cdata = true;
                return Ok(Found::Skipped);
            }
            let beginning = |of: &[u8]| rest.len() < of.len() && of.starts_with(rest);
            if beginning(b"<!--") || beginning(CDATA) {
                return Ok(Found::Incomplete);
            }
            return Err(Malformed("a declaration of document types"));
        }
        let Some(end) = bounded(tag_end(&rest[..rest.len().min(MAX_MARKUP + 1)]))? else {
            return Ok(Found::Incomplete);
        };
        let tag = std::str::from_utf8(&rest[1..end - 1]).map_err(|_| Malformed("a tag that is not UTF-8"))?;
        if let Some(name) = tag.strip_prefix('/') {
            if self.open.last().map(String::as_str) != Some(name.trim_end()) {
                return Err(Malformed("an end of another element"));
            }
            self.at += end;
            return Ok(Found::Token(self.close()));
        }
        if self.over {
            return Err(Malformed("an element after the document"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Malformed("elements nested too deep"));
        }
        let (tag, closing) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (full, token) = start(tag)?;
        self.open.push(full);
        self.closing = closing;
        self.at += end;
        Ok(Found::Token(token))
    }
}

enum Found {
    Token(Token),
    Skipped,
    Incomplete,
}

/// Where a tag ends: after the first `>` outside of quotes.
fn tag_end(rest: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The full name of a start tag, and the token it is.
fn start(tag: &str) -> Result<(String, Token), Malformed> {
    let length = tag.find(|c: char| c.is_ascii_whitespace()).unwrap_or(tag.len());
    let full = &tag[..length];
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if local(full).is_empty() || !full.chars().all(fine) {
        return Err(Malformed("a tag without a name"));
    }
    let mut attributes = Vec::new();
    for attribute in BytesStart::from_content(tag, length).attributes() {
        let attribute = attribute.map_err(|_| Malformed("an attribute that is none"))?;
        let key = attribute.key.as_ref();
        if key == "xmlns" || key.starts_with("xmlns:") {
            continue;
        }
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(Malformed("too many attributes"));
        }
        attributes.push((local(key).to_owned(), resolve(&attribute.value)?.into_owned()));
    }
    Ok((full.to_owned(), Token::Start { name: local(full).to_owned(), attributes }))
}

/// Text without an incomplete character at its end. Bytes that begin no character count as complete.
fn whole_characters(piece: &[u8]) -> &[u8] {
    for back in 1..=3.min(piece.len()) {
        let byte = piece[piece.len() - back];
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return piece,
        };
        return if length > back { &piece[..piece.len() - back] } else { piece };
    }
    piece
}

/// Text with its references to characters resolved. A reference to no character is replaced (Exchange writes control
/// characters that way); one to an entity of somebody's making is refused.
fn resolve(text: &str) -> Result<Cow<'_, str>, Malformed> {
    if !text.contains('&') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(';').filter(|end| *end < MAX_REFERENCE).ok_or(Malformed("a lone ampersand"))?;
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
        out.push(match &rest[..end] {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let digits = other.strip_prefix('#').ok_or(Malformed("an entity that XML does not have"))?;
                let code = match digits.strip_prefix(['x', 'X']) {
                    Some(hex) => number(hex, 16),
                    None => number(digits, 10),
                };
                let known = code.ok_or(Malformed("a reference to no character"))?;
                char::from_u32(known).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        });
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}
