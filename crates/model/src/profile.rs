//! Email server profiles: how to reach a mail server, shared by many mailboxes.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{id::ProfileId, protocol::ProtocolName};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// Plain greeting, then an upgrade (STLS, STARTTLS) before anything secret is said. No upgrade offered is a fault.
    StartTls,
    /// No TLS. Refused unless the deployment allows it.
    Plain,
}

/// How the client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// The strongest the server offers for the credentials at hand.
    Auto,
    /// The protocol's own clear login command (USER/PASS, AUTH LOGIN).
    Login,
    /// SASL PLAIN (RFC 4616).
    Plain,
    /// SASL XOAUTH2 with a bearer token in place of the password.
    XOAuth2,
}

/// One server address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which protocol is spoken there.
    pub protocol: ProtocolName,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: TlsMode,
    /// How to authenticate.
    pub auth: AuthMethod,
}

/// Where the credentials of a connection come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// One account in the profile, for all its mailboxes. Connections are counted per profile.
    Profile,
    /// Each mailbox record has its own. Connections are counted per mailbox.
    Mailbox,
}

/// An email server profile as the workers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Identity.
    pub id: ProfileId,
    /// Name given by the administrator.
    pub name: String,
    /// Where email is read.
    pub incoming: Endpoint,
    /// Where email is sent.
    pub outgoing: Endpoint,
    /// Whose account is used.
    pub credentials: CredentialSource,
    /// Upper limit of simultaneous connections per authenticated account, over all replicas (1–65,536).
    pub max_connections: u32,
    /// Upper limit of claimed occasions at one time.
    pub max_in_flight: u32,
    /// Longest wait for one answer of the server (at most 100 s).
    pub request_timeout: Duration,
    /// Mailboxes are never polled closer than this.
    pub min_polling_interval: Duration,
    /// Mail received before this instant is not processed.
    pub process_emails_from: Option<DateTime<Utc>>,
}
