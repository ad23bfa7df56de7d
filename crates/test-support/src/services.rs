//! Starts the real servers by `deploy/dev/services`, and tells their addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, OnceLock, PoisonError},
};

/// A server that can be started, stopped and killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// PostgreSQL 15.
    Postgres,
    /// RabbitMQ with its management API.
    RabbitMq,
    /// Redis, without persistence.
    Redis,
    /// Dovecot: POP3, IMAP, LMTP.
    Dovecot,
    /// Exim: SMTP relay, submission and submissions.
    Exim,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::RabbitMq, Self::Redis, Self::Dovecot, Self::Exim];

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::Dovecot => "dovecot",
            Self::Exim => "exim",
        }
    }
}

const PREFIX: &str = "LOCKSTEP_TEST_";
const DIR_VARIABLE: &str = "LOCKSTEP_SERVICES_DIR";
const PRIVATE_PREFIX: &str = "lockstep-private-";

/// Addresses of one set of servers.
///
/// The set in `target/services` is shared by all test processes and stays up after them. Where variables named
/// `LOCKSTEP_TEST_…` are set, they are believed and nothing is started.
#[derive(Clone)]
pub struct Services {
    variables: BTreeMap<String, String>,
}

impl fmt::Debug for Services {
    /// The values hold passwords.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Services {
    /// The shared set with every server up.
    pub async fn shared() -> &'static Self {
        Self::shared_with(&Service::ALL).await
    }

    /// The shared set with at least these servers up; the addresses of the others are known, but may not answer.
    pub async fn shared_with(wanted: &[Service]) -> &'static Self {
        let wanted = wanted.to_vec();
        match tokio::task::spawn_blocking(move || Self::shared_blocking(&wanted)).await {
            Ok(services) => services,
            Err(error) => panic!("the shared services cannot be started: {error}"),
        }
    }

    /// As [`Services::shared_with`], for callers outside a runtime.
    pub fn shared_blocking(wanted: &[Service]) -> &'static Self {
        static SHARED: OnceLock<Services> = OnceLock::new();
        static STARTED: Mutex<BTreeSet<Service>> = Mutex::new(BTreeSet::new());

        let given: BTreeMap<String, String> = env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        if given.keys().any(|name| name.ends_with("_URL") || name.ends_with("_PORT")) {
            return SHARED.get_or_init(|| Self { variables: given });
        }
        let dir = shared_dir();
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<Service> = wanted.iter().copied().filter(|name| !started.contains(name)).collect();
        if !missing.is_empty() {
            run(&dir, "up", &missing);
            started.extend(missing);
        }
        SHARED.get_or_init(|| Self::read(&dir))
    }

    /// A set of its own, in a temporary folder, for tests that restart or kill servers.
    pub async fn private(wanted: &[Service]) -> PrivateServices {
        let wanted = wanted.to_vec();
        match tokio::task::spawn_blocking(move || PrivateServices::start_blocking(&wanted)).await {
            Ok(services) => services,
            Err(error) => panic!("private services cannot be started: {error}"),
        }
    }

    fn read(dir: &Path) -> Self {
        let path = dir.join("env");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let variables = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { variables }
    }

    /// Every address as the environment variables that `deploy/dev/services env` prints, for child processes.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    fn variable(&self, name: &str) -> &str {
        match self.variables.get(&format!("{PREFIX}{name}")) {
            Some(value) => value,
            None => panic!("{PREFIX}{name} is not set, though other {PREFIX} variables are"),
        }
    }

    fn port(&self, name: &str) -> u16 {
        let value = self.variable(name);
        value.parse().unwrap_or_else(|error| panic!("{PREFIX}{name}={value}: {error}"))
    }

    /// Superuser on database `postgres`.
    pub fn postgres_url(&self) -> &str {
        self.variable("POSTGRES_URL")
    }

    /// Without a database number.
    pub fn redis_url(&self) -> &str {
        self.variable("REDIS_URL")
    }

    /// Administrator on the default vhost.
    pub fn amqp_url(&self) -> &str {
        self.variable("AMQP_URL")
    }

    /// The management API, with the administrator's name and password in it.
    pub fn rabbitmq_api_url(&self) -> &str {
        self.variable("RABBITMQ_API_URL")
    }

    /// POP3, plain, offering STLS.
    pub fn pop3_port(&self) -> u16 {
        self.port("POP3_PORT")
    }

    /// POP3 with TLS from the first byte.
    pub fn pop3s_port(&self) -> u16 {
        self.port("POP3S_PORT")
    }

    /// IMAP, plain, offering STARTTLS.
    pub fn imap_port(&self) -> u16 {
        self.port("IMAP_PORT")
    }

    /// LMTP into the mailboxes.
    pub fn lmtp_port(&self) -> u16 {
        self.port("LMTP_PORT")
    }

    /// SMTP from anybody to known addresses.
    pub fn smtp_port(&self) -> u16 {
        self.port("SMTP_PORT")
    }

    /// Submission: STARTTLS, then AUTH.
    pub fn submission_port(&self) -> u16 {
        self.port("SUBMISSION_PORT")
    }

    /// Submission with TLS from the first byte.
    pub fn submissions_port(&self) -> u16 {
        self.port("SUBMISSIONS_PORT")
    }

    /// PEM file of the authority that signed the mail servers' certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.variable("CA_FILE").into()
    }

    /// The passwd-like file with the mail accounts.
    pub fn mail_users_file(&self) -> PathBuf {
        self.variable("MAIL_USERS_FILE").into()
    }

    /// The folder with one Maildir for each address.
    pub fn mail_dir(&self) -> PathBuf {
        self.variable("MAIL_DIR").into()
    }
}

/// A set of servers that belongs to one test: it may stop and kill them. All ends when the value is dropped.
#[derive(Debug)]
pub struct PrivateServices {
    services: Services,
    dir: PathBuf,
    started: Vec<Service>,
}

impl Deref for PrivateServices {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl PrivateServices {
    fn start_blocking(wanted: &[Service]) -> Self {
        sweep_private_dirs();
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let dir = env::temp_dir().join(format!("{PRIVATE_PREFIX}{}-{}", process::id(), &unique[..8]));
        // A failed start must stop again what did start.
        let mut this = Self { services: Services { variables: BTreeMap::new() }, dir, started: wanted.to_vec() };
        run(&this.dir, "up", wanted);
        this.services = Services::read(&this.dir);
        this
    }

    async fn control(&self, command: &'static str, service: Service) {
        let dir = self.dir.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || run(&dir, command, &[service])).await {
            panic!("{command} {service:?}: {error}");
        }
    }

    /// Stops and starts a server, on the same port and with its data (Redis keeps none).
    pub async fn restart(&self, service: Service) {
        self.control("restart", service).await;
    }

    /// Ends a server by SIGKILL; its port refuses connections until [`PrivateServices::start`].
    pub async fn kill(&self, service: Service) {
        self.control("kill", service).await;
    }

    /// Stops a server in order.
    pub async fn stop(&self, service: Service) {
        self.control("down", service).await;
    }

    /// Starts a server that was stopped or killed, on its old port; returns when it answers.
    pub async fn start(&self, service: Service) {
        self.control("up", service).await;
    }
}

impl Drop for PrivateServices {
    fn drop(&mut self) {
        // Nothing in it is wanted any more, so that the fastest end will do.
        for service in &self.started {
            let _ = script(&self.dir, "kill", &[*service]).output();
        }
        remove_set(&self.dir);
    }
}

/// Stops whatever still runs in `dir` and deletes it.
fn remove_set(dir: &Path) {
    let _ = script(dir, "down", &[]).output();
    // The data is elsewhere when the servers' users may not enter the folder.
    if let Ok(state) = fs::read_to_string(dir.join("state_dir")) {
        let _ = fs::remove_dir_all(state.trim_end());
    }
    let _ = fs::remove_dir_all(dir);
}

/// Removes the sets of test processes that did not live to do it themselves.
fn sweep_private_dirs() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PRIVATE_PREFIX)).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove_set(&entry.path());
        }
    }
}

fn shared_dir() -> PathBuf {
    env::var_os(DIR_VARIABLE).map_or_else(|| workspace().join("target/services"), PathBuf::from)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn script(dir: &Path, command: &str, services: &[Service]) -> Command {
    let mut script = Command::new(workspace().join("deploy/dev/services"));
    script.arg("--dir").arg(dir).arg(command).args(services.iter().map(|service| service.name()));
    script
}

fn run(dir: &Path, command: &str, services: &[Service]) {
    match script(dir, command, services).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "deploy/dev/services {command} {services:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("deploy/dev/services cannot be run: {error}"),
    }
}
