//! The async worker: runs asynchronous operations.

use lockstep_wire::RunOperation;

use super::worker::worker_role;
use crate::config::AsyncWorkerSettings;

worker_role!(
    AsyncWorkerSettings,
    "async-worker",
    9104,
    AsyncWorker,
    async_worker,
    RunOperation,
    lockstep_workers::operations::Handler::new
);
