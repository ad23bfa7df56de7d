//! Sending: who gets it, the gate before the point of no return, and what the server said.

use async_trait::async_trait;
use lockstep_model::fault::Fault;

/// The envelope of a message (RFC 5321 §2.3.1): not what stands in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Reverse path.
    pub from: String,
    /// Forward paths, each once.
    pub to: Vec<String>,
    /// Exact length of the message in bytes, where known.
    pub size: Option<u64>,
    /// A copy is kept in the sender's folder of sent messages. Protocols that only hand over take no notice of it.
    pub save_copy: bool,
}

/// What the server said to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReply {
    /// The forward path as given in the envelope.
    pub address: String,
    /// Accepted, or why not: class `refused` is for good, `transient` may heal.
    pub result: Result<(), Fault>,
}

/// What the server answered to the whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReceipt {
    /// The server's own words, usually with its queue id.
    pub reply: String,
    /// Each recipient's own answer, in the envelope's order.
    pub recipients: Vec<RecipientReply>,
}

/// Asked once, after the body is written and before the server is made responsible for the message.
#[async_trait]
pub trait PointOfNoReturn: Send {
    /// Records that the step is about to be taken, with what each recipient was answered so far. Only after `Ok` is
    /// the step taken.
    ///
    /// # Errors
    /// A fault stops the send; the server is left before the step.
    async fn cross(&mut self, recipients: &[RecipientReply]) -> Result<(), Fault>;
}
