//! What can go wrong with the database, by what a caller can do about it.

use std::fmt;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, or has gone away in mid-transaction. Nothing was committed.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Serialisation failure, deadlock, or a wait that took too long: the transaction may be repeated as it is (40001,
    /// 40P01, 55P03, 57014).
    #[error("the transaction collided with another one: {0}")]
    Collided(#[source] sqlx::Error),
    /// A unique rule of the database was broken.
    #[error("{0}")]
    Conflict(Conflict),
    /// A row refers to one that does not exist, or may not be removed because others refer to it.
    #[error("broken reference: {constraint}")]
    Reference {
        /// Name of the foreign key.
        constraint: String,
    },
    /// A value breaks a rule of the database.
    #[error("rule broken: {constraint}")]
    Rule {
        /// Name of the rule.
        constraint: String,
    },
    /// The record was written by somebody else since the caller read it.
    #[error("the record has changed: it is at version {current} now")]
    Stale {
        /// Its version now.
        current: i64,
    },
    /// A row holds what this code cannot read: newer data, or a hand-made change.
    #[error("{table}.{column} of {row}: {problem}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A sealed secret cannot be opened.
    #[error("{0}")]
    Sealed(#[from] crate::vault::SealError),
    /// Anything else; a mistake of ours.
    #[error("database: {0}")]
    Other(#[source] sqlx::Error),
}

/// Which unique rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Name of the unique constraint or index.
    pub constraint: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "already taken: {}", self.constraint)
    }
}

/// Result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                _ => Self::Other(error),
            };
        };
        let constraint = database.constraint().unwrap_or("unnamed").to_owned();
        let code = database.code().unwrap_or_default().into_owned();
        match (database.kind(), code.as_str()) {
            (ErrorKind::UniqueViolation, _) => Self::Conflict(Conflict { constraint }),
            (ErrorKind::ForeignKeyViolation, _) => Self::Reference { constraint },
            (ErrorKind::CheckViolation | ErrorKind::NotNullViolation, _) => Self::Rule { constraint },
            // Waiting for a lock or a statement took too long: somebody else's work, not what was to be written.
            (_, "40001" | "40P01" | "55P03" | "57014") => Self::Collided(error),
            // Class 57: operator intervention (shutdown, crash of a backend); 08: connection exceptions; 53: resources;
            // 25006: read-only after a fail-over.
            (_, code)
                if code.starts_with("57P") || code.starts_with("08") || code.starts_with("53") || code == "25006" =>
            {
                Self::Unavailable(error)
            }
            _ => Self::Other(error),
        }
    }
}

impl Error {
    /// A row whose word is outside its closed set.
    pub(crate) fn unreadable(
        table: &'static str,
        column: &'static str,
        row: impl fmt::Display,
        problem: impl fmt::Display,
    ) -> Self {
        Self::Unreadable { table, column, row: row.to_string(), problem: problem.to_string() }
    }

    /// [`Error::Stale`] when the caller expects another version than the one found.
    pub(crate) fn if_stale(expected: Option<i64>, found: Option<i64>) -> Result<()> {
        match (expected, found) {
            (Some(expected), Some(current)) if expected != current => Err(Self::Stale { current }),
            _ => Ok(()),
        }
    }

    /// Whether what was to be written is the trouble: repeating it as it is will fail again, and writing other rows
    /// will not.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Reference { .. } | Self::Rule { .. } | Self::Unreadable { .. } => true,
            // Class 22: data exceptions; 23: broken rules; 54: too large for a row or an index.
            Self::Other(error) => error
                .as_database_error()
                .and_then(|error| error.code().map(|code| code.into_owned()))
                .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
            _ => false,
        }
    }

    /// Whether the database undid the transaction for the sake of another one (40001, 40P01): repeated at once, it may
    /// succeed. A wait that took too long is something else, because the next one may take as long.
    pub fn is_deadlock(&self) -> bool {
        let Self::Collided(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| matches!(&*code, "40001" | "40P01"))
    }

    /// Whether waiting for the database may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Reads a word of a closed set.
pub(crate) fn word<T: std::str::FromStr<Err = lockstep_model::mailbox::UnknownWord>>(
    table: &'static str,
    column: &'static str,
    row: impl fmt::Display,
    word: &str,
) -> Result<T> {
    word.parse().map_err(|problem| Error::unreadable(table, column, row, problem))
}

/// Rows as one JSON parameter: one statement for a whole page.
pub(crate) fn json<T: serde::Serialize>(table: &'static str, rows: &[T]) -> Result<serde_json::Value> {
    serde_json::to_value(rows).map_err(|problem| Error::unreadable(table, "*", "rows to write", problem))
}
