//! Settings of the broker connection.

use std::time::Duration;

use lockstep_model::secret::SecretUrl;
use serde::Deserialize;

/// How RabbitMQ is reached, and the bounds of what is sent to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address, such as `amqp://user:password@host:5672/vhost`; `amqps://` for TLS. The virtual host `/` is written `%2f`.
    pub url: SecretUrl,
    /// Longest wait for a connection with its declarations, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Longest wait for the confirm of one message, in milliseconds.
    #[serde(default = "default_publish_timeout_ms")]
    pub publish_timeout_ms: u64,
    /// Seconds between heartbeats; a connection silent for twice as long is given up.
    #[serde(default = "default_heartbeat_s")]
    pub heartbeat_s: u16,
    /// Messages that may wait for their confirms at one time.
    #[serde(default = "default_max_unconfirmed")]
    pub max_unconfirmed: u16,
    /// Longest length of a queue; a full one refuses further messages. A queue cannot change it later: delete the
    /// queue while nothing is running, or keep the value.
    #[serde(default = "default_max_length")]
    pub max_length: u32,
}

fn default_connect_timeout_ms() -> u64 {
    10_000
}

fn default_publish_timeout_ms() -> u64 {
    10_000
}

fn default_heartbeat_s() -> u16 {
    20
}

fn default_max_unconfirmed() -> u16 {
    256
}

fn default_max_length() -> u32 {
    100_000
}

impl Config {
    /// The defaults with an address.
    pub fn new(url: SecretUrl) -> Self {
        Self {
            url,
            connect_timeout_ms: default_connect_timeout_ms(),
            publish_timeout_ms: default_publish_timeout_ms(),
            heartbeat_s: default_heartbeat_s(),
            max_unconfirmed: default_max_unconfirmed(),
            max_length: default_max_length(),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.clamp(100, 120_000))
    }

    pub(crate) fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms.clamp(100, 120_000))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_keys_are_refused_and_the_password_is_not_shown() {
        let config: Config = serde_json::from_str(r#"{"url":"amqp://user:hunter2@host/%2f"}"#).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.max_length, 100_000);
        assert!(serde_json::from_str::<Config>(r#"{"url":"amqp://host","ttl":3}"#).is_err());
    }
}
