//! What every handler shares: the store, the protocols there are, limits and figures.

use std::sync::Arc;

use lockstep_connector::{AddressRules, Descriptor};
use lockstep_store::Store;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::sync::Semaphore;

use crate::{
    config::{RequestLimits, WebConfig},
    sign_in::SignIn,
    transport,
};

/// What every handler shares.
pub struct AppState {
    pub(crate) store: Store,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) knows_charset: fn(&str) -> bool,
    pub(crate) receivers: AddressRules,
    pub(crate) allow_plain_connections: bool,
    pub(crate) transport: transport::Rules,
    pub(crate) limits: RequestLimits,
    pub(crate) room: Semaphore,
    pub(crate) sign_in: SignIn,
    pub(crate) metrics: Metrics,
}

/// The state as handlers take it.
pub(crate) type App = Arc<AppState>;

impl AppState {
    /// The state of one process. `descriptors` are the protocols this installation has, `knows_charset` tells whether
    /// the workers can decode text in an encoding of that name, `receivers` are the addresses webhooks are sent to.
    ///
    /// # Errors
    /// When the metrics are registered twice.
    pub fn new(
        store: Store,
        descriptors: Vec<Descriptor>,
        knows_charset: fn(&str) -> bool,
        receivers: AddressRules,
        config: &WebConfig,
        registry: &Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        Ok(Arc::new(Self {
            store,
            descriptors,
            knows_charset,
            receivers,
            allow_plain_connections: config.allow_plain_connections,
            transport: transport::Rules::of(config),
            limits: config.limits.clone(),
            room: Semaphore::new(config.limits.max_concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            sign_in: SignIn::new(),
            metrics: Metrics::register(registry)?,
        }))
    }
}

/// Figures of the web role.
pub(crate) struct Metrics {
    pub(crate) requests: IntCounterVec,
    pub(crate) duration: HistogramVec,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("lockstep_web_requests_total", "Requests answered, by route, method and status."),
            &["route", "method", "status"],
        )?;
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let duration = HistogramVec::new(
            HistogramOpts::new("lockstep_web_request_duration_seconds", "Time to the answer's head, by route.")
                .buckets(buckets),
            &["route", "method"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { requests, duration })
    }
}
