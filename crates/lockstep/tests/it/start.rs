//! What is wrong ends the start with file, key, expectation and exit code, before any port is bound.

use std::io::Write;

use lockstep_test_support::{Service, Services, free_port};
use tempfile::NamedTempFile;

use crate::process::run;

const KEY: &str = "k:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Starts a role that must refuse; its message.
async fn refused(role: &str, settings: &str, code: i32) -> String {
    let file = file(settings);
    let path = file.path().to_str().unwrap();
    let (exit, out, err) = run(role, &["--config", path], &[]).await;
    assert_eq!(exit, Some(code), "{err}");
    assert_eq!(out, "");
    // Logs would begin with the ports: nothing was bound.
    assert!(!err.contains("\"message\""), "{err}");
    assert!(!err.contains("hunter2"), "{err}");
    assert!(err.contains(path), "the file is named: {err}");
    err
}

const PLACES: &str = r#"
[database]
url = "postgres://u:hunter2@127.0.0.1:1/x"
[broker]
url = "amqp://u:hunter2@127.0.0.1:1/x"
[redis]
url = "redis://:hunter2@127.0.0.1:1/0"
"#;

#[tokio::test]
async fn unknown_keys_and_sections_are_refused() {
    let text = format!("{PLACES}[secrets]\nkeys = [\"{KEY}\"]\n[mailbox_worker]\nconcurency = 3\n[mailbox]\nx = 1\n");
    let err = refused("mailbox-worker", &text, 78).await;
    assert!(err.contains("`mailbox_worker.concurency` is not a known key"), "{err}");
    assert!(err.contains("Did you mean `concurrency`?") && err.contains("line 11"), "{err}");
    assert!(err.contains("`mailbox` is not a known key"), "{err}");
}

#[tokio::test]
async fn wrong_types_and_broken_rules_are_refused() {
    let text = format!("{PLACES}[secrets]\nkeys = [\"{KEY}\"]\n[mailbox_worker]\nconcurrency = \"many\"\n");
    let err = refused("mailbox-worker", &text, 78).await;
    assert!(err.contains("`mailbox_worker.concurrency`") && err.contains("u16"), "{err}");

    let text = format!("{PLACES}[time]\nscale = 2.0\n");
    let err = refused("scheduler", &text, 78).await;
    assert!(err.contains("`time.scale` must be above 0 and at most 1"), "{err}");

    let text = format!("{PLACES}[scheduler]\nbusy_interval_s = 900\n").replace("amqp://", "http://");
    let err = refused("scheduler", &text, 78).await;
    assert!(err.contains("`broker.url` must begin with amqp://"), "{err}");
    assert!(err.contains("busy_interval_s, normal_interval_s and quiet_interval_s must be"), "{err}");
}

#[tokio::test]
async fn missing_and_malformed_secrets_are_refused_without_being_shown() {
    let err = refused("outgoing-worker", PLACES, 78).await;
    assert!(err.contains("`secrets.keys`") && err.contains("LOCKSTEP__SECRETS__KEYS"), "{err}");

    let err = refused("web", &format!("{PLACES}[secrets]\nkeys = [\"k:hunter2\"]\n"), 78).await;
    assert!(err.contains("`secrets.keys`") && err.contains("64 hexadecimal digits"), "{err}");

    let err = refused("async-worker", &format!("{PLACES}[secrets]\nkeys_file = \"/nowhere/keys\"\n"), 78).await;
    assert!(err.contains("`secrets.keys_file`") && err.contains("/nowhere/keys"), "{err}");
}

#[tokio::test]
async fn a_certificate_file_that_cannot_be_read_is_refused() {
    let text = format!("{PLACES}[secrets]\nkeys = [\"{KEY}\"]\n[network]\nca_file = \"/nowhere/ca.pem\"\n");
    let err = refused("mailbox-worker", &text, 78).await;
    assert!(err.contains("`network.ca_file`") && err.contains("/nowhere/ca.pem"), "{err}");
}

/// N4: the scheduler never opens a secret, so it does not even look for the file.
#[tokio::test]
async fn n4_sections_of_other_roles_are_not_looked_into() {
    let text = format!("[startup]\npatience = \"1s\"\n{PLACES}[secrets]\nkeys_file = \"/nowhere/keys\"\n");
    let err = refused("scheduler", &text, 69).await;
    assert!(!err.contains("secrets"), "{err}");
}

#[tokio::test]
async fn unreachable_services_are_named_with_key_and_address() {
    let port = free_port();
    let text = format!(
        "[startup]\npatience = \"1s\"\n{PLACES}[secrets]\nkeys = [\"{KEY}\"]\n[probes]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let err = refused("mailbox-worker", &text, 69).await;
    for (key, address) in [
        ("database.url", "postgres://u:[secret]@127.0.0.1:1/x"),
        ("broker.url", "amqp://u:[secret]@127.0.0.1:1/x"),
        ("redis.url", "redis://:[secret]@127.0.0.1:1/0"),
    ] {
        let line = err.lines().find(|line| line.contains(&format!("`{key}`"))).unwrap_or_else(|| panic!("{err}"));
        assert!(line.contains("cannot be reached") && line.contains(address) && line.contains("refused"), "{line}");
    }
}

#[tokio::test]
async fn a_refused_user_is_told_from_an_unreachable_service() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let database = services.postgres_url().replacen("://postgres:", "://nobody:x", 1);
    let broker = {
        let mut url: url::Url = services.amqp_url().parse().unwrap();
        url.set_password(Some("wrong")).unwrap();
        url
    };
    let text =
        format!("[startup]\npatience = \"3s\"\n[database]\nurl = \"{database}\"\n[broker]\nurl = \"{broker}\"\n");
    let err = refused("scheduler", &text, 78).await;
    assert!(err.contains("`database.url` is refused by PostgreSQL"), "{err}");
    assert!(err.contains("`broker.url`") && err.contains("does not let the user in"), "{err}");
}
