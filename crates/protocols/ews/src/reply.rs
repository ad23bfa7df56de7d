//! An answer as it comes off the wire: tokens, small trees, and contents that are streamed out of the XML.

use std::{io, pin::Pin, time::Duration};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming, header::HeaderMap};
use lockstep_connector::Deadline;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    text,
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    codec::answer,
    fault::{self, Refusal, Status},
    http::Link,
    xml::{Builder, Element, Token, Tokenizer},
};

/// Largest tree of one answer.
const MAX_TREE: usize = 32 * 1024 * 1024;
/// Largest tree of an answer that says what went wrong.
const MAX_FAULT: usize = 256 * 1024;
/// How much of an answer that is no SOAP is looked at.
const MAX_WORDS: usize = 2 * 1024;
/// How much may follow the document before the connection is given up.
const MAX_TAIL: usize = 64 * 1024;

/// Lenient in padding: some servers leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// An answer whose head has been read.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Incoming,
    tokens: Tokenizer,
    /// The first bytes, for those answers that are no SOAP.
    beginning: Vec<u8>,
    patience: Duration,
    deadline: Deadline,
    /// The connection of an answer that nobody else keeps.
    link: Option<Link>,
}

/// What an operation came to.
pub(crate) type Answered = Result<Element, Fault>;

impl Reply {
    pub(crate) fn new(response: Response<Incoming>, patience: Duration, deadline: &Deadline) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            tokens: Tokenizer::default(),
            beginning: Vec::new(),
            patience,
            deadline: deadline.clone(),
            link: None,
        }
    }

    pub(crate) fn keep(&mut self, link: Option<Link>) {
        self.link = link;
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next bytes; `None` at the end.
    async fn bytes(&mut self) -> Result<Option<Bytes>, Fault> {
        // A server that always has more to say must not outlast the deadline.
        self.deadline.check(fault::SOME_TIME)?;
        loop {
            let frame = match self.deadline.run(self.patience, self.body.frame()).await? {
                None => return Ok(None),
                Some(frame) => frame.map_err(|error| fault::lost(&error))?,
            };
            if let Ok(bytes) = frame.into_data() {
                let room = MAX_WORDS.saturating_sub(self.beginning.len());
                self.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
                return Ok(Some(bytes));
            }
        }
    }

    /// The next token; `None` after the document's end.
    async fn token(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            if let Some(token) = self.tokens.take().map_err(|error| fault::violation(error.to_string()))? {
                return Ok(Some(token));
            }
            match self.bytes().await? {
                Some(bytes) => self.tokens.feed(&bytes),
                None if self.tokens.is_over() => return Ok(None),
                None => return Err(fault::violation("the server's answer ends early")),
            }
        }
    }

    /// Reads what may follow, so that the connection can be used again.
    pub(crate) async fn drain(&mut self) -> Result<(), Fault> {
        let mut tail = 0;
        while let Some(bytes) = self.bytes().await? {
            tail += bytes.len();
            if tail > MAX_TAIL {
                return Err(fault::violation("the server's answer goes on after its end"));
            }
        }
        Ok(())
    }

    /// The fault of an answer that is no SOAP, or says what went wrong in it.
    pub(crate) async fn refusal(mut self) -> Fault {
        let mut builder = Builder::new(MAX_FAULT);
        loop {
            match self.token().await {
                Ok(Some(token)) => match builder.add(token) {
                    Ok(Some(tree)) => match answer::body(&tree) {
                        Err(Some(refusal)) => {
                            let _ = self.drain().await;
                            return self.hinted(refusal).fault(FaultScope::Mailbox);
                        }
                        _ => break,
                    },
                    Ok(None) => {}
                    Err(_) => break,
                },
                Ok(None) => break,
                Err(fault) if fault.code == "ProtocolViolation" => break,
                Err(fault) => return fault,
            }
        }
        while self.beginning.len() < MAX_WORDS && matches!(self.bytes().await, Ok(Some(_))) {}
        let words = text::line_from_bytes(&self.beginning, 300);
        let location = self.headers.get(hyper::header::LOCATION).and_then(|value| value.to_str().ok());
        fault::of_status(&Status { status: self.status, retry_after: self.retry_after(), location, body: &words })
    }

    /// A refusal without a hint of its own takes the one in the header.
    fn hinted(&self, refusal: Refusal) -> Refusal {
        Refusal { back_off: refusal.back_off.or_else(|| self.retry_after()), ..refusal }
    }

    /// `Retry-After`: seconds, or a date, which counts from the server's own `Date` (RFC 9110 §10.2.3).
    fn retry_after(&self) -> Option<Duration> {
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let text = header(hyper::header::RETRY_AFTER)?;
        if let Ok(seconds) = text.parse() {
            return (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        let date = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
        let wait = date(text)? - date(header(hyper::header::DATE)?)?;
        wait.to_std().ok().filter(|wait| !wait.is_zero())
    }

    /// The whole answer as a document of any sort, if it is one.
    ///
    /// # Errors
    /// What the status says, or what is no XML.
    pub(crate) async fn document(mut self) -> Answered {
        if self.status != 200 {
            return Err(self.refusal().await);
        }
        let mut builder = Builder::new(MAX_FAULT);
        while let Some(token) = self.token().await? {
            if let Some(root) = builder.add(token).map_err(|error| fault::violation(error.to_string()))? {
                return Ok(root);
            }
        }
        Err(fault::violation("the server's answer is empty"))
    }

    /// Where the answer sends its reader on to.
    pub(crate) fn location(&self) -> Option<&str> {
        let moved = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.headers.get(hyper::header::LOCATION).filter(|_| moved).and_then(|value| value.to_str().ok())
    }

    /// The whole answer as the operation's response.
    pub(crate) async fn response(self) -> Answered {
        self.diverted("", &mut |_, _| Ok(())).await
    }

    /// The same, with the text of elements called `name` given to `sink` piece by piece instead of being kept. With each
    /// goes the place of its response message.
    pub(crate) async fn diverted(
        mut self,
        name: &str,
        sink: &mut (dyn FnMut(usize, &str) -> Result<(), Fault> + Send),
    ) -> Answered {
        if !matches!(self.status, 200) {
            return Err(self.refusal().await);
        }
        let mut builder = Builder::new(MAX_TREE);
        let mut root = None;
        let mut inside = false;
        while root.is_none() {
            let token = match self.token().await {
                Ok(Some(token)) => token,
                Ok(None) => break,
                Err(fault) if fault.code == "ProtocolViolation" && builder.depth() == 0 => {
                    return Err(self.refusal().await);
                }
                Err(fault) => return Err(fault),
            };
            match &token {
                Token::Start { name: started, .. } => inside = started == name,
                Token::Text(text) if inside => {
                    sink(message_index(&builder), text)?;
                    continue;
                }
                Token::Text(_) => {}
                Token::End => inside = false,
            }
            root = builder.add(token).map_err(|error| fault::violation(error.to_string()))?;
        }
        self.drain().await?;
        let mut root = root.ok_or_else(|| fault::violation("the server's answer is empty"))?;
        match answer::body(&root).map(|_| ()) {
            Ok(()) => {
                let body = root.children.iter_mut().find(|child| child.name == "Body");
                Ok(body.map(|body| body.children.remove(0)).unwrap_or_default())
            }
            Err(Some(refusal)) => Err(self.hinted(refusal).fault(FaultScope::Mailbox)),
            Err(None) => Err(fault::violation("the server's answer is no SOAP envelope")),
        }
    }

    /// The content of the first element called `name`, in base64, as a stream.
    ///
    /// # Errors
    /// The refusal of an answer that has no such element, for one item.
    pub(crate) async fn content(mut self, name: &str) -> Result<Content, Fault> {
        if self.status != 200 {
            return Err(self.refusal().await);
        }
        let mut builder = Builder::new(MAX_TREE);
        while let Some(token) = self.token().await? {
            if matches!(&token, Token::Start { name: started, .. } if started == name) {
                return Ok(Content { reply: self, carry: Vec::new(), over: false });
            }
            let root = builder.add(token).map_err(|error| fault::violation(error.to_string()))?;
            if let Some(root) = root {
                self.drain().await?;
                let refusal = match answer::body(&root) {
                    Ok(response) => answer::only(response).err(),
                    Err(Some(refusal)) => return Err(self.hinted(refusal).fault(FaultScope::Mailbox)),
                    Err(None) => return Err(fault::violation("the server's answer is no SOAP envelope")),
                };
                let missing = || fault::item(FaultClass::Transient, "ItemUnavailable", "the server gave no content");
                return Err(refusal.map_or_else(missing, |refusal| refusal.fault(FaultScope::Item)));
            }
        }
        Err(fault::violation("the server's answer is empty"))
    }
}

/// The place of the response message that is being read: `Envelope`, `Body`, response, `ResponseMessages`, message.
fn message_index(builder: &Builder) -> usize {
    builder.open().nth(3).map_or(0, |messages| messages.children.len())
}

/// Decodes base64 that comes in pieces, whatever white space stands in it.
///
/// # Errors
/// What is no base64.
pub(crate) fn decode(carry: &mut Vec<u8>, piece: &str, over: bool) -> Result<Vec<u8>, Fault> {
    if b" \r\n\t".iter().any(|blank| piece.as_bytes().contains(blank)) {
        carry.extend(piece.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    } else {
        carry.extend_from_slice(piece.as_bytes());
    }
    let whole = if over { carry.len() } else { carry.len() / 4 * 4 };
    let decoded = BASE64.decode(&carry[..whole]);
    carry.drain(..whole);
    decoded.map_err(|_| fault::item(FaultClass::Transient, "ItemUnavailable", "the server's content is no base64"))
}

/// A content on its way. Holds one piece.
pub(crate) struct Content {
    reply: Reply,
    carry: Vec<u8>,
    over: bool,
}

impl Content {
    /// The next piece; `None` at the end, with the whole answer read.
    pub(crate) async fn piece(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        while !self.over {
            match self.reply.token().await? {
                Some(Token::Text(text)) => {
                    let decoded = decode(&mut self.carry, &text, false)?;
                    if !decoded.is_empty() {
                        return Ok(Some(decoded));
                    }
                }
                Some(Token::End) => {
                    self.over = true;
                    let rest = decode(&mut self.carry, "", true)?;
                    let mut tail = 0;
                    while let Some(token) = self.reply.token().await? {
                        tail += if let Token::Text(text) = token { text.len() } else { 16 };
                        if tail > MAX_TAIL {
                            return Err(fault::violation("the server's answer goes on after its end"));
                        }
                        if self.reply.tokens.is_over() {
                            break;
                        }
                    }
                    self.reply.drain().await?;
                    if !rest.is_empty() {
                        return Ok(Some(rest));
                    }
                }
                Some(Token::Start { .. }) => return Err(fault::violation("an element inside of a content")),
                None => return Err(fault::violation("the server's answer ends early")),
            }
        }
        Ok(None)
    }

    /// The same as a reader; its errors carry the [`Fault`].
    pub(crate) fn reader(self) -> ContentReader {
        ContentReader { state: State::Idle(Box::new(self)), ready: Vec::new(), at: 0 }
    }
}

type Reading = Pin<Box<dyn Future<Output = (Box<Content>, Result<Option<Vec<u8>>, Fault>)> + Send>>;

enum State {
    Idle(Box<Content>),
    Reading(Reading),
    Over,
}

/// Reads a content. Keeps one piece and nothing else.
pub(crate) struct ContentReader {
    state: State,
    ready: Vec<u8>,
    at: usize,
}

impl AsyncRead for ContentReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        use std::task::Poll;
        let this = self.get_mut();
        loop {
            if this.at < this.ready.len() {
                let count = out.remaining().min(this.ready.len() - this.at);
                out.put_slice(&this.ready[this.at..this.at + count]);
                this.at += count;
                return Poll::Ready(Ok(()));
            }
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(Ok(())),
                State::Idle(mut content) => {
                    this.state = State::Reading(Box::pin(async move {
                        let piece = content.piece().await;
                        (content, piece)
                    }));
                }
                State::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Pending => {
                        this.state = State::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready((content, Ok(Some(piece)))) => {
                        (this.ready, this.at) = (piece, 0);
                        this.state = State::Idle(content);
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(Ok(())),
                    Poll::Ready((_, Err(fault))) => return Poll::Ready(Err(io::Error::other(fault))),
                },
            }
        }
    }
}
