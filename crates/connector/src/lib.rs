//! The port every mail protocol fills, and the sockets they share.
//!
//! Knows what a mail server can be asked: list what is new, fetch, delete, send. Does not know any protocol by name,
//! nor where items are stored, who schedules the work or how connections are counted.

pub mod attachments;
#[cfg(feature = "contract")]
pub mod contract;
pub mod credentials;
pub mod deadline;
pub mod delta;
pub mod descriptor;
pub mod fingerprint;
pub mod folders;
pub mod items;
#[cfg(feature = "contract")]
pub mod memory;
pub mod net;
pub mod probe;
pub mod registry;
pub mod send;
pub mod session;

pub use credentials::Credentials;
pub use deadline::Deadline;
pub use delta::{Delta, Known, Limits, RemoteHead};
pub use descriptor::Descriptor;
pub use net::{address::AddressRules, tls::TlsTrust};
pub use probe::{Probe, ProbeStep};
pub use registry::Registry;
pub use send::{Envelope, PointOfNoReturn, RecipientReply, SendReceipt};
pub use session::{BodyReader, Connector, HeaderBlocks, Search, Session, Target};
