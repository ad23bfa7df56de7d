//! How work starts and ends inside a process: two stages of stopping, and tasks whose death ends the process.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exit::Failure;

/// After the hard token is pulled, tasks have this long to end before they are abandoned.
const AFTER_HARD: Duration = Duration::from_secs(5);

/// The life of a process as its tasks see it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled: take no new work, finish or stop at the next safe place.
    pub soft: CancellationToken,
    /// Cancelled: the grace period is over, or a second signal came: let go at once. Never cancelled before `soft`.
    pub hard: CancellationToken,
    /// Tasks that the process waits for before it ends.
    pub tracker: TaskTracker,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// How the waiting for tasks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended within the grace period.
    InTime,
    /// Every task ended after the hard token was pulled.
    AfterHard,
    /// Tasks that did not end even then, and were abandoned.
    Abandoned(usize),
}

impl Lifecycle {
    /// A process that runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task the process cannot live without: if it fails, panics, or ends before `soft` is pulled, `soft` is
    /// pulled and the process ends with a failure.
    pub fn spawn_critical<F, E>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let (this, name) = (self.clone(), name.into());
        self.supervise(name.clone(), task, move || {
            if !this.soft.is_cancelled() {
                this.fail(Failure::internal(format!("the task {name} ended though nobody asked it to")));
            }
        });
    }

    /// Spawns the role itself: as critical as the others, but allowed to be done, which ends the process well.
    pub(crate) fn spawn_role<F, E>(&self, name: &str, role: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let soft = self.soft.clone();
        self.supervise(name.to_owned(), role, move || soft.cancel());
    }

    /// Keeps the first failure as the reason to end with, and pulls `soft`.
    pub fn fail(&self, failure: Failure) {
        tracing::error!(exit_code = failure.exit.code(), "{failure}");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.soft.cancel();
    }

    /// The first failure, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `soft` is pulled and all tracked tasks have ended; pulls `hard` when `grace` is over. Takes at most
    /// `grace` plus five seconds from `soft` on.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.soft.cancelled().await;
        self.tracker.close();
        tokio::select! {
            biased;
            () = self.tracker.wait() => return Drained::InTime,
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(grace) => {}
        }
        tracing::warn!(tasks = self.tracker.len(), "the grace period is over: work is cut off");
        self.hard.cancel();
        match timeout(AFTER_HARD, self.tracker.wait()).await {
            Ok(()) => Drained::AfterHard,
            Err(_) => Drained::Abandoned(self.tracker.len()),
        }
    }

    fn supervise<F, E>(&self, name: String, task: F, ended: impl FnOnce() + Send + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let this = self.clone();
        // Boxed: a role is a large future, and it is moved once more than it would like.
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => ended(),
                Ok(Err(error)) => {
                    let Failure { exit, message } = error.into();
                    this.fail(Failure { exit, message: format!("{name}: {message}") });
                }
                Err(panic) => {
                    let said = panic_text(panic.as_ref());
                    this.fail(Failure::internal(format!("the task {name} panicked: {said}")));
                }
            }
        });
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
