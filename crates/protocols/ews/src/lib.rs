//! The connector for Exchange Web Services. It knows how an Exchange server is asked over HTTP and SOAP: connect and log
//! in, list what changed, stream messages in and out, read and write contacts, tasks and appointments, find the server.
//! It does not know where items go, what is stored about them (it asks [`lockstep_connector::Known`]), who schedules
//! sessions or how many there may be.
//!
//! *Identity.* The key of a message is its `ItemId`. It is another one after a move between folders or of the whole
//! mailbox to another server; then headers are compared before anything counts as new. The cursor is the server's own
//! sync state; when the server has forgotten it, the listing begins again and [`lockstep_connector::Known`] tells what
//! is not new.
//!
//! *Streams.* A message is decoded out of the answer's XML as it arrives and encoded into the request's as it leaves;
//! one piece of it is in memory. A reader dropped early costs the connection, which is opened again with the next
//! request.
//!
//! *Deletions* are collected and carried out by `close`: the protocol deletes at once, the port promises to wait.
//!
//! *Sending.* The request is complete only with its last bytes, and those go only after the gate. The protocol answers
//! for the message as a whole: who is nobody comes back as a report, not as an answer.

use std::sync::Arc;

use async_trait::async_trait;
use lockstep_connector::{AddressRules, Connector, Deadline, Descriptor, Probe, Session, Target, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::Endpoint,
    protocol::{Capabilities, ProtocolName},
};

use reach::Places;
use tokens::Tokens;

mod act;
pub mod autodiscover;
pub mod client;
pub mod codec;
pub mod fault;
mod folders;
mod header;
pub mod http;
pub mod item;
pub mod items;
mod kept;
mod ntlm;
pub mod oauth;
mod probe;
mod pull;
mod reach;
mod recipients;
mod reply;
mod session;
mod spnego;
mod submit;
pub mod tokens;
pub mod xml;
pub mod zone;

/// The name this protocol is registered and configured under.
pub const NAME: &str = "ews";

/// The path of the endpoint on every Exchange server.
pub const PATH: &str = "/EWS/Exchange.asmx";

/// Opens EWS sessions.
pub struct Ews {
    trust: TlsTrust,
    addresses: AddressRules,
    name: ProtocolName,
    places: Places,
    tokens: Arc<Tokens>,
}

impl Ews {
    /// A connector that trusts these certificates, and connects to private addresses too.
    pub fn new(trust: TlsTrust) -> Self {
        let name = NAME.parse().expect("a protocol name of three letters");
        Self { trust, addresses: AddressRules::default(), name, places: Places::default(), tokens: Arc::default() }
    }

    /// The same connector, which connects only to what these rules allow.
    #[must_use]
    pub fn reaching(self, addresses: AddressRules) -> Self {
        Self { addresses, ..self }
    }

    /// A client of a target's mailbox, wherever that is.
    ///
    /// # Errors
    /// As for [`Connector::open`].
    pub async fn client(&self, target: &Target, deadline: &Deadline) -> Result<client::Client, Fault> {
        self.reach(target, deadline).await
    }

    /// What a client needs to know to reach a target.
    pub fn options(&self, target: &Target) -> client::Options {
        let endpoint = &target.endpoint;
        client::Options {
            place: http::Place::of(endpoint),
            trust: self.trust.clone(),
            addresses: self.addresses,
            credentials: target.credentials.clone(),
            auth: endpoint.auth,
            issuer: None,
            // Nobody asks to act for itself: the right to act for others is needed for that too.
            as_whom: target.mailbox.clone().filter(|mailbox| !mailbox.eq_ignore_ascii_case(&target.credentials.user)),
            patience: target.request_timeout,
        }
    }
}

#[async_trait]
impl Connector for Ews {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: self.name.clone(),
            capabilities: Capabilities {
                incoming_email: true,
                outgoing_email: true,
                act: true,
                delete_after_processing: true,
                over_http: true,
                discovery: true,
                server_to_server: true,
                sent_items: true,
                folders: true,
                ..Capabilities::default()
            },
            implicit_tls_port: 443,
            plain_port: 80,
        }
    }

    async fn open(&self, target: &Target, deadline: &Deadline) -> Result<Box<dyn Session>, Fault> {
        let client = self.client(target, deadline).await?;
        Ok(Box::new(session::EwsSession::new(client)))
    }

    async fn locate(&self, target: &Target, deadline: &Deadline) -> Result<Endpoint, Fault> {
        self.found(target, deadline).await
    }

    async fn authorise(&self, target: &Target, deadline: &Deadline) -> Result<(), Fault> {
        match self.issuer(target)? {
            None => Ok(()),
            Some(issuer) => issuer.fetch(deadline).await,
        }
    }

    async fn probe(&self, endpoint: &Endpoint, patience: std::time::Duration, deadline: &Deadline) -> Probe {
        probe::look(&self.trust, self.addresses, endpoint, patience, deadline).await
    }
}
