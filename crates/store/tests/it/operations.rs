//! Operations are handed out one at a time, and only the run that has read the newest version writes.

use std::time::Duration;

use lockstep_model::id::OperationId;
use lockstep_store::operations::{self, Step};
use serde_json::json;

use crate::seed::World;

const LIFETIME: Duration = Duration::from_secs(60);

async fn create(world: &World) -> OperationId {
    let mut tx = world.store.begin().await.unwrap();
    let id = operations::create(&mut tx, "kind", &json!({ "a": [1, "ü"] }), "anna").await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn claim(world: &World, limit: i64) -> Vec<(OperationId, i64)> {
    let mut tx = world.store.begin().await.unwrap();
    let claims = operations::claim(&mut tx, limit, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    claims
}

async fn step(world: &World, id: OperationId, version: i64, step: &Step) -> bool {
    let mut tx = world.store.begin().await.unwrap();
    let written = operations::step(&mut tx, id, version, step).await.unwrap();
    tx.commit().await.unwrap();
    written
}

#[tokio::test]
async fn the_oldest_are_claimed_first_and_no_more_than_asked_for() {
    let world = World::new().await;
    let mut created = Vec::new();
    for _ in 0..6 {
        created.push(create(&world).await);
        world.advance(1);
    }
    let mut first: Vec<_> = claim(&world, 2).await.iter().map(|(id, _)| *id).collect();
    first.sort();
    assert_eq!(first, created[..2]);
    world.nested_loops_only().await;
    let mut rest = futures::future::join_all((0..4).map(|_| claim(&world, 2))).await.concat();
    rest.extend(claim(&world, 10).await);
    rest.sort();
    assert_eq!(rest, created[2..].iter().map(|id| (*id, 1)).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_claim_that_ends_without_a_result_is_handed_out_again_later_each_time() {
    let world = World::new().await;
    let id = create(&world).await;
    assert_eq!(claim(&world, 1).await, [(id, 1)]);
    for minutes in [1_u64, 2, 4, 4] {
        world.advance(minutes * 60 - 1);
        assert!(claim(&world, 1).await.is_empty());
        world.advance(1);
        assert_eq!(claim(&world, 1).await, [(id, 1)], "the same occasion");
    }
}

#[tokio::test]
async fn a_run_writes_only_against_the_version_it_has_read() {
    let world = World::new().await;
    let id = create(&world).await;
    claim(&world, 1).await;
    let later =
        Step::Later { after: Duration::from_secs(30), position: json!({ "at": 5 }), failed: true, so_far: None };
    assert!(!step(&world, id, 2, &later).await);
    assert!(step(&world, id, 1, &later).await);
    assert!(!step(&world, id, 1, &Step::Done(json!(1))).await, "overtaken");
    let mut tx = world.store.begin().await.unwrap();
    let row = operations::get(&mut tx, id).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.generation, row.version, row.attempts), ("pending", 2, 2, 1));
    assert_eq!((row.position, row.result, row.ended_at), (json!({ "at": 5 }), None, None));
    assert_eq!((row.arguments, row.requested_by.as_str()), (json!({ "a": [1, "ü"] }), "anna"));
    drop(tx);
    assert!(claim(&world, 1).await.is_empty());
    world.advance(30);
    assert_eq!(claim(&world, 1).await, [(id, 2)]);
    assert!(step(&world, id, 2, &Step::Done(json!({ "ok": true }))).await);
    assert!(!step(&world, id, 3, &later).await, "what is over stays over");
    world.advance(86_400);
    assert!(claim(&world, 1).await.is_empty());
    let mut tx = world.store.begin().await.unwrap();
    let row = operations::get(&mut tx, id).await.unwrap().unwrap();
    assert_eq!(
        (row.state.as_str(), row.result, row.position),
        ("done", Some(json!({ "ok": true })), json!({ "at": 5 }))
    );
    assert!(row.ended_at.is_some());
    assert!(operations::get(&mut tx, OperationId::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn two_runs_of_one_occasion_write_once() {
    let world = World::new().await;
    let id = create(&world).await;
    let results = (0..4).map(|at| step_owned(&world, id, Step::Failed(json!(at))));
    let written = futures::future::join_all(results).await.into_iter().filter(|written| *written).count();
    assert_eq!(written, 1);
}

async fn step_owned(world: &World, id: OperationId, what: Step) -> bool {
    step(world, id, 1, &what).await
}
