//! Webhooks from end to end: a receiver written after the documentation, which fails and dies, and workers that die.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use lockstep_e2e::{Cluster, Role};
use serde_json::{Value, json};

/// The receiver as a process; it ends with the value.
struct Receiver {
    child: Child,
    port: u16,
}

impl Receiver {
    fn start(dir: &Path, port: u16) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .args([root.join("e2e/receiver.py"), root.join("../docs/webhooks.md"), dir.join("secret"), log(dir)])
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("received.jsonl")
}

/// What was accepted, in order.
fn accepted(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log(dir)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Every change of a contact arrives, signed, in the order of each record, though the receiver refuses every fourth
/// request and dies once, and the worker is killed twice. What comes twice is the same event under the same id.
#[tokio::test]
async fn a_receiver_misses_nothing_though_both_sides_die() {
    const CONTACTS: usize = 12;
    let cluster = Cluster::builder().setting("network", "private_webhooks", "true").scale(0.1).start().await;
    let dir = cluster.dir().to_path_buf();
    std::fs::write(dir.join("secret"), "").unwrap();
    let receiver = Receiver::start(&dir, 0);
    let port = receiver.port;
    let endpoint = json!({
        "name": "receiver",
        "url": format!("http://127.0.0.1:{port}/hooks"),
        "record_kinds": ["contact"],
    });
    let endpoint = cluster.api().post("/webhook-endpoints", &endpoint).await;
    std::fs::write(dir.join("secret"), endpoint["secret"].as_str().unwrap()).unwrap();

    let mut contacts = Vec::new();
    for number in 0..CONTACTS {
        contacts.push(cluster.api().contact(&format!("C{number}"), &format!("c{number}@customer.test")).await);
    }
    let some = async |at_least: usize| {
        cluster.wait_until(120, "events arrive", async || accepted(&dir).len() >= at_least).await;
    };
    some(3).await;
    cluster.kill(Role::AsyncWorker).await;
    for contact in &contacts {
        cluster.api().patch(&format!("/contacts/{contact}"), &json!({ "name": "Other" })).await;
    }
    cluster.start(Role::AsyncWorker).await;
    some(CONTACTS).await;
    drop(receiver);
    for contact in &contacts {
        cluster.api().delete(&format!("/contacts/{contact}")).await;
    }
    cluster.kill(Role::AsyncWorker).await;
    cluster.start(Role::AsyncWorker).await;
    let _receiver = Receiver::start(&dir, port);
    let gone = |event: &Value| event["event"]["type"] == "contact.deleted";
    cluster
        .wait_until(180, "the last deletion arrives", async || {
            accepted(&dir).iter().filter(|e| gone(e)).count() >= CONTACTS
        })
        .await;

    let events = accepted(&dir);
    assert!(events.iter().all(|event| event["valid"] == true), "{events:?}");
    let mut first: Vec<&Value> = Vec::new();
    let mut known: BTreeMap<String, &Value> = BTreeMap::new();
    for event in &events {
        let id = event["id"].as_str().unwrap().to_owned();
        match known.insert(id, event) {
            Some(before) => assert_eq!(before["event"], event["event"], "a repetition is the same event"),
            None => first.push(event),
        }
    }
    assert_eq!(first.len(), 3 * CONTACTS, "nothing is missing");
    let positions: Vec<i64> = first.iter().map(|e| e["event"]["data"]["position"].as_i64().unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    let mut histories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in first {
        let record = event["event"]["data"]["id"].as_str().unwrap();
        histories.entry(record).or_default().push(event["event"]["type"].as_str().unwrap());
    }
    for (record, history) in &histories {
        assert_eq!(history, &["contact.created", "contact.updated", "contact.deleted"], "{record}");
    }
    assert_eq!(histories.len(), CONTACTS);
    let stands = cluster.api().get(&format!("/webhook-endpoints/{}", endpoint["id"].as_str().unwrap())).await;
    assert_eq!(stands["state"], "healthy", "{stands}");
}
