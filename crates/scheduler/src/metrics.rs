//! The scheduler's figures.

use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and histograms; labels are bounded.
#[derive(Clone)]
pub struct Metrics {
    /// Hints published, by kind and result.
    pub hints: IntCounterVec,
    /// Reports folded, by outcome.
    pub reports: IntCounterVec,
    /// Reports for an occasion that was over.
    pub stale_reports: IntGauge,
    /// Seconds from an occasion's due time to its hint.
    pub lag_seconds: Histogram,
    /// Seconds one round of claiming and publishing takes.
    pub round_seconds: Histogram,
    /// Intervals chosen, in seconds of policy time.
    pub interval_seconds: Histogram,
    /// Feed entries numbered.
    pub feed_entries: IntGauge,
    /// Runs under way on average as a part of what may be, by profile.
    pub capacity_load: GaugeVec,
    /// The same of the mailbox workers.
    pub capacity_worker_load: Gauge,
}

impl Metrics {
    /// Registers the scheduler's figures.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        };
        let metrics = Self {
            hints: counters(
                "lockstep_scheduler_hints_total",
                "Hints published, by kind and result.",
                &["kind", "result"],
            )?,
            reports: counters("lockstep_scheduler_reports_total", "Cycle reports folded, by outcome.", &["outcome"])?,
            stale_reports: IntGauge::new(
                "lockstep_scheduler_stale_reports",
                "Reports since the start for an occasion that was over.",
            )?,
            lag_seconds: histogram(
                "lockstep_scheduler_lag_seconds",
                "From an occasion's due time to its hint.",
                &[0.05, 0.25, 1.0, 2.0, 5.0, 15.0, 60.0, 180.0, 720.0],
            )?,
            round_seconds: histogram(
                "lockstep_scheduler_round_seconds",
                "One round of claiming and publishing.",
                &[0.005, 0.02, 0.1, 0.5, 2.0, 10.0],
            )?,
            interval_seconds: histogram(
                "lockstep_scheduler_interval_seconds",
                "Polling intervals chosen, before scaling.",
                &[120.0, 180.0, 240.0, 300.0, 480.0, 600.0, 720.0, 3600.0],
            )?,
            feed_entries: IntGauge::new("lockstep_scheduler_feed_entries", "Feed entries numbered since the start.")?,
            capacity_load: GaugeVec::new(
                Opts::new(
                    "lockstep_capacity_load",
                    "Runs a profile needs at a time to keep its intervals, as a part of those it may have.",
                ),
                &["profile"],
            )?,
            capacity_worker_load: Gauge::new(
                "lockstep_capacity_worker_load",
                "Runs needed at a time to keep all intervals, as a part of what the mailbox workers do.",
            )?,
        };
        registry.register(Box::new(metrics.hints.clone()))?;
        registry.register(Box::new(metrics.reports.clone()))?;
        registry.register(Box::new(metrics.stale_reports.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.round_seconds.clone()))?;
        registry.register(Box::new(metrics.interval_seconds.clone()))?;
        registry.register(Box::new(metrics.feed_entries.clone()))?;
        registry.register(Box::new(metrics.capacity_load.clone()))?;
        registry.register(Box::new(metrics.capacity_worker_load.clone()))?;
        Ok(metrics)
    }
}
