//! Receiving one message: streamed off the wire through the splitter, attachments into chunks as they pass, so that
//! memory does not grow with the message.

use lockstep_connector::{BodyReader, fingerprint};
use lockstep_mime::{
    Limits,
    message::{AttachmentInfo, AttachmentSink, Collector, ParsedMessage, Verdict},
    splitter::Splitter,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::Fingerprint,
};
use lockstep_store::{
    Store,
    contents::{ContentDigest, Writer},
    incoming::NewAttachment,
    lanes::OrganisationLimits,
};
use tokio::io::AsyncReadExt;

use crate::mailbox::unwrap::Outer;

/// Bytes read and fed at a time.
pub(crate) const SLICE: usize = 64 * 1024;

/// Longest header that is kept for the fingerprint.
const MAX_HEADER: usize = 256 * 1024;

/// A message as it was received.
pub(crate) struct Received {
    /// What was understood of it.
    pub(crate) message: ParsedMessage,
    /// Hash of its header.
    pub(crate) fingerprint: Fingerprint,
    /// When the server says it received it.
    pub(crate) received: Option<chrono::DateTime<chrono::Utc>>,
    /// Its files, stored or left out.
    pub(crate) attachments: Vec<NewAttachment>,
    /// The message as it came, where that matters.
    pub(crate) raw: Option<ContentDigest>,
    /// Its size.
    pub(crate) size: u64,
    /// The message around it, where it was forwarded to a forward mailbox.
    pub(crate) outer: Option<Box<Outer>>,
}

impl Received {
    /// About how many bytes of memory it holds: its texts, its addresses, its files' descriptions.
    pub(crate) fn held_bytes(&self) -> usize {
        /// An address, a Message-ID or the description of a file.
        const ENTRY: usize = 256;
        let message = &self.message;
        let texts = [&message.body_text, &message.body_html, &message.first_text_block, &message.headers.subject];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let headers = &message.headers;
        let entries = headers.from.len()
            + headers.to.len()
            + headers.cc.len()
            + headers.bcc.len()
            + headers.reply_to.len()
            + headers.references.len()
            + headers.in_reply_to.len()
            + self.attachments.len();
        texts + (entries + 16) * ENTRY
    }
}

/// Why a message was not received.
pub(crate) enum Trouble {
    /// The server or the connection.
    Remote(Fault),
    /// The database.
    Store(lockstep_store::Error),
}

impl From<lockstep_store::Error> for Trouble {
    fn from(error: lockstep_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Reads a message to its end.
pub(crate) async fn receive(
    store: &Store,
    mut body: BodyReader<'_>,
    limits: &OrganisationLimits,
    mime_limits: Limits,
) -> Result<Received, Trouble> {
    let mut parsing = Parsing::new(store, limits, mime_limits, false);
    let mut slice = vec![0_u8; SLICE];
    loop {
        let read = body.read(&mut slice).await.map_err(|error| Trouble::Remote(broken(&error)))?;
        if read == 0 {
            return Ok(parsing.finish().await?);
        }
        parsing.take(&slice[..read]).await?;
        if parsing.size > limits.max_message_bytes {
            return Err(Trouble::Remote(too_large(limits.max_message_bytes)));
        }
    }
}

/// A message on its way through the splitter, its attachments on theirs into storage.
pub(crate) struct Parsing<'a> {
    store: &'a Store,
    splitter: Splitter,
    collector: Collector<Pending<'a>>,
    files: Files<'a>,
    head: Head,
    keep_raw: bool,
    raw: Option<Writer>,
    size: u64,
}

impl<'a> Parsing<'a> {
    /// Nothing was read yet. With `keep_raw` it is kept as it comes, whatever it turns out to be.
    pub(crate) fn new(store: &'a Store, limits: &'a OrganisationLimits, mime_limits: Limits, keep_raw: bool) -> Self {
        Self {
            store,
            splitter: Splitter::new(mime_limits.clone()),
            collector: Collector::new(mime_limits, Pending { limits, events: Vec::new() }),
            files: Files { store, limits, open: None, done: Vec::new() },
            head: Head::default(),
            keep_raw,
            raw: None,
            size: 0,
        }
    }

    /// Takes the next bytes; what they complete of attachments is stored before it returns.
    pub(crate) async fn take(&mut self, bytes: &[u8]) -> Result<(), lockstep_store::Error> {
        self.size += bytes.len() as u64;
        let was_complete = self.head.complete;
        self.head.take(bytes);
        self.splitter.feed(bytes, &mut self.collector);
        self.files.drain(&mut self.collector.sink_mut().events).await?;
        if let Some(raw) = &mut self.raw {
            raw.write(bytes).await?;
        } else if self.head.complete && !was_complete && (self.keep_raw || self.head.must_be_kept_raw()) {
            let mut writer = Writer::new(self.store);
            writer.write(&self.head.bytes).await?;
            self.raw = Some(writer);
        }
        Ok(())
    }

    /// The message, when all of it was taken.
    pub(crate) async fn finish(mut self) -> Result<Received, lockstep_store::Error> {
        let outcome = self.splitter.finish(&mut self.collector);
        self.files.drain(&mut self.collector.sink_mut().events).await?;
        let (message, _) = self.collector.finish(outcome);
        for (file, info) in self.files.done.iter_mut().zip(&message.attachments) {
            file.size_bytes = info.size;
        }
        if self.keep_raw && self.raw.is_none() && self.size > 0 {
            // All of it is header, and no longer than a header may be.
            let mut writer = Writer::new(self.store);
            writer.write(&self.head.bytes).await?;
            self.raw = Some(writer);
        }
        let raw = match self.raw {
            Some(writer) => Some(writer.finish().await?.digest),
            None => None,
        };
        let header = self.head.header();
        Ok(Received {
            fingerprint: fingerprint::of_header(&header),
            received: received_at(&header),
            message,
            attachments: self.files.done,
            raw,
            size: self.size,
            outer: None,
        })
    }
}

/// Stores a message as it comes, unread; for one that could not be parsed.
pub(crate) async fn keep_raw(
    store: &Store,
    mut body: BodyReader<'_>,
    limits: &OrganisationLimits,
) -> Result<ContentDigest, Trouble> {
    let mut writer = Writer::new(store);
    let mut slice = vec![0_u8; SLICE];
    loop {
        let read = body.read(&mut slice).await.map_err(|error| Trouble::Remote(broken(&error)))?;
        if read == 0 {
            return Ok(writer.finish().await?.digest);
        }
        writer.write(&slice[..read]).await?;
        if writer.size_bytes() > limits.max_message_bytes {
            return Err(Trouble::Remote(too_large(limits.max_message_bytes)));
        }
    }
}

/// When the server received a message: the date of its topmost Received field (RFC 5321 §4.4).
pub(crate) fn received_at(header: &[u8]) -> Option<chrono::DateTime<chrono::Utc>> {
    let text = String::from_utf8_lossy(&header[..header.len().min(16 * 1024)]);
    let unfolded = text.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    let line =
        unfolded.lines().find(|line| line.get(..9).is_some_and(|name| name.eq_ignore_ascii_case("received:")))?;
    let (_, date) = line.rsplit_once(';')?;
    lockstep_mime::header::parse_date(date.trim()).map(|date| date.to_utc())
}

pub(crate) fn broken(error: &std::io::Error) -> Fault {
    // A connector's own fault travels inside the error of its stream.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>());
    inner
        .cloned()
        .unwrap_or_else(|| Fault::new(FaultScope::Mailbox, FaultClass::Transient, "ConnectionLost", error.to_string()))
}

pub(crate) fn too_large(limit: u64) -> Fault {
    let message = format!("larger than {limit} bytes, attachments included");
    Fault::new(FaultScope::Item, FaultClass::Refused, "EmailTooLarge", message)
}

/// The beginning of a message, up to and including the empty line after its header.
#[derive(Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    complete: bool,
}

impl Head {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.complete {
            return;
        }
        let looked_at = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(bytes);
        self.complete = end_of_header(&self.bytes, looked_at).is_some() || self.bytes.len() > MAX_HEADER;
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        let end = end_of_header(&self.bytes, 0).unwrap_or(self.bytes.len());
        self.bytes[..end].to_vec()
    }

    /// Signed and encrypted messages mean something only as they came.
    fn must_be_kept_raw(&self) -> bool {
        let header = String::from_utf8_lossy(&self.header()).to_ascii_lowercase();
        let unfolded = header.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
        let kind = unfolded.lines().find_map(|line| line.strip_prefix("content-type:")).unwrap_or_default().trim();
        ["multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"]
            .iter()
            .any(|kept| kind.starts_with(kept))
    }
}

fn end_of_header(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|at| {
        let rest = &bytes[at..];
        if rest.starts_with(b"\n\r\n") {
            Some(at + 3)
        } else if rest.starts_with(b"\n\n") {
            Some(at + 2)
        } else {
            None
        }
    })
}

/// Collects what the splitter says of attachments during one feed; drained after it, so it never holds more than a
/// slice and what was held back.
struct Pending<'a> {
    limits: &'a OrganisationLimits,
    events: Vec<Event>,
}

enum Event {
    Begin(AttachmentInfo, bool),
    Data(Vec<u8>),
    End(AttachmentInfo),
}

impl AttachmentSink for Pending<'_> {
    fn begin(&mut self, info: &AttachmentInfo) -> Verdict {
        let blocked = is_blocked(&info.name, &self.limits.blocked_extensions);
        self.events.push(Event::Begin(info.clone(), blocked));
        if blocked { Verdict::Skip } else { Verdict::Accept }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.events.push(Event::Data(bytes.to_vec()));
    }

    fn end(&mut self, info: &AttachmentInfo) {
        self.events.push(Event::End(info.clone()));
    }
}

fn is_blocked(name: &str, extensions: &[String]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extensions.iter().any(|b| b.eq_ignore_ascii_case(extension)))
}

/// The files of a message on their way into storage.
struct Files<'a> {
    store: &'a Store,
    limits: &'a OrganisationLimits,
    open: Option<Writer>,
    done: Vec<NewAttachment>,
}

impl Files<'_> {
    async fn drain(&mut self, events: &mut Vec<Event>) -> Result<(), lockstep_store::Error> {
        for event in events.drain(..) {
            match event {
                Event::Begin(info, true) => {
                    let reason = "attachments with this file name extension are not accepted";
                    self.done.push(described(&info, Err(reason.to_owned())));
                }
                Event::Begin(info, false) => {
                    self.open = Some(Writer::new(self.store));
                    self.done.push(described(&info, Err("incomplete".to_owned())));
                }
                Event::Data(bytes) => {
                    if let Some(writer) = &mut self.open {
                        writer.write(&bytes).await?;
                        if writer.size_bytes() > self.limits.max_attachment_bytes {
                            self.open = None;
                        }
                    }
                }
                Event::End(info) => {
                    let content = match self.open.take() {
                        Some(writer) => Ok(writer.finish().await?.digest),
                        None => Err(format!("larger than {} bytes", self.limits.max_attachment_bytes)),
                    };
                    if let Some(last) = self.done.last_mut() {
                        *last = described(&info, content);
                    }
                }
            }
        }
        Ok(())
    }
}

fn described(info: &AttachmentInfo, content: Result<ContentDigest, String>) -> NewAttachment {
    NewAttachment {
        name: info.name.clone(),
        media_type: info.media_type.clone(),
        size_bytes: info.size,
        content_id: info.content_id.clone(),
        inline: info.inline,
        content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_received_field_tells_when() {
        let header = b"Received: by a;\r\n Mon, 23 Nov 2026 08:00:00 +0100\r\nReceived: by b; Sun, 22 Nov 2026 08:00:00 +0000\r\n\r\n";
        assert_eq!(received_at(header).map(|d| d.to_rfc3339()).as_deref(), Some("2026-11-23T07:00:00+00:00"));
        assert_eq!(received_at(b"Subject: x\r\n\r\n"), None);
        assert_eq!(received_at(b"Received: no date at all\r\n\r\n"), None);
    }

    #[test]
    fn the_head_is_found_in_any_slices() {
        let message = b"Content-Type: multipart/signed;\r\n\tmicalg=x\r\n\r\nbody\r\n\r\n";
        for size in 1..message.len() {
            let mut head = Head::default();
            for slice in message.chunks(size) {
                head.take(slice);
            }
            assert!(head.complete && head.must_be_kept_raw(), "slices of {size}");
            assert!(head.header().ends_with(b"micalg=x\r\n\r\n"));
        }
    }

    #[test]
    fn blocked_extensions_ignore_case() {
        let blocked = ["exe".to_owned()];
        assert!(
            is_blocked("setup.EXE", &blocked) && !is_blocked("exe", &blocked) && !is_blocked("a.exe.txt", &blocked)
        );
    }
}
