//! Settings: one TOML file, environment variables over it, secrets from files. Unknown keys are refused.
//!
//! `LOCKSTEP__STORE__MAX_CONNECTIONS=5` sets `store.max_connections` over the file. A variable's text becomes what the
//! field's type asks for, so a password `0123` stays a text; lists are separated by commas (or written as a TOML array).
//! An empty variable counts as not set. For every key `x` of a section, `x_file` (or `LOCKSTEP__SECTION__X_FILE`) names a
//! file whose trimmed content is the value.

mod access;
mod de;
mod error;
mod tree;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ConfigError, Problem};
pub use lockstep_model::secret::SecretUrl;
pub use values::{HumanDuration, Listen, Secret};

/// The prefix of Lockstep's environment variables.
pub const ENV_PREFIX: &str = "LOCKSTEP";

/// Where settings come from. Holds a copy of the environment, so it must not be logged (it has no `Debug`).
pub struct ConfigSource {
    /// The TOML file; none: environment only.
    pub file: Option<PathBuf>,
    /// `LOCKSTEP`: variables named `LOCKSTEP__…` are read.
    pub env_prefix: String,
    /// The variables to look at, as `std::env::vars_os` gives them.
    pub env: Vec<(OsString, OsString)>,
}

impl ConfigSource {
    /// The process's environment, and the file named on the command line, else the one in `LOCKSTEP_CONFIG`.
    #[must_use]
    pub fn from_process(file_argument: Option<PathBuf>) -> Self {
        let named = || std::env::var_os(format!("{ENV_PREFIX}_CONFIG")).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            file: file_argument.or_else(named),
            env_prefix: ENV_PREFIX.to_owned(),
            env: std::env::vars_os().collect(),
        }
    }
}

/// Reads the settings.
///
/// # Errors
/// Everything that is wrong with them, as far as it can be told in one go; see [`ConfigError`].
pub fn load<T: DeserializeOwned>(source: &ConfigSource) -> Result<T, ConfigError> {
    let mut problems = Vec::new();
    match tree::read(source, &mut problems) {
        Some(tree) => de::load(tree, source, problems),
        None => Err(ConfigError { problems }),
    }
}

/// The settings in force as TOML, for `config print`: secrets show as `[secret]`.
///
/// # Errors
/// A value TOML cannot express (such as an integer above `i64::MAX`).
pub fn effective<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(config)
}
