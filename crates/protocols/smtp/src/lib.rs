//! Sending email through a submission server (RFC 5321, RFC 6409).
//!
//! Knows the SMTP conversation: greeting, STARTTLS, AUTH, the mail transaction, and which moment makes the server
//! responsible for a message. Does not know what a message says, who decides that it is sent, when another attempt is
//! made, or where any of that is stored.

mod auth;
pub mod codec;
mod fault;
mod link;
mod probe;
mod session;
mod transaction;

use async_trait::async_trait;
use lockstep_connector::{AddressRules, Connector, Deadline, Descriptor, Probe, Session, TlsTrust, session::Target};
use lockstep_model::{
    fault::Fault,
    profile::Endpoint,
    protocol::{Capabilities, ProtocolName},
};

use crate::codec::command;

/// The name this protocol is registered and configured under.
pub const NAME: &str = "smtp";

/// Port with TLS from the first byte (RFC 8314).
const SUBMISSIONS_PORT: u16 = 465;
/// Port with an upgrade by STARTTLS (RFC 6409).
const SUBMISSION_PORT: u16 = 587;

/// The SMTP submission connector.
#[derive(Clone)]
pub struct Smtp {
    trust: TlsTrust,
    addresses: AddressRules,
    ehlo_name: String,
    name: ProtocolName,
}

impl Smtp {
    /// A connector that trusts these certificates and calls itself `ehlo_name` (RFC 5321 §4.1.1.1: a domain, or an
    /// address literal such as `[192.0.2.1]`). What cannot stand in such a name is left out.
    ///
    /// # Panics
    /// Never: the protocol's name is valid.
    pub fn new(trust: TlsTrust, ehlo_name: String) -> Self {
        let name = NAME.parse().unwrap_or_else(|_| unreachable!("a constant, valid name"));
        Self { trust, addresses: AddressRules::default(), ehlo_name: command::ehlo_name(&ehlo_name), name }
    }

    /// The same connector, which connects only to what these rules allow; without them, to private addresses too.
    #[must_use]
    pub fn reaching(self, addresses: AddressRules) -> Self {
        Self { addresses, ..self }
    }
}

#[async_trait]
impl Connector for Smtp {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: self.name.clone(),
            capabilities: Capabilities { outgoing_email: true, ..Capabilities::default() },
            implicit_tls_port: SUBMISSIONS_PORT,
            plain_port: SUBMISSION_PORT,
        }
    }

    async fn open(&self, target: &Target, deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let session = session::open(&self.trust, self.addresses, &self.ehlo_name, target, deadline).await?;
        Ok(Box::new(session))
    }

    async fn probe(&self, endpoint: &Endpoint, patience: std::time::Duration, deadline: &Deadline) -> Probe {
        probe::look(&self.trust, self.addresses, &self.ehlo_name, endpoint, patience, deadline).await
    }
}
