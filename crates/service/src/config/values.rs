//! Types of settings: secrets that do not print, durations people can write, addresses to listen on.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// What is shown in the place of a secret.
const HIDDEN: &str = "[secret]";

/// Types read under this serde name keep what was found out of error messages.
pub(super) const SECRET_MARK: &str = "lockstep::secret";

/// Reads a text, telling our own deserializer that no error may quote it.
fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
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
    deserializer.deserialize_newtype_struct(SECRET_MARK, Text)
}

/// A secret text: wiped when dropped, shown as `[secret]` by `Debug`, `Display` and serialization.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text over as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Never log it, never put it into an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        secret_text(deserializer).map(Self::new)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A URL that may hold a password: `Debug`, `Display` and serialization hide it, and credentials in the query.
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
        let text = secret_text(deserializer)?;
        Self::parse(&text)
            .map_err(|e| de::Error::custom(format!("must be a URL such as scheme://user:password@host:port/path: {e}")))
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration as people write it: `250ms`, `30s`, `5m`, `12h`, `7d`, or a plain number of seconds. At most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// The longest duration that is taken.
    pub const MAX: Duration = Duration::from_secs(366 * 86_400);

    /// Takes a duration, cut at [`Self::MAX`].
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self(duration.min(Self::MAX))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Reads `250ms`, `30s`, `5m`, `12h`, `7d` or seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let milliseconds = match unit.trim_start() {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
        (duration <= Self::MAX).then_some(Self(duration))
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", milliseconds / size),
            None => write!(f, "{milliseconds}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a duration such as \"250ms\", \"30s\", \"5m\", \"12h\" or a number of seconds, at most 366 days",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                HumanDuration::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<HumanDuration, E> {
                let duration = Duration::from_secs(seconds);
                let fits = duration <= HumanDuration::MAX;
                fits.then_some(HumanDuration(duration))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(seconds), &self))
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<HumanDuration, E> {
                match u64::try_from(seconds) {
                    Ok(seconds) => self.visit_u64(seconds),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(seconds), &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address and port to listen on, such as `0.0.0.0:9090` or `[::]:9090`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            let wanted = "an IP address with a port such as \"0.0.0.0:9090\" or \"[::]:9090\"";
            de::Error::invalid_value(de::Unexpected::Str(&text), &wanted)
        })
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
