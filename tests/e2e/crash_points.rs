//! Every named point of the code, as if the machine had lost power exactly there.

use std::time::Duration;

use lockstep_e2e::{Builder, Cluster, Process, Role, TrackOption, eventually};
use lockstep_model::crashpoint::CrashPoint;

pub(crate) const VARIABLE: &str = "LOCKSTEP_CRASH_AT";
const DIES_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn builder() -> Builder {
    Cluster::builder()
        .setting("scheduler", "claim_lifetime_ms", "2500")
        .setting("mailbox_worker", "lease_ttl_ms", "2000")
        .setting("mailbox_worker", "permit_ttl_ms", "2000")
}

pub(crate) fn points(prefix: &str) -> Vec<&'static str> {
    CrashPoint::ALL.iter().map(|point| point.name()).filter(|name| name.starts_with(prefix)).collect()
}

/// Waits for the end that the point brings, which proves that it was reached.
pub(crate) async fn dies_there(process: &Process, point: &str) {
    let end = async || process.ended();
    eventually(DIES_WITHIN, end, &format!("{point} is reached by a program built with --features crashpoints")).await;
    let exit = process.wait(DIES_WITHIN).await;
    assert!(exit.was_killed(), "{point}: {}\n{}", exit.status, process.log_tail(30));
}

#[test]
fn every_point_belongs_to_a_role_that_is_tested() {
    let tested: usize = ["scheduler.", "mailbox.", "items.", "attachments.", "outgoing."]
        .iter()
        .map(|prefix| points(prefix).len())
        .sum();
    assert_eq!(tested, CrashPoint::ALL.len());
}

/// C5, N10: a mailbox worker that dies at any point; the messages of a queue that deletes what it has processed
/// are one record each, and gone from the server.
#[tokio::test]
async fn c5_n10_a_mailbox_worker_that_dies_anywhere_loses_and_doubles_nothing() {
    const MESSAGES: usize = 4;
    let cluster = builder().without(Role::MailboxWorker).start().await;
    let mailbox = cluster.mailbox_for_new_queue(true).await;
    let mut ids = Vec::new();
    for point in points("mailbox.") {
        ids.extend(cluster.drop_many(&mailbox, MESSAGES));
        dies_there(&cluster.spawn(Role::MailboxWorker, &[(VARIABLE, point)]), point).await;
        cluster.start(Role::MailboxWorker).await;
        cluster.wait_received(ids.len(), 60).await;
        cluster
            .wait_until(60, &format!("{point}: the mailbox is empty"), async || {
                let left = cluster.maildir(&mailbox).len();
                if left == 0 { Ok(()) } else { Err(format!("{left} messages lie there")) }
            })
            .await;
        cluster.assert_each_once(&ids).await;
        cluster.kill(Role::MailboxWorker).await;
    }
    cluster.start(Role::MailboxWorker).await;
    cluster.wait_cycles(&mailbox, 2, 60).await;
    cluster.assert_each_once(&ids).await;
    assert!(cluster.links().await.values().all(|links| *links == 1));
}

/// A scheduler that dies at any point; occasions are handed out again, reports folded once.
#[tokio::test]
async fn a_scheduler_that_dies_anywhere_loses_and_doubles_nothing() {
    const MESSAGES: usize = 4;
    let cluster = builder().start().await;
    let mailbox = cluster.mailbox_for_new_queue(false).await;
    cluster.kill(Role::Scheduler).await;
    let mut ids = Vec::new();
    for point in points("scheduler.") {
        ids.extend(cluster.drop_many(&mailbox, MESSAGES));
        dies_there(&cluster.spawn(Role::Scheduler, &[(VARIABLE, point)]), point).await;
        cluster.start(Role::Scheduler).await;
        cluster.wait_received(ids.len(), 60).await;
        cluster.wait_cycles(&mailbox, 2, 60).await;
        cluster.assert_each_once(&ids).await;
        cluster.kill(Role::Scheduler).await;
    }
    assert_eq!(cluster.tracked(&mailbox).await, ids.len());
}

/// H10: an outgoing worker that dies at any point; each email arrives at most once. Where nobody can know whether
/// it went out, it stays unknown with an alert and is never sent again by itself; anywhere else it arrives.
#[tokio::test]
async fn h10_an_outgoing_worker_that_dies_anywhere_never_sends_twice() {
    let cluster = builder().without(Role::OutgoingWorker).start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::None).await;
    let mut unknown = 0;
    for point in points("outgoing.") {
        let recipient = cluster.account("recipient");
        let email =
            cluster.api().create_and_send(sender.owner, &[recipient.address()], point, serde_json::json!({})).await;
        dies_there(&cluster.spawn(Role::OutgoingWorker, &[(VARIABLE, point)]), point).await;
        cluster.start(Role::OutgoingWorker).await;
        let ended = async || match cluster.delivery_state(email).await.as_deref() {
            Some("sent" | "unknown") => Ok(()),
            state => Err(format!("{state:?}")),
        };
        cluster.wait_until(60, &format!("{point}: the delivery ends"), ended).await;
        // Nothing more is handed out: several rounds of the scheduler and lifetimes of a claim.
        let state = cluster.delivery_state(email).await.unwrap();
        let alerts = cluster.api().alerts().await;
        let of_email = |alert: &&serde_json::Value| alert["email_id"] == email.to_string();
        let alerts: Vec<_> = alerts.iter().filter(of_email).map(|alert| alert["code"].clone()).collect();
        match point {
            "outgoing.in_flight" | "outgoing.accepted" if state == "unknown" => {
                unknown += 1;
                assert_eq!(alerts, ["OutcomeUnknown"], "{point}");
            }
            _ => {
                assert_eq!(state, "sent", "{point}");
                assert!(alerts.is_empty(), "{point}: {alerts:?}");
            }
        }
        let arrived = || {
            let dovecot = cluster.services(lockstep_e2e::Service::Dovecot);
            lockstep_test_support::mail::maildir_messages(dovecot, &recipient).len()
        };
        // The final dot was not written, so that nothing can have arrived.
        let expected = usize::from(point != "outgoing.in_flight");
        cluster.wait_until(20, &format!("{point}: {expected} arrive"), async || arrived() >= expected).await;
        assert_eq!(arrived(), expected, "{point}");
        cluster.kill(Role::OutgoingWorker).await;
    }
    assert_eq!(unknown, 2, "neither of the two can be known");
    cluster.start(Role::OutgoingWorker).await;
    let last = cluster.account("last");
    let email = cluster.api().create_and_send(sender.owner, &[last.address()], "last", serde_json::json!({})).await;
    cluster.api().wait_status(email, "sent", DIES_WITHIN).await;
    assert_eq!(cluster.number("SELECT count(*) FROM deliveries WHERE state = 'unknown'").await, 2);
}
