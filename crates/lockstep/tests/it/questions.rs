//! Questions of alerts, and what gave way in synchronisation, from the command line.

use lockstep_test_support::{Service, Services};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    process::{Running, run},
    world::World,
};

/// J9, K10: what an alert asks is answered once, and only with what is offered; a record's history is listed.
#[tokio::test(flavor = "multi_thread")]
async fn j9_k10_alerts_are_answered_by_command() {
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

    for (kind, name) in [("user", "name=Ann"), ("contact", "name=Vera")] {
        let address = format!("address={}@example.test", &name[5..]);
        let (code, out, err) = call(&[kind, "create", "--set", name, "--set", &address]).await;
        assert_eq!(code, Some(0), "{out}{err}");
    }
    let alert = Uuid::now_v7();
    let rows = format!(
        "INSERT INTO questions (mailbox_id, remote_key, folder, code, about, record_kind, record_id, answers, by_hand, asked_at)
             SELECT m.id, 'k'::bytea, 'contacts', 'DuplicateContact', '\\x00', 'contact', p.id, '{{create,ignore}}', false, now()
             FROM mailboxes m, people p;
         INSERT INTO alerts (id, key, code, severity, scope, mailbox_id, parameters, first_at, last_at)
             SELECT '{alert}', 'DuplicateContact/item/' || id || '/6b', 'DuplicateContact', 'error', 'item', id, '{{}}', now(),
                 now() FROM mailboxes;
         INSERT INTO lost_values (id, record_kind, record_id, field, side, value, lost_at)
             SELECT gen_random_uuid(), 'contact', id, 'job_title', 'crm', '\"Buyer\"', now() FROM people"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(world.database().pool()).await.unwrap();
    let alert = alert.to_string();

    let (code, _, err) = call(&["alert", "answer", &alert, "link"]).await;
    assert_eq!((code, err.contains("- answer (choice): expected one of: create, ignore")), (Some(1), true), "{err}");
    let (code, out, err) = call(&["alert", "answer", &alert, "ignore", "--json"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let answered: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&answered["question"]["answer"], answered["resolved_at"].is_string()), (&"ignore".into(), true));
    let (code, _, err) = call(&["alert", "answer", &alert, "create"]).await;
    assert_eq!((code, err.contains("answered with ignore")), (Some(1), true), "{err}");

    let contact = answered["question"]["record"]["id"].as_str().unwrap();
    let (code, out, err) = call(&["history", "contact", contact]).await;
    assert_eq!(code, Some(0), "{err}");
    let line = out.lines().find(|line| line.contains("job_title")).unwrap_or_default();
    assert!(line.contains("crm") && line.contains("Buyer"), "{out}");
    let (code, _, err) = call(&["history", "stone", contact]).await;
    assert_eq!((code, err.contains("record_kind")), (Some(1), true), "{err}");
}
