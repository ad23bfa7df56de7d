//! The web role: the REST API.

use std::time::Duration;

use lockstep_connector::AddressRules;
use lockstep_mime::text::is_known_charset;
use lockstep_service::{BoundedListener, Bounds, CommonConfig, Context, Failure};
use lockstep_web::AppState;

use super::{RoleSettings, base::Base};
use crate::{
    config::{Database, Source, Startup, WebSettings},
    connectors, startup,
};

impl RoleSettings for WebSettings {
    const NAME: &'static str = "web";
    const PROBES_PORT: u16 = 9105;

    fn common(&self) -> CommonConfig {
        self.common()
    }

    fn startup(&self) -> &Startup {
        &self.startup
    }

    fn database(&self) -> &Database {
        &self.database
    }

    fn check(&self, source: &Source) -> Result<(), Failure> {
        let mut findings = source.findings();
        findings.database(&self.database);
        findings.network(&self.network);
        findings.conclude()
    }

    async fn run(self, context: Context) -> Result<(), Failure> {
        let trust = startup::trust(&self.network)?;
        let base = Base::open(&context, Self::NAME, 0, &self.database, self.secrets.keys.vault())?;
        let listening = base.condition("listener");
        if base.organisation().await.is_some() {
            let descriptors = connectors::registry(&trust, &self.network).descriptors();
            let receivers = AddressRules { allow_private: self.network.private_webhooks };
            let (store, figures) = (base.store.clone(), &base.registry);
            let state = AppState::new(store, descriptors, is_known_charset, receivers, &self.web, figures)
                .map_err(Failure::internal)?;
            let listener = lockstep_web::listen(&self.web).await.map_err(|error| {
                Failure::unavailable(format!("`web.listen`: {error}; set another address and port"))
            })?;
            listening.set(true, self.web.listen.to_string());
            let bounds =
                Bounds { connections: self.web.limits.max_connections, life: None, stall: Duration::from_secs(60) };
            let listener = BoundedListener::new(listener, bounds);
            lockstep_web::serve(listener, state, context.lifecycle.soft.clone()).await;
        }
        base.close().await;
        Ok(())
    }
}
