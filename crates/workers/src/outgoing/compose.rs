//! The message as it leaves: the same bytes at every attempt, attachments streamed from storage.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use lockstep_connector::BodyReader;
use lockstep_mime::{
    compose::{self, Address, Attachment, Base64Lines, Message, Segment},
    header::LOOP_HEADER,
};
use lockstep_model::{email::PartyRole, id::OrganisationId};
use lockstep_store::{
    Store,
    contents::{self, ContentDigest},
    deliveries::{Delivery, Outgoing},
};
use tokio_util::io::StreamReader;

/// A message ready to be sent.
pub(crate) struct Composed {
    segments: Vec<Segment>,
    contents: Vec<ContentDigest>,
    /// Its exact length in bytes.
    pub(crate) size: u64,
}

/// Lays a message out. `None` when it has no author.
pub(crate) fn compose(organisation: OrganisationId, delivery: &Delivery, outgoing: &Outgoing) -> Option<Composed> {
    let of = |role: PartyRole| -> Vec<Address> {
        let parties = outgoing.parties.iter().filter(|(r, _, _)| *r == role);
        parties.map(|(_, name, address)| written(name, address)).collect()
    };
    let message = Message {
        message_id: delivery.message_id.clone(),
        date: delivery.dated_at,
        from: of(PartyRole::From).into_iter().next()?,
        sender: outgoing.sender.as_ref().map(|(name, address)| written(name, address)),
        to: of(PartyRole::To),
        cc: of(PartyRole::Cc),
        reply_to: of(PartyRole::ReplyTo),
        subject: outgoing.subject.clone(),
        // The chain of references, oldest first: the last one is what is answered (RFC 5322 §3.6.4).
        in_reply_to: outgoing.in_reply_to.last().cloned().into_iter().collect(),
        references: outgoing.in_reply_to.clone(),
        body_text: outgoing.body_text.clone(),
        body_html: outgoing.body_html.clone(),
        attachments: outgoing
            .attachments
            .iter()
            .map(|file| Attachment {
                name: file.name.clone(),
                media_type: file.media_type.clone(),
                size: file.size_bytes,
                content_id: file.content_id.clone(),
                inline: file.inline,
            })
            .collect(),
        extra_headers: extra_headers(organisation, outgoing),
        boundary_seed: *delivery.email.0.as_bytes(),
    };
    let segments = compose::plan(&message);
    let size = compose::total_size(&message, &segments);
    Some(Composed { segments, contents: outgoing.attachments.iter().map(|file| file.content).collect(), size })
}

/// The mark of our own mail, and of what no person has written (RFC 3834 §5).
fn extra_headers(organisation: OrganisationId, outgoing: &Outgoing) -> Vec<(String, String)> {
    let mut headers = vec![(LOOP_HEADER.to_owned(), organisation.to_string())];
    if outgoing.auto_submitted {
        headers.push(("Auto-Submitted".to_owned(), "auto-generated".to_owned()));
    }
    headers
}

fn written(name: &str, address: &str) -> Address {
    Address { name: (!name.is_empty()).then(|| name.to_owned()), address: address.to_owned() }
}

impl Composed {
    /// The bytes, read from storage as they are sent.
    pub(crate) fn reader(&self, store: &Store) -> BodyReader<'static> {
        let store = store.clone();
        let contents = self.contents.clone();
        let pieces = stream::iter(self.segments.clone()).flat_map(move |segment| match segment {
            Segment::Bytes(bytes) => stream::iter([Ok(Bytes::from(bytes))]).boxed(),
            Segment::Attachment(index) => match contents.get(index) {
                Some(digest) => encoded(&store, *digest).boxed(),
                None => stream::iter([Err(io::Error::other("an attachment without content"))]).boxed(),
            },
        });
        Box::pin(StreamReader::new(pieces))
    }
}

/// An attachment in base64 lines, chunk by chunk.
fn encoded(store: &Store, digest: ContentDigest) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let chunks = contents::read(store, digest).map(Some).chain(stream::iter([None]));
    let encoder = Some(Base64Lines::new());
    chunks
        .scan(encoder, |encoder, chunk| {
            let mut out = Vec::new();
            let piece = match chunk {
                Some(Ok(bytes)) => {
                    if let Some(encoder) = encoder {
                        encoder.feed(&bytes, &mut out);
                    }
                    Ok(Bytes::from(out))
                }
                Some(Err(error)) => Err(io::Error::other(error.to_string())),
                None => {
                    if let Some(encoder) = encoder.take() {
                        encoder.finish(&mut out);
                    }
                    Ok(Bytes::from(out))
                }
            };
            std::future::ready(Some(piece))
        })
        // An empty piece would be taken for the end.
        .filter(|piece| std::future::ready(piece.as_ref().map_or(true, |bytes| !bytes.is_empty())))
}
