//! Protocols are data: an open, validated name and what it can do. Nobody outside a protocol's own crate compares
//! names; everybody asks for capabilities.

use std::{fmt, str::FromStr};

/// Name of a mail protocol, such as a connector registers itself under: 1–32 lower-case letters, digits or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolName(String);

impl ProtocolName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProtocolName {
    type Err = InvalidProtocolName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let valid = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid { Ok(Self(name.to_owned())) } else { Err(InvalidProtocolName) }
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no protocol name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProtocolName;

impl fmt::Display for InvalidProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a protocol name is 1 to 32 lower-case letters, digits or hyphens")
    }
}

impl std::error::Error for InvalidProtocolName {}

/// What a protocol can do. Rules ask these questions instead of comparing names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Messages can be read.
    pub incoming_email: bool,
    /// Messages can be sent.
    pub outgoing_email: bool,
    /// Appointments, contacts and tasks can be read and written.
    pub act: bool,
    /// A processed message can be deleted on the server.
    pub delete_after_processing: bool,
    /// Copies of what the mailbox's owner has sent lie in a folder that can be read.
    pub sent_items: bool,
    /// Folders can be made, and messages moved between them.
    pub folders: bool,
    /// Whether the server kept a sent message can be looked up later by its Message-ID.
    pub probe_sent: bool,
    /// It speaks HTTP: a server may be named by the URL of its endpoint, and is logged in at as HTTP servers are.
    pub over_http: bool,
    /// The server of a mailbox can be asked for by its address.
    pub discovery: bool,
    /// An application can sign in for itself and act for mailboxes.
    pub server_to_server: bool,
}
