//! Forward mailboxes: the message that another one carries as an attachment, taken out while both stream past, so that
//! memory grows with neither. One level: what the original itself carries are its attachments.

use lockstep_connector::{BodyReader, fingerprint};
use lockstep_engine::forwarding::{self, Unfit, Way};
use lockstep_mime::{
    Limits,
    header::Headers,
    message::{AttachmentInfo, AttachmentSink, Collector, Verdict},
    splitter::Splitter,
};
use lockstep_model::{address::AddressKey, remote::Fingerprint};
use lockstep_store::{
    Store,
    forwarding::Forwarder,
    lanes::{OrganisationLimits, Run},
};
use tokio::io::AsyncReadExt;

use crate::mailbox::{
    facts,
    receive::{self, Head, Parsing, Received, SLICE, Trouble},
};

/// Kept of the texts of the message around the original, which are not used.
const MAX_OUTER_BODY: usize = 4 * 1024;

/// What the message around a forwarded one says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outer {
    /// Its author, if it has exactly one.
    pub(crate) author: Option<AddressKey>,
    /// Its Message-ID, normalised.
    pub(crate) message_id: Option<String>,
    /// When the forward mailbox's server received it.
    pub(crate) received: Option<chrono::DateTime<chrono::Utc>>,
    return_path: Option<String>,
    authentication_results: Option<String>,
    auto_submitted: Option<String>,
    is_report: bool,
    loop_organisation: Option<String>,
}

impl Outer {
    /// What its header says; `block` is the raw one.
    pub(crate) fn of(headers: &Headers, block: &[u8]) -> Self {
        let author = match headers.from.as_slice() {
            [only] => AddressKey::of(&only.address),
            _ => None,
        };
        Self {
            author,
            message_id: facts::message_id(headers),
            received: receive::received_at(block).or(headers.date),
            return_path: headers.return_path.clone(),
            authentication_results: headers.authentication_results.clone(),
            auto_submitted: headers.auto_submitted.clone(),
            is_report: headers.content_type == "multipart/report",
            loop_organisation: headers.loop_organisation.clone(),
        }
    }

    /// Whether it left this organisation's own Lockstep: written here, not forwarded by a rule.
    pub(crate) fn is_own(&self, run: &Run) -> bool {
        self.loop_organisation.as_deref().is_some_and(|id| id.trim() == run.organisation.to_string())
    }

    /// Whether its author can have forwarded something.
    pub(crate) fn check(&self, forwarder: Option<&Forwarder>) -> Result<(), Unfit> {
        let way = Way {
            author_domain: self.author.as_ref().map(AddressKey::domain),
            return_path: self.return_path.as_deref(),
            authentication_results: self.authentication_results.as_deref(),
            auto_submitted: self.auto_submitted.as_deref(),
            is_report: self.is_report,
        };
        let known = forwarder.map(|forwarder| forwarding::Forwarder {
            active: forwarder.active,
            approved: forwarder.approved,
            by_forward_mailbox: forwarder.by_forward_mailbox,
        });
        forwarding::check(&way, known)
    }
}

/// What a message in a forward mailbox carries.
pub(crate) struct Unwrapped {
    /// The message around it.
    pub(crate) outer: Outer,
    /// Hash of the header of the message around it, which is the item.
    pub(crate) fingerprint: Fingerprint,
    /// Bytes read.
    pub(crate) size: u64,
    /// The original, or why there is none.
    pub(crate) original: Result<Received, Unfit>,
}

/// Reads a message of a forward mailbox to its end. With `keep_raw` the original is kept as it came as well.
pub(crate) async fn unwrap(
    store: &Store,
    mut body: BodyReader<'_>,
    limits: &OrganisationLimits,
    mime_limits: Limits,
    keep_raw: bool,
) -> Result<Unwrapped, Trouble> {
    let outer_limits = Limits { body_bytes: MAX_OUTER_BODY, ..mime_limits.clone() };
    let mut splitter = Splitter::new(outer_limits.clone());
    let mut collector = Collector::new(outer_limits, Originals::default());
    let mut original = Parsing::new(store, limits, mime_limits, keep_raw);
    let mut head = Head::default();
    let mut size = 0_u64;
    let mut slice = vec![0_u8; SLICE];
    loop {
        let read = body.read(&mut slice).await.map_err(|error| Trouble::Remote(receive::broken(&error)))?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > limits.max_message_bytes {
            return Err(Trouble::Remote(receive::too_large(limits.max_message_bytes)));
        }
        head.take(&slice[..read]);
        splitter.feed(&slice[..read], &mut collector);
        collector.sink_mut().drain(&mut original).await?;
    }
    let outcome = splitter.finish(&mut collector);
    collector.sink_mut().drain(&mut original).await?;
    let (message, originals) = collector.finish(outcome);
    let block = head.header();
    let mut outer = Outer::of(&message.headers, &block);
    outer.is_report |= message.report.is_some();
    let original = original.finish().await?;
    let original = match originals.seen {
        0 => Err(Unfit::NotAttached),
        1 if is_message(&original) => Ok(original),
        1 => Err(Unfit::NoMessage),
        _ => Err(Unfit::Several),
    };
    Ok(Unwrapped { outer, fingerprint: fingerprint::of_header(&block), size, original })
}

/// Whether there is a header such as every message has: an author, and a date or an id.
fn is_message(received: &Received) -> bool {
    let headers = &received.message.headers;
    !headers.from.is_empty() && (headers.date.is_some() || headers.message_id.is_some())
}

/// Hands the bytes of the first message that is attached on, and counts the others.
#[derive(Debug, Default)]
struct Originals {
    seen: usize,
    bytes: Vec<u8>,
}

impl Originals {
    async fn drain(&mut self, original: &mut Parsing<'_>) -> Result<(), lockstep_store::Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        original.take(&self.bytes).await?;
        self.bytes.clear();
        Ok(())
    }
}

impl AttachmentSink for Originals {
    fn begin(&mut self, info: &AttachmentInfo) -> Verdict {
        if !carries_message(info) {
            return Verdict::Skip;
        }
        self.seen += 1;
        if self.seen == 1 { Verdict::Accept } else { Verdict::Skip }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn end(&mut self, _: &AttachmentInfo) {}
}

/// message/rfc822 and its international form (RFC 6532), or a file that some servers send instead: `.eml`, of no
/// particular type.
fn carries_message(info: &AttachmentInfo) -> bool {
    match info.media_type.as_str() {
        "message/rfc822" | "message/global" => true,
        "application/octet-stream" | "application/x-eml" | "application/eml" => {
            info.name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("eml"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G2: what waits to be handed on between two reads is bounded, however large the original is, and complete.
    #[test]
    fn g2_little_of_an_original_waits() {
        use lockstep_mime::splitter::MAX_HELD_BACK;

        let limits = Limits { body_bytes: MAX_OUTER_BODY, ..Limits::default() };
        let mut splitter = Splitter::new(limits.clone());
        let mut collector = Collector::new(limits, Originals::default());
        let head = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
                    Content-Type: message/rfc822\r\n\r\n";
        splitter.feed(head.as_bytes(), &mut collector);
        let line = format!("{}\r\n", "x".repeat(98));
        let slice = line.repeat(SLICE / line.len());
        let (mut handed_on, slices) = (0, 200);
        for _ in 0..slices {
            splitter.feed(slice.as_bytes(), &mut collector);
            let waiting = &mut collector.sink_mut().bytes;
            assert!(waiting.len() <= slice.len() + MAX_HELD_BACK && waiting.capacity() <= 4 * SLICE);
            handed_on += waiting.len();
            waiting.clear();
            assert!(splitter.buffered_bytes() < 4 * SLICE);
        }
        splitter.feed(b"\r\n--o--\r\n", &mut collector);
        let outcome = splitter.finish(&mut collector);
        let (_, originals) = collector.finish(outcome);
        assert_eq!(handed_on + originals.bytes.len(), slices * slice.len());
        assert_eq!(originals.seen, 1);
    }

    /// G2: what counts as a message that is attached.
    #[test]
    fn g2_what_counts_as_an_attached_message() {
        let info = |media_type: &str, name: &str| AttachmentInfo {
            position: 0,
            path: "2".to_owned(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size: 0,
            content_id: None,
            inline: false,
        };
        for (media_type, name, counts) in [
            ("message/rfc822", "part-2.eml", true),
            ("message/global", "x", true),
            ("application/octet-stream", "Anfrage.EML", true),
            ("application/octet-stream", "eml", false),
            ("application/octet-stream", "a.eml.exe", false),
            ("text/plain", "a.eml", false),
            ("message/delivery-status", "a.eml", false),
        ] {
            assert_eq!(carries_message(&info(media_type, name)), counts, "{media_type} {name}");
        }
    }
}
