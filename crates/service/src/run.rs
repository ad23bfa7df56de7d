//! From `main` to the exit code: TLS provider, telemetry, runtime, signals, probes, the role, drain, flush.

use std::net::SocketAddr;
use std::time::Duration;

use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::common::CommonConfig;
use crate::exit::{Exit, Failure};
use crate::lifecycle::{Drained, Lifecycle};
use crate::probes::{Probes, Pulse, Readiness};
use crate::telemetry::Telemetry;

/// What a role is given.
#[derive(Clone)]
pub struct Context {
    /// The program's name, as logs and traces show it.
    pub name: &'static str,
    /// When to stop, and the tasks to wait for.
    pub lifecycle: Lifecycle,
    /// Metrics registered here are served at `/metrics`.
    pub registry: Registry,
    /// Conditions registered here decide `/readyz`; at least one must be.
    pub readiness: Readiness,
    /// Where the probes listen.
    pub probes: SocketAddr,
}

/// Runs a role until it is done, a critical task dies, or SIGTERM or SIGINT asks it to stop, and gives the exit code.
///
/// The first signal pulls the soft token, a second one or the end of the grace period the hard one. Metrics and probes
/// answer on their own thread until the role has ended; traces are flushed in any case. Call it from `main`, outside
/// any async runtime, once per process (logs stay with the first call).
pub fn run<F, Fut, E>(name: &'static str, config: &CommonConfig, start: F) -> Exit
where
    F: FnOnce(Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Failure>,
{
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Outside the runtime, as is the flush: the exporter's blocking HTTP client must not live inside one.
    let telemetry = match Telemetry::init(name, &config.telemetry) {
        Ok(telemetry) => telemetry,
        Err(failure) => return failure.report(),
    };
    let exit = match prepare(name, config) {
        Ok(prepared) => prepared.run(config.shutdown.grace.get(), start),
        Err(failure) => {
            tracing::error!(exit_code = failure.exit.code(), "{failure}");
            failure.exit
        }
    };
    telemetry.shutdown();
    exit
}

struct Prepared {
    runtime: tokio::runtime::Runtime,
    probes: Probes,
    pulse: Pulse,
    context: Context,
}

fn prepare(name: &'static str, config: &CommonConfig) -> Result<Prepared, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .build()
        .map_err(|e| Failure::unavailable(format!("the runtime cannot start: {e}")))?;
    let registry = Registry::new();
    let (readiness, pulse) = (Readiness::default(), Pulse::default());
    let probes = Probes::start(name, config.probes.address(), registry.clone(), readiness.clone(), pulse.clone())?;
    let context = Context { name, lifecycle: Lifecycle::new(), registry, readiness, probes: probes.address() };
    Ok(Prepared { runtime, probes, pulse, context })
}

impl Prepared {
    fn run<F, Fut, E>(self, grace: Duration, start: F) -> Exit
    where
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let Self { runtime, probes, pulse, context } = self;
        let (name, lifecycle, readiness) = (context.name, context.lifecycle.clone(), context.readiness.clone());
        let exit = runtime.block_on(async {
            if let Err(failure) = listen_to_signals(&lifecycle) {
                lifecycle.fail(failure);
            }
            tokio::spawn(pulse.beat());
            tracing::info!(version = env!("CARGO_PKG_VERSION"), probes = %context.probes, "{name} starts");
            lifecycle.spawn_role(name, async move { start(context).await });
            lifecycle.soft.cancelled().await;
            readiness.stop();
            tracing::info!(tasks = lifecycle.tracker.len(), "{name} stops");
            let drained = lifecycle.drain(grace).await;
            conclude(&lifecycle, drained)
        });
        // Blocking tasks cannot be cancelled; they may not keep the process alive for ever either.
        runtime.shutdown_timeout(Duration::from_secs(1));
        probes.stop();
        tracing::info!(exit_code = exit.code(), "{name} has stopped");
        exit
    }
}

fn conclude(lifecycle: &Lifecycle, drained: Drained) -> Exit {
    if let Drained::Abandoned(tasks) = drained {
        lifecycle.fail(Failure::internal(format!("abandoned tasks, which did not stop when told to: {tasks}")));
    }
    lifecycle.failure().map_or(Exit::Ok, |failure| failure.exit)
}

fn listen_to_signals(lifecycle: &Lifecycle) -> Result<(), Failure> {
    let failed = |e| Failure::unavailable(format!("signals cannot be received: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (soft, hard) = (lifecycle.soft.clone(), lifecycle.hard.clone());
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if soft.is_cancelled() {
                tracing::warn!("{name} again: work is cut off");
                hard.cancel();
                return;
            }
            tracing::info!("{name}: stopping; a second signal cuts work off");
            soft.cancel();
        }
    });
    Ok(())
}
