//! The envelope around every message.

use chrono::{DateTime, Utc};
use lockstep_model::id::{MessageId, OrganisationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::Message;

/// Largest envelope that is sent or read, in bytes. Messages carry ids, so this is generous.
pub const MAX_ENVELOPE_BYTES: usize = 16 * 1024;

/// A message with what every message has.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<M> {
    /// Identity of this sending. A repeated hint is a new envelope.
    pub id: MessageId,
    /// The organisation whose database holds the row.
    pub organisation: OrganisationId,
    /// When it was sent.
    pub issued_at: DateTime<Utc>,
    /// W3C trace context of the sender, so that a cycle is one trace across processes.
    pub traceparent: Option<String>,
    /// The hint itself.
    pub body: M,
}

#[derive(Serialize, Deserialize)]
struct Frame {
    kind: String,
    version: u32,
    id: MessageId,
    organisation: OrganisationId,
    issued_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    body: Value,
}

/// Why bytes are not the envelope that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Larger than any envelope of ours.
    #[error("an envelope of {0} bytes; at most {MAX_ENVELOPE_BYTES} are read")]
    TooLarge(usize),
    /// Not JSON, or not an envelope.
    #[error("not an envelope: {0}")]
    NotAnEnvelope(#[source] serde_json::Error),
    /// A message that belongs on another queue.
    #[error("kind {found:?} where {expected:?} was expected")]
    WrongKind {
        /// The kind found.
        found: String,
        /// The kind this reader understands.
        expected: &'static str,
    },
    /// Written by newer code than this.
    #[error("version {found} of {kind}; this process reads up to {newest}")]
    TooNew {
        /// The kind.
        kind: &'static str,
        /// The version found.
        found: u32,
        /// The newest version understood.
        newest: u32,
    },
    /// The body lacks a field or has one of another type.
    #[error("body of {kind} version {version}: {source}")]
    Body {
        /// The kind.
        kind: &'static str,
        /// The version.
        version: u32,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl<M: Message> Envelope<M> {
    /// The bytes to send.
    ///
    /// # Errors
    /// When the body cannot be written as JSON, which no message of ours does.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Frame {
            kind: M::KIND.to_owned(),
            version: M::VERSION,
            id: self.id,
            organisation: self.organisation,
            issued_at: self.issued_at,
            traceparent: self.traceparent.clone(),
            body: serde_json::to_value(&self.body)?,
        })
    }

    /// Reads an envelope of this kind, of any version ever sent.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else; such a delivery belongs on the dead-letter queue.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let frame: Frame = serde_json::from_slice(bytes).map_err(DecodeError::NotAnEnvelope)?;
        if frame.kind != M::KIND {
            return Err(DecodeError::WrongKind { found: frame.kind.chars().take(64).collect(), expected: M::KIND });
        }
        if frame.version == 0 || frame.version > M::VERSION {
            return Err(DecodeError::TooNew { kind: M::KIND, found: frame.version, newest: M::VERSION });
        }
        let body = M::read(frame.version, frame.body).map_err(|source| DecodeError::Body {
            kind: M::KIND,
            version: frame.version,
            source,
        })?;
        Ok(Self {
            id: frame.id,
            organisation: frame.organisation,
            issued_at: frame.issued_at,
            traceparent: frame.traceparent,
            body,
        })
    }
}
