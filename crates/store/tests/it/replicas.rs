//! Who is alive, by heartbeat.

use std::time::Duration;

use lockstep_model::id::ReplicaId;
use lockstep_store::replicas;

use crate::seed::World;

const LIFETIME: Duration = Duration::from_secs(30);

async fn beat(world: &World, replica: ReplicaId, role: &str) -> u32 {
    let mut tx = world.store.begin().await.unwrap();
    let alive = replicas::beat(&mut tx, replica, role, 16, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
    alive
}

#[tokio::test]
async fn replicas_of_a_role_are_counted_while_they_beat() {
    let world = World::new().await;
    let (one, two, other) = (ReplicaId::new(), ReplicaId::new(), ReplicaId::new());
    assert_eq!(beat(&world, one, "mailbox-worker").await, 1);
    assert_eq!(beat(&world, other, "outgoing-worker").await, 1, "another role is another share");
    assert_eq!(beat(&world, two, "mailbox-worker").await, 2);
    assert_eq!(beat(&world, two, "mailbox-worker").await, 2, "nobody counts twice");
    world.advance(29);
    assert_eq!(beat(&world, one, "mailbox-worker").await, 2);
    world.advance(1);
    assert_eq!(beat(&world, one, "mailbox-worker").await, 1, "not heard of for a lifetime");
    assert_eq!(beat(&world, two, "mailbox-worker").await, 2, "and back again");
    let mut tx = world.store.begin().await.unwrap();
    replicas::leave(&mut tx, two).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(beat(&world, one, "mailbox-worker").await, 1, "who says goodbye is gone at once");
}

#[tokio::test]
async fn rows_of_the_dead_are_removed() {
    let world = World::new().await;
    beat(&world, ReplicaId::new(), "mailbox-worker").await;
    world.advance(300);
    beat(&world, ReplicaId::new(), "outgoing-worker").await;
    assert_eq!(world.number("SELECT count(*) FROM replicas").await, 2);
    world.advance(1);
    beat(&world, ReplicaId::new(), "outgoing-worker").await;
    assert_eq!(world.number("SELECT count(*) FROM replicas").await, 2, "the first one has gone");
}
