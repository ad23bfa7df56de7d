//! The schema comes up from nothing, comes up again, and takes rows of every kind.

use std::sync::Arc;

use lockstep_model::clock::ManualClock;
use lockstep_store::Store;
use lockstep_test_support::postgres::TestDatabase;
use sqlx::Row;

use crate::seed::{World, morning, options, vault};

const SAMPLE: &str = include_str!("../../samples/0001.sql");

async fn empty() -> (TestDatabase, Store) {
    let database = TestDatabase::create().await;
    let clock = Arc::new(ManualClock::at(morning()));
    let store = Store::open(database.url(), &options(4), clock, vault()).unwrap();
    (database, store)
}

#[tokio::test]
async fn migrations_apply_to_an_empty_database_and_again() {
    let (database, store) = empty().await;
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let state = sqlx::query("SELECT version, oldest_code FROM schema_state").fetch_all(database.pool()).await.unwrap();
    assert_eq!(state.len(), 1);
    assert!(state[0].get::<i32, _>(0) >= state[0].get::<i32, _>(1));
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    let (_database, store) = empty().await;
    let (first, second, third) = tokio::join!(store.migrate(), store.migrate(), store.migrate());
    first.unwrap();
    second.unwrap();
    third.unwrap();
}

/// Rows as an installation of this version holds them load after the migrations: a later migration that cannot carry
/// them over fails here.
#[tokio::test]
async fn sample_rows_load_into_every_table() {
    let (database, store) = empty().await;
    store.migrate().await.unwrap();
    sqlx::raw_sql(SAMPLE).execute(database.pool()).await.unwrap();
    let tables = sqlx::query(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_sqlx%' ORDER BY 1",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert!(tables.len() > 25);
    for table in tables {
        let table: String = table.get(0);
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(query).fetch_one(database.pool()).await.unwrap();
        assert!(rows > 0, "samples/0001.sql holds no row of {table}");
    }
    store.migrate().await.unwrap();
}

/// A database is one organisation.
#[tokio::test]
async fn a_second_organisation_is_refused() {
    let world = World::new().await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(lockstep_store::organisation_id(&mut tx).await.unwrap(), Some(world.organisation));
    let second = lockstep_store::organisations::create(&mut tx, "Noch eine", "test").await;
    assert!(matches!(second, Err(lockstep_store::Error::Conflict(_))), "{second:?}");
}
