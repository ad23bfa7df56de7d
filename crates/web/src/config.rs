//! Settings of the web role.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

/// Where to listen, and what to allow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Address and port. Plain HTTP: put a proxy that speaks TLS before it.
    pub listen: SocketAddr,
    /// Email server profiles may use connections without TLS.
    pub allow_plain_connections: bool,
    /// Networks of proxies that speak TLS with clients and say so in `X-Forwarded-Proto`. This machine is always trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Passwords are taken also from requests that came over plain HTTP.
    pub allow_credentials_over_plain_http: bool,
    /// Bounds of one request, and of all together.
    pub limits: RequestLimits,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allow_plain_connections: false,
            trusted_proxies: Vec::new(),
            allow_credentials_over_plain_http: false,
            limits: RequestLimits::default(),
        }
    }
}

/// Bounds of one request, and of all together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimits {
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Largest request body of an email with its attachments inside, in bytes; larger ones are uploaded apart.
    pub max_email_body_bytes: usize,
    /// Longest time for one request, in seconds.
    pub timeout_seconds: u64,
    /// Longest time for the upload of one attachment, in seconds.
    pub upload_timeout_seconds: u64,
    /// Requests at one time; more are answered 503.
    pub max_concurrent: usize,
    /// Connections at one time; more wait to be accepted.
    pub max_connections: usize,
    /// Longest time for the head of a request, and longest silence between two requests of a connection, in seconds.
    pub head_timeout_seconds: u64,
}

impl RequestLimits {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    pub(crate) fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.head_timeout_seconds.max(1))
    }

    pub(crate) fn upload_timeout(&self) -> Duration {
        Duration::from_secs(self.upload_timeout_seconds)
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 * 1024 * 1024,
            max_email_body_bytes: 16 * 1024 * 1024,
            timeout_seconds: 30,
            upload_timeout_seconds: 600,
            max_concurrent: 256,
            max_connections: 1024,
            head_timeout_seconds: 30,
        }
    }
}
