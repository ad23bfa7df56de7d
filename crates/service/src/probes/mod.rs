//! `/livez`, `/readyz` and `/metrics` on a port and a thread of their own, so that they answer truthfully when the
//! role's runtime is stuck.

mod pulse;
mod readiness;

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve};
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry, TextEncoder};
use tokio_util::sync::CancellationToken;

use crate::bounded::{BoundedListener, Bounds};
use crate::exit::Failure;

pub use pulse::Pulse;
pub use readiness::{Condition, ConditionHandle, Readiness, Report};

/// A runtime that has not ticked for this long is reported as dead.
const STALLED: Duration = Duration::from_secs(10);

/// Probes and scrapers are few. However busy a connection is, it ends: slow senders cannot hold a place, and scrapers
/// connect again.
const BOUNDS: Bounds = Bounds { connections: 64, life: Some(Duration::from_secs(60)), stall: Duration::from_secs(60) };

#[derive(Clone)]
struct Shared {
    registry: Registry,
    readiness: Readiness,
    pulse: Pulse,
}

/// The probes' server.
pub struct Probes {
    address: SocketAddr,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Probes {
    /// Binds the port, adds the process's own metrics to the registry, and serves until [`Self::stop`].
    ///
    /// # Errors
    /// The address cannot be bound, the thread cannot start, or the registry has the process's metrics already.
    pub fn start(
        role: &str,
        address: SocketAddr,
        registry: Registry,
        readiness: Readiness,
        pulse: Pulse,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::unavailable(format!(
                "the probes cannot listen on {address}: {e}; set another address as probes.listen"
            ))
        };
        describe_process(role, &registry).map_err(|e| Failure::internal(format!("process metrics: {e}")))?;
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let router = router(Shared { registry, readiness, pulse });
        let listener = {
            let _inside = runtime.enter();
            BoundedListener::new(tokio::net::TcpListener::from_std(listener).map_err(failed)?, BOUNDS)
        };
        let thread = std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = async { serve(listener, router).await } => {
                            if let Err(error) = result {
                                tracing::error!(%error, "the probes ended");
                            }
                        }
                        () = stopped.cancelled() => {}
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self { address, stop, thread })
    }

    /// The address that was bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and its connections.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the probes' thread panicked");
        }
    }
}

fn describe_process(role: &str, registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let info = Opts::new("lockstep_build_info", "Always 1; the labels tell the role and the version")
        .const_label("role", role)
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let info = IntGauge::with_opts(info)?;
    info.set(1);
    registry.register(Box::new(info))
}

/// No handler reads a body or waits for anything; sizes and times of the rest are bounded by the listener.
fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn livez(State(shared): State<Shared>) -> Response {
    let age = shared.pulse.age();
    if age < STALLED {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("the runtime has not ticked for {} s\n", age.as_secs())).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let report = shared.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stalled_runtime_is_not_alive() {
        let pulse = Pulse::stalled().unwrap();
        let shared = |pulse| Shared { registry: Registry::new(), readiness: Readiness::default(), pulse };
        assert_eq!(livez(State(shared(pulse.clone()))).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        tokio::select! {
            biased;
            () = pulse.clone().beat() => {}
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        assert_eq!(livez(State(shared(pulse))).await.status(), StatusCode::OK);
    }
}
