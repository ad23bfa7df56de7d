//! The workers' figures.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Counters and histograms of a worker role; labels are bounded.
#[derive(Clone)]
pub struct Metrics {
    /// Runs at lanes, by outcome.
    pub cycles: IntCounterVec,
    /// Items of incoming email, by what became of them.
    pub items: IntCounterVec,
    /// Faults, by scope and class.
    pub faults: IntCounterVec,
    /// Bytes of messages read.
    pub bytes: IntCounter,
    /// Seconds a run at a lane takes.
    pub cycle_seconds: Histogram,
    /// Pages that met somebody else's newer work and wrote nothing.
    pub fenced: IntCounter,
    /// Attempts to send, by result.
    pub sends: IntCounterVec,
    /// Operations run, by result.
    pub operations: IntCounterVec,
    /// Webhooks sent, by result.
    pub webhooks: IntCounterVec,
}

impl Metrics {
    /// Registers the workers' figures.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let buckets = vec![0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 240.0];
        let metrics = Self {
            cycles: counters("lockstep_workers_cycles_total", "Runs at lanes, by outcome.", &["outcome"])?,
            items: counters("lockstep_workers_items_total", "Incoming items, by disposition.", &["disposition"])?,
            faults: counters("lockstep_workers_faults_total", "Faults, by scope and class.", &["scope", "class"])?,
            bytes: IntCounter::new("lockstep_workers_received_bytes_total", "Bytes of messages read.")?,
            cycle_seconds: Histogram::with_opts(
                HistogramOpts::new("lockstep_workers_cycle_seconds", "Duration of a run at a lane.").buckets(buckets),
            )?,
            fenced: IntCounter::new(
                "lockstep_workers_fenced_pages_total",
                "Pages that met somebody else's newer work and wrote nothing.",
            )?,
            sends: counters("lockstep_workers_sends_total", "Attempts to send, by result.", &["result"])?,
            operations: counters("lockstep_workers_operations_total", "Operations run, by result.", &["result"])?,
            webhooks: counters("lockstep_workers_webhooks_total", "Webhooks sent, by result.", &["result"])?,
        };
        registry.register(Box::new(metrics.cycles.clone()))?;
        registry.register(Box::new(metrics.items.clone()))?;
        registry.register(Box::new(metrics.faults.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.cycle_seconds.clone()))?;
        registry.register(Box::new(metrics.fenced.clone()))?;
        registry.register(Box::new(metrics.sends.clone()))?;
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.webhooks.clone()))?;
        Ok(metrics)
    }
}
