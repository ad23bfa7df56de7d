//! What the three worker roles have in common: they consume one queue under their own limits.

use std::{sync::Arc, time::Duration};

use lockstep_connector::{AddressRules, TlsTrust};
use lockstep_model::settings::{Marks, Settings};
use lockstep_queue::{ConsumeOptions, Handler, consume_within};
use lockstep_service::{Context, Failure};
use lockstep_wire::{Message, Queue, Role};
use lockstep_workers::{
    Config, Metrics,
    webhooks::{Limits, Webhooks},
};

use super::base::Base;
use crate::{
    config::{Broker, Database, Findings, Network, Redis, Secrets, Source, Time},
    connectors, startup,
};

/// After its budget a run has this long to end, before it is dropped.
const AFTER_BUDGET: Duration = Duration::from_secs(120);

/// The parts of a worker role.
pub(super) struct Worker {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) database: Database,
    pub(super) broker: Broker,
    pub(super) redis: Redis,
    pub(super) secrets: Secrets,
    pub(super) network: Network,
    pub(super) time: Time,
    pub(super) config: Config,
}

impl Worker {
    /// Plays the role: consumes messages `M` with the handler that `make` gives.
    pub(super) async fn run<M, H>(
        self,
        context: Context,
        make: impl FnOnce(lockstep_workers::Context) -> H + Send,
    ) -> Result<(), Failure>
    where
        M: Message,
        H: Handler<M>,
    {
        let trust = startup::trust(&self.network)?;
        let base = Base::open(&context, self.name, self.config.concurrency, &self.database, self.secrets.keys.vault())?;
        let link = base.broker(&self.broker, self.role)?;
        let redis = base.redis_condition();
        if let Some(organisation) = base.organisation().await {
            let options = ConsumeOptions {
                concurrency: self.config.concurrency,
                handler_timeout: self.config.run_budget() + AFTER_BUDGET,
                ..ConsumeOptions::default()
            };
            let handler = make(lockstep_workers::Context {
                store: base.store.clone(),
                publisher: Arc::new(link.connection.clone()),
                coord: base.coord(&self.redis, organisation, redis)?,
                connectors: connectors::registry(&trust, &self.network),
                organisation,
                webhooks: webhooks(&trust, &self.network, self.config.concurrency)?,
                config: self.config,
                host: host(),
                scale: self.time.scale.get(),
                metrics: Metrics::register(&base.registry).map_err(Failure::internal)?,
            });
            let source = Arc::new(link.connection.clone());
            let marks = base.marks(marks_of(M::QUEUE));
            base.task("consume", consume_within::<M>(source, Arc::new(handler), options, marks, base.stop()));
            base.finished().await;
        }
        link.close().await;
        base.close().await;
        Ok(())
    }
}

/// How much a process may have in hand of a queue.
fn marks_of(queue: Queue) -> fn(&Settings) -> Marks {
    match queue {
        Queue::MailboxSync => Settings::mailbox_marks,
        Queue::OutgoingSend => Settings::activity_marks,
        _ => |_| Marks::NONE,
    }
}

/// The name of this host, as people are told it: in a container, the container's.
fn host() -> Arc<str> {
    let kernels = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(kernels).unwrap_or_default();
    match name.trim() {
        "" => "unknown".into(),
        name => name.into(),
    }
}

/// Connections to receivers of webhooks, on half of the worker's slots.
fn webhooks(trust: &TlsTrust, network: &Network, concurrency: u16) -> Result<Webhooks, Failure> {
    let addresses = AddressRules { allow_private: network.private_webhooks };
    Webhooks::new(trust, addresses, Limits::default(), concurrency / 2).map_err(Failure::internal)
}

/// The rules of the sections every worker reads.
pub(super) fn findings(source: &Source, database: &Database, broker: &Broker, redis: &Redis, role: Role) -> Findings {
    let mut findings = source.findings();
    findings.database(database);
    findings.broker(broker, role);
    findings.redis(redis);
    findings
}

/// Implements [`super::RoleSettings`] for a worker role.
macro_rules! worker_role {
    ($settings:ident, $name:literal, $port:literal, $role:ident, $section:ident, $message:ty, $handler:path) => {
        impl super::RoleSettings for $settings {
            const NAME: &'static str = $name;
            const PROBES_PORT: u16 = $port;

            fn common(&self) -> lockstep_service::CommonConfig {
                self.common()
            }

            fn startup(&self) -> &crate::config::Startup {
                &self.startup
            }

            fn database(&self) -> &crate::config::Database {
                &self.database
            }

            fn broker(&self) -> Option<&crate::config::Broker> {
                Some(&self.broker)
            }

            fn broker_roles(&self) -> &'static [lockstep_wire::Role] {
                &[lockstep_wire::Role::$role]
            }

            fn redis(&self) -> Option<&crate::config::Redis> {
                Some(&self.redis)
            }

            fn check(&self, source: &crate::config::Source) -> Result<(), lockstep_service::Failure> {
                let role = lockstep_wire::Role::$role;
                let mut findings = super::worker::findings(source, &self.database, &self.broker, &self.redis, role);
                findings.section(stringify!($section), self.$section.check());
                findings.network(&self.network);
                findings.conclude()
            }

            async fn run(self, context: lockstep_service::Context) -> Result<(), lockstep_service::Failure> {
                let worker = super::worker::Worker {
                    name: Self::NAME,
                    role: lockstep_wire::Role::$role,
                    database: self.database,
                    broker: self.broker,
                    redis: self.redis,
                    secrets: self.secrets,
                    network: self.network,
                    time: self.time,
                    config: self.$section,
                };
                worker.run::<$message, _>(context, $handler).await
            }
        }
    };
}

pub(super) use worker_role;
