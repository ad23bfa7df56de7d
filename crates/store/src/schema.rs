//! Which schema a database has, and whether this code may run on it. Schemas expand first and contract later: newer ones
//! serve older code until one says that they do not.

use std::fmt;

use crate::{Error, Result, Tx};

/// The schema this code was built for: the number of its newest migration. A migration sets `schema_state.version` to
/// its own number.
pub const SCHEMA_VERSION: i32 = 27;

/// The version of this code, as `schema_state.oldest_code` counts. Raised with [`SCHEMA_VERSION`], and also when the code
/// stops using what a later migration is to take away: that migration sets `oldest_code` to this version.
pub const CODE_VERSION: i32 = 27;

/// What a database says of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// Number of the newest migration that was applied.
    pub version: i32,
    /// The oldest code that may run on it.
    pub oldest_code: i32,
}

/// Why this code must not run on a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no schema of ours.
    Missing,
    /// Migrations this code needs were not applied yet.
    Older {
        /// The schema it has.
        version: i32,
    },
    /// It was migrated by newer code, and this code is older than that schema allows.
    CodeTooOld(SchemaState),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the database has no schema of Lockstep; run `lockstep migrate`"),
            Self::Older { version } => write!(
                f,
                "the database has schema {version}, this program needs {SCHEMA_VERSION}; run `lockstep migrate`"
            ),
            Self::CodeTooOld(SchemaState { version, oldest_code }) => write!(
                f,
                "this program (code {CODE_VERSION}) is too old for the database, whose schema {version} takes code \
                 {oldest_code} and newer; upgrade this program"
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// What the database says of its schema; `None` when it has none.
///
/// # Errors
/// [`Error::Unavailable`]; [`Error::Other`] when the table cannot be read, or means something else in this database.
pub async fn state(tx: &mut Tx) -> Result<Option<SchemaState>> {
    let read = sqlx::query_as!(SchemaState, "/* schema::state */ SELECT version, oldest_code FROM schema_state")
        .fetch_optional(tx.connection())
        .await;
    match read {
        // 42P01: no such table.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(None),
        read => read.map_err(Error::from),
    }
}

/// The schema, when this code may run on it.
///
/// # Errors
/// Why it must not.
pub fn fits(state: Option<SchemaState>) -> Result<SchemaState, Unfit> {
    match state {
        None => Err(Unfit::Missing),
        Some(SchemaState { version, .. }) if version < SCHEMA_VERSION => Err(Unfit::Older { version }),
        Some(state) if state.oldest_code > CODE_VERSION => Err(Unfit::CodeTooOld(state)),
        Some(state) => Ok(state),
    }
}
