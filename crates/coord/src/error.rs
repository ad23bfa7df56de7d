//! What can go wrong.

/// A call that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work, whatever Redis does. Never quotes the address.
    #[error("redis settings: {0}")]
    Config(String),
    /// Redis cannot be reached, does not answer in time, or is not able to serve (loading, read-only, out of memory).
    #[error("redis is unavailable: {0}")]
    Unavailable(String),
    /// An answer that no script of ours gives.
    #[error("unexpected answer from redis: {0}")]
    Answer(String),
}

impl Error {
    /// Whether the service is away, as opposed to something being wrong with the call.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        match error.kind() {
            ErrorKind::InvalidClientConfig => Self::Config(error.category().to_owned()),
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Answer(error.to_string()),
            ErrorKind::Server(
                ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot | ServerErrorKind::NoScript,
            ) => Self::Answer(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
