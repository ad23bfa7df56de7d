//! The one list of queues: who reads each, who may write to it.

/// A role a process plays. Roles are isolated from each other by queue, exchange and broker user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Hands out due work and folds reports.
    Scheduler,
    /// Synchronises mailboxes.
    MailboxWorker,
    /// Sends email.
    OutgoingWorker,
    /// Runs asynchronous operations.
    AsyncWorker,
}

impl Role {
    /// Every role that speaks to the broker.
    pub const ALL: &[Self] = &[Self::Scheduler, Self::MailboxWorker, Self::OutgoingWorker, Self::AsyncWorker];

    /// The role's name: that of its process and of its broker user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::MailboxWorker => "mailbox-worker",
            Self::OutgoingWorker => "outgoing-worker",
            Self::AsyncWorker => "async-worker",
        }
    }

    /// The queue this role reads; each role reads exactly one.
    pub fn reads(self) -> Queue {
        match self {
            Self::Scheduler => Queue::SchedulerReport,
            Self::MailboxWorker => Queue::MailboxSync,
            Self::OutgoingWorker => Queue::OutgoingSend,
            Self::AsyncWorker => Queue::OperationRun,
        }
    }

    /// The queues this role may publish to.
    pub fn writes(self) -> &'static [Queue] {
        match self {
            Self::Scheduler => &[Queue::MailboxSync, Queue::OutgoingSend, Queue::OperationRun],
            Self::MailboxWorker | Self::OutgoingWorker | Self::AsyncWorker => &[Queue::SchedulerReport],
        }
    }
}

/// A queue. Each has an exchange of its own and a dead-letter twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Lanes that may be synchronised now.
    MailboxSync,
    /// Emails that may be sent now.
    OutgoingSend,
    /// Operations that may run now.
    OperationRun,
    /// What runs tell the scheduler.
    SchedulerReport,
}

impl Queue {
    /// Every queue.
    pub const ALL: &[Self] = &[Self::MailboxSync, Self::OutgoingSend, Self::OperationRun, Self::SchedulerReport];

    /// Name of the queue.
    pub fn name(self) -> &'static str {
        match self {
            Self::MailboxSync => "mailbox.sync",
            Self::OutgoingSend => "outgoing.send",
            Self::OperationRun => "operation.run",
            Self::SchedulerReport => "scheduler.report",
        }
    }

    /// Name of the exchange that leads to it. Never equal to a queue's name, so that a right to write one is not a
    /// right to write the other.
    pub fn exchange(self) -> String {
        format!("{}.exchange", self.name())
    }

    /// Name of the queue that keeps what could not be handled.
    pub fn dead(self) -> String {
        format!("{}.dead", self.name())
    }

    /// Name of the exchange that leads to the dead-letter queue.
    pub fn dead_exchange(self) -> String {
        format!("{}.dead.exchange", self.name())
    }

    /// The role that reads it.
    pub fn reader(self) -> Role {
        match self {
            Self::MailboxSync => Role::MailboxWorker,
            Self::OutgoingSend => Role::OutgoingWorker,
            Self::OperationRun => Role::AsyncWorker,
            Self::SchedulerReport => Role::Scheduler,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N4: every role has its own queue; no two share one.
    #[test]
    fn n4_each_queue_has_one_reader_and_each_reader_one_queue() {
        for queue in Queue::ALL {
            assert_eq!(queue.reader().reads(), *queue);
        }
        for role in Role::ALL {
            assert!(!role.writes().contains(&role.reads()), "{} cannot feed itself", role.name());
        }
    }
}
