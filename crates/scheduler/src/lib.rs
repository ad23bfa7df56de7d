//! Claim, hand out, fold: time lives here.
//!
//! Knows what is due and what runs report. Cannot open a mail connection: it links neither connectors nor the
//! coordination of permits. Any number of schedulers may run at once; there is no leader.

pub mod capacity;
pub mod config;
pub mod metrics;
pub mod outage;
pub mod reports;
pub mod sequencer;
pub mod sweep;
pub mod tick;
pub mod wake;

use std::sync::Arc;

use lockstep_model::{
    clock::{SharedClock, TimeScale},
    id::OrganisationId,
};
use lockstep_queue::Publisher;
use lockstep_store::Store;
use tokio::sync::Notify;

pub use config::Config;
pub use metrics::Metrics;

/// What every part of the scheduler uses.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// The broker.
    pub publisher: Arc<dyn Publisher>,
    /// The organisation whose database it is.
    pub organisation: OrganisationId,
    /// Settings.
    pub config: Config,
    /// How policy durations pass.
    pub scale: TimeScale,
    /// Figures.
    pub metrics: Metrics,
    /// Ends the pause between two rounds.
    pub wake: Arc<Notify>,
}

impl Context {
    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        self.store.clock()
    }
}
