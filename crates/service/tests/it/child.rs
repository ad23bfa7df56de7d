//! A whole process life, in a process of its own: signals, standard error, the export of traces.
//!
//! The parent starts this test binary again with one of the ignored tests below, which are the child's `main`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep_service::config::{self, ConfigSource};
use lockstep_service::{CommonConfig, Failure, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::receiver;

/// Set in the child's environment.
const CHILD: &str = "LOCKSTEP_TEST_CHILD";

struct Process {
    child: Child,
    stderr: BufReader<ChildStderr>,
    lines: Vec<Value>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(main: &str, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", main, "--ignored", "--nocapture"])
            .envs(env.iter().copied())
            .env("NO_PROXY", "127.0.0.1")
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, lines: Vec::new() }
    }

    /// Reads lines until one holds `message`; every line must be JSON. False at the end of the output.
    fn read_until(&mut self, message: &str) -> bool {
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let found = value["message"].as_str().unwrap().contains(message);
            self.lines.push(value);
            line.clear();
            if found {
                return true;
            }
        }
        false
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        assert!(!self.read_until("\0"));
        self.child.wait().unwrap().code()
    }
}

/// The child's end: the test harness must not turn the exit code into its own.
#[allow(clippy::disallowed_methods)]
fn child<F, Fut>(role: F)
where
    F: FnOnce(lockstep_service::Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    // Started by hand with `--ignored`, it would wait for a signal for ever.
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let config: CommonConfig = config::load(&ConfigSource::from_process(None)).unwrap();
    std::process::exit(i32::from(run("child", &config, role).code()));
}

#[test]
#[ignore = "started by the other tests"]
fn polite() {
    child(|context| async move {
        context.lifecycle.soft.cancelled().await;
        Ok(())
    });
}

#[test]
#[ignore = "started by the other tests"]
fn stubborn() {
    child(|context| async move {
        context.lifecycle.hard.cancelled().await;
        Ok(())
    });
}

#[test]
#[ignore = "started by the other tests"]
fn traced() {
    child(|_| async {
        let _cycle = tracing::info_span!("cycle", mailbox = "m1").entered();
        tracing::warn!("in the cycle");
        Ok(())
    });
}

#[test]
#[ignore = "started by the other tests"]
fn panicking() {
    child(|_| async {
        assert!(std::hint::black_box(false), "two\nlines");
        Ok(())
    });
}

#[test]
fn sigterm_stops_softly_with_0() {
    let mut process = Process::start("child::polite", &[]);
    assert!(process.read_until("child starts"));
    process.signal();
    assert_eq!(process.exit_code(), Some(0));
    assert!(process.lines.iter().any(|line| line["message"] == "child has stopped"));
}

#[test]
fn a_second_signal_cuts_work_off() {
    let started = Instant::now();
    let mut process = Process::start("child::stubborn", &[("LOCKSTEP__SHUTDOWN__GRACE", "10m")]);
    assert!(process.read_until("child starts"));
    process.signal();
    assert!(process.read_until("child stops"));
    process.signal();
    assert_eq!(process.exit_code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_panic_is_a_json_line_and_ends_with_70() {
    let mut process = Process::start("child::panicking", &[]);
    assert_eq!(process.exit_code(), Some(70));
    let panic = process.lines.iter().find(|line| line["target"] == "panic").unwrap();
    assert!(panic["fields"]["place"].as_str().unwrap().contains("child.rs"));
    assert_eq!(panic["message"], "panic: two\nlines");
}

#[test]
fn traces_are_flushed_at_the_end_and_logs_name_them() {
    let (address, received) = receiver();
    let endpoint = format!("http://{address}");
    let env = [
        ("LOCKSTEP__TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("LOCKSTEP__TELEMETRY__SERVICE_INSTANCE", "pod-7"),
        ("LOCKSTEP__TELEMETRY__LOG_LEVEL", "warn"),
    ];
    let mut process = Process::start("child::traced", &env);
    assert_eq!(process.exit_code(), Some(0));
    let (request, body) = received.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(request.starts_with("post /v1/traces "), "{request}");
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    assert!(holds(b"cycle") && holds(b"lockstep-child") && holds(b"pod-7"));
    let line = process.lines.iter().find(|line| line["message"] == "in the cycle").unwrap();
    assert_eq!(line["span_fields"]["mailbox"], "m1");
    let trace_id = line["trace_id"].as_str().unwrap();
    let bytes: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&trace_id[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert!(holds(&bytes), "the export has no trace {trace_id}");
}

#[test]
fn a_receiver_that_cannot_be_reached_does_not_hold_up_the_end() {
    let started = Instant::now();
    let mut process = Process::start("child::traced", &[("LOCKSTEP__TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    assert_eq!(process.exit_code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(45));
}
