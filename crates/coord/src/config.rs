//! Settings of the Redis connection.

use std::time::Duration;

use lockstep_model::secret::SecretUrl;
use serde::Deserialize;

/// How Redis is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address, such as `redis://user:password@host:6379/0`; `rediss://` for TLS.
    pub url: SecretUrl,
    /// Longest wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Longest wait for one answer, in milliseconds.
    #[serde(default = "default_response_timeout_ms")]
    pub response_timeout_ms: u64,
}

fn default_connect_timeout_ms() -> u64 {
    2_000
}

fn default_response_timeout_ms() -> u64 {
    1_000
}

impl Config {
    /// The defaults with an address.
    pub fn new(url: SecretUrl) -> Self {
        Self {
            url,
            connect_timeout_ms: default_connect_timeout_ms(),
            response_timeout_ms: default_response_timeout_ms(),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.clamp(10, 60_000))
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.response_timeout_ms.clamp(10, 60_000))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_keys_are_refused_and_the_password_is_not_shown() {
        let config: Config = serde_json::from_str(r#"{"url":"redis://:hunter2@host"}"#).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.connect_timeout_ms, 2_000);
        assert!(serde_json::from_str::<Config>(r#"{"url":"redis://host","timeout":3}"#).is_err());
    }
}
