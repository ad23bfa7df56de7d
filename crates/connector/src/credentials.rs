//! An account as a connector needs it.

use secrecy::{ExposeSecret, SecretString};

/// User name and secret. The secret is a password, or a bearer token for SASL XOAUTH2; it never appears in `Debug`
/// and is wiped from memory when dropped.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Account name on the server.
    pub user: String,
    secret: SecretString,
}

impl Credentials {
    /// Credentials of `user`.
    pub fn new(user: impl Into<String>, secret: SecretString) -> Self {
        Self { user: user.into(), secret }
    }

    /// The secret, for the one line that sends it.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}
