//! Who shares the connection caps: replicas of several roles, counted together.

use std::time::Duration;

use lockstep_model::id::ReplicaId;
use lockstep_store::{replicas, shares};

use crate::seed::World;

const LIFETIME: Duration = Duration::from_secs(30);

async fn live(world: &World, roles: &[&str]) -> u32 {
    shares::live(&mut world.store.begin().await.unwrap(), roles, LIFETIME).await.unwrap()
}

#[tokio::test]
async fn replicas_of_all_the_roles_are_counted_while_they_beat() {
    let world = World::new().await;
    assert_eq!(live(&world, &["mailbox-worker"]).await, 0);
    for role in ["mailbox-worker", "mailbox-worker", "outgoing-worker", "scheduler"] {
        let mut tx = world.store.begin().await.unwrap();
        replicas::beat(&mut tx, ReplicaId::new(), role, 16, LIFETIME).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(live(&world, &["mailbox-worker", "outgoing-worker", "async-worker"]).await, 3);
    assert_eq!(live(&world, &["async-worker"]).await, 0);
    world.advance(29);
    assert_eq!(live(&world, &["mailbox-worker", "outgoing-worker"]).await, 3);
    world.advance(1);
    assert_eq!(live(&world, &["mailbox-worker", "outgoing-worker"]).await, 0, "not heard of for a lifetime");
}
