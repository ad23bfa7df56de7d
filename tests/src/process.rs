//! Child processes: started with their logs in files, signalled by pid, ended with the test.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use lockstep_test_support::eventually;
use rustix::process::{Pid, Signal, kill_process};

use crate::Role;

/// Kills the child when this process dies without a chance to do it.
const SUPERVISOR: &str = "/usr/bin/setpriv";

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// As the operating system tells it.
    pub status: ExitStatus,
    /// From the signal, or the start of waiting, to the end.
    pub took: Duration,
}

impl Exit {
    /// The exit code, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether SIGKILL ended it.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }
}

/// A running (or ended) program of the deployment.
#[derive(Debug)]
pub struct Process {
    role: Role,
    pid: Pid,
    child: Mutex<Child>,
    log: PathBuf,
    probes: u16,
    client: reqwest::Client,
}

impl Process {
    pub(crate) fn start(role: Role, mut command: Command, log: PathBuf, probes: u16) -> Self {
        let file = File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let copy = file.try_clone().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.stdin(Stdio::null()).stdout(copy).stderr(file);
        let child = spawn(command).unwrap_or_else(|error| panic!("{} cannot be started: {error}", role.name()));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("no process id"));
        Self { role, pid, child: Mutex::new(child), log, probes, client: crate::api::client() }
    }

    /// What it plays.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Where its probes and its `/metrics` are, without a path.
    pub fn probes_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.probes)
    }

    /// The loopback port of its probes.
    pub fn probes_port(&self) -> u16 {
        self.probes
    }

    /// The file that holds what it says.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Everything it has said so far.
    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of what it said.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.role.name()))
    }

    /// Sends a signal; nothing happens when it has ended already.
    pub fn signal(&self, signal: Signal) {
        // Not reaped yet while the lock is held, so that the number cannot be another process's.
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> Exit {
        let begun = Instant::now();
        let status = eventually(within, async || self.ended(), &format!("{} ends", self.role.name())).await;
        Exit { status, took: begun.elapsed() }
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Panics
    /// When it does not within `within`, or when the process ends.
    pub async fn wait_ready(&self, within: Duration) {
        let ready = async || match self.ended() {
            Some(status) => panic!("{} ended ({status}):\n{}", self.role.name(), self.log_tail(40)),
            None => self.readiness().await.and_then(|(ready, text)| if ready { Ok(()) } else { Err(text) }),
        };
        eventually(within, ready, &format!("{} is ready", self.role.name())).await;
    }

    /// Whether `/readyz` says yes, and its words.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<(bool, String), String> {
        let answer = self.probe("readyz").await?;
        Ok((answer.0 == 200, answer.1))
    }

    async fn probe(&self, path: &str) -> Result<(u16, String), String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.probes);
        let answer = self.client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    /// The sum of a figure over all its labels that hold `labels` (such as `outcome="lease_lost"`).
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let (_, text) = self.probe("metrics").await.ok()?;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The most memory it ever had resident, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Starts a child from a thread that lives as long as this process: the parent-death signal is bound to the thread.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for mut order in received {
                let _ = order.answer.send(order.command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, answered) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts children is gone");
    let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send(Order { command, answer });
    sent.map_err(|_| io::Error::other("the thread that starts children is gone"))?;
    answered.recv().map_err(gone)?
}

/// A command that dies with this process, where the machine can promise that.
pub(crate) fn dying_with_us(program: &Path) -> Command {
    let mut command = if Path::new(SUPERVISOR).exists() {
        let mut command = Command::new(SUPERVISOR);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOCKSTEP") {
            command.env_remove(name);
        }
    }
    command
}
