//! A profile is switched off and on: its mailboxes stand still and go on, and nothing is lost or done twice.

use std::time::Duration;

use lockstep_e2e::{Cluster, ProfileOptions, Service, TestMailbox, TrackOption};
use lockstep_test_support::mail::maildir_messages;
use serde_json::json;
use uuid::Uuid;

async fn set_active(cluster: &Cluster, profile: Uuid, active: bool) {
    cluster.api().patch(&format!("/email-server-profiles/{profile}"), &json!({ "active": active })).await;
}

/// How many messages of these mailboxes are records.
async fn tracked(cluster: &Cluster, mailboxes: &[TestMailbox]) -> usize {
    let mut all = 0;
    for mailbox in mailboxes {
        all += cluster.tracked(mailbox).await;
    }
    all
}

/// B1: from the moment the profile is inactive no message of its mailboxes becomes a record, not even in the cycle that is
/// under way; no cycle begins and no email leaves. Mailboxes of another profile notice nothing. Switched on, everything
/// goes on where it stood, without a test of any mailbox.
#[tokio::test]
async fn b1_a_profile_that_is_switched_off_stops_its_mailboxes_and_goes_on_where_they_stood() {
    let cluster = Cluster::up().await;
    let profile = cluster.profile().await;
    let mut mailboxes = Vec::new();
    for _ in 0..3 {
        mailboxes.push(cluster.mailbox_for_new_user(TrackOption::All).await);
    }
    let options = ProfileOptions { name: "Other".to_owned(), ..cluster.profile_options() };
    let other = cluster.create_profile(&options).await;
    let neighbour = cluster.user_on(other, TrackOption::All).await;
    let outsider = cluster.account("outside");
    cluster.remember_looks().await;

    // In the middle of a long cycle.
    let mut ids = cluster.drop_many(&mailboxes[0], 400);
    let under_way = async || cluster.received_emails().await > 0;
    cluster.wait_until(30, "a cycle is under way", under_way).await;
    set_active(&cluster, profile, false).await;
    let stopped = cluster.now();
    let stood_at = tracked(&cluster, &mailboxes).await;
    assert!(stood_at < ids.len(), "it was in the middle: {stood_at}");

    for mailbox in &mailboxes {
        ids.extend(cluster.drop_many(mailbox, 10));
    }
    let to = [outsider.address()];
    let email = cluster.api().create_and_send(mailboxes[1].owner, &to, "Waits", json!({})).await;
    let of_neighbour = cluster.drop_many(&neighbour, 10);
    cluster.wait_looks(std::slice::from_ref(&neighbour), stopped, 4, 60).await;
    let sent_by_neighbour = cluster.api().create_and_send(neighbour.owner, &to, "Goes", json!({})).await;
    cluster.api().wait_status(sent_by_neighbour, "sent", Duration::from_secs(30)).await;
    assert_eq!(tracked(&cluster, std::slice::from_ref(&neighbour)).await, of_neighbour.len());

    assert_eq!(tracked(&cluster, &mailboxes).await, stood_at, "nothing was read meanwhile");
    for mailbox in &mailboxes {
        let late: Vec<_> = cluster.looks(mailbox).await.into_iter().filter(|look| look.ended_at > stopped).collect();
        assert!(late.is_empty(), "no cycle counts after it: {late:?}");
    }
    let under_way = "SELECT count(*) FROM lane_schedules s JOIN email_server_profiles p ON p.id = s.profile_id
         WHERE NOT p.active AND (s.enabled OR s.claimed_until IS NOT NULL)";
    assert_eq!(cluster.number(under_way).await, 0, "nothing is handed out");
    assert_eq!(cluster.api().email(email).await["status"], "pending-send");

    set_active(&cluster, profile, true).await;
    ids.extend(of_neighbour);
    cluster.wait_received(ids.len(), 90).await;
    cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    for mailbox in &mailboxes {
        cluster.wait_cycles(mailbox, 2, 60).await;
    }
    cluster.assert_each_once(&ids).await;
    let subjects = maildir_messages(cluster.services(Service::Dovecot), &outsider);
    assert_eq!(subjects.len(), 2, "each email arrived once");
    let mut alerts = cluster.api().alerts().await;
    alerts.retain(|alert| alert["severity"] != "information");
    assert!(alerts.is_empty(), "a person has switched it off: {alerts:?}");
}
