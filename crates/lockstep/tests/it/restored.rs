//! A restored backup, from the command line: a real copy of a database that work has gone on in.

use lockstep_test_support::{Services, postgres::TestDatabase};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::{
    process::{Running, run},
    world::World,
};

async fn number(pool: &PgPool, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}

/// Copies the database as it stands, over one that exists.
async fn copy(from: &TestDatabase, to: &TestDatabase, services: &Services) {
    from.cut_connections().await;
    let mut server = PgConnection::connect(services.postgres_url()).await.unwrap();
    for statement in [
        format!(r#"DROP DATABASE "{}" WITH (FORCE)"#, to.name()),
        format!(r#"CREATE DATABASE "{}" TEMPLATE "{}""#, to.name(), from.name()),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await.unwrap();
    }
    server.close().await.unwrap();
}

const EMAIL: &str = "
    INSERT INTO emails (id, direction, status, subject, message_id, from_mailbox_id, created_at, updated_at)
    SELECT gen_random_uuid(), 'outgoing', 'pending-send', 's', 'm@x.test', id, now(), now() FROM mailboxes;
    INSERT INTO deliveries (email_id, mailbox_id, state, due_at, message_id, dated_at, created_at, updated_at)
    SELECT id, from_mailbox_id, 'pending', now(), 'm@x.test', now(), now(), now() FROM emails WHERE status = 'pending-send'";

/// H10: a backup is restored in which an email was waiting, that was sent since. No role starts on it before somebody has
/// said so; then the email waits, the place in the feed is gone, and running the command twice does no more.
#[tokio::test(flavor = "multi_thread")]
async fn h10_a_restored_backup_sends_nothing_twice() {
    let services = Services::shared().await;
    let world = World::create(services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Muster"]).await;
    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator"]).await;
    let url = format!("http://127.0.0.1:{}", world.web);
    let env = [("LOCKSTEP_API_URL", url.as_str()), ("LOCKSTEP_API_KEY", key.trim()), ("NO_PROXY", "127.0.0.1")];
    let api = async |arguments: &[&str]| {
        let (code, out, err) = run("lockstep", arguments, &env).await;
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
        out
    };
    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    api(&["user", "create", "--set", "name=Ann", "--set", "address=ann@muster.test"]).await;
    let place: Value = serde_json::from_str(&api(&["change", "list", "--json"]).await).unwrap();
    sqlx::raw_sql(EMAIL).execute(world.database().pool()).await.unwrap();
    assert_eq!(web.stop().await, Some(0));

    // The backup; then the email is sent; then the backup takes the database's place.
    let backup = TestDatabase::create_on(services).await;
    copy(world.database(), &backup, services).await;
    for status in ["sending", "sent"] {
        let sent = format!("UPDATE emails SET status = '{status}'; UPDATE deliveries SET state = '{status}'");
        sqlx::raw_sql(AssertSqlSafe(sent)).execute(world.database().pool()).await.unwrap();
    }
    copy(&backup, world.database(), services).await;
    let pool = world.database().pool();
    let open = "SELECT count(*) FROM deliveries WHERE state = 'pending'";
    assert_eq!(number(pool, open).await, 1);

    for role in ["scheduler", "web", "outgoing-worker"] {
        let (code, _, err) = run(role, &["--config", world.settings().to_str().unwrap()], &[]).await;
        assert_eq!(code, Some(78), "{role}: {err}");
        assert!(err.contains("a copy of the database") && err.contains("lockstep restored"), "{role}: {err}");
    }
    let (code, out, _) = world.try_admin(&["doctor"]).await;
    assert_eq!((code, out.contains("lockstep restored")), (Some(1), true), "{out}");

    let out = world.admin(&["restored"]).await;
    assert!(out.contains("- 1 emails that wait") && out.contains("Nothing was changed"), "{out}");
    assert_eq!(number(pool, open).await, 1, "nothing was changed");
    let out = world.admin(&["restored", "--confirm"]).await;
    assert!(out.contains("1 emails wait for a decision"), "{out}");
    assert_eq!(number(pool, open).await, 0);
    let rows = "SELECT count(*) FROM audit_entries WHERE action = 'restored' AND actor = 'command line'";
    let epoch = "SELECT epoch::text FROM feed_state";
    let before: String = sqlx::query_scalar(epoch).fetch_one(pool).await.unwrap();
    let out = world.admin(&["restored", "--confirm"]).await;
    assert!(out.contains("there is nothing to do"), "{out}");
    let after: String = sqlx::query_scalar(epoch).fetch_one(pool).await.unwrap();
    assert_eq!((number(pool, rows).await, &after), (1, &before));

    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    let gone = format!("/changes?after={}&epoch={}", place["next"], place["epoch"].as_str().unwrap());
    let (code, _, err) = run("lockstep", &["api", "GET", &gone], &env).await;
    assert_eq!((code, err.contains("410")), (Some(1), true), "{err}");
    assert!(api(&["alerts"]).await.contains("It is not known whether"));
    assert_eq!(api(&["email", "resolve", "--all-restored", "sent"]).await, "1 emails: sent.\n");
    assert_eq!(api(&["email", "resolve", "--all-restored", "sent"]).await, "0 emails: sent.\n");
    assert_eq!(number(pool, "SELECT count(*) FROM emails WHERE status = 'sent'").await, 1);
    assert!(!api(&["alerts"]).await.contains("It is not known whether"));
    let (code, _, err) = run("lockstep", &["email", "resolve"], &env).await;
    assert_eq!(code, Some(2), "one, or --all-restored: {err}");
    assert_eq!(web.stop().await, Some(0));

    // Moved on purpose, with nothing lost.
    copy(world.database(), &backup, services).await;
    copy(&backup, world.database(), services).await;
    let out = world.admin(&["restored", "--moved"]).await;
    assert!(out.contains("Nothing was changed"), "{out}");
    world.admin(&["restored", "--moved", "--confirm"]).await;
    let out = world.admin(&["doctor"]).await;
    assert!(!out.contains("FAILED"), "{out}");
    let moved: String = sqlx::query_scalar(epoch).fetch_one(pool).await.unwrap();
    assert_eq!(moved, after, "nothing else has changed");
}
