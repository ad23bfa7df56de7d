//! Which schemas this code runs on, and that its numbers keep up with its migrations.

use std::sync::Arc;

use lockstep_model::clock::ManualClock;
use lockstep_store::{
    Store,
    schema::{self, CODE_VERSION, SCHEMA_VERSION, SchemaState, Unfit},
};
use lockstep_test_support::postgres::TestDatabase;

use crate::seed::{World, morning, options, vault};

async fn state(store: &Store) -> Option<SchemaState> {
    schema::state(&mut store.begin().await.unwrap()).await.unwrap()
}

/// A new migration raises both numbers of the code, and the row.
#[tokio::test]
async fn the_numbers_keep_up_with_the_migrations() {
    let newest = sqlx::migrate!("./migrations").iter().map(|migration| migration.version).max();
    assert_eq!(newest, Some(SCHEMA_VERSION.into()), "raise schema::SCHEMA_VERSION and CODE_VERSION");
    const { assert!(CODE_VERSION >= SCHEMA_VERSION, "raise schema::CODE_VERSION") };
    let found = state(&World::new().await.store).await.unwrap();
    assert_eq!(found.version, SCHEMA_VERSION, "the newest migration must set schema_state.version");
    assert!((1..=CODE_VERSION).contains(&found.oldest_code), "{found:?}");
    assert_eq!(schema::fits(Some(found)), Ok(found));
}

#[tokio::test]
async fn a_database_without_table_or_row_has_no_schema() {
    let database = TestDatabase::create().await;
    let store = Store::open(database.url(), &options(2), Arc::new(ManualClock::at(morning())), vault()).unwrap();
    assert_eq!(state(&store).await, None);
    store.migrate().await.unwrap();
    assert!(state(&store).await.is_some());
    sqlx::raw_sql("DELETE FROM schema_state").execute(database.pool()).await.unwrap();
    assert_eq!(state(&store).await, None);
    assert_eq!(schema::fits(None), Err(Unfit::Missing));
}

#[tokio::test]
async fn a_table_of_somebody_else_is_an_error() {
    let database = TestDatabase::create().await;
    let store = Store::open(database.url(), &options(2), Arc::new(ManualClock::at(morning())), vault()).unwrap();
    sqlx::raw_sql("CREATE TABLE schema_state (colour text)").execute(database.pool()).await.unwrap();
    let error = schema::state(&mut store.begin().await.unwrap()).await.unwrap_err();
    assert!(!error.is_unavailable(), "{error}");
}

#[test]
fn newer_schemas_serve_this_code_until_they_say_otherwise() {
    let fits = |version, oldest_code| schema::fits(Some(SchemaState { version, oldest_code })).map(drop);
    assert_eq!(fits(SCHEMA_VERSION, CODE_VERSION), Ok(()));
    assert_eq!(fits(SCHEMA_VERSION + 1, CODE_VERSION), Ok(()));
    assert_eq!(fits(SCHEMA_VERSION - 1, 0), Err(Unfit::Older { version: SCHEMA_VERSION - 1 }));
    let newer = SchemaState { version: SCHEMA_VERSION + 2, oldest_code: CODE_VERSION + 1 };
    let refused = schema::fits(Some(newer)).unwrap_err();
    assert_eq!(refused, Unfit::CodeTooOld(newer));
    assert!(refused.to_string().contains("too old for the database"), "{refused}");
}
