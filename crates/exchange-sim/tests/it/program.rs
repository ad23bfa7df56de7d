//! Starting the program and running scripts against it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// No script takes longer than this.
const SCRIPT: Duration = Duration::from_secs(100);

/// A running server; it ends with this.
pub(crate) struct Sim {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sim {
    /// Starts a server for Ann, Bob and Cid, whom Robot may act for.
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exchange-sim"));
        for name in ["ann", "bob", "cid"] {
            command.args(["--account", &format!("{name}:secret")]);
        }
        command.args(["--service-account", "robot:secret"]).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.trim_end().ends_with("/EWS/Exchange.asmx"), "{url}");
        Self { child, url: url.trim_end().to_owned() }
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The interpreter with the clients, made when it is not there yet.
pub(crate) fn python() -> String {
    let made = Command::new(root().join("deploy/dev/exchangelib")).output().unwrap();
    assert!(made.status.success(), "the clients cannot be installed: {}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Runs a command to its end, within its time.
pub(crate) fn finish(command: &mut Command, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begin.elapsed() > SCRIPT {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let log = std::fs::read_to_string(&log).unwrap();
    let tail: Vec<_> = log.lines().rev().take(40).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    let status = status.unwrap_or_else(|| panic!("{what} did not end:\n{tail}"));
    assert!(status.success(), "{what}: {status}\n{tail}");
}

/// Runs one of the scripts under `tests/clients` against a server.
pub(crate) fn script(name: &str, more: &[&str]) {
    script_with(name, more, &[]);
}

/// The same with more in its environment.
pub(crate) fn script_with(name: &str, more: &[&str], environment: &[(&str, &str)]) {
    let python = python();
    let sim = Sim::start(more);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let mut command = Command::new(python);
    command.arg("-B").arg(path).env("EWS_URL", &sim.url).envs(environment.iter().copied());
    finish(&mut command, name);
}
