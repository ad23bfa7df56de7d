//! The handle in which lease, request time-out and budget meet.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use tokio::{sync::watch, time::Instant};

/// The instant by which work must have stopped. Cloned handles share it: renewing a lease moves it for everybody,
/// cancelling ends everybody's waiting at once. Monotonic time only.
#[derive(Clone, Debug)]
pub struct Deadline {
    lease_end: Arc<Mutex<Instant>>,
    budget_end: Instant,
    cancelled: watch::Receiver<Option<Fault>>,
    cancel: watch::Sender<Option<Fault>>,
}

impl Deadline {
    /// A deadline whose lease part may move and whose budget part may not.
    pub fn new(lease_for: Duration, budget: Duration) -> Self {
        let (cancel, cancelled) = watch::channel(None);
        let now = Instant::now();
        Self { lease_end: Arc::new(Mutex::new(now + lease_for)), budget_end: now + budget, cancelled, cancel }
    }

    /// A deadline without a lease.
    pub fn within(budget: Duration) -> Self {
        Self::new(budget, budget)
    }

    /// Moves the lease part: it now ends at `end`.
    pub fn renew(&self, end: Instant) {
        *self.lease_end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// Ends everybody's waiting with this fault.
    pub fn cancel(&self, why: Fault) {
        self.cancel.send_replace(Some(why));
    }

    /// The earlier of the two ends.
    pub fn end(&self) -> Instant {
        (*self.lease_end.lock().unwrap_or_else(PoisonError::into_inner)).min(self.budget_end)
    }

    /// How long until the end; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.end().saturating_duration_since(Instant::now())
    }

    /// Whether less than `margin` is left of the budget, so that no further page should be begun.
    pub fn budget_is_spent(&self, margin: Duration) -> bool {
        self.budget_end.saturating_duration_since(Instant::now()) < margin
    }

    /// Checks that at least `margin` is left, just before a step that cannot be undone.
    ///
    /// # Errors
    /// The cancelling fault, or `DeadlineExceeded`.
    pub fn check(&self, margin: Duration) -> Result<(), Fault> {
        if let Some(fault) = self.cancelled.borrow().clone() {
            return Err(fault);
        }
        if self.remaining() <= margin { Err(exceeded()) } else { Ok(()) }
    }

    /// Runs `work` until it ends, `at_most` passes, the deadline ends or somebody cancels.
    ///
    /// # Errors
    /// `TimedOut` when the server took longer than `at_most`, `DeadlineExceeded` at the end of lease or budget, or
    /// the cancelling fault.
    pub async fn run<T>(&self, at_most: Duration, work: impl Future<Output = T>) -> Result<T, Fault> {
        let mut cancelled = self.cancelled.clone();
        let limit = Instant::now() + at_most;
        tokio::pin!(work);
        loop {
            let end = self.end();
            let wake = end.min(limit);
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                fault = until_cancelled(&mut cancelled) => return Err(fault),
                () = tokio::time::sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= limit {
                        return Err(timed_out(at_most));
                    }
                    if now >= self.end() {
                        return Err(exceeded());
                    }
                }
            }
        }
    }
}

async fn until_cancelled(cancelled: &mut watch::Receiver<Option<Fault>>) -> Fault {
    loop {
        if let Some(fault) = cancelled.borrow_and_update().clone() {
            return fault;
        }
        if cancelled.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn exceeded() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "DeadlineExceeded", "the time given to this run is over")
        .local()
}

fn timed_out(at_most: Duration) -> Fault {
    let message = format!("the server did not answer within {} s", at_most.as_secs_f32());
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "TimedOut", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whichever_ends_first() {
        let deadline = Deadline::new(Duration::from_secs(60), Duration::from_secs(240));
        let slow = || tokio::time::sleep(Duration::from_secs(100));
        assert_eq!(deadline.run(Duration::from_secs(30), slow()).await.map_err(|f| f.code), Err("TimedOut".into()));
        assert_eq!(
            deadline.run(Duration::from_secs(90), slow()).await.map_err(|f| f.code),
            Err("DeadlineExceeded".into()),
            "the lease ends before the server's time is up"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn renewal_moves_the_end_of_work_already_waiting() {
        let deadline = Deadline::new(Duration::from_secs(60), Duration::from_secs(240));
        let handle = deadline.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            handle.renew(Instant::now() + Duration::from_secs(60));
        });
        let done = deadline.run(Duration::from_secs(100), tokio::time::sleep(Duration::from_secs(70))).await;
        assert!(done.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_waiting_at_once() {
        let deadline = Deadline::within(Duration::from_secs(60));
        let handle = deadline.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            handle.cancel(Fault::new(FaultScope::Mailbox, FaultClass::Transient, "LeaseLost", "gone"));
        });
        let begun = Instant::now();
        let ended = deadline.run(Duration::from_secs(50), std::future::pending::<()>()).await;
        assert_eq!(ended.map_err(|f| f.code), Err("LeaseLost".into()));
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert!(deadline.check(Duration::ZERO).is_err(), "and nothing irrevocable is begun afterwards");
    }
}
