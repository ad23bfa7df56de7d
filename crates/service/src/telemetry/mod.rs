//! Logs to standard error and traces to an OTLP receiver.

mod fields;
mod lines;
mod rate;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::common::TelemetryConfig;
use crate::config::SecretUrl;
use crate::exit::Failure;

pub use lines::LogLines;

/// One export takes at most this long.
const EXPORT: Duration = Duration::from_secs(5);
/// The flush at the end takes at most this long.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The telemetry of a process; [`Self::shutdown`] sends what is still held.
#[derive(Debug)]
pub struct Telemetry {
    traces: SdkTracerProvider,
}

impl Telemetry {
    /// Installs logs, traces, the W3C trace context propagator and a panic hook that logs, for the whole process.
    /// If a subscriber is installed already (a second call), logs stay as they are.
    ///
    /// Call it outside any async runtime, since the exporter's HTTP client is a blocking one.
    ///
    /// # Errors
    /// The OTLP endpoint cannot be used.
    pub fn init(name: &'static str, config: &TelemetryConfig) -> Result<Self, Failure> {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let traces = traces(name, config)?;
        // Spans stay visible to the lines whatever their level, so that a warning still tells its trace and mailbox.
        let spans = filter_fn(|metadata| metadata.is_span() && *metadata.level() <= Level::INFO);
        let lines = LogLines::new(std::io::stderr(), config.log_format);
        let subscriber = Registry::default()
            .with(tracing_opentelemetry::layer().with_tracer(traces.tracer("lockstep")).with_filter(LevelFilter::INFO))
            .with(lines.with_filter(config.log_level.to_env_filter().or(spans)));
        if tracing::subscriber::set_global_default(subscriber).is_ok() {
            std::panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                let payload = panic.payload_as_str().unwrap_or("no message");
                tracing::error!(target: "panic", place, "panic: {payload}");
            }));
        }
        global::set_tracer_provider(traces.clone());
        Ok(Self { traces })
    }

    /// Sends what is still held and ends the exporter, within ten seconds. Blocks: call it outside any async runtime,
    /// or inside `spawn_blocking`.
    pub fn shutdown(self) {
        let flushed = self.traces.force_flush();
        let ended = self.traces.shutdown_with_timeout(SHUTDOWN);
        for error in [flushed.err(), ended.err()].into_iter().flatten() {
            tracing::warn!(%error, "traces could not all be sent");
        }
    }
}

/// Without an endpoint, spans get ids (which logs show and messages carry on) but go nowhere.
fn traces(name: &'static str, config: &TelemetryConfig) -> Result<SdkTracerProvider, Failure> {
    let mut resource = Resource::builder()
        .with_service_name(format!("lockstep-{name}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(instance) = &config.service_instance {
        resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.clone()));
    }
    let mut provider = SdkTracerProvider::builder().with_resource(resource.build());
    if let Some(endpoint) = &config.otlp_endpoint {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_url(endpoint))
            .with_timeout(EXPORT)
            .build()
            .map_err(|e| Failure::config(format!("telemetry.otlp_endpoint {endpoint} cannot be used: {e}")))?;
        provider = provider.with_batch_exporter(exporter);
    }
    Ok(provider.build())
}

/// A base URL gets the path the OTLP specification names; one with a path is taken as it is.
fn traces_url(endpoint: &SecretUrl) -> String {
    let mut url = endpoint.expose().clone();
    if matches!(url.path(), "" | "/") {
        url.set_path("/v1/traces");
    }
    url.into()
}
