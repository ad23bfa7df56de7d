//! Every role in one process, isolated all the same: each has its own pools, its own broker connections and user, its
//! own limits. One that fails ends the process.

use lockstep_service::{CommonConfig, Context, Failure};
use lockstep_wire::Role;

use super::RoleSettings;
use crate::config::{
    AllSettings, AsyncWorkerSettings, Broker, Database, MailboxWorkerSettings, OutgoingWorkerSettings, Redis,
    SchedulerSettings, Source, Startup, WebSettings,
};

impl RoleSettings for AllSettings {
    const NAME: &'static str = "all";
    const PROBES_PORT: u16 = 9100;

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
        Role::ALL
    }

    fn redis(&self) -> Option<&Redis> {
        Some(&self.redis)
    }

    fn check(&self, source: &Source) -> Result<(), Failure> {
        let mut findings = source.findings();
        findings.database(&self.database);
        for role in Role::ALL {
            findings.broker(&self.broker, *role);
        }
        findings.redis(&self.redis);
        findings.network(&self.network);
        findings.section("scheduler", self.scheduler.check());
        findings.section("mailbox_worker", self.mailbox_worker.check());
        findings.section("outgoing_worker", self.outgoing_worker.check());
        findings.section("async_worker", self.async_worker.check());
        findings.conclude()
    }

    async fn run(self, context: Context) -> Result<(), Failure> {
        begin(&context, SchedulerSettings::of(&self));
        begin(&context, MailboxWorkerSettings::of(&self));
        begin(&context, OutgoingWorkerSettings::of(&self));
        begin(&context, AsyncWorkerSettings::of(&self));
        begin(&context, WebSettings::of(&self));
        context.lifecycle.soft.cancelled().await;
        Ok(())
    }
}

fn begin<S: RoleSettings>(context: &Context, settings: S) {
    context.lifecycle.spawn_critical(S::NAME, settings.run(context.clone()));
}
