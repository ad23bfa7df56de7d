//! The POP3 connector (RFC 1939, 2449, 2595, 3206, 5034). It knows how a POP3 server is asked: connect and protect,
//! log in, list, tell messages apart, stream them, delete them. It does not know where messages go, what is stored
//! about them (it asks [`lockstep_connector::Known`]), who schedules sessions or how many there may be.
//!
//! *Identity.* The key of a message is its UIDL. Where that is missing or stands twice in one listing, the key is
//! derived from the header and marked weak. Message numbers never leave the session. When most of a listing is
//! suddenly unknown, headers are compared before anything counts as new.
//!
//! *Streams.* The reader of a body holds no more than one buffer of 32 KiB. Its errors carry a
//! [`lockstep_model::fault::Fault`] (`io::Error::downcast`). A reader dropped early costs the rest of the message if
//! that is at most 256 KiB, and otherwise the session (`SessionOutOfStep`).
//!
//! *Deletions* take effect with `QUIT`. Only `close` with success says so; after anything else they are repeated in
//! the next session, where those that did take effect are simply not listed.

use async_trait::async_trait;
use lockstep_connector::{AddressRules, Connector, Deadline, Descriptor, Probe, Session, Target, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::Endpoint,
    protocol::{Capabilities, ProtocolName},
};

mod auth;
mod body;
pub mod codec;
mod conversation;
mod establish;
mod fault;
mod identity;
mod probe;
mod pull;
mod session;
mod wire;

/// The name this protocol is registered and configured under.
pub const NAME: &str = "pop3";

/// Opens POP3 sessions.
pub struct Pop3 {
    trust: TlsTrust,
    addresses: AddressRules,
    name: ProtocolName,
}

impl Pop3 {
    /// A connector that trusts these certificates, and connects to private addresses too.
    pub fn new(trust: TlsTrust) -> Self {
        let name = NAME.parse().expect("a protocol name of four letters and digits");
        Self { trust, addresses: AddressRules::default(), name }
    }

    /// The same connector, which connects only to what these rules allow.
    #[must_use]
    pub fn reaching(self, addresses: AddressRules) -> Self {
        Self { addresses, ..self }
    }
}

#[async_trait]
impl Connector for Pop3 {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: self.name.clone(),
            capabilities: Capabilities {
                incoming_email: true,
                delete_after_processing: true,
                ..Capabilities::default()
            },
            implicit_tls_port: 995,
            plain_port: 110,
        }
    }

    async fn open(&self, target: &Target, deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let talk = establish::establish(&self.trust, self.addresses, target, deadline).await?;
        Ok(Box::new(session::Pop3Session::new(talk)))
    }

    async fn probe(&self, endpoint: &Endpoint, patience: std::time::Duration, deadline: &Deadline) -> Probe {
        probe::look(&self.trust, self.addresses, endpoint, patience, deadline).await
    }
}
