//! The settings of each role: which sections it reads, and which it only tolerates because one file may serve several
//! roles.
//!
//! A role reads its own sections only. A section of another role is not looked into (its secret files are not opened,
//! its values not checked); a section that no role has is refused, and so is an unknown key in a section that is read.

mod checks;
mod sections;
mod shown;

use lockstep_service::{CommonConfig, ProbesConfig, ShutdownConfig, TelemetryConfig};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

pub use checks::{Findings, Source};
pub use sections::{Broker, Database, EhloName, Network, Redis, Scale, SecretKeys, Secrets, Startup, Time};

/// A section of another role, not looked into.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Self)
    }
}

/// The settings of a program: common sections, those it reads and those it tolerates.
macro_rules! settings {
    (
        $(#[$doc:meta])* $name:ident
        reads { $($(#[$attribute:meta])* $section:ident: $kind:ty,)* }
        tolerates { $($(#[$hidden:meta])* $other:ident,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// `[telemetry]`
            #[serde(default)]
            pub telemetry: TelemetryConfig,
            /// `[probes]`
            #[serde(default)]
            pub probes: ProbesConfig,
            /// `[shutdown]`
            #[serde(default)]
            pub shutdown: ShutdownConfig,
            /// `[startup]`
            #[serde(default)]
            pub startup: Startup,
            $($(#[$attribute])* pub $section: $kind,)*
            $(#[doc(hidden)] #[serde(default, skip_serializing)] pub $other: Ignored,)*
        }

        impl $name {
            /// The part of a whole deployment's settings that this program reads.
            pub fn of(all: &AllSettings) -> Self {
                Self {
                    telemetry: all.telemetry.clone(),
                    probes: all.probes.clone(),
                    shutdown: all.shutdown.clone(),
                    startup: all.startup.clone(),
                    $($section: all.$section.clone(),)*
                    $($other: Ignored,)*
                }
            }

            /// The three sections every program has, as the ceremony takes them.
            pub fn common(&self) -> CommonConfig {
                CommonConfig {
                    telemetry: self.telemetry.clone(),
                    probes: self.probes.clone(),
                    shutdown: self.shutdown.clone(),
                }
            }
        }
    };
}

settings! {
    /// What `scheduler` reads: no secrets, no Redis, no mail server.
    SchedulerSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[broker]`
        broker: Broker,
        /// `[time]`
        #[serde(default)]
        time: Time,
        /// `[scheduler]`
        #[serde(default, serialize_with = "shown::Scheduler::serialize")]
        scheduler: lockstep_scheduler::Config,
    }
    tolerates { redis, secrets, network, mailbox_worker, outgoing_worker, async_worker, web, }
}

settings! {
    /// What `mailbox-worker` reads.
    MailboxWorkerSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[broker]`
        broker: Broker,
        /// `[redis]`
        redis: Redis,
        /// `[secrets]`
        secrets: Secrets,
        /// `[network]`
        #[serde(default)]
        network: Network,
        /// `[time]`
        #[serde(default)]
        time: Time,
        /// `[mailbox_worker]`
        #[serde(default, serialize_with = "shown::MailboxWorker::serialize")]
        mailbox_worker: lockstep_workers::Config,
    }
    tolerates { scheduler, outgoing_worker, async_worker, web, }
}

settings! {
    /// What `outgoing-worker` reads.
    OutgoingWorkerSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[broker]`
        broker: Broker,
        /// `[redis]`
        redis: Redis,
        /// `[secrets]`
        secrets: Secrets,
        /// `[network]`
        #[serde(default)]
        network: Network,
        /// `[time]`
        #[serde(default)]
        time: Time,
        /// `[outgoing_worker]`
        #[serde(default, serialize_with = "shown::OutgoingWorker::serialize")]
        outgoing_worker: lockstep_workers::Config,
    }
    tolerates { scheduler, mailbox_worker, async_worker, web, }
}

settings! {
    /// What `async-worker` reads.
    AsyncWorkerSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[broker]`
        broker: Broker,
        /// `[redis]`
        redis: Redis,
        /// `[secrets]`
        secrets: Secrets,
        /// `[network]`
        #[serde(default)]
        network: Network,
        /// `[time]`
        #[serde(default)]
        time: Time,
        /// `[async_worker]`
        #[serde(default, serialize_with = "shown::AsyncWorker::serialize")]
        async_worker: lockstep_workers::Config,
    }
    tolerates { scheduler, mailbox_worker, outgoing_worker, web, }
}

settings! {
    /// What `web` reads: it writes rows and nudges, so it needs neither broker nor Redis.
    WebSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[secrets]`
        secrets: Secrets,
        /// `[network]`
        #[serde(default)]
        network: Network,
        /// `[web]`
        #[serde(default, serialize_with = "shown::Web::serialize")]
        web: lockstep_web::WebConfig,
    }
    tolerates { broker, redis, time, scheduler, mailbox_worker, outgoing_worker, async_worker, }
}

settings! {
    /// What `lockstep all` reads: everything.
    AllSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[broker]`
        broker: Broker,
        /// `[redis]`
        redis: Redis,
        /// `[secrets]`
        secrets: Secrets,
        /// `[network]`
        #[serde(default)]
        network: Network,
        /// `[time]`
        #[serde(default)]
        time: Time,
        /// `[scheduler]`
        #[serde(default, serialize_with = "shown::Scheduler::serialize")]
        scheduler: lockstep_scheduler::Config,
        /// `[mailbox_worker]`
        #[serde(default, serialize_with = "shown::MailboxWorker::serialize")]
        mailbox_worker: lockstep_workers::Config,
        /// `[outgoing_worker]`
        #[serde(default, serialize_with = "shown::OutgoingWorker::serialize")]
        outgoing_worker: lockstep_workers::Config,
        /// `[async_worker]`
        #[serde(default, serialize_with = "shown::AsyncWorker::serialize")]
        async_worker: lockstep_workers::Config,
        /// `[web]`
        #[serde(default, serialize_with = "shown::Web::serialize")]
        web: lockstep_web::WebConfig,
    }
    tolerates {}
}

settings! {
    /// What commands on the database alone read (`migrate`, `admin`, `api-key`).
    DatabaseSettings
    reads {
        /// `[database]`
        database: Database,
    }
    tolerates {
        broker, redis, secrets, network, time, scheduler, mailbox_worker, outgoing_worker, async_worker, web,
    }
}

settings! {
    /// What commands on sealed passwords read (`keys`).
    KeysSettings
    reads {
        /// `[database]`
        database: Database,
        /// `[secrets]`
        secrets: Secrets,
    }
    tolerates {
        broker, redis, network, time, scheduler, mailbox_worker, outgoing_worker, async_worker, web,
    }
}

settings! {
    /// What commands on the broker alone read (`broker apply`).
    BrokerSettings
    reads {
        /// `[broker]`
        broker: Broker,
    }
    tolerates {
        database, redis, secrets, network, time, scheduler, mailbox_worker, outgoing_worker, async_worker, web,
    }
}
