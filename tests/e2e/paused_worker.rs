//! A mailbox worker that is frozen in the middle of a page, past its lease, and thawed after another took over.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, Role, Service, TrackOption};
use rustix::process::Signal;

/// N10: the lane's version fences the one who comes back: it writes nothing, and says so.
#[tokio::test]
async fn n10_a_worker_thawed_after_its_lease_writes_nothing() {
    const MESSAGES: usize = 40;
    let cluster = Cluster::builder().without(Role::MailboxWorker).mail_proxies().start().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let ids = cluster.drop_many(&mailbox, MESSAGES);
    let proxy = cluster.proxy(Service::Dovecot);
    // Slow enough to be met in the middle of the page's messages.
    proxy.set(Mode::Delay(Duration::from_millis(30)));
    let frozen = cluster.start(Role::MailboxWorker).await;
    cluster
        .wait_until(30, "the page's messages arrive", async || {
            cluster.number("SELECT count(*) FROM lane_schedules WHERE claimed_until IS NOT NULL").await > 0
                && proxy.open() > 0
                && frozen.metric("lockstep_workers_received_bytes_total", &[]).await > Some(0.0)
        })
        .await;
    frozen.signal(Signal::STOP);
    assert_eq!(cluster.received_emails().await, 0, "the page was not committed yet");
    proxy.set(Mode::Pass);
    let heir = cluster.start(Role::MailboxWorker).await;
    cluster.wait_received(MESSAGES, 60).await;
    let version: i64 = cluster.number("SELECT version FROM lanes WHERE lane = 'incoming'").await;
    frozen.signal(Signal::CONT);
    cluster
        .wait_until(30, "the thawed worker finds itself fenced", async || {
            let fenced = frozen.metric("lockstep_workers_fenced_pages_total", &[]).await;
            let lost = frozen.metric("lockstep_workers_cycles_total", &["lease_lost"]).await;
            fenced > Some(0.0) || lost > Some(0.0)
        })
        .await;
    assert_eq!(cluster.number("SELECT version FROM lanes WHERE lane = 'incoming'").await, version);
    cluster.wait_cycles(&mailbox, 2, 30).await;
    cluster.assert_each_once(&ids).await;
    assert_eq!(cluster.tracked(&mailbox).await, MESSAGES);
    assert_eq!(cluster.number("SELECT max(version) FROM emails").await, 1, "every record was written once");
    assert!(heir.ended().is_none() && frozen.ended().is_none(), "both workers live");
}
