//! What is wrong ends the start with file, key, expectation and exit code, before any port is bound.

use std::io::Write;

use lockstep_test_support::{Service, Services, free_port, postgres::TestDatabase, rabbitmq::TestVhost};
use tempfile::NamedTempFile;
use url::Url;

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

    let text = format!("{PLACES}[scheduler]\nclaim_lifetime_ms = 5\n").replace("amqp://", "http://");
    let err = refused("scheduler", &text, 78).await;
    assert!(err.contains("`broker.url` must begin with amqp://"), "{err}");
    assert!(err.contains("claim_lifetime_ms at least 1000"), "{err}");
}

#[tokio::test]
async fn missing_and_malformed_secrets_are_refused_without_being_shown() {
    let err = refused("outgoing-worker", PLACES, 78).await;
    assert!(err.contains("`secrets.keys`") && err.contains("LOCKSTEP__SECRETS__KEYS"), "{err}");

    let err = refused("web", &format!("{PLACES}[secrets]\nkeys = [\"k:hunter2\"]\n"), 78).await;
    assert!(err.contains("`secrets.keys`") && err.contains("64 hexadecimal digits"), "{err}");

    let other = format!("k:{}", "ab".repeat(32));
    let err = refused("web", &format!("{PLACES}[secrets]\nkeys = [\"{KEY}\", \"{other}\"]\n"), 78).await;
    assert!(err.contains("`secrets.keys`") && err.contains("two keys with the id \"k\""), "{err}");
    assert!(!err.contains("abab") && !err.contains("aabbcc"), "{err}");

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

/// An address with a part of it changed.
fn changed(url: &str, change: impl FnOnce(&mut Url)) -> String {
    let mut url: Url = url.parse().unwrap();
    change(&mut url);
    url.into()
}

/// The line of a message about this key.
fn line<'a>(message: &'a str, key: &str) -> &'a str {
    message.lines().find(|line| line.contains(&format!("`{key}` is refused"))).unwrap_or_else(|| panic!("{message}"))
}

/// Who is shut out needs other settings, not patience.
#[tokio::test]
async fn a_refused_user_is_told_from_an_unreachable_service() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let wrong = |url: &mut Url| url.set_password(Some("hunter2")).unwrap();
    let database = changed(services.postgres_url(), wrong);
    let broker = changed(services.amqp_url(), wrong);
    let redis = changed(services.redis_url(), |url| {
        url.set_username("nobody").unwrap();
        wrong(url);
    });
    let text = format!(
        "[startup]\npatience = \"20s\"\n[database]\nurl = \"{database}\"\n[broker]\nurl = \"{broker}\"\n\
         [redis]\nurl = \"{redis}\"\n[secrets]\nkeys = [\"{KEY}\"]\n"
    );
    let begun = std::time::Instant::now();
    let err = refused("mailbox-worker", &text, 78).await;
    assert!(begun.elapsed().as_secs() < 15, "no patience where it cannot help: {:?}", begun.elapsed());
    assert!(line(&err, "database.url").contains("28P01") || line(&err, "database.url").contains("password"), "{err}");
    let user = Url::parse(&broker).unwrap().username().to_owned();
    let told = line(&err, "broker.url");
    assert!(told.contains(&format!("{user:?}")) && told.contains("ACCESS_REFUSED"), "{err}");
    assert!(told.contains("`lockstep broker apply`") && told.contains(":[secret]@"), "{err}");
    assert!(line(&err, "redis.url").contains("nobody:[secret]@"), "{err}");
}

#[tokio::test]
async fn a_database_or_virtual_host_that_is_not_there_is_refused() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let database = changed(services.postgres_url(), |url| url.set_path("/no_such_database"));
    let broker = changed(services.amqp_url(), |url| url.set_path("/no-such-vhost"));
    let redis = changed(services.redis_url(), |url| url.set_path("/99999"));
    let text = format!(
        "[startup]\npatience = \"20s\"\n[database]\nurl = \"{database}\"\n[broker]\nurl = \"{broker}\"\n\
         [redis]\nurl = \"{redis}\"\n[secrets]\nkeys = [\"{KEY}\"]\n"
    );
    let err = refused("mailbox-worker", &text, 78).await;
    assert!(line(&err, "database.url").contains("no_such_database"), "{err}");
    assert!(line(&err, "broker.url").contains("no-such-vhost") && err.contains("virtual host"), "{err}");
    assert!(line(&err, "redis.url").contains("out of range"), "{err}");
}

/// A user that exists, without the rights of its role.
#[tokio::test]
async fn a_broker_user_without_rights_is_refused() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq]).await;
    let (database, vhost) = (TestDatabase::create_on(services).await, TestVhost::create_on(services).await);
    let broker = vhost.user("powerless", "^$", "^$", "^$").await;
    let text = format!("[database]\nurl = \"{}\"\n[broker]\nscheduler_url = \"{broker}\"\n", database.url());
    let err = refused("scheduler", &format!("[startup]\npatience = \"2s\"\n{text}"), 78).await;
    let told = line(&err, "broker.scheduler_url");
    assert!(told.contains("scheduler.report") && told.contains("`lockstep broker apply`"), "{err}");
}
