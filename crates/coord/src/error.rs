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
    /// Redis does not let the user in, or does not let it do what we need: wrong user or password, a missing right, or no
    /// database of that number.
    #[error("redis refuses: {0}")]
    Refused(String),
    /// An answer that no script of ours gives.
    #[error("unexpected answer from redis: {0}")]
    Answer(String),
}

impl Error {
    /// Whether the service is away, as opposed to something being wrong with the call. To be shut out is to be without it.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Refused(_))
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        let refuses = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
            // Told without a code of its own.
            || error.detail().is_some_and(|detail| detail.contains("DB index is out of range"));
        if refuses {
            return Self::Refused(error.to_string());
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused(error.to_string()),
            ErrorKind::InvalidClientConfig => Self::Config(error.category().to_owned()),
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Answer(error.to_string()),
            ErrorKind::Server(
                ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot | ServerErrorKind::NoScript,
            ) => Self::Answer(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
