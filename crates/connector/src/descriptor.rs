//! What a protocol says of itself.

use lockstep_model::protocol::{Capabilities, ProtocolName};

/// A protocol's name, what it can do and the ports it usually listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The name it is registered and configured under.
    pub name: ProtocolName,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Port with TLS from the first byte.
    pub implicit_tls_port: u16,
    /// Port with an upgrade to TLS, or none.
    pub plain_port: u16,
}
