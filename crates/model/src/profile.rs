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
    /// A bearer token in place of the password: SASL XOAUTH2, or the header of RFC 6750 over HTTP.
    XOAuth2,
    /// SPNEGO over HTTP (RFC 4559), with NTLM inside.
    Negotiate,
    /// NTLM over HTTP.
    Ntlm,
    /// Name and password over HTTP (RFC 7617).
    Basic,
}

/// One server address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which protocol is spoken there.
    pub protocol: ProtocolName,
    /// Host name or address; empty while it has still to be found (see [`Discovery`]).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: TlsMode,
    /// How to authenticate.
    pub auth: AuthMethod,
    /// Path of the endpoint, for protocols that have such; `None`: the protocol's usual one.
    pub path: Option<String>,
}

/// Where a mailbox's server is asked for, of a profile that names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// An `https` URL, or a host, where the search begins; `None`: at the domain of the mailbox's address.
    pub start: Option<String>,
}

/// An application that signs in for itself, with tokens an issuer gives it (RFC 6749 §4.4). Its id and secret are the
/// profile's login and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The `https` URL where tokens are issued.
    pub token_endpoint: String,
    /// What the tokens are for.
    pub scope: String,
}

impl Application {
    /// Where the tokens of a tenant of Microsoft's are issued.
    pub fn endpoint_of_tenant(tenant: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token")
    }
}

/// Where the credentials of a connection come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// One account in the profile, for all its mailboxes. Connections are counted per profile.
    Profile,
    /// Each mailbox record has its own. Connections are counted per mailbox.
    Mailbox,
    /// An application of the profile signs in with tokens, for all its mailboxes. Connections are counted per profile.
    ServerToServer,
}

impl CredentialSource {
    /// Whether one account of the profile's acts for all its mailboxes.
    pub fn is_shared(self) -> bool {
        self != Self::Mailbox
    }
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
    /// The servers of its mailboxes are asked for, not named.
    pub discovery: Option<Discovery>,
    /// Whose account is used.
    pub credentials: CredentialSource,
    /// The application that signs in, with [`CredentialSource::ServerToServer`].
    pub application: Option<Application>,
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
