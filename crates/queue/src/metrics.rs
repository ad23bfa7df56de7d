//! What is counted. Labels are bounded: queues, links and outcomes.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Metrics of publishing and consuming.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Messages by queue and outcome: confirmed, returned, nacked, forbidden, unavailable, timed_out, unsendable.
    pub(crate) published: IntCounterVec,
    /// Seconds until the confirm.
    pub(crate) confirm_seconds: Histogram,
    /// Deliveries by queue and outcome: done, refused, unavailable, undecodable, panicked, timed_out.
    pub(crate) deliveries: IntCounterVec,
    /// Seconds in the handler, by queue.
    pub(crate) handler_seconds: HistogramVec,
    /// Handlers at work, by queue.
    pub(crate) running: IntGaugeVec,
    /// 1 while a consumer pauses since its database is away, by queue.
    pub(crate) paused: IntGaugeVec,
    /// Acknowledgements that came too late (the connection was gone), by queue: the delivery comes again.
    pub(crate) unsettled: IntCounterVec,
    /// 1 while the link (publish, consume) is up.
    pub(crate) connected: IntGaugeVec,
    /// Connections made, by link.
    pub(crate) connections: IntCounterVec,
    /// 1 while the broker blocks publishers for lack of memory or disk.
    pub(crate) blocked: IntGauge,
}

impl Metrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When one of these names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::new()?;
        registry.register(Box::new(metrics.published.clone()))?;
        registry.register(Box::new(metrics.confirm_seconds.clone()))?;
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.handler_seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.paused.clone()))?;
        registry.register(Box::new(metrics.unsettled.clone()))?;
        registry.register(Box::new(metrics.connected.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.blocked.clone()))?;
        Ok(metrics)
    }

    /// Creates the metrics without a registry, for tests and for tools that nobody scrapes.
    ///
    /// # Errors
    /// Never with the names used here.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            published: counters(
                "lockstep_queue_published_total",
                "Messages published, by queue and outcome",
                &["queue", "outcome"],
            )?,
            confirm_seconds: Histogram::with_opts(
                HistogramOpts::new("lockstep_queue_confirm_seconds", "Time until the broker's confirm")
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            )?,
            deliveries: counters(
                "lockstep_queue_deliveries_total",
                "Deliveries handled, by queue and outcome",
                &["queue", "outcome"],
            )?,
            handler_seconds: HistogramVec::new(
                HistogramOpts::new("lockstep_queue_handler_seconds", "Time in the handler")
                    .buckets(vec![0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 60.0, 240.0]),
                &["queue"],
            )?,
            running: gauges("lockstep_queue_handlers_running", "Handlers at work", &["queue"])?,
            paused: gauges(
                "lockstep_queue_paused",
                "1 while a consumer pauses because its outcomes cannot be recorded",
                &["queue"],
            )?,
            unsettled: counters(
                "lockstep_queue_unsettled_total",
                "Acknowledgements that came after the connection was lost",
                &["queue"],
            )?,
            connected: gauges("lockstep_queue_connected", "1 while the link to the broker is up", &["link"])?,
            connections: counters("lockstep_queue_connections_total", "Connections made to the broker", &["link"])?,
            blocked: IntGauge::new("lockstep_queue_blocked", "1 while the broker blocks publishers")?,
        })
    }
}
