//! The sections that say where services are and how they are used.

use std::{fmt, path::PathBuf, time::Duration};

use lockstep_model::clock::TimeScale;
use lockstep_service::config::{HumanDuration, Secret, SecretUrl};
use lockstep_store::{Vault, vault::SealError};
use lockstep_wire::Role;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `[startup]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Startup {
    /// How long a start tries to reach each service it needs before it gives up. Later losses are survived.
    pub patience: HumanDuration,
}

impl Default for Startup {
    fn default() -> Self {
        Self { patience: HumanDuration::new(Duration::from_secs(30)) }
    }
}

/// `[database]`: PostgreSQL. Every role opens a pool of its own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Address, such as `postgres://user:password@host:5432/lockstep?sslmode=verify-full`.
    pub url: SecretUrl,
    /// Most connections of one role's pool, at least 3; one more is kept for heartbeats.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// Longest wait for a free connection, in milliseconds.
    #[serde(default = "default_acquire_timeout_ms")]
    pub acquire_timeout_ms: u64,
    /// Longest statement, in milliseconds.
    #[serde(default = "default_statement_timeout_ms")]
    pub statement_timeout_ms: u64,
}

fn default_max_connections() -> u32 {
    10
}

fn default_acquire_timeout_ms() -> u64 {
    5_000
}

fn default_statement_timeout_ms() -> u64 {
    30_000
}

/// `[broker]`: RabbitMQ. Every role has connections of its own, and should have a user of its own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Address for every role without one of its own, such as `amqp://user:password@host:5672/vhost`; `amqps://` for
    /// TLS. The virtual host `/` is written `%2f`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUrl>,
    /// Address with the scheduler's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_url: Option<SecretUrl>,
    /// Address with the mailbox worker's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_worker_url: Option<SecretUrl>,
    /// Address with the outgoing worker's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing_worker_url: Option<SecretUrl>,
    /// Address with the async worker's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub async_worker_url: Option<SecretUrl>,
    /// Longest wait for a connection with its declarations, in milliseconds.
    #[serde(default = "default_broker_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Longest wait for the confirm of one message, in milliseconds.
    #[serde(default = "default_broker_timeout_ms")]
    pub publish_timeout_ms: u64,
    /// Seconds between heartbeats.
    #[serde(default = "default_heartbeat_s")]
    pub heartbeat_s: u16,
    /// Messages that may wait for their confirms at one time.
    #[serde(default = "default_max_unconfirmed")]
    pub max_unconfirmed: u16,
    /// Longest length of a queue. Must be the same for all roles and cannot change while the queue exists.
    #[serde(default = "default_max_length")]
    pub max_length: u32,
}

fn default_broker_timeout_ms() -> u64 {
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

impl Broker {
    /// A role's own address.
    pub fn own_url(&self, role: Role) -> Option<&SecretUrl> {
        match role {
            Role::Scheduler => self.scheduler_url.as_ref(),
            Role::MailboxWorker => self.mailbox_worker_url.as_ref(),
            Role::OutgoingWorker => self.outgoing_worker_url.as_ref(),
            Role::AsyncWorker => self.async_worker_url.as_ref(),
        }
    }

    /// The address a role uses: its own, else the common one.
    pub fn url(&self, role: Role) -> Option<&SecretUrl> {
        self.own_url(role).or(self.url.as_ref())
    }

    /// The key a role's own address is set by.
    pub fn own_key(role: Role) -> &'static str {
        match role {
            Role::Scheduler => "broker.scheduler_url",
            Role::MailboxWorker => "broker.mailbox_worker_url",
            Role::OutgoingWorker => "broker.outgoing_worker_url",
            Role::AsyncWorker => "broker.async_worker_url",
        }
    }

    /// The key that holds the address a role uses.
    pub fn key(&self, role: Role) -> &'static str {
        if self.own_url(role).is_some() { Self::own_key(role) } else { "broker.url" }
    }

    /// As the queue takes it, for one role; `None` without an address.
    pub fn queue(&self, role: Role) -> Option<lockstep_queue::Config> {
        let mut config = lockstep_queue::Config::new(self.url(role)?.clone());
        config.connect_timeout_ms = self.connect_timeout_ms;
        config.publish_timeout_ms = self.publish_timeout_ms;
        config.heartbeat_s = self.heartbeat_s;
        config.max_unconfirmed = self.max_unconfirmed;
        config.max_length = self.max_length;
        Some(config)
    }
}

/// `[redis]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Address, such as `redis://user:password@host:6379/0`; `rediss://` for TLS.
    pub url: SecretUrl,
    /// Longest wait for a connection, in milliseconds.
    #[serde(default = "default_redis_connect_ms")]
    pub connect_timeout_ms: u64,
    /// Longest wait for one answer, in milliseconds.
    #[serde(default = "default_redis_response_ms")]
    pub response_timeout_ms: u64,
}

fn default_redis_connect_ms() -> u64 {
    2_000
}

fn default_redis_response_ms() -> u64 {
    1_000
}

impl Redis {
    /// As coordination takes it.
    pub fn coord(&self) -> lockstep_coord::Config {
        let mut config = lockstep_coord::Config::new(self.url.clone());
        config.connect_timeout_ms = self.connect_timeout_ms;
        config.response_timeout_ms = self.response_timeout_ms;
        config
    }
}

/// `[secrets]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Keys that seal stored passwords, each `id:64 hexadecimal digits`; the first one seals, all of them open. With
    /// `keys_file`, a file of such keys separated by commas or line ends.
    pub keys: SecretKeys,
}

/// Longest id of a key that is repeated in a message: what is longer may be a key.
const LONGEST_SHOWN_ID: usize = 20;

/// Sealing keys, checked when they are read. Never shown.
#[derive(Clone)]
pub struct SecretKeys {
    vault: Vault,
}

impl SecretKeys {
    /// The vault of these keys.
    pub fn vault(&self) -> Vault {
        self.vault.clone()
    }
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SecretKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(["[secret]"])
    }
}

impl<'de> Deserialize<'de> for SecretKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "must be a list of keys, each written as id:key with a key of 64 hexadecimal digits";
        let written = Vec::<Secret>::deserialize(deserializer)?;
        let mut keys = Vec::new();
        for text in written.iter().flat_map(|secret| secret.expose().split_whitespace()) {
            let (id, key) = text.split_once(':').ok_or_else(|| de::Error::custom(WANTED))?;
            keys.push((id.to_owned(), hex::decode(key).map_err(|_| de::Error::custom(WANTED))?));
        }
        // The vault's own words name a key's id only; a mistyped key might stand there, so what is long is not repeated.
        Vault::new(keys).map(|vault| Self { vault }).map_err(|error| match error {
            SealError::SameId(id) if id.len() <= LONGEST_SHOWN_ID => {
                de::Error::custom(format!("has two keys with the id {id:?}; give each key an id of its own"))
            }
            SealError::SameId(_) => de::Error::custom("has two keys with one id; give each key an id of its own"),
            _ => de::Error::custom(WANTED),
        })
    }
}

/// `[network]`: how mail servers are reached.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// PEM file of certificate authorities trusted besides the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The host name SMTP servers are greeted with; should resolve to this installation's address.
    pub ehlo_name: EhloName,
    /// Whether mail servers must have public addresses: private ones and this machine are refused then. Link-local ones
    /// are refused in any case.
    pub public_mail_servers_only: bool,
    /// Whether webhooks may go to private addresses and to this machine. Link-local ones are refused in any case.
    pub private_webhooks: bool,
}

/// A host name, or an address in brackets, as SMTP's EHLO takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EhloName(String);

impl EhloName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EhloName {
    fn default() -> Self {
        Self("localhost".to_owned())
    }
}

impl<'de> Deserialize<'de> for EhloName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fits = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'[' | b']' | b':'));
        if fits { Ok(Self(text)) } else { Err(de::Error::custom("must be a host name such as mail.example.com")) }
    }
}

/// `[time]`
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Multiplies intervals and back-off: 1 in production; 0.01 makes five minutes three seconds, for demonstrations.
    pub scale: Scale,
}

/// A number above 0, at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scale(f64);

impl Default for Scale {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Scale {
    /// As the engine takes it.
    pub fn get(self) -> TimeScale {
        TimeScale::new(self.0).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let factor = f64::deserialize(deserializer)?;
        match TimeScale::new(factor) {
            Some(_) => Ok(Self(factor)),
            None => Err(de::Error::custom("must be above 0 and at most 1")),
        }
    }
}
