//! The mailbox worker: synchronises mailboxes.

use lockstep_wire::SyncLane;

use super::worker::worker_role;
use crate::config::MailboxWorkerSettings;

worker_role!(
    MailboxWorkerSettings,
    "mailbox-worker",
    9102,
    MailboxWorker,
    mailbox_worker,
    SyncLane,
    lockstep_workers::mailbox::Handler::new
);
