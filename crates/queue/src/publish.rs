//! Publishing: always mandatory, always confirmed.

use std::fmt;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use lockstep_wire::{Envelope, Message, Queue, envelope::MAX_ENVELOPE_BYTES};

use crate::{error::PublishError, trace};

/// Encoded bytes on their way to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// The envelope.
    pub bytes: Vec<u8>,
    /// W3C trace context, repeated in a header for tools that look at headers only.
    pub traceparent: Option<String>,
}

/// Somebody who can publish.
#[async_trait]
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Publishes one message and waits for the broker's confirm: after `Ok` it is stored. How many may wait at a
    /// time is bounded; further callers queue up.
    ///
    /// # Errors
    /// [`PublishError`]; the message may be published again in every case.
    async fn publish_raw(&self, queue: Queue, message: RawMessage) -> Result<(), PublishError>;
}

/// Messages that one batch keeps on their way at a time.
const PIPELINE: usize = 128;

/// Publishing of envelopes, for every [`Publisher`].
#[async_trait]
pub trait PublisherExt: Publisher {
    /// Publishes an envelope to its message's queue. One without a trace context gets that of the current span.
    ///
    /// # Errors
    /// See [`Publisher::publish_raw`].
    async fn publish<M: Message>(&self, envelope: &Envelope<M>) -> Result<(), PublishError> {
        self.publish_raw(M::QUEUE, raw(envelope)?).await
    }

    /// Publishes many envelopes, not waiting for one confirm before sending the next message. Results come in the
    /// order of the envelopes; one that fails does not stop the others.
    async fn publish_all<M: Message>(&self, envelopes: &[Envelope<M>]) -> Vec<Result<(), PublishError>> {
        let messages: Vec<_> = envelopes.iter().map(raw).collect();
        stream::iter(messages)
            .map(|message| async move { self.publish_raw(M::QUEUE, message?).await })
            .buffered(PIPELINE)
            .collect()
            .await
    }
}

impl<P: Publisher + ?Sized> PublisherExt for P {}

fn raw<M: Message>(envelope: &Envelope<M>) -> Result<RawMessage, PublishError> {
    let traceparent = envelope.traceparent.clone().or_else(trace::current_traceparent);
    let bytes = Envelope { traceparent: traceparent.clone(), ..envelope.clone() }
        .encode()
        .map_err(|e| PublishError::Unsendable(e.to_string()))?;
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return Err(PublishError::Unsendable(format!("an envelope of {} bytes", bytes.len())));
    }
    Ok(RawMessage { bytes, traceparent })
}
