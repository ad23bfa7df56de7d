//! What is counted.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of coordination.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Admissions by outcome: granted, cooling_down, no_permit, lease_busy, error.
    pub(crate) admissions: IntCounterVec,
    /// 1 while this process keeps to its local share because Redis is away.
    pub(crate) degraded: IntGauge,
    /// Renewals that found the permit lapsed.
    pub(crate) permits_lost: IntCounter,
    /// Renewals that found the lease lapsed or taken.
    pub(crate) leases_lost: IntCounter,
}

impl Metrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When one of these names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            admissions: IntCounterVec::new(
                Opts::new("lockstep_coord_admissions_total", "Admissions asked for, by outcome"),
                &["outcome"],
            )?,
            degraded: IntGauge::new(
                "lockstep_coord_degraded",
                "1 while Redis is away and this process keeps to its local share of permits",
            )?,
            permits_lost: IntCounter::new(
                "lockstep_coord_permits_lost_total",
                "Renewals that found the connection permit lapsed",
            )?,
            leases_lost: IntCounter::new(
                "lockstep_coord_leases_lost_total",
                "Renewals that found the lane lease lapsed or taken",
            )?,
        };
        registry.register(Box::new(metrics.admissions.clone()))?;
        registry.register(Box::new(metrics.degraded.clone()))?;
        registry.register(Box::new(metrics.permits_lost.clone()))?;
        registry.register(Box::new(metrics.leases_lost.clone()))?;
        Ok(metrics)
    }
}
