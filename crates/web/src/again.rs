//! Transactions that collided: done again, a few times. Every writer keeps to one order of locks, so that two of them
//! hardly ever deadlock; what is left over is the database's to notice and ours to repeat.

use std::time::Duration;

use crate::problem::Problem;

/// Most times one request's transaction is tried.
const ATTEMPTS: u32 = 4;

/// Pause after the first collision; it grows by as much with each further one, and half to one and a half of it is
/// waited.
const PAUSE: Duration = Duration::from_millis(20);

/// Does `work`, which is one transaction from its beginning to its commit, and does it again when the database has
/// undone it for the sake of another one.
///
/// # Errors
/// What `work` ends with, a last collision included.
pub(crate) async fn again<T, F>(mut work: impl FnMut() -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    for attempt in 1..ATTEMPTS {
        match work().await {
            Err(problem) if problem.is_collision() => tracing::debug!(attempt, "a transaction collided"),
            done => return done,
        }
        tokio::time::sleep(PAUSE.mul_f64(f64::from(attempt) * (0.5 + rand::random::<f64>()))).await;
    }
    work().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_collisions_are_repeated_and_not_for_ever() {
        let done = Cell::new(0);
        let work = |collisions: u32, problem: fn() -> Problem| {
            done.set(0);
            let done = &done;
            again(move || async move {
                done.set(done.get() + 1);
                if done.get() <= collisions { Err(problem()) } else { Ok(done.get()) }
            })
        };
        let collision = || Problem::unavailable("collided").collision();
        assert_eq!(work(0, collision).await.ok(), Some(1));
        assert_eq!(work(3, collision).await.ok(), Some(4));
        assert!(work(9, collision).await.is_err_and(|problem| problem.is_collision()));
        assert_eq!(done.get(), ATTEMPTS);
        assert!(work(1, || Problem::unavailable("away")).await.is_err());
        assert_eq!(done.get(), 1, "the caller is told at once");
    }
}
