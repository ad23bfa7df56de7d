//! The roles a process can play, each put together from its own settings: own pool, own broker connections, own limits.

pub mod all;
mod async_worker;
mod base;
mod mailbox_worker;
mod outgoing_worker;
mod scheduler;
mod web;
mod worker;

use lockstep_service::{CommonConfig, Context, Failure};
use lockstep_wire::Role;
use serde::{Serialize, de::DeserializeOwned};

use crate::config::{Broker, Database, Redis, Source, Startup};

/// What a role's settings tell about the role.
pub trait RoleSettings: Clone + DeserializeOwned + Serialize + Send + Sync + 'static {
    /// Name of the program, as logs, traces and `/metrics` show it.
    const NAME: &'static str;
    /// Port of the probes on loopback, unless `probes.listen` says otherwise.
    const PROBES_PORT: u16;

    /// The sections of the ceremony.
    fn common(&self) -> CommonConfig;
    /// `[startup]`
    fn startup(&self) -> &Startup;
    /// `[database]`
    fn database(&self) -> &Database;
    /// `[broker]`, when the role uses one.
    fn broker(&self) -> Option<&Broker> {
        None
    }
    /// The broker users it connects as.
    fn broker_roles(&self) -> &'static [Role] {
        &[]
    }
    /// `[redis]`, when the role uses one.
    fn redis(&self) -> Option<&Redis> {
        None
    }

    /// Rules over several keys.
    ///
    /// # Errors
    /// Exit code 78 with every rule that is broken.
    fn check(&self, source: &Source) -> Result<(), Failure>;

    /// Plays the role until the process is asked to stop.
    fn run(self, context: Context) -> impl Future<Output = Result<(), Failure>> + Send;
}
