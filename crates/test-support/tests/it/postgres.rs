//! Databases of their own.

use lockstep_test_support::{Services, eventually, postgres::TestDatabase};
use sqlx::{Connection, PgConnection, Row};

use crate::SOON;

async fn exists(name: &str) -> bool {
    let mut connection = PgConnection::connect(Services::shared_blocking(&[]).postgres_url()).await.unwrap();
    let row = sqlx::query("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn each_test_has_an_empty_database() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    sqlx::query("create table t (n int)").execute(one.pool()).await.unwrap();
    let missing = sqlx::query("select n from t").fetch_all(other.pool()).await;
    assert!(missing.unwrap_err().to_string().contains("does not exist"));
    let mut connection = PgConnection::connect(one.url()).await.unwrap();
    let row = sqlx::query("select 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(row.get::<i32, _>(0), 1);
}

#[tokio::test]
async fn closing_drops_it_under_open_connections() {
    let database = TestDatabase::create().await;
    let name = database.name().to_owned();
    let _held = PgConnection::connect(database.url()).await.unwrap();
    assert!(exists(&name).await);
    database.close().await;
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn dropping_the_value_drops_it_too() {
    let database = TestDatabase::create().await;
    let name = database.name().to_owned();
    let _held = database.pool().acquire().await.unwrap();
    drop(database);
    assert!(!exists(&name).await);
}

#[tokio::test]
async fn connections_can_be_cut() {
    let database = TestDatabase::create().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    database.cut_connections().await;
    assert!(sqlx::query("select 1").execute(&mut connection).await.is_err());
    eventually(SOON, async || sqlx::query("select 1").execute(database.pool()).await, "a new connection").await;
}
