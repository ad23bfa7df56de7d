//! The sign that a runtime still runs its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a task of the observed runtime last ran. Clones share it.
#[derive(Debug, Clone)]
pub struct Pulse {
    start: Instant,
    /// Milliseconds from `start` to the last beat.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    /// Beats once a second for as long as it is polled; spawn it on the runtime to observe.
    pub async fn beat(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.last.store(self.now(), Ordering::Relaxed);
        }
    }

    /// How long the last beat is ago.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    /// A runtime that last ticked a minute ago.
    #[cfg(test)]
    pub(super) fn stalled() -> Option<Self> {
        let start = Instant::now().checked_sub(Duration::from_secs(60))?;
        Some(Self { start, last: Arc::default() })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
