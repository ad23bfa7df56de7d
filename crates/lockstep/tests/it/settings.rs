//! Settings, and a mailbox out of turn, from the command line.

use lockstep_test_support::{Service, Services};
use serde_json::Value;

use crate::{
    process::{Running, run},
    world::World,
};

/// N11, L11, L12, L13: the three groups and the directions of fields are read and written by command. A12: an operator has a
/// mailbox looked at.
#[tokio::test(flavor = "multi_thread")]
async fn n11_settings_are_read_and_written_by_command() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let world = World::create(services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator", "--expires-in", "1d"]).await;
    let _web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    let url = format!("http://127.0.0.1:{}", world.web);
    let env = [("LOCKSTEP_API_URL", url.as_str()), ("LOCKSTEP_API_KEY", key.trim()), ("NO_PROXY", "127.0.0.1")];
    let call = async |arguments: &[&str]| run("lockstep", arguments, &env).await;

    let (code, out, err) = call(&["setting", "get"]).await;
    assert_eq!(code, Some(0), "{err}");
    for group in ["email", "act", "queue"] {
        assert!(out.lines().any(|line| line.starts_with(group)), "{out}");
    }
    let (_, out, err) = call(&["setting", "set", "email", "idle_mailbox_maximum_backoff", "1800"]).await;
    assert!(out.contains("email idle_mailbox_maximum_backoff is 1800.") && out.contains("Note: Idle"), "{out}{err}");
    let (_, out, err) = call(&["setting", "get", "email", "--json"]).await;
    let shown: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let of =
        |key: &str| shown.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap()["value"].clone();
    assert_eq!(of("idle_mailbox_maximum_backoff"), 1800);
    assert!(shown.as_array().unwrap().iter().all(|setting| setting["group"] == "email"));
    let (_, out, _) = call(&["setting", "set", "email", "idle_mailbox_maximum_backoff", "default"]).await;
    assert!(out.contains("is 720."), "{out}");

    let (code, _, err) = call(&["setting", "set", "email", "active_mailbox_minimum_backoff", "301"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("- active_mailbox_minimum_backoff (order): expected"), "{err}");
    let (code, _, err) = call(&["setting", "set", "email", "mailbox_backoff_on_timeout", "soon"]).await;
    assert_eq!((code, err.contains("1 to 86400 seconds")), (Some(1), true), "{err}");
    let (code, out, _) = call(&["setting", "set", "--help"]).await;
    assert_eq!(
        (code, out.contains("maximum_items_per_cycle  [1 to 100000 items, default 500]")),
        (Some(0), true),
        "{out}"
    );

    // The map of fields is listed and written; what the organisation chooses is a field of it.
    let (_, out, err) = call(&["field-directions", "list", "contact"]).await;
    let row = |out: &str, field: &str| -> Vec<String> {
        let found = out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        found.into_iter().find(|cells| cells.get(1).is_some_and(|cell| cell == field)).unwrap_or_default()
    };
    assert_eq!(row(&out, "description"), ["contact", "description", "both", "both", "true"], "{out}{err}");
    assert!(row(&out, "due_date").is_empty(), "{out}");
    let (code, out, err) = call(&["field-direction", "set", "contact", "--set", "description=neither"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.lines().any(|line| line.starts_with("description ") && line.ends_with(" neither")), "{out}");
    let (code, _, err) = call(&["field-direction", "set", "contact", "--set", "full_name=neither"]).await;
    assert_eq!((code, err.contains("full_name (fixed)")), (Some(1), true), "{err}");
    let (_, out, err) = call(&["field-direction", "set", "contact", "--set", "description=null"]).await;
    assert!(out.lines().any(|line| line.starts_with("description ") && line.ends_with(" both")), "{out}{err}");
    let (code, _, err) = call(&["field-direction", "show", "email"]).await;
    assert_eq!((code, err.contains("service-activity")), (Some(2), true), "{err}");
    let (_, out, err) = call(&["organisation", "update", "--set", "leaving_deletes=true"]).await;
    assert!(out.lines().any(|line| line.starts_with("leaving_deletes ") && line.ends_with(" true")), "{out}{err}");

    let (code, _, err) = call(&["user", "create", "--set", "name=Ann", "--set", "address=ann@contoso.test"]).await;
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = call(&["mailbox", "sync-now", "ann@contoso.test"]).await;
    assert_eq!((code, err.contains("409") && err.contains("not read at present")), (Some(1), true), "{err}");
    let (code, _, err) = call(&["mailbox", "sync-now", "nobody@contoso.test"]).await;
    assert_eq!(code, Some(1), "{err}");
}
