//! Whether there is still something to do.

/// State of a task or an appointment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// There is something to do.
    #[default]
    Open,
    /// It is done.
    Completed,
    /// It was called off.
    Canceled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Completed, Self::Canceled];

    /// The stored word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }

    /// The state of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}
