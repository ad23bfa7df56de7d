//! A consumer's pause while its outcomes cannot be recorded.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntGauge;
use tokio::{sync::watch, time::Instant};

use crate::backoff::Backoff;

/// One pause at a time, for all handlers of a consumer; each next one is longer, until a delivery succeeds.
#[derive(Debug)]
pub(crate) struct Pause {
    until: watch::Sender<Option<Instant>>,
    backoff: Mutex<Backoff>,
    gauge: IntGauge,
}

impl Pause {
    pub(crate) fn new((first, longest): (Duration, Duration), gauge: IntGauge) -> Self {
        Self { until: watch::Sender::new(None), backoff: Mutex::new(Backoff::new(first, longest)), gauge }
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a pause, unless one is on: handlers that fail together pause once.
    pub(crate) fn begin(&self) {
        let now = Instant::now();
        self.until.send_if_modified(|until| {
            let idle = until.is_none_or(|until| until <= now);
            if idle {
                *until = Some(now + self.backoff().next());
                self.gauge.set(1);
            }
            idle
        });
    }

    /// The next pause is a short one again.
    pub(crate) fn reset(&self) {
        self.backoff().reset();
    }

    /// Waits until no pause is on.
    pub(crate) async fn over(&self) {
        loop {
            let until = *self.until.borrow();
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                Some(_) => self.gauge.set(0),
                None => {}
            }
            if self.until.borrow().is_none_or(|until| until <= Instant::now()) {
                return;
            }
        }
    }

    /// Waits until a pause begins.
    pub(crate) async fn begins(&self) {
        let mut changes = self.until.subscribe();
        // The sender lives in `self`, so this ends only by a pause.
        let _ = changes.wait_for(|until| until.is_some_and(|until| until > Instant::now())).await;
    }
}
