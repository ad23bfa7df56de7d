//! Requests whose transactions meet others: undone by the database, they are done again, and not for ever.

use std::time::Duration;

use lockstep_model::id::MailboxId;
use lockstep_store::{
    access::Role,
    alerts::{self, Severity, Subject},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::world::World;

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Makes writing a user fail with this error, the first `times` times.
async fn collide(world: &World, times: u32, code: &str) {
    collide_at(world, "users", times, code).await;
}

/// Makes writing to this table fail with this error, the first `times` times.
async fn collide_at(world: &World, table: &str, times: u32, code: &str) {
    let mut connection = PgConnection::connect(world.database.url()).await.unwrap();
    run(
        &mut connection,
        &format!(
            "DROP TRIGGER IF EXISTS collide ON {table};
             DROP SEQUENCE IF EXISTS tries;
             CREATE SEQUENCE tries;
             CREATE OR REPLACE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'collision' USING ERRCODE = '{code}'; END IF;
                 RETURN COALESCE(NEW, OLD);
             END $$;
             CREATE TRIGGER collide BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION collide()"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_collision_is_repeated_and_has_one_effect() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    let path = format!("/users/{user}");
    for (turn, code) in ["40P01", "40001"].into_iter().enumerate() {
        collide(&world, 3, code).await;
        let name = format!("Ann {turn}");
        let seen = world.patch(&path, json!({ "name": name })).await.expect(200);
        assert_eq!((seen.body["name"].as_str(), seen.body["version"].as_u64()), (Some(&*name), Some(turn as u64 + 2)));
        // A new record under an Idempotency-Key: made once, and the answer is kept.
        collide(&world, 2, code).await;
        let body = json!({ "name": "Bob", "address": format!("bob{turn}@example.test") });
        let key = [("idempotency-key", code)];
        let made = world.call(Some(Role::Administrator), "POST", "/users", Some(&body), &key).await.expect(201);
        let again = world.call(Some(Role::Administrator), "POST", "/users", Some(&body), &key).await.expect(201);
        assert_eq!(made.id(), again.id());
    }
    assert_eq!(world.count("SELECT count(*) FROM users").await, 3);
}

#[tokio::test]
async fn it_is_given_up_in_the_end_and_waits_that_took_too_long_are_not_repeated() {
    let world = World::new().await;
    let (user, _) = world.user("ann").await;
    for (code, tries) in [("40P01", 4), ("55P03", 1)] {
        collide(&world, 1000, code).await;
        let refused = world.patch(&format!("/users/{user}"), json!({ "name": "Other" })).await.expect(503);
        assert_eq!(refused.headers["retry-after"], "5");
        assert_eq!(world.count("SELECT last_value FROM tries").await, tries, "{code}");
    }
    assert_eq!(world.get(&format!("/users/{user}")).await.body["version"], 1);
}

/// A real deadlock: the request has the user and wants the mailbox, somebody else has them the other way round. The
/// request is the one the database undoes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_deadlock_is_survived() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let mut other = PgConnection::connect(world.database.url()).await.unwrap();
    run(&mut other, "SET deadlock_timeout = '60s'").await;
    run(&mut other, &format!("BEGIN; SELECT 1 FROM mailboxes WHERE id = '{mailbox}' FOR UPDATE")).await;
    let mut watcher = PgConnection::connect(world.database.url()).await.unwrap();
    let crossing = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
             AND datname = current_database()";
        let waits = async {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watcher).await.unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();
        run(&mut other, &format!("SELECT 1 FROM users WHERE id = '{user}' FOR UPDATE; COMMIT")).await;
    };
    let path = format!("/users/{user}");
    let (seen, ()) = tokio::join!(world.patch(&path, json!({ "name": "Ann B." })), crossing);
    assert_eq!(seen.expect(200).body["name"], "Ann B.");
    let deadlocks = "SELECT count(*) FROM mailboxes WHERE name = 'Ann B.'";
    assert_eq!(world.count(deadlocks).await, 1, "the mailbox follows");
}

/// Every request that writes is done again, whatever it is about.
#[tokio::test]
async fn every_writing_request_is_repeated() {
    let world = World::new().await;
    let (user, mailbox) = world.user("ann").await;
    let profile = world.profile("main").await;
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": profile })).await.expect(200);
    let admin = Some(Role::Administrator);
    let post = async |path: &str, body: Option<Value>| world.call(admin, "POST", path, body.as_ref(), &[]).await;

    collide_at(&world, "operations", 2, "40001").await;
    post(&format!("/mailboxes/{mailbox}/test-and-enable"), None).await.expect(202);
    collide_at(&world, "people", 2, "40P01").await;
    let contact = post("/contacts", Some(json!({ "name": "Cara", "address": "cara@x.test" }))).await.expect(201).id();
    collide_at(&world, "people", 2, "40001").await;
    world.delete(&format!("/contacts/{contact}")).await.expect(204);

    collide_at(&world, "email_parties", 2, "40P01").await;
    let draft = json!({ "from": { "user_id": user }, "subject": "An offer" });
    let email = format!("/emails/{}", post("/emails", Some(draft)).await.expect(201).id());
    collide_at(&world, "email_attachments", 2, "40001").await;
    let upload = axum::http::Request::builder()
        .method("POST")
        .uri(format!("/api/v1{email}/attachments?name=a.txt"))
        .header("authorization", format!("Bearer {}", world.key(Role::Administrator)))
        .body(axum::body::Body::from("text"));
    let file = world.send(upload.unwrap()).await.expect(201).body["attachments"][0]["id"].as_str().unwrap().to_owned();
    collide_at(&world, "email_attachments", 2, "40P01").await;
    world.delete(&format!("{email}/attachments/{file}")).await.expect(204);
    collide_at(&world, "email_parties", 2, "40P01").await;
    world.delete(&email).await.expect(204);

    let mut tx = world.store.begin().await.unwrap();
    let subject = Subject::Mailbox(MailboxId(mailbox.parse().unwrap()));
    alerts::raise(&mut tx, "Unauthorized", Severity::Error, subject, json!({ "message": "no" })).await.unwrap();
    tx.commit().await.unwrap();
    let alert = world.get("/alerts").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    collide_at(&world, "alerts", 2, "40001").await;
    world.delete(&format!("/alerts/{alert}")).await.expect(204);
    collide_at(&world, "lanes", 2, "40P01").await;
    post(&format!("/mailboxes/{mailbox}/judge-again"), None).await.expect(200);
    assert_eq!(world.count("SELECT (SELECT count(*) FROM operations) + (SELECT count(*) FROM emails)").await, 1);
}
