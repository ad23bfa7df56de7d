//! One account of a profile reads and sends for all its mailboxes.

use std::{collections::BTreeSet, time::Duration};

use lockstep_e2e::{Cluster, ProfileOptions, Service, TrackOption, mail::Draft};
use lockstep_test_support::mail::maildir_messages;
use serde_json::json;

/// B10: mailboxes without credentials are tested, read and send with the account of their profile. Together they have as
/// many connections as that account may have, one here; what arrives in it is one record each, however many mailboxes
/// look at it.
#[tokio::test]
async fn b10_every_mailbox_logs_in_with_the_account_of_its_profile() {
    const MAILBOXES: usize = 3;
    let cluster = Cluster::builder().mail_proxies().max_connections(1).start().await;
    let shared = cluster.account("service");
    let options = ProfileOptions { account: Some(shared.clone()), ..cluster.profile_options() };
    let profile = cluster.create_profile(&options).await;
    let mut mailboxes = Vec::new();
    for _ in 0..MAILBOXES {
        mailboxes.push(cluster.user_sharing(profile, &shared, TrackOption::All).await);
    }
    let secrets = "SELECT count(*) FROM mailboxes WHERE sealed_secret IS NOT NULL OR login IS NOT NULL";
    assert_eq!(cluster.number(secrets).await, 0, "no mailbox has an account of its own");

    cluster.proxy(Service::Dovecot).reset_peak();
    let mut ids = Vec::new();
    for mailbox in &mailboxes {
        for number in 0..10 {
            let draft = Draft::new("sender@outside.test", &[mailbox.address()], &format!("Message {number}"));
            cluster.deliver(&draft.to_bytes(), "sender@outside.test", &[mailbox]).await;
            ids.push(draft.id().to_owned());
        }
    }
    cluster.wait_received(ids.len(), 90).await;
    for mailbox in &mailboxes {
        cluster.wait_cycles(mailbox, 2, 60).await;
        assert!(cluster.tracked(mailbox).await >= 10, "what is addressed to it is linked to it");
    }
    assert_eq!(cluster.proxy(Service::Dovecot).peak(), 1, "the account has one connection");
    cluster.assert_each_once(&ids).await;

    // Each sends from its own address, and the server lets nobody send who has not logged in.
    let outsider = cluster.account("outside");
    for mailbox in &mailboxes {
        let to = [outsider.address()];
        let email = cluster.api().create_and_send(mailbox.owner, &to, "Hello", json!({})).await;
        cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    }
    let arrived = || maildir_messages(cluster.services(Service::Dovecot), &outsider);
    cluster.wait_until(30, "each email arrives", async || arrived().len() >= MAILBOXES).await;
    let from: BTreeSet<String> = arrived()
        .iter()
        .filter_map(|raw| {
            let text = String::from_utf8_lossy(raw).into_owned();
            text.lines().find_map(|line| line.strip_prefix("From: ").map(|from| from.trim().to_owned()))
        })
        .collect();
    for mailbox in &mailboxes {
        assert!(from.iter().any(|from| from.contains(mailbox.address())), "{from:?}");
    }
    assert_eq!(arrived().len(), MAILBOXES);

    // The account's password was changed: it is everybody's.
    cluster
        .api()
        .patch(&format!("/email-server-profiles/{profile}"), &json!({ "password": "changed-meanwhile" }))
        .await;
    let stopped = "SELECT count(*) FROM lane_schedules WHERE fault_class = 'auth'";
    let all = i64::try_from(MAILBOXES).unwrap();
    cluster.wait_until(60, "every mailbox is refused", async || cluster.number(stopped).await == all).await;
}
