//! Secrets that settings hold: what must not be shown, and addresses with a password in them.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};
use url::Url;

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "[secret]";

/// The name secrets are read under (as a newtype): a reader of settings that knows it quotes none of them in its errors.
pub const MARK: &str = "lockstep::secret";

/// Reads a text under [`MARK`].
///
/// # Errors
/// There is no text.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text (in TOML: in quotes)")
        }
        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
            deserializer.deserialize_string(self)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
        fn visit_string<E: de::Error>(self, text: String) -> Result<String, E> {
            Ok(text)
        }
    }
    deserializer.deserialize_newtype_struct(MARK, Text)
}

/// An address that may hold a password: `Debug`, `Display` and serialization hide it, and credentials in the query.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What the parser says; it does not quote the text.
    pub fn parse(text: &str) -> Result<Self, url::ParseError> {
        Url::parse(text).map(Self)
    }

    /// The URL with its password. Never log it, never put it into an error.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl FromStr for SecretUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        if !url.has_authority() {
            return write!(f, "{}:{HIDDEN}", url.scheme());
        }
        write!(f, "{}://", url.scheme())?;
        match (url.username(), url.password()) {
            ("", None) => {}
            // A lone user name in a web address is a token more often than a name.
            (_, None) if matches!(url.scheme(), "http" | "https") => write!(f, "{HIDDEN}@")?,
            (user, None) => write!(f, "{user}@")?,
            (user, Some(_)) => write!(f, "{user}:{HIDDEN}@")?,
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())?;
        for (i, (name, value)) in url.query_pairs().enumerate() {
            let shown =
                if matches!(name.as_ref(), "sslmode" | "heartbeat" | "application_name") { &value } else { HIDDEN };
            write!(f, "{}{name}={shown}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = text(deserializer)?;
        Self::parse(&address)
            .map_err(|e| de::Error::custom(format!("must be a URL such as scheme://user:password@host:port/path: {e}")))
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (address, shown) in [
            (
                "postgres://ann:hunter2@db:5432/x?sslmode=require&password=hunter2",
                "postgres://ann:[secret]@db:5432/x?sslmode=require&password=[secret]",
            ),
            ("redis://:hunter2@host/0", "redis://:[secret]@host/0"),
            ("amqp://user:hunter2@host/%2f", "amqp://user:[secret]@host/%2f"),
            ("https://hunter2@host/", "https://[secret]@host/"),
            ("mailto:hunter2", "mailto:[secret]"),
        ] {
            let url: SecretUrl = address.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.expose().as_str(), address);
        }
    }
}
