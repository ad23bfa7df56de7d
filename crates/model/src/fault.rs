//! Faults: what went wrong, how far it reaches and whether waiting helps. Made once, at the border where it happens.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{mailbox::words, text};

words! {
    /// What a fault stops.
    FaultScope {
        /// One message or record; its neighbours go on.
        Item = "item",
        /// One mailbox.
        Mailbox = "mailbox",
        /// The server of a profile, and so every mailbox on it.
        Profile = "profile",
    }
}

words! {
    /// What kind of fault it is; rules look at this and at nothing else.
    FaultClass {
        /// May heal by itself.
        Transient = "transient",
        /// The server asks for less.
        Throttled = "throttled",
        /// No connection, no TLS, no greeting.
        Unreachable = "unreachable",
        /// Credentials are refused.
        Auth = "auth",
        /// The server will not do this, now or later.
        Refused = "refused",
        /// What was asked for no longer exists.
        Gone = "gone",
        /// The answer was lost: it may or may not have happened.
        Unclear = "unclear",
        /// Our own mistake, or a protocol violation nobody foresaw.
        Bug = "bug",
    }
}

/// Longest text of a fault, in bytes: enough for a server's own words.
pub const MAX_FAULT_TEXT: usize = 500;

/// A fault with a stable code for machines and documentation, and words for people. Holds no secret: whoever makes
/// one puts in what the *server* said, never what was sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it stops.
    pub scope: FaultScope,
    /// What kind it is.
    pub class: FaultClass,
    /// Stable name, `UpperCamelCase`, listed in the documentation.
    pub code: String,
    /// What happened, in words; the server's own where there are any.
    pub message: String,
    /// How long the server asked us to wait, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// It came up on our own side, so it says nothing of the server: neither that it fails nor that it answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

impl Fault {
    /// A fault; the message is sanitised and bounded.
    pub fn new(scope: FaultScope, class: FaultClass, code: &str, message: impl AsRef<str>) -> Self {
        Self {
            scope,
            class,
            code: code.to_owned(),
            message: text::line(message.as_ref(), MAX_FAULT_TEXT),
            retry_after: None,
            local: false,
        }
    }

    /// The same fault with the server's wish to be left alone for a while.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same fault, come up on our own side.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Whether trying again later, with nothing changed, can succeed.
    pub fn may_heal(&self) -> bool {
        matches!(
            self.class,
            FaultClass::Transient | FaultClass::Throttled | FaultClass::Unreachable | FaultClass::Unclear
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {}): {}", self.code, self.class, self.scope, self.message)
    }
}

impl std::error::Error for Fault {}
