//! RabbitMQ loses its queues, or dies: hints are lost, work is not.

use lockstep_e2e::{Cluster, Role, Service, TestMailbox, TrackOption};

/// Mailboxes with messages in them, and the ids of these.
async fn some_work(cluster: &Cluster, mailboxes: usize, messages: usize) -> (Vec<TestMailbox>, Vec<String>) {
    let (mut made, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..mailboxes {
        made.push(cluster.mailbox_for_new_user(TrackOption::All).await);
    }
    for mailbox in &made {
        ids.extend(cluster.drop_many(mailbox, messages));
    }
    (made, ids)
}

/// Every queue is deleted under its consumers, again and again; nothing is lost, nothing doubled.
#[tokio::test]
async fn deleted_queues_lose_and_double_nothing() {
    let cluster = Cluster::builder().setting("scheduler", "claim_lifetime_ms", "3500").start().await;
    let (mailboxes, mut ids) = some_work(&cluster, 3, 20).await;
    let sender = &mailboxes[0];
    let outsider = cluster.account("outside");
    for mailbox in &mailboxes {
        let to = [outsider.address()];
        let email = cluster.api().create_and_send(sender.owner, &to, "Hello", serde_json::json!({})).await;
        cluster.vhost().delete_all_queues().await;
        ids.extend(cluster.drop_many(mailbox, 10));
        cluster.wait_received(ids.len(), 60).await;
        cluster.api().wait_status(email, "sent", std::time::Duration::from_secs(60)).await;
    }
    for mailbox in &mailboxes {
        cluster.wait_cycles(mailbox, 1, 30).await;
    }
    cluster.assert_each_once(&ids).await;
    let arrived = lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider);
    assert_eq!(arrived.len(), 3, "each email arrived once");
}

/// The broker is killed in the middle of the work and comes back; roles say that they are not ready, wait, and go
/// on by themselves.
#[tokio::test]
async fn a_killed_broker_loses_and_doubles_nothing() {
    let cluster = Cluster::builder().private([Service::RabbitMq]).start().await;
    let (mailboxes, mut ids) = some_work(&cluster, 2, 60).await;
    cluster.wait_until(30, "work has begun", async || cluster.received_emails().await > 0).await;
    cluster.private().kill(Service::RabbitMq).await;
    let worker = cluster.process(Role::MailboxWorker);
    cluster
        .wait_until(60, "the worker is not ready", async || worker.readiness().await.is_ok_and(|(ready, _)| !ready))
        .await;
    ids.extend(cluster.drop_many(&mailboxes[1], 10));
    cluster.private().start(Service::RabbitMq).await;
    cluster.wait_ready().await;
    cluster.wait_received(ids.len(), 90).await;
    for mailbox in &mailboxes {
        cluster.wait_cycles(mailbox, 2, 60).await;
    }
    cluster.assert_each_once(&ids).await;
}
