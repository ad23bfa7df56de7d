//! The outgoing worker: sends email.

use lockstep_wire::SendEmail;

use super::worker::worker_role;
use crate::config::OutgoingWorkerSettings;

worker_role!(
    OutgoingWorkerSettings,
    "outgoing-worker",
    9103,
    OutgoingWorker,
    outgoing_worker,
    SendEmail,
    lockstep_workers::outgoing::Handler::new
);
