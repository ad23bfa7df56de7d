//! The programs of a deployment.

/// A program that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Hands out due work, folds reports, numbers the feed.
    Scheduler,
    /// Synchronises mailboxes.
    MailboxWorker,
    /// Sends email.
    OutgoingWorker,
    /// Runs asynchronous operations.
    AsyncWorker,
    /// Serves the REST API.
    Web,
    /// Every role in one process.
    All,
}

impl Role {
    /// The roles of a deployment in which each is a process of its own.
    pub const SEPARATE: [Self; 5] =
        [Self::Scheduler, Self::MailboxWorker, Self::OutgoingWorker, Self::AsyncWorker, Self::Web];

    /// The program's file name; `lockstep all` is a command of `lockstep`.
    pub fn program(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::MailboxWorker => "mailbox-worker",
            Self::OutgoingWorker => "outgoing-worker",
            Self::AsyncWorker => "async-worker",
            Self::Web => "web",
            Self::All => "lockstep",
        }
    }

    /// The role as logs and figures name it.
    pub fn name(self) -> &'static str {
        if self == Self::All { "all" } else { self.program() }
    }
}
