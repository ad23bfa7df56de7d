//! Waits that double up to a limit, with jitter.

use std::time::Duration;

use rand::Rng;

/// Waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next wait: between half of what is due and all of it, so that replicas do not come back together.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.longest);
        due.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));
        for due in [1, 2, 4, 4, 4] {
            let wait = backoff.next();
            assert!(wait >= Duration::from_secs(due) / 2 && wait <= Duration::from_secs(due), "{wait:?} for {due} s");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
