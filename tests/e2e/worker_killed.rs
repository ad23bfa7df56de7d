//! A mailbox worker that is killed again and again while a full mailbox waits.

use lockstep_e2e::{Cluster, Role, TrackOption};

/// N10: whatever moment the kill hits, the next run goes on where the last page was committed; no message is lost,
/// none becomes two records.
#[tokio::test]
async fn n10_a_worker_killed_mid_mailbox_loses_and_doubles_nothing() {
    const MESSAGES: usize = 200;
    let cluster = Cluster::builder().without(Role::MailboxWorker).start().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let mut ids = cluster.drop_many(&mailbox, MESSAGES);
    for _ in 0..3 {
        let before = cluster.received_emails().await;
        let worker = cluster.spawn(Role::MailboxWorker, &[]);
        cluster.wait_until(180, "the worker gets on", async || cluster.received_emails().await > before).await;
        cluster.kill(Role::MailboxWorker).await;
        assert!(worker.wait(std::time::Duration::from_secs(5)).await.was_killed());
    }
    ids.extend(cluster.drop_many(&mailbox, 5));
    cluster.start(Role::MailboxWorker).await;
    // Each claim that ends without a word is waited for longer than the last, and then one item is read at a time.
    cluster.wait_received(ids.len(), 240).await;
    cluster.wait_cycles(&mailbox, 2, 60).await;
    cluster.assert_each_once(&ids).await;
    assert_eq!(cluster.tracked(&mailbox).await, ids.len());
    assert_eq!(cluster.maildir(&mailbox).len(), ids.len());
}
