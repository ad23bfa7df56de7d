//! Redis forgets everything, or is away: connection caps hold, work goes on.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, Role, Service, TrackOption};
use serde_json::json;

/// B20: Redis is flushed again and again while an account's connections are all in use; its cap is never
/// exceeded, nothing is lost, nothing sent twice.
#[tokio::test]
async fn b20_a_flushed_redis_loosens_no_cap_and_loses_nothing() {
    const CAP: u32 = 3;
    const EMAILS: usize = 12;
    let cluster =
        Cluster::builder().mail_proxies().max_connections(CAP).setting("outgoing_worker", "permit_ttl_ms", "5000");
    let cluster = cluster.start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    let smtp = cluster.proxy(Service::Exim);
    smtp.reset_peak();
    // Slow enough that the account's connections overlap.
    smtp.set(Mode::Delay(Duration::from_millis(60)));
    let ids = cluster.drop_many(&sender, 30);
    for number in 0..EMAILS {
        let subject = format!("Number {number}");
        cluster.api().create_and_send(sender.owner, &[outsider.address()], &subject, json!({})).await;
    }
    const SENT: &str = "SELECT count(*) FROM deliveries WHERE state = 'sent'";
    for share in 1..=3 {
        let some = i64::try_from(EMAILS * share / 4).unwrap();
        cluster.wait_until(90, "emails are sent", async || cluster.number(SENT).await >= some).await;
        cluster.redis().flush().await;
    }
    let all = i64::try_from(EMAILS).unwrap();
    cluster.wait_until(90, "every email is sent", async || cluster.number(SENT).await == all).await;
    cluster.wait_received(ids.len(), 60).await;
    cluster.assert_each_once(&ids).await;
    let peak = smtp.peak();
    assert!(peak <= usize::try_from(CAP).unwrap(), "{peak} connections at one time");
    let arrived = || lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    cluster.wait_until(20, "every email arrives", async || arrived() >= EMAILS).await;
    assert_eq!(arrived(), EMAILS);
}

/// B20, N3: without Redis each process keeps to its share of the cap, and mail goes on.
#[tokio::test]
async fn b20_n3_incoming_mail_goes_on_without_redis() {
    const CAP: u32 = 10;
    let cluster = Cluster::builder()
        .private([Service::Redis])
        .mail_proxies()
        .max_connections(CAP)
        .replicas(Role::MailboxWorker, 2)
        .start()
        .await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let mut ids = cluster.drop_many(&mailbox, 60);
    cluster.wait_until(30, "work has begun", async || cluster.received_emails().await > 0).await;
    let pop3 = cluster.proxy(Service::Dovecot);
    pop3.reset_peak();
    cluster.private().stop(Service::Redis).await;
    let worker = cluster.process(Role::MailboxWorker);
    let not_ready = async || worker.readiness().await.is_ok_and(|(ready, _)| !ready);
    cluster.wait_until(30, "the worker says that Redis is away", not_ready).await;
    ids.extend(cluster.drop_many(&mailbox, 20));
    cluster.wait_received(ids.len(), 90).await;
    cluster.assert_each_once(&ids).await;
    cluster.private().start(Service::Redis).await;
    cluster.wait_ready().await;
    ids.extend(cluster.drop_many(&mailbox, 5));
    cluster.wait_received(ids.len(), 60).await;
    cluster.wait_cycles(&mailbox, 2, 60).await;
    cluster.assert_each_once(&ids).await;
    assert!(pop3.peak() <= usize::try_from(CAP).unwrap(), "{} connections at one time", pop3.peak());
}
