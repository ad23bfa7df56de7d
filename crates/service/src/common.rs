//! The settings every program has: `[telemetry]`, `[probes]`, `[shutdown]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::config::{HumanDuration, Listen, SecretUrl};

/// The three sections [`run`](crate::run) needs. A program's own settings name the three sections beside its own ones
/// (serde's `flatten` would switch off the refusal of unknown keys) and put them together here.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommonConfig {
    /// `[telemetry]`
    pub telemetry: TelemetryConfig,
    /// `[probes]`
    pub probes: ProbesConfig,
    /// `[shutdown]`
    pub shutdown: ShutdownConfig,
}

impl CommonConfig {
    /// Sets the address of the probes for a role, unless the operator chose one.
    #[must_use]
    pub fn with_probes_default(mut self, address: SocketAddr) -> Self {
        self.probes.listen.get_or_insert(Listen(address));
        self
    }
}

/// `[telemetry]`: logs to standard error, and traces.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as `info,lockstep_queue=debug`.
    pub log_level: LogFilter,
    /// One JSON object a line, or text for people.
    pub log_format: LogFormat,
    /// Where to send traces: the base URL of an OTLP receiver for protobuf over HTTP, `/v1/traces` is added if it has
    /// no path. Not set: no export; trace ids exist all the same.
    pub otlp_endpoint: Option<SecretUrl>,
    /// The name of this instance in traces (`service.instance.id`), for example the pod's name.
    pub service_instance: Option<String>,
}

/// `[probes]`: `/livez`, `/readyz`, `/metrics`, on a port of their own.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbesConfig {
    /// Address and port, such as `0.0.0.0:9090`. Every role has its own default.
    pub listen: Option<Listen>,
}

impl ProbesConfig {
    /// The address to bind: the chosen one, else a free port on loopback (which the log names).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen.map_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |listen| listen.0)
    }
}

/// `[shutdown]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// From the request to stop until work is cut off; less than what the supervisor allows before it kills.
    pub grace: HumanDuration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { grace: HumanDuration::new(Duration::from_secs(30)) }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of text.
    Text,
}

/// Log directives, checked when they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFilter(String);

impl LogFilter {
    /// Checks the directives.
    ///
    /// # Errors
    /// The directive that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A lone word that is no level would be taken as a module's name, and a typing error would silence the logs.
        let lone = |piece: &&str| !piece.contains(['=', '[']);
        for piece in text.split(',').map(str::trim).filter(lone) {
            if piece.is_empty() || piece.parse::<LevelFilter>().is_err() {
                return Err(format!("{piece:?} is not a level"));
            }
        }
        EnvFilter::builder().parse(text).map_err(|e| e.to_string())?;
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn to_env_filter(&self) -> EnvFilter {
        // A bare level is meant for Lockstep; what the HTTP stack says below `warn` is noise, and it would also log
        // about the sending of traces.
        let noise = ",hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,opentelemetry=warn,opentelemetry_sdk=warn";
        let bare_level = matches!(self.0.parse::<LevelFilter>(), Ok(level) if level > LevelFilter::WARN);
        let quiet = if bare_level { noise } else { "" };
        EnvFilter::builder().parse_lossy(format!("{}{quiet}", self.0))
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|e| {
            de::Error::custom(format!("must be a level (error, warn, info, debug, trace) or log directives: {e}"))
        })
    }
}
