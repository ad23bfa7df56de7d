//! One kind of work stands still, the others go on; and all of it in one process.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, Service, TrackOption};
use serde_json::json;

/// N4: outgoing email waits for a server that is silent; incoming email, tests of mailboxes and the API do not notice.
#[tokio::test]
async fn n4_a_silent_outgoing_server_holds_up_nothing_else() {
    const EMAILS: usize = 6;
    let cluster = Cluster::builder().mail_proxies().start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
    let reader = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    cluster.proxy(Service::Exim).set(Mode::Blackhole);
    for number in 0..EMAILS {
        let subject = format!("Number {number}");
        cluster.api().create_and_send(sender.owner, &[outsider.address()], &subject, json!({})).await;
    }
    cluster.wait_until(30, "connections hang", async || cluster.proxy(Service::Exim).open() > 0).await;
    let mut ids = Vec::new();
    for mailbox in [&reader, &sender, &reader] {
        ids.extend(cluster.drop_many(mailbox, 20));
        cluster.wait_received(ids.len(), 20).await;
    }
    assert_eq!(cluster.number("SELECT count(*) FROM deliveries WHERE state = 'sent'").await, 0);
    cluster.proxy(Service::Exim).set(Mode::Pass);
    let all = i64::try_from(EMAILS).unwrap();
    let sent = async || cluster.number("SELECT count(*) FROM deliveries WHERE state = 'sent'").await == all;
    cluster.wait_until(60, "every email is sent", sent).await;
    let arrived = || lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    cluster.wait_until(20, "every email arrives", async || arrived() >= EMAILS).await;
    assert_eq!(arrived(), EMAILS);
    cluster.assert_each_once(&ids).await;
}

/// N4: incoming email waits for a server that is silent; outgoing email does not notice.
#[tokio::test]
async fn n4_a_silent_incoming_server_holds_up_nothing_else() {
    let cluster = Cluster::builder().mail_proxies().start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    cluster.proxy(Service::Dovecot).set(Mode::Blackhole);
    let ids = cluster.drop_many(&sender, 10);
    cluster.wait_until(30, "connections hang", async || cluster.proxy(Service::Dovecot).open() > 0).await;
    for number in 0..3 {
        let subject = format!("Number {number}");
        let email = cluster.api().create_and_send(sender.owner, &[outsider.address()], &subject, json!({})).await;
        cluster.api().wait_status(email, "sent", Duration::from_secs(20)).await;
    }
    cluster.proxy(Service::Dovecot).set(Mode::Pass);
    cluster.wait_received(ids.len(), 60).await;
    cluster.assert_each_once(&ids).await;
    let arrived = lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    assert_eq!(arrived, 3);
}

/// N5: every role in one process gives the same result as each in its own.
#[tokio::test]
async fn n5_one_process_for_every_role_gives_the_same_result() {
    let cluster = Cluster::builder().all_in_one().start().await;
    crate::first_sync::story(&cluster).await;
}
