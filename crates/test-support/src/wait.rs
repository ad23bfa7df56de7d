//! Bounded waiting for a condition, instead of sleeping and hoping.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What a polled condition may answer: `bool`, `Option<T>` or `Result<T, E>`.
pub trait Condition {
    /// What the wait hands back once the condition holds.
    type Met;

    /// The value when the condition holds, else a description of the state.
    ///
    /// # Errors
    /// The state, in words, while the condition does not hold.
    fn check(self) -> Result<Self::Met, String>;
}

impl Condition for bool {
    type Met = ();

    fn check(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Condition for Option<T> {
    type Met = T;

    fn check(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Met = T;

    fn check(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:?}"))
    }
}

/// Polls `condition` until it holds, at most for `timeout`; a poll that hangs counts towards it.
///
/// # Panics
/// When time is up; the message holds `description` and the last state (return `Err(state)` to show yours).
pub async fn eventually<C, F>(timeout: Duration, mut condition: F, description: &str) -> C::Met
where
    C: Condition,
    F: AsyncFnMut() -> C,
{
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    let mut last = "never answered".to_owned();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, condition()).await.map(Condition::check) {
            Ok(Ok(value)) => return value,
            Ok(Err(state)) => last = state,
            Err(_) => panic!("not within {timeout:?}: {description}; last state: {last} (the last poll hung)"),
        }
        if Instant::now() + pause > deadline {
            panic!("not within {timeout:?}: {description}; last state: {last}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
