//! How a process ends: exit codes after sysexits.h, and the one message that explains a failure.

use std::fmt;
use std::io::Write;
use std::process::{ExitCode, Termination};

use crate::config::ConfigError;

/// The exit codes of every Lockstep program. Supervisors can tell "fix the settings" from "try again later".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped because it was asked to, or done.
    Ok,
    /// 69 (`EX_UNAVAILABLE`): something the start needs cannot be had; starting again later can help.
    Unavailable,
    /// 70 (`EX_SOFTWARE`): an internal failure, a critical task that died or did not stop.
    Internal,
    /// 78 (`EX_CONFIG`): the settings are wrong; starting again without a change cannot help.
    Config,
}

impl Exit {
    /// The number the operating system sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

/// Why a program cannot start or go on: an exit code and a message for the operator. Must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code to end with.
    pub exit: Exit,
    /// What is wrong and what to do about it; may have several lines.
    pub message: String,
}

impl Failure {
    /// The settings are wrong (exit code 78).
    pub fn config(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Config, message: message.to_string() }
    }

    /// Something the start needs cannot be had (exit code 69).
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Unavailable, message: message.to_string() }
    }

    /// An internal failure (exit code 70).
    pub fn internal(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Internal, message: message.to_string() }
    }

    /// Writes the message to standard error, once, and gives the code to exit with. For the time before logs exist.
    pub fn report(&self) -> Exit {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(std::io::stderr().lock(), "lockstep: {}", self.message);
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::config(error)
    }
}

impl From<anyhow::Error> for Failure {
    /// A [`Failure`] anywhere in the chain keeps its exit code; everything else is internal. The message is the chain.
    fn from(error: anyhow::Error) -> Self {
        let exit = error.chain().find_map(|cause| cause.downcast_ref::<Self>()).map_or(Exit::Internal, |f| f.exit);
        Self { exit, message: format!("{error:#}") }
    }
}
