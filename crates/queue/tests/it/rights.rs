//! N4: each role has its own broker user, and every pair of role and queue was tried.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use lockstep_queue::topology;
use lockstep_test_support::rabbitmq::TestVhost;
use lockstep_wire::{Queue, Role};
use tokio_util::sync::CancellationToken;

use crate::world::{connect, user};

async fn channel(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

fn allowed<T>(result: lapin::Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(e) if matches!(e.kind(), AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => {
                false
            }
            _ => panic!("neither allowed nor refused: {error}"),
        },
    }
}

async fn may_publish(connection: &Connection, exchange: &str, routing_key: &str) -> bool {
    let published = async {
        let channel = channel(connection).await;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default();
        let confirm = channel.basic_publish(exchange.into(), routing_key.into(), options, b"{}", properties).await?;
        confirm.await.map(|confirmation| assert!(confirmation.take_message().is_none(), "{exchange} leads nowhere"))
    };
    allowed(tokio::time::timeout(Duration::from_secs(30), published).await.unwrap())
}

async fn may_consume(connection: &Connection, queue: &str) -> bool {
    let channel = channel(connection).await;
    let consumed =
        channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await;
    allowed(consumed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n4_every_pair_of_role_and_queue() {
    let vhost = TestVhost::create().await;
    let cancellation = CancellationToken::new();
    let mut brokers = Vec::new();
    for role in Role::ALL {
        // That the role can declare what it owns with its own rights is half of the test.
        brokers.push(connect(&vhost, *role, &cancellation).await);
    }
    for role in Role::ALL {
        let url = user(&vhost, *role).await;
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        for queue in Queue::ALL {
            let (who, own) = (format!("{role:?} and {queue:?}"), role.reads() == *queue);
            let writes = role.writes().contains(queue);
            assert_eq!(may_publish(&connection, &queue.exchange(), queue.name()).await, writes, "publish: {who}");
            assert!(!may_publish(&connection, "", queue.name()).await, "round the exchange: {who}");
            let dead = may_publish(&connection, &queue.dead_exchange(), queue.name()).await;
            assert_eq!(dead, own, "dead-letter: {who}");
            assert_eq!(may_consume(&connection, queue.name()).await, own, "consume: {who}");
            assert_eq!(may_consume(&connection, &queue.dead()).await, own, "consume dead letters: {who}");
            if !own {
                let channel = channel(&connection).await;
                let deleted = channel.queue_delete(queue.name().into(), QueueDeleteOptions::default()).await;
                assert!(!allowed(deleted), "delete: {who}");
            }
        }
        let foreign = channel(&connection).await;
        let declared =
            foreign.queue_declare("something.else".into(), QueueDeclareOptions::durable(), FieldTable::default()).await;
        assert!(!allowed(declared), "{role:?} declares something else");
    }
    cancellation.cancel();
}

#[test]
fn n4_rights_are_listed_for_every_role() {
    let all = topology::all_permissions();
    assert_eq!(all.len(), Role::ALL.len());
    for (name, rights) in all {
        for pattern in [rights.configure, rights.write, rights.read] {
            assert!(pattern.starts_with("^(") && pattern.ends_with(")$"), "{name}: {pattern}");
        }
    }
}
