//! The command line against a running installation: bootstrap, doctor, records over the API, problems, dead letters.

use lockstep_test_support::{Service, Services};
use serde_json::Value;

use crate::{
    process::{Running, run, run_with_input},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_does_everything_from_the_command_line() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let world = World::create(services).await;

    let (code, out, _) = world.try_admin(&["doctor"]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED") && out.contains("lockstep migrate"), "{out}");
    assert!(!out.contains("pass word") && !out.contains("pass%20word"), "{out}");

    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let out = world.admin(&["doctor"]).await;
    assert!(!out.contains("FAILED") && out.contains("noeviction") && out.contains("\"Contoso\""), "{out}");

    let config = ["--config", world.settings().to_str().unwrap()];
    let create = ["admin", "create", "root", config[0], config[1]];
    let (code, _, err) = run_with_input("lockstep", &create, &[], "short\n").await;
    assert_eq!(code, Some(1));
    assert!(err.contains("12 characters"), "{err}");
    let (code, out, err) = run_with_input("lockstep", &create, &[], "a long enough password\n").await;
    assert_eq!((code, out.contains("\"root\"")), (Some(0), true), "{out}{err}");

    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator", "--expires-in", "1d"]).await;
    let key = key.trim();
    assert!(key.starts_with("lsk_"), "{key}");

    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    let url = format!("http://127.0.0.1:{}", world.web);
    let env = [("LOCKSTEP_API_URL", url.as_str()), ("LOCKSTEP_API_KEY", key), ("NO_PROXY", "127.0.0.1")];
    let call = async |arguments: &[&str]| run("lockstep", arguments, &env).await;

    let (code, out, err) =
        call(&["user", "create", "--set", "name=Ann", "--set", "address=ann@contoso.test", "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
    let user: Value = serde_json::from_str(&out).unwrap();
    let id = user["id"].as_str().unwrap();
    let (code, out, err) = call(&["user", "update", id, "--set", "name=Anna"]).await;
    assert_eq!((code, out.contains("Anna")), (Some(0), true), "{out}{err}");
    let (code, out, _) = call(&["users", "list"]).await;
    assert_eq!(code, Some(0));
    assert!(out.starts_with("id ") && out.contains("ann@contoso.test"), "{out}");
    let (code, out, _) = call(&["api", "get", "/mailboxes?limit=5", "--json"]).await;
    assert_eq!(code, Some(0));
    assert!(serde_json::from_str::<Value>(&out).unwrap()["items"].is_array(), "{out}");

    let (code, out, err) = call(&["user", "create", "--set", "name=Bob", "--set", "address=nonsense"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("422") && err.contains("- address (") && err.contains("expected"), "{err}");
    let (code, out, err) = call(&["alert", "list", "--filter", "switched_off=true"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "Nothing.\n"), "{err}");
    let (code, out, err) = call(&["alert", "dismiss", "--all", "--filter", "severity=warning"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "0 dismissed.\n"), "{err}");
    assert_eq!(call(&["alert", "dismiss"]).await.0, Some(2), "one, or --all");
    let (code, out, err) = call(&["mailbox", "deactivate-failing", "--idle-since", "2026-01-01T00:00:00Z"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "Nothing.\n"), "{err}");

    let (code, _, err) = run("lockstep", &["users", "list"], &[("LOCKSTEP_API_URL", &url)]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("no key"), "{err}");

    assert_eq!(web.stop().await, Some(0));
    let (code, _, err) = call(&["users", "list"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot be reached") && !err.contains(key), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_sent_again_and_deleted() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let world = World::create(services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    // The role declares its queues, and is gone again: nobody reads them from then on.
    let role = Running::start("mailbox-worker", &[], world.settings());
    world.ready(200).await;
    assert_eq!(role.stop().await, Some(0));

    let vhost = world.vhost().name().to_owned();
    let letters = async |what: &str| world.admin(&["dead-letters", what, "mailbox.sync", "--vhost", &vhost]).await;
    assert_eq!(letters("list").await, "No dead letters.\n");
    publish(services, &vhost, "mailbox.sync.dead.exchange", "a hostile \u{1b}[31m letter").await;
    let shown = letters("list").await;
    assert!(shown.contains("a hostile  [31m letter"), "{shown}");
    assert_eq!(letters("requeue").await, "1 sent to mailbox.sync again.\n");
    assert_eq!(letters("list").await, "No dead letters.\n");
    publish(services, &vhost, "mailbox.sync.dead.exchange", "another").await;
    assert!(letters("drop").await.contains("1 deleted."));
    assert_eq!(letters("list").await, "No dead letters.\n");
}

/// Publishes by the management API, as if a message had died.
async fn publish(services: &Services, vhost: &str, exchange: &str, payload: &str) {
    let mut url: url::Url = services.rabbitmq_api_url().parse().unwrap();
    let (user, password) = (url.username().to_owned(), url.password().unwrap().to_owned());
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    {
        let mut segments = url.path_segments_mut().unwrap();
        segments.pop_if_empty();
        if !services.rabbitmq_api_url().trim_end_matches('/').ends_with("/api") {
            segments.push("api");
        }
        segments.extend(["exchanges", vhost, exchange, "publish"]);
    }
    let body = serde_json::json!({
        "routing_key": "mailbox.sync", "payload": payload, "payload_encoding": "string", "properties": {},
    });
    let client = reqwest::Client::builder().timeout(crate::process::LONGEST).no_proxy().build().unwrap();
    let answer = client.post(url).basic_auth(user, Some(password)).json(&body).send().await.unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["routed"], true);
}
