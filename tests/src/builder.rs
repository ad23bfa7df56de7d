//! What a deployment under test is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use lockstep_queue::topology;
use lockstep_test_support::{
    PrivateServices, Service, Services, chaos::ChaosProxy, free_port, postgres::TestDatabase, rabbitmq::TestVhost,
    redis::TestRedis,
};
use tokio::sync::Semaphore;

use crate::{
    Role,
    cluster::{Cluster, Mail, Proxies, Servers},
    settings::Settings,
};

/// Deployments at one time in one test process.
const AT_ONCE: usize = 3;
static RUNNING: Semaphore = Semaphore::const_new(AT_ONCE);

/// Five minutes become one and a half seconds.
const SCALE: f64 = 0.005;

/// A deployment that is to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) scale: f64,
    pub(crate) private: BTreeSet<Service>,
    pub(crate) proxied: BTreeSet<Service>,
    pub(crate) mail_proxies: bool,
    pub(crate) all_in_one: bool,
    pub(crate) without: BTreeSet<Role>,
    pub(crate) replicas: BTreeMap<Role, usize>,
    pub(crate) environment: Vec<(Role, String, String)>,
    pub(crate) settings: Settings,
    pub(crate) bounded: bool,
    pub(crate) max_connections: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::default();
        for (section, key, value) in [
            ("telemetry", "log_format", "\"text\""),
            ("shutdown", "grace", "\"10s\""),
            ("database", "max_connections", "6"),
            ("scheduler", "poll_interval_ms", "200"),
            ("scheduler", "claim_lifetime_ms", "4000"),
            ("mailbox_worker", "concurrency", "8"),
            ("mailbox_worker", "lease_ttl_ms", "3000"),
            ("mailbox_worker", "permit_ttl_ms", "3000"),
            // The point of no return is not crossed with less than two seconds left of the permit.
            ("outgoing_worker", "permit_ttl_ms", "6000"),
            ("outgoing_worker", "claim_lifetime_ms", "4000"),
            ("web", "allow_plain_connections", "true"),
        ] {
            settings.set(section, key, value);
        }
        Self {
            scale: SCALE,
            private: BTreeSet::new(),
            proxied: BTreeSet::new(),
            mail_proxies: false,
            all_in_one: false,
            without: BTreeSet::new(),
            replicas: BTreeMap::new(),
            environment: Vec::new(),
            settings,
            bounded: true,
            max_connections: 10,
        }
    }

    /// Multiplies policy durations; by default five minutes become one and a half seconds.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// These servers belong to this deployment alone, so that they may be stopped and killed.
    #[must_use]
    pub fn private(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.private.extend(services);
        self
    }

    /// A misbehaving proxy stands in front of PostgreSQL, RabbitMQ or Redis.
    #[must_use]
    pub fn proxied(mut self, service: Service) -> Self {
        self.proxied.insert(service);
        self
    }

    /// Misbehaving proxies stand in front of the mail servers, on both ways.
    #[must_use]
    pub fn mail_proxies(mut self) -> Self {
        self.mail_proxies = true;
        self
    }

    /// One process plays every role (`lockstep all`).
    #[must_use]
    pub fn all_in_one(mut self) -> Self {
        self.all_in_one = true;
        self
    }

    /// This role is not started; [`Cluster::start`] does it later.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.without.insert(role);
        self
    }

    /// So many processes of this role from the beginning.
    #[must_use]
    pub fn replicas(mut self, role: Role, count: usize) -> Self {
        self.replicas.insert(role, count);
        self
    }

    /// The environment of each process of a role that is started with the deployment.
    #[must_use]
    pub fn environment(mut self, role: Role, name: &str, value: &str) -> Self {
        self.environment.push((role, name.to_owned(), value.to_owned()));
        self
    }

    /// A key of the settings file; the value is TOML.
    #[must_use]
    pub fn setting(mut self, section: &str, key: &str, value: &str) -> Self {
        self.settings.set(section, key, value);
        self
    }

    /// Traces are sent to this OTLP receiver.
    #[must_use]
    pub fn traces_to(mut self, endpoint: &str) -> Self {
        self.settings.set_text("telemetry", "otlp_endpoint", endpoint);
        self
    }

    /// The connection cap of the default email server profile; by default 10.
    #[must_use]
    pub fn max_connections(mut self, cap: u32) -> Self {
        self.max_connections = cap;
        self
    }

    /// Not counted among those that may run at one time; for the demonstration.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.bounded = false;
        self
    }

    /// Starts the deployment, and returns when every role is ready.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn start(mut self) -> Cluster {
        let turn = if self.bounded { RUNNING.acquire().await.ok() } else { None };
        let programs = programs();
        let servers = self.servers().await;
        let mail = self.mail(&servers).await;
        let dir = tempfile::Builder::new().prefix("lockstep-e2e-").tempdir().unwrap();
        let (proxies, web) = self.connect(&servers).await;
        self.settings.set_text("network", "ca_file", &servers.of(Service::Dovecot).ca_file().display().to_string());
        self.settings.set("time", "scale", format!("{:?}", self.scale));
        self.settings.set_text("web", "listen", &format!("127.0.0.1:{web}"));
        let key = format!("e2e:{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        self.settings.set("secrets", "keys", format!("[\"{key}\"]"));
        let config = dir.path().join("lockstep.toml");
        fs::write(&config, self.settings.to_toml()).unwrap();
        let cluster = Cluster::new(self, servers, proxies, mail, dir, programs, web, turn);
        cluster.bootstrap().await;
        cluster
    }

    async fn servers(&self) -> Servers {
        let shared: Vec<Service> = Service::ALL.into_iter().filter(|s| !self.private.contains(s)).collect();
        let private: Vec<Service> = self.private.iter().copied().collect();
        let shared = Services::shared_with(&shared).await;
        let private: Option<PrivateServices> =
            if private.is_empty() { None } else { Some(Services::private(&private).await) };
        let at = |service| match &private {
            Some(private) if self.private.contains(&service) => &**private,
            _ => shared,
        };
        let database = TestDatabase::create_on(at(Service::Postgres)).await;
        let vhost = TestVhost::create_on(at(Service::RabbitMq)).await;
        let redis = TestRedis::create_on(at(Service::Redis)).await;
        Servers { database, vhost, redis, shared, private, is_private: self.private.clone() }
    }

    async fn mail(&self, servers: &Servers) -> Mail {
        let (dovecot, exim) = (servers.of(Service::Dovecot), servers.of(Service::Exim));
        let (incoming, outgoing) = (dovecot.pop3s_port(), exim.submission_port());
        if !self.mail_proxies {
            return Mail { incoming, outgoing, proxies: None };
        }
        let one = ChaosProxy::in_front_of(&format!("127.0.0.1:{incoming}")).await;
        let other = ChaosProxy::in_front_of(&format!("127.0.0.1:{outgoing}")).await;
        Mail { incoming: one.port(), outgoing: other.port(), proxies: Some((one, other)) }
    }

    /// Writes the addresses of the services into the settings, leading through proxies where they are wanted.
    async fn connect(&mut self, servers: &Servers) -> (Proxies, u16) {
        let mut proxies = Proxies::default();
        let mut database = servers.database.url().to_owned();
        if self.proxied.contains(&Service::Postgres) {
            let (proxy, url) = ChaosProxy::in_front_of_url(&database, 5432).await;
            (proxies.postgres, database) = (Some(proxy), url);
        }
        self.settings.set_text("database", "url", &database);
        let mut redis = servers.redis.url().to_owned();
        if self.proxied.contains(&Service::Redis) {
            let (proxy, url) = ChaosProxy::in_front_of_url(&redis, 6379).await;
            (proxies.redis, redis) = (Some(proxy), url);
        }
        self.settings.set_text("redis", "url", &redis);
        let broker = if self.proxied.contains(&Service::RabbitMq) {
            let (proxy, _) = ChaosProxy::in_front_of_url(servers.vhost.admin_url(), 5672).await;
            let port = proxy.port();
            proxies.rabbitmq = Some(proxy);
            Some(port)
        } else {
            None
        };
        for (user, rights) in topology::all_permissions() {
            let url = servers.vhost.user(user, &rights.configure, &rights.write, &rights.read).await;
            let mut url: url::Url = url.parse().unwrap();
            if broker.is_some() {
                url.set_port(broker).unwrap();
            }
            self.settings.set_text("broker", &format!("{}_url", user.replace('-', "_")), url.as_str());
        }
        (proxies, free_port())
    }
}

/// Names another folder with the programs, such as one of a release.
const PROGRAMS_VARIABLE: &str = "LOCKSTEP_E2E_PROGRAMS";

/// The folder that holds the programs: the one above the running test's, unless the environment names another.
fn programs() -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let this = std::env::current_exe().unwrap();
        let beside = this.parent().map(Path::to_path_buf).unwrap();
        let built = if beside.ends_with("deps") { beside.join("..") } else { beside };
        let dir = std::env::var_os(PROGRAMS_VARIABLE).map_or(built, PathBuf::from);
        for role in Role::SEPARATE.into_iter().chain([Role::All]) {
            let program = dir.join(role.program());
            assert!(
                program.is_file(),
                "{} is missing: run `make test`, or `cargo build -p lockstep --features crashpoints --bins`",
                program.display()
            );
        }
        dir.canonicalize().unwrap()
    };
    PROGRAMS.get_or_init(find).clone()
}

/// Longest wait for a role to become ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);
