//! The real programs, started with nothing in their environment but what a test gives them.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// No command of a test takes longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(90);

/// The path of a program of this crate.
pub(crate) fn program(name: &str) -> &'static str {
    match name {
        "scheduler" => env!("CARGO_BIN_EXE_scheduler"),
        "mailbox-worker" => env!("CARGO_BIN_EXE_mailbox-worker"),
        "outgoing-worker" => env!("CARGO_BIN_EXE_outgoing-worker"),
        "async-worker" => env!("CARGO_BIN_EXE_async-worker"),
        "web" => env!("CARGO_BIN_EXE_web"),
        _ => env!("CARGO_BIN_EXE_lockstep"),
    }
}

fn command(name: &str, arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program(name));
    command.args(arguments).env_clear().envs(env.iter().copied()).kill_on_drop(true);
    command
}

/// Runs a program to its end.
pub(crate) async fn run(name: &str, arguments: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    run_with_input(name, arguments, env, "").await
}

/// Runs a program to its end, with this on its standard input.
pub(crate) async fn run_with_input(
    name: &str,
    arguments: &[&str],
    env: &[(&str, &str)],
    input: &str,
) -> (Option<i32>, String, String) {
    let mut child = command(name, arguments, env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let Output { status, stdout, stderr } = timeout(LONGEST, child.wait_with_output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A program that keeps running. Killed when the value is dropped.
pub(crate) struct Running {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Running {
    pub(crate) fn start(name: &str, arguments: &[&str], settings: &Path) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let stderr = log.reopen().unwrap();
        let child = command(name, arguments, &[])
            .arg("--config")
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Asks it to stop, and gives its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        timeout(LONGEST, self.child.wait()).await.unwrap_or_else(|_| panic!("{}", self.log())).unwrap().code()
    }
}

/// Status and body of a GET over plain HTTP on loopback; `None` while nobody answers.
pub(crate) async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
