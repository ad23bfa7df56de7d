//! No program runs on a schema it does not know.

use lockstep_test_support::{Service, Services};
use sqlx::AssertSqlSafe;

use crate::{
    process::{Running, run},
    world::World,
};

/// Starts a role that must refuse the database; its message. Logs would begin with the ports: nothing was bound.
async fn refused(world: &World, role: &str, code: i32) -> String {
    let config = ["--config", world.settings().to_str().unwrap()];
    let (exit, out, err) = run(role, &config, &[("LOCKSTEP__STARTUP__PATIENCE", "1s")]).await;
    assert_eq!((exit, out.as_str()), (Some(code), ""), "{role}: {err}");
    assert!(!err.contains("\"message\""), "{err}");
    assert!(err.contains("`database.url`") && !err.contains("pass"), "{err}");
    err
}

async fn set(world: &World, version: i32, oldest_code: i32) {
    let update = format!("UPDATE schema_state SET version = {version}, oldest_code = {oldest_code}");
    sqlx::raw_sql(AssertSqlSafe(update)).execute(world.database().pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_refuses_a_schema_it_does_not_know() {
    let world =
        World::create(Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await).await;
    world.apply_rights().await;
    for role in ["scheduler", "web"] {
        let err = refused(&world, role, 69).await;
        assert!(err.contains("has no schema") && err.contains("run `lockstep migrate`"), "{err}");
    }
    let (code, _, err) = world.try_admin(&["api-key", "create", "x", "--role", "operator"]).await;
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("lockstep migrate"), "{err}");

    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    set(&world, 0, 0).await;
    let err = refused(&world, "async-worker", 69).await;
    assert!(err.contains("has schema 0") && err.contains("run `lockstep migrate`"), "{err}");

    set(&world, 99, 98).await;
    for role in ["scheduler", "mailbox-worker", "outgoing-worker", "async-worker", "web"] {
        let err = refused(&world, role, 78).await;
        assert!(err.contains("too old for the database") && err.contains("code 98"), "{err}");
        assert!(err.contains("upgrade this program"), "{err}");
    }
    let (code, out, _) = world.try_admin(&["doctor"]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED  schema") && out.contains("too old for the database"), "{out}");

    // Newer, and it still takes this code: a deployment where the others come later.
    set(&world, 99, 1).await;
    let out = world.admin(&["doctor"]).await;
    assert!(out.contains("is number 99"), "{out}");
    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    assert_eq!(web.stop().await, Some(0));
}
