//! A whole installation for one test: database, virtual host, Redis database, settings.

use std::{io::Write, path::Path, time::Duration};

use lockstep_test_support::{
    Services, eventually, free_port, postgres::TestDatabase, rabbitmq::TestVhost, redis::TestRedis,
};
use tempfile::NamedTempFile;
use url::Url;

use crate::process::{get, run};

/// Longest wait for a role to become ready, or not ready.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct World {
    database: TestDatabase,
    _redis: TestRedis,
    vhost: TestVhost,
    settings: NamedTempFile,
    management: String,
    pub(crate) probes: u16,
    pub(crate) web: u16,
}

impl World {
    pub(crate) async fn create(services: &Services) -> Self {
        let (database, redis) = (TestDatabase::create_on(services).await, TestRedis::create_on(services).await);
        let vhost = TestVhost::create_on(services).await;
        let (probes, web) = (free_port(), free_port());
        let user = |role: &str| {
            let mut url: Url = vhost.admin_url().parse().unwrap();
            url.set_username(&format!("{role}-{}", vhost.name())).unwrap();
            url.set_password(Some("pass word")).unwrap();
            url
        };
        let text = format!(
            r#"
[telemetry]
log_level = "info"
[probes]
listen = "127.0.0.1:{probes}"
[startup]
patience = "10s"
[database]
url = "{}"
max_connections = 4
[broker]
scheduler_url = "{}"
mailbox_worker_url = "{}"
outgoing_worker_url = "{}"
async_worker_url = "{}"
[redis]
url = "{}"
[secrets]
keys = ["k:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"]
[network]
ca_file = "{}"
[time]
scale = 0.01
[web]
listen = "127.0.0.1:{web}"
"#,
            database.url(),
            user("scheduler"),
            user("mailbox-worker"),
            user("outgoing-worker"),
            user("async-worker"),
            redis.url(),
            services.ca_file().display(),
        );
        let mut settings = NamedTempFile::new().unwrap();
        settings.write_all(text.as_bytes()).unwrap();
        let management = services.rabbitmq_api_url().to_owned();
        Self { database, _redis: redis, vhost, settings, management, probes, web }
    }

    pub(crate) fn settings(&self) -> &Path {
        self.settings.path()
    }

    /// A command of `lockstep` with this installation's settings; it must succeed.
    pub(crate) async fn admin(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.try_admin(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
        out
    }

    pub(crate) async fn try_admin(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut all = arguments.to_vec();
        all.extend(["--config", self.settings().to_str().unwrap()]);
        run("lockstep", &all, &[("LOCKSTEP_BROKER_API_URL", &self.management), ("NO_PROXY", "127.0.0.1")]).await
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    pub(crate) fn vhost(&self) -> &TestVhost {
        &self.vhost
    }

    /// Broker users with their rights.
    pub(crate) async fn apply_rights(&self) {
        let out = self.admin(&["broker", "apply"]).await;
        assert_eq!(out.matches("applied").count(), 4, "{out}");
    }

    /// Waits for `/readyz` to answer with this status; the report.
    pub(crate) async fn ready(&self, status: u16) -> String {
        let probes = self.probes;
        eventually(
            SOON,
            async || match get(probes, "/readyz").await {
                Some((found, body)) if found == status => Ok(body),
                other => Err(other),
            },
            "readiness",
        )
        .await
    }
}
