//! The scheduler: claims and publishes what is due, folds reports, numbers the feed, looks whether capacity suffices,
//! sweeps.

use std::{sync::Arc, time::Duration};

use lockstep_queue::{BatchOptions, consume_batches};
use lockstep_scheduler::{
    Context as Scheduler, Metrics, capacity, outage, reports::Fold, sequencer, sweep, tick, wake,
};
use lockstep_service::{CommonConfig, Context, Failure};
use lockstep_wire::{CycleReport, Role};

use super::{RoleSettings, base::Base};
use crate::{
    config::{Broker, Database, SchedulerSettings, Source, Startup},
    startup::no_vault,
};

impl RoleSettings for SchedulerSettings {
    const NAME: &'static str = "scheduler";
    const PROBES_PORT: u16 = 9101;

    fn common(&self) -> CommonConfig {
        self.common()
    }

    fn startup(&self) -> &Startup {
        &self.startup
    }

    fn database(&self) -> &Database {
        &self.database
    }

    fn broker(&self) -> Option<&Broker> {
        Some(&self.broker)
    }

    fn broker_roles(&self) -> &'static [Role] {
        &[Role::Scheduler]
    }

    fn check(&self, source: &Source) -> Result<(), Failure> {
        let mut findings = source.findings();
        findings.database(&self.database);
        findings.broker(&self.broker, Role::Scheduler);
        findings.section("scheduler", self.scheduler.check());
        findings.conclude()
    }

    async fn run(self, context: Context) -> Result<(), Failure> {
        let base = Base::open(&context, Self::NAME, 0, &self.database, no_vault()?)?;
        let link = base.broker(&self.broker, Role::Scheduler)?;
        if let Some(organisation) = base.organisation().await {
            let scheduler = Scheduler {
                store: base.store.clone(),
                publisher: Arc::new(link.connection.clone()),
                organisation,
                config: self.scheduler,
                scale: self.time.scale.get(),
                metrics: Metrics::register(&base.registry).map_err(Failure::internal)?,
                wake: Arc::default(),
            };
            let soft = context.lifecycle.soft.clone();
            base.task("wake", wake::listen(base.store.clone(), Arc::clone(&scheduler.wake), soft.clone()));
            base.task("tick", tick::run(scheduler.clone(), soft.clone()));
            base.task("sequencer", sequencer::run(scheduler.clone(), soft.clone()));
            base.task("capacity", capacity::run(scheduler.clone(), soft.clone()));
            base.task("outage", outage::run(scheduler.clone(), soft.clone()));
            base.task("sweep", sweep::run(scheduler.clone(), soft));
            let options = BatchOptions {
                max: scheduler.config.reports_per_fold,
                within: Duration::from_millis(scheduler.config.fold_wait_ms),
                ..BatchOptions::default()
            };
            let (source, fold) = (Arc::new(link.connection.clone()), Arc::new(Fold::new(scheduler)));
            base.task("reports", consume_batches::<CycleReport>(source, fold, options, base.stop()));
            base.finished().await;
        }
        link.close().await;
        base.close().await;
        Ok(())
    }
}
