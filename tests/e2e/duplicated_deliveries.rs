//! A broker that delivers everything three times.

use futures::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use lockstep_e2e::{Cluster, Service, TrackOption};
use lockstep_wire::Queue;
use serde_json::json;

/// Publishes two copies of every message that goes to a queue, for as long as the connection lives.
async fn triple(cluster: &Cluster) -> Connection {
    let connection = Connection::connect(cluster.vhost().admin_url(), ConnectionProperties::default()).await.unwrap();
    for queue in Queue::ALL {
        let channel = connection.create_channel().await.unwrap();
        let copies = format!("copies.{}", queue.name());
        let once = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(copies.as_str().into(), once, FieldTable::default()).await.unwrap();
        let (exchange, key) = (queue.exchange(), queue.name());
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(copies.as_str().into(), exchange.as_str().into(), key.into(), options, table).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumed = channel.basic_consume(copies.as_str().into(), "".into(), options, FieldTable::default()).await;
        let mut deliveries = consumed.unwrap();
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = deliveries.next().await {
                for _ in 0..2 {
                    let properties: BasicProperties = delivery.properties.clone();
                    let options = BasicPublishOptions::default();
                    // The default exchange leads to the queue alone, so that copies are not copied.
                    let sent = channel.basic_publish("".into(), key.into(), options, &delivery.data, properties).await;
                    if sent.is_err() {
                        return;
                    }
                }
            }
        });
    }
    connection
}

/// H10: hints, reports, sends and operations delivered three times do what they do once.
#[tokio::test]
async fn h10_hints_delivered_three_times_do_no_more_than_once() {
    const EMAILS: usize = 8;
    let cluster = Cluster::builder().start().await;
    let copies = triple(&cluster).await;
    let one = cluster.mailbox_for_new_user(TrackOption::All).await;
    let other = cluster.mailbox_for_new_queue(true).await;
    let outsider = cluster.account("outside");
    let mut ids = cluster.drop_many(&one, 40);
    ids.extend(cluster.drop_many(&other, 40));
    for number in 0..EMAILS {
        let subject = format!("Number {number}");
        cluster.api().create_and_send(one.owner, &[outsider.address()], &subject, json!({})).await;
    }
    let all = i64::try_from(EMAILS).unwrap();
    let sent = async || cluster.number("SELECT count(*) FROM deliveries WHERE state = 'sent'").await == all;
    cluster.wait_until(60, "every email is sent", sent).await;
    cluster.wait_received(ids.len(), 60).await;
    ids.extend(cluster.drop_many(&one, 10));
    cluster.wait_received(ids.len(), 60).await;
    for mailbox in [&one, &other] {
        cluster.wait_cycles(mailbox, 3, 60).await;
    }
    cluster.assert_each_once(&ids).await;
    assert_eq!(cluster.number("SELECT max(version) FROM emails WHERE direction = 'incoming'").await, 1);
    assert_eq!(cluster.number("SELECT max(attempt)::bigint FROM deliveries").await, 1, "one attempt each");
    let seen = cluster.number("SELECT sum(seen)::bigint FROM lane_schedules").await;
    let more = seen - i64::try_from(ids.len()).unwrap();
    assert!((0..=2).contains(&more), "{seen} seen: each once, and of each mailbox at most the message of its test");
    let arrived = || lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    cluster.wait_until(20, "every email arrives", async || arrived() >= EMAILS).await;
    assert_eq!(arrived(), EMAILS);
    cluster.wait_until(20, "processed messages are deleted", async || cluster.maildir(&other).is_empty()).await;
    copies.close(0, "".into()).await.unwrap();
}
