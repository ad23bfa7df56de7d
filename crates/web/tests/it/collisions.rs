//! Requests whose transactions meet others: undone by the database, they are done again, and not for ever.

use std::time::Duration;

use lockstep_store::access::Role;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::world::World;

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Makes writing a user fail with this error, the first `times` times.
async fn collide(world: &World, times: u32, code: &str) {
    let mut connection = PgConnection::connect(world.database.url()).await.unwrap();
    run(
        &mut connection,
        &format!(
            "DROP TRIGGER IF EXISTS collide ON users;
             DROP SEQUENCE IF EXISTS tries;
             CREATE SEQUENCE tries;
             CREATE OR REPLACE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'collision' USING ERRCODE = '{code}'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER collide BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION collide()"
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
