//! Log lines.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep_service::LogFormat;
use lockstep_service::telemetry::LogLines;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn capture(format: LogFormat, work: impl FnOnce(&Captured)) -> Vec<String> {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(LogLines::new(captured.clone(), format));
    tracing::subscriber::with_default(subscriber, || work(&captured));
    captured.lines()
}

impl Captured {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

fn hostile() {
    let outer = tracing::info_span!("cycle", mailbox = "m1", attempt = 1, server = tracing::field::Empty);
    let _outer = outer.enter();
    outer.record("server", "imap.example");
    let _inner = tracing::info_span!("fetch", attempt = 2).entered();
    tracing::warn!(reply = "a\nFAKE LINE\u{1b}[2J", size = 5, huge = "ä".repeat(9000), "refused\r\nby the server");
}

#[test]
fn one_json_object_for_each_event_with_the_fields_of_all_spans() {
    let lines = capture(LogFormat::Json, |_| hostile());
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "refused\r\nby the server");
    assert_eq!(line["target"], "it::lines");
    assert_eq!(line["fields"]["size"], 5);
    assert_eq!(line["span"], "fetch");
    assert_eq!(line["span_fields"], serde_json::json!({"mailbox": "m1", "attempt": 2, "server": "imap.example"}));
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(line["fields"]["huge"].as_str().unwrap().len() < 5000);
}

#[test]
fn text_is_one_line_without_control_characters() {
    let lines = capture(LogFormat::Text, |_| hostile());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("refused  by the server") && lines[0].contains("mailbox=\"m1\""), "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'));
}

#[test]
fn a_place_that_repeats_itself_is_counted_not_written() {
    let lines = capture(LogFormat::Json, |captured| {
        let complain = || tracing::error!("the database is gone");
        for _ in 0..1000 {
            complain();
        }
        let written = captured.lines().len();
        assert!((20..200).contains(&written), "{written} lines");
        let end = Instant::now() + Duration::from_secs(10);
        while captured.lines().len() == written && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            complain();
        }
        tracing::error!("another place is not affected");
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["suppressed"].as_u64().is_some_and(|n| n > 100)), "{lines:?}");
    assert_eq!(lines.last().unwrap()["message"], "another place is not affected");
}
