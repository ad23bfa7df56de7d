//! A running deployment: its processes, its services, its API.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockstep_test_support::{
    PrivateServices, Service, Services, chaos::ChaosProxy, eventually, free_port, postgres::TestDatabase,
    rabbitmq::TestVhost, redis::TestRedis,
};
use rustix::process::Signal;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::{OnceCell, SemaphorePermit};
use uuid::Uuid;

use crate::{Api, Builder, Exit, Process, Role, builder::READY_WITHIN, process::dying_with_us};

/// Lines of each process's log that a failed test shows.
const TAIL: usize = 60;
/// Longest wait for a command of the command line.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// The corner of the servers that belongs to one deployment.
pub(crate) struct Servers {
    pub(crate) database: TestDatabase,
    pub(crate) vhost: TestVhost,
    pub(crate) redis: TestRedis,
    pub(crate) shared: &'static Services,
    /// Last, so that it ends after what lives on it.
    pub(crate) private: Option<PrivateServices>,
    pub(crate) is_private: BTreeSet<Service>,
}

impl Servers {
    pub(crate) fn of(&self, service: Service) -> &Services {
        match &self.private {
            Some(private) if self.is_private.contains(&service) => private,
            _ => self.shared,
        }
    }
}

/// Proxies in front of services.
#[derive(Default)]
pub(crate) struct Proxies {
    pub(crate) postgres: Option<ChaosProxy>,
    pub(crate) rabbitmq: Option<ChaosProxy>,
    pub(crate) redis: Option<ChaosProxy>,
}

/// Where the roles reach the mail servers.
pub(crate) struct Mail {
    pub(crate) incoming: u16,
    pub(crate) outgoing: u16,
    pub(crate) proxies: Option<(ChaosProxy, ChaosProxy)>,
}

/// A Lockstep of its own. All of it ends when the value is dropped; when a test fails, the ends of the logs are shown.
pub struct Cluster {
    // Fields end in this order: first the processes, last what they stand on.
    processes: Mutex<Vec<Arc<Process>>>,
    started: AtomicUsize,
    pub(crate) options: Builder,
    api: OnceCell<Api>,
    pub(crate) profile: OnceCell<Uuid>,
    web: u16,
    programs: PathBuf,
    proxies: Proxies,
    pub(crate) mail: Mail,
    pub(crate) servers: Servers,
    dir: TempDir,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Cluster {
    /// A deployment with the usual options.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a deployment with the usual options.
    pub async fn up() -> Self {
        Self::builder().start().await
    }

    #[expect(clippy::too_many_arguments, reason = "called from the builder alone")]
    pub(crate) fn new(
        options: Builder,
        servers: Servers,
        proxies: Proxies,
        mail: Mail,
        dir: TempDir,
        programs: PathBuf,
        web: u16,
        turn: Option<SemaphorePermit<'static>>,
    ) -> Self {
        Self {
            processes: Mutex::default(),
            started: AtomicUsize::new(0),
            options,
            api: OnceCell::new(),
            profile: OnceCell::new(),
            web,
            programs,
            proxies,
            mail,
            servers,
            dir,
            _turn: turn,
        }
    }

    /// Sets the installation up by the command line, as an operator would, and starts its roles.
    pub(crate) async fn bootstrap(&self) {
        self.lockstep_ok(&["migrate", "--organisation", "Lockstep under test"]).await;
        let password = self.dir.path().join("password");
        std::fs::write(&password, format!("{}\n", Uuid::new_v4())).unwrap();
        self.lockstep_ok(&["admin", "create", "admin", "--password-file", &password.display().to_string()]).await;
        let key = self.lockstep_ok(&["api-key", "create", "tests", "--role", "administrator"]).await;
        let api = Api::new(format!("http://127.0.0.1:{}", self.web), key.trim().to_owned());
        assert!(self.api.set(api).is_ok(), "set up twice");
        let roles: Vec<Role> = if self.options.all_in_one { vec![Role::All] } else { Role::SEPARATE.to_vec() };
        let mut started = Vec::new();
        for role in roles.into_iter().filter(|role| !self.options.without.contains(role)) {
            let environment = self.options.environment.iter().filter(|(to, _, _)| *to == role);
            let environment: Vec<_> = environment.map(|(_, name, value)| (name.as_str(), value.as_str())).collect();
            for _ in 0..self.options.replicas.get(&role).copied().unwrap_or(1) {
                started.push(self.spawn(role, &environment));
            }
        }
        for process in started {
            process.wait_ready(READY_WITHIN).await;
        }
    }

    /// Starts another process of a role without waiting for it, with additions to its environment.
    pub fn spawn(&self, role: Role, environment: &[(&str, &str)]) -> Arc<Process> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let probes = free_port();
        let mut command = dying_with_us(&self.programs.join(role.program()));
        command.arg("--config").arg(self.config_file());
        if role == Role::All {
            command.arg("all");
        }
        command.env("LOCKSTEP__PROBES__LISTEN", format!("127.0.0.1:{probes}"));
        command.envs(environment.iter().copied()).current_dir(self.dir.path());
        let log = self.dir.path().join(format!("{number:02}-{}.log", role.name()));
        let process = Arc::new(Process::start(role, command, log, probes));
        self.all().push(Arc::clone(&process));
        process
    }

    /// Starts another process of a role and waits until it is ready.
    pub async fn start(&self, role: Role) -> Arc<Process> {
        let process = self.spawn(role, &[]);
        process.wait_ready(READY_WITHIN).await;
        process
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Process>>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The processes of a role that have not ended, oldest first.
    pub fn processes(&self, role: Role) -> Vec<Arc<Process>> {
        self.all().iter().filter(|p| p.role() == role && p.ended().is_none()).cloned().collect()
    }

    /// Every process ever started here, oldest first.
    pub fn every_process(&self) -> Vec<Arc<Process>> {
        self.all().clone()
    }

    /// The oldest running process of a role.
    ///
    /// # Panics
    /// When none runs.
    pub fn process(&self, role: Role) -> Arc<Process> {
        self.processes(role).into_iter().next().unwrap_or_else(|| panic!("no {} runs", role.name()))
    }

    /// Ends every process of a role by SIGKILL.
    pub async fn kill(&self, role: Role) {
        let killed = self.processes(role);
        for process in &killed {
            process.signal(Signal::KILL);
        }
        for process in killed {
            process.wait(Duration::from_secs(10)).await;
        }
    }

    /// Asks the oldest process of a role to stop (SIGTERM) and waits for its end.
    pub async fn stop(&self, role: Role) -> Exit {
        let process = self.process(role);
        process.signal(Signal::TERM);
        process.wait(Duration::from_secs(60)).await
    }

    /// Freezes every process of a role, as a machine that swaps or a stopped container would.
    pub fn pause(&self, role: Role) {
        for process in self.processes(role) {
            process.signal(Signal::STOP);
        }
    }

    /// Lets the frozen processes of a role go on.
    pub fn resume(&self, role: Role) {
        for process in self.processes(role) {
            process.signal(Signal::CONT);
        }
    }

    /// The REST API, with an administrator's key.
    pub fn api(&self) -> &Api {
        self.api.get().unwrap_or_else(|| panic!("the installation is not set up"))
    }

    /// A pool on the deployment's database, for looking and counting.
    pub fn pool(&self) -> &PgPool {
        self.servers.database.pool()
    }

    /// The deployment's database.
    pub fn database(&self) -> &TestDatabase {
        &self.servers.database
    }

    /// The deployment's virtual host on the broker.
    pub fn vhost(&self) -> &TestVhost {
        &self.servers.vhost
    }

    /// The deployment's Redis database.
    pub fn redis(&self) -> &TestRedis {
        &self.servers.redis
    }

    /// The addresses of a server.
    pub fn services(&self, service: Service) -> &Services {
        self.servers.of(service)
    }

    /// The servers that belong to this deployment alone.
    ///
    /// # Panics
    /// When none was asked for.
    pub fn private(&self) -> &PrivateServices {
        self.servers.private.as_ref().unwrap_or_else(|| panic!("no private services were asked for"))
    }

    /// The proxy in front of a service.
    ///
    /// # Panics
    /// When none was asked for.
    pub fn proxy(&self, service: Service) -> &ChaosProxy {
        let proxy = match service {
            Service::Postgres => self.proxies.postgres.as_ref(),
            Service::RabbitMq => self.proxies.rabbitmq.as_ref(),
            Service::Redis => self.proxies.redis.as_ref(),
            Service::Dovecot => self.mail.proxies.as_ref().map(|(incoming, _)| incoming),
            Service::Exim => self.mail.proxies.as_ref().map(|(_, outgoing)| outgoing),
        };
        proxy.unwrap_or_else(|| panic!("no proxy before {service:?} was asked for"))
    }

    /// The settings file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("lockstep.toml")
    }

    /// The folder with settings and logs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of the web role, without a path.
    pub fn web_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web)
    }

    /// A program of the deployment with these arguments and the settings file, and only that environment.
    pub fn command(&self, role: Role, arguments: &[&str]) -> Command {
        let mut command = dying_with_us(&self.programs.join(role.program()));
        command.args(arguments).arg("--config").arg(self.config_file()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command of the command line.
    pub async fn lockstep(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.command(Role::All, arguments));
        let output = tokio::time::timeout(COMMAND_WITHIN, command.kill_on_drop(true).output()).await;
        match output {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => panic!("lockstep {arguments:?}: {error}"),
            Err(_) => panic!("lockstep {arguments:?} does not end"),
        }
    }

    /// Runs a command that must succeed, and tells what it printed.
    pub async fn lockstep_ok(&self, arguments: &[&str]) -> String {
        let output = self.lockstep(arguments).await;
        let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "lockstep {arguments:?}: {}\n{text}{error}", output.status);
        text.into_owned()
    }

    /// Waits until every running role is ready.
    pub async fn wait_ready(&self) {
        for process in self.every_process().into_iter().filter(|p| p.ended().is_none()) {
            process.wait_ready(READY_WITHIN).await;
        }
    }

    /// Waits until `condition` holds, at most for `seconds`.
    ///
    /// # Panics
    /// When time is up.
    pub async fn wait_until<C, F>(&self, seconds: u64, description: &str, condition: F) -> C::Met
    where
        C: lockstep_test_support::wait::Condition,
        F: AsyncFnMut() -> C,
    {
        eventually(Duration::from_secs(seconds), condition, description).await
    }

    /// The ends of all logs, for a person.
    pub fn logs(&self) -> String {
        let ends = self.every_process().into_iter().map(|process| {
            let state = process.ended().map_or_else(|| "running".to_owned(), |status| status.to_string());
            format!("---- {} ({state})\n{}\n", process.log().display(), process.log_tail(TAIL))
        });
        ends.collect()
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the processes said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if std::env::var_os("LOCKSTEP_E2E_KEEP").is_some() {
                self.dir.disable_cleanup(true);
            }
        }
    }
}
