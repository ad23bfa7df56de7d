//! What crosses the queue: envelopes and messages, versioned, with a frozen sample of every version ever sent.
//!
//! Knows names of queues and the shape of messages. Does not know a broker or a database. A message is a *hint*: it
//! names a row that may be worked on now; whoever receives it reads the truth from the database.

pub mod envelope;
pub mod message;
pub mod queue;

pub use envelope::{DecodeError, Envelope};
pub use message::{Counts, CycleReport, Message, Outcome, RunOperation, SendEmail, SyncLane};
pub use queue::{Queue, Role};
