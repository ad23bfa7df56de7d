//! Roles that are asked to stop in the middle of their work.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, Role, Service, TrackOption};
use lockstep_test_support::redis::Reply;
use serde_json::json;

/// The grace period of deployments under test.
const GRACE: Duration = Duration::from_secs(10);

/// Leases and permits in Redis.
async fn held(cluster: &Cluster) -> Vec<String> {
    let Ok(Reply::List(keys)) = cluster.redis().command(&["KEYS", "lockstep:*"]).await else { panic!("no list") };
    let names = keys.into_iter().filter_map(|key| if let Reply::Text(name) = key { Some(name) } else { None });
    names.filter(|name| name.contains(":lease:") || name.contains(":permit:")).collect()
}

/// SIGTERM in mid-work: the end comes within the grace period with exit code 0, permits and leases are given
/// back, and what was not finished is done by the next process.
#[tokio::test]
async fn roles_stopped_in_mid_work_give_back_and_lose_nothing() {
    const MESSAGES: usize = 120;
    let cluster = Cluster::builder().without(Role::MailboxWorker).mail_proxies().start().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    let ids = cluster.drop_many(&mailbox, MESSAGES);
    cluster.proxy(Service::Dovecot).set(Mode::Delay(Duration::from_millis(10)));
    cluster.proxy(Service::Exim).set(Mode::Delay(Duration::from_millis(20)));
    cluster.start(Role::MailboxWorker).await;
    let worker = cluster.process(Role::MailboxWorker);
    let at_work = async || worker.metric("lockstep_workers_received_bytes_total", &[]).await > Some(0.0);
    cluster.wait_until(30, "the worker is in a page", at_work).await;
    assert!(!held(&cluster).await.is_empty(), "permit and lease are held");
    let exit = cluster.stop(Role::MailboxWorker).await;
    assert_eq!(exit.code(), Some(0), "{:?}\n{}", exit.status, worker.log_tail(40));
    assert!(exit.took <= GRACE, "{:?}", exit.took);
    let email = cluster.api().create_and_send(mailbox.owner, &[outsider.address()], "Hello", json!({})).await;
    let sender = cluster.process(Role::OutgoingWorker);
    cluster.wait_until(30, "the email is on its way", async || cluster.proxy(Service::Exim).open() > 0).await;
    let exit = cluster.stop(Role::OutgoingWorker).await;
    assert_eq!(exit.code(), Some(0), "{:?}\n{}", exit.status, sender.log_tail(40));
    assert!(exit.took <= GRACE, "{:?}", exit.took);
    assert_eq!(held(&cluster).await, Vec::<String>::new(), "nothing is held by those who left");

    cluster.proxy(Service::Dovecot).set(Mode::Pass);
    cluster.proxy(Service::Exim).set(Mode::Pass);
    cluster.start(Role::MailboxWorker).await;
    cluster.start(Role::OutgoingWorker).await;
    cluster.wait_received(MESSAGES, 60).await;
    cluster.api().wait_status(email, "sent", Duration::from_secs(40)).await;
    cluster.wait_cycles(&mailbox, 2, 30).await;
    cluster.assert_each_once(&ids).await;
    let arrived = lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider);
    assert_eq!(arrived.len(), 1);

    for role in Role::SEPARATE {
        let process = cluster.process(role);
        let exit = cluster.stop(role).await;
        assert_eq!(exit.code(), Some(0), "{}: {:?}\n{}", role.name(), exit.status, process.log_tail(40));
        assert!(exit.took <= GRACE, "{}: {:?}", role.name(), exit.took);
    }
    assert_eq!(held(&cluster).await, Vec::<String>::new());
}
