//! Reading the settings, and what single values cannot tell: rules over several keys.

use std::path::PathBuf;

use lockstep_service::{
    Failure,
    config::{self, ConfigError, ConfigSource, Problem},
};
use lockstep_wire::Role;
use serde::de::DeserializeOwned;

use super::{Broker, Database};

/// Where settings are read from, as messages name it.
#[derive(Debug, Clone)]
pub struct Source {
    file: Option<PathBuf>,
}

impl Source {
    /// The file of `--config`; without one `LOCKSTEP_CONFIG`, and in any case the environment over it.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file: ConfigSource::from_process(file).file }
    }

    /// Reads settings.
    ///
    /// # Errors
    /// Exit code 78 with every problem that was found: the file and line, the key, and what was expected.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let loaded = config::load(&ConfigSource::from_process(self.file.clone()));
        loaded.map_err(|error| match &self.file {
            Some(file) => Failure::config(format!("{}: {error}", file.display())),
            None => error.into(),
        })
    }

    /// Collects what is wrong with settings that were read.
    pub fn findings(&self) -> Findings {
        Findings { place: self.place(), problems: Vec::new() }
    }

    /// The file, or the word `environment`.
    pub fn place(&self) -> String {
        self.file.as_ref().map_or_else(|| "environment".to_owned(), |file| file.display().to_string())
    }
}

/// What is wrong with settings that were read, key by key.
#[derive(Debug)]
pub struct Findings {
    place: String,
    problems: Vec<Problem>,
}

impl Findings {
    /// Notes a problem: the key, what is wrong and what is expected.
    pub fn report(&mut self, key: &str, text: impl Into<String>) {
        self.problems.push(Problem { place: self.place.clone(), key: key.to_owned(), text: text.into() });
    }

    /// Notes what a section's own check says.
    pub fn section(&mut self, section: &str, checked: Result<(), String>) {
        if let Err(text) = checked {
            self.report(section, format!("breaks a rule: {text}"));
        }
    }

    /// The rules of `[database]`.
    pub fn database(&mut self, database: &Database) {
        if !matches!(database.url.expose().scheme(), "postgres" | "postgresql") {
            self.report("database.url", "must begin with postgres://, such as postgres://user:password@host:5432/name");
        }
        if !(3..=1_000).contains(&database.max_connections) {
            self.report("database.max_connections", "must lie between 3 and 1000");
        }
        if !(100..=120_000).contains(&database.acquire_timeout_ms) {
            self.report("database.acquire_timeout_ms", "must lie between 100 and 120000");
        }
        if !(100..=600_000).contains(&database.statement_timeout_ms) {
            self.report("database.statement_timeout_ms", "must lie between 100 and 600000");
        }
    }

    /// The rules of `[broker]` for one role.
    pub fn broker(&mut self, broker: &Broker, role: Role) {
        let key = broker.key(role);
        match broker.url(role) {
            None => self.report(
                key,
                format!(
                    "is missing; set it or `{}` to an address such as amqp://user:password@host:5672/vhost",
                    Broker::own_key(role)
                ),
            ),
            Some(url) if !matches!(url.expose().scheme(), "amqp" | "amqps") => {
                self.report(key, "must begin with amqp:// or amqps://, such as amqp://user:password@host:5672/vhost");
            }
            Some(_) => {}
        }
        if broker.max_length == 0 {
            self.report("broker.max_length", "must be at least 1");
        }
    }

    /// The rule of `redis.url`.
    pub fn redis(&mut self, redis: &super::Redis) {
        if !matches!(redis.url.expose().scheme(), "redis" | "rediss") {
            self.report(
                "redis.url",
                "must begin with redis:// or rediss://, such as redis://user:password@host:6379/0",
            );
        }
    }

    /// The file of `[network]` can be used.
    pub fn network(&mut self, network: &super::Network) {
        if let Err(failure) = crate::startup::trust(network) {
            self.report("network.ca_file", failure.message);
        }
    }

    /// Nothing is wrong, or exit code 78 with everything that is.
    ///
    /// # Errors
    /// What was reported.
    pub fn conclude(self) -> Result<(), Failure> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.problems }.into()) }
    }
}
