//! A server that accepts connections and says nothing: each profile waits as long as it says, and nobody else waits.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, ProfileOptions, Service, TestMailbox, TrackOption};
use serde_json::json;

/// How long the last cycle that ended with `TimedOut` took, in seconds; nothing while there is none.
async fn timed_out_after(cluster: &Cluster, mailbox: &TestMailbox) -> Option<f64> {
    sqlx::query_scalar(
        "SELECT last_duration_seconds FROM lane_schedules WHERE mailbox_id = $1 AND fault_code = 'TimedOut'",
    )
    .bind(mailbox.mailbox)
    .fetch_optional(cluster.pool())
    .await
    .unwrap()
}

/// B22: a cycle is given up after the profile's own time-out and tried again later; when that goes on, one alert of the
/// profile names its cause. An email is given up after the same time and kept. Mailboxes of other profiles go on, and so
/// do these once the server speaks again.
#[tokio::test]
async fn b22_a_silent_server_is_given_up_after_the_time_the_profile_says() {
    const HASTY: Duration = Duration::from_secs(1);
    const PATIENT: Duration = Duration::from_secs(4);
    let cluster = Cluster::builder().mail_proxies().start().await;
    let silent = cluster.profile_options();
    let options =
        |name: &str, request_timeout| ProfileOptions { name: name.to_owned(), request_timeout, ..silent.clone() };
    let hasty_profile = cluster.create_profile(&options("Hasty", HASTY)).await;
    let patient_profile = cluster.create_profile(&options("Patient", PATIENT)).await;
    let direct = ProfileOptions {
        incoming_port: cluster.services(Service::Dovecot).pop3s_port(),
        outgoing_port: cluster.services(Service::Exim).submission_port(),
        ..options("Direct", HASTY)
    };
    let direct_profile = cluster.create_profile(&direct).await;
    let hasty = cluster.user_on(hasty_profile, TrackOption::All).await;
    let patient = cluster.user_on(patient_profile, TrackOption::All).await;
    let neighbour = cluster.user_on(direct_profile, TrackOption::All).await;
    let outsider = cluster.account("outside");

    cluster.proxy(Service::Dovecot).set(Mode::Blackhole);
    cluster.proxy(Service::Exim).set(Mode::Blackhole);
    let mut ids = Vec::new();
    for mailbox in [&hasty, &patient] {
        ids.extend(cluster.drop_many(mailbox, 5));
    }
    let to = [outsider.address()];
    let email = cluster.api().create_and_send(hasty.owner, &to, "Waits", json!({})).await;
    let given_up = async || cluster.api().email(email).await["delivery"]["fault_code"] == "TimedOut";
    cluster.wait_until(30, "the email is given up for now", given_up).await;
    let hasty_took =
        cluster.wait_until(30, "a cycle is given up", async || timed_out_after(&cluster, &hasty).await).await;
    let patient_took =
        cluster.wait_until(30, "a cycle is given up", async || timed_out_after(&cluster, &patient).await).await;
    assert!(hasty_took >= HASTY.as_secs_f64(), "{hasty_took}");
    assert!(patient_took >= PATIENT.as_secs_f64(), "{patient_took}");
    assert!(hasty_took < patient_took, "each as long as its profile says: {hasty_took}, {patient_took}");

    // One alert a profile, which says why.
    let told = async || {
        let mut alerts = cluster.api().alerts().await;
        alerts.retain(|alert| alert["code"] == "ServerUnreachable");
        let of = |profile: uuid::Uuid| {
            alerts.iter().any(|a| a["profile_id"] == json!(profile) && a["parameters"]["cause"] == "TimedOut")
        };
        if of(hasty_profile) && of(patient_profile) && alerts.len() == 2 { Ok(()) } else { Err(alerts) }
    };
    cluster.wait_until(90, "each silent server is told of", told).await;

    // Nobody else waits meanwhile.
    ids.extend(cluster.drop_many(&neighbour, 5));
    cluster.wait_cycles(&neighbour, 2, 30).await;
    assert_eq!(cluster.tracked(&neighbour).await, 5);
    let meanwhile = cluster.api().create_and_send(neighbour.owner, &to, "Goes", json!({})).await;
    cluster.api().wait_status(meanwhile, "sent", Duration::from_secs(30)).await;
    assert_eq!(cluster.tracked(&hasty).await + cluster.tracked(&patient).await, 0, "the server is silent");

    cluster.proxy(Service::Dovecot).set(Mode::Pass);
    cluster.proxy(Service::Exim).set(Mode::Pass);
    cluster.wait_received(ids.len(), 90).await;
    cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    let ended = async || !cluster.api().alert_codes().await.contains(&"ServerUnreachable".to_owned());
    cluster.wait_until(60, "the alerts end", ended).await;
    cluster.assert_each_once(&ids).await;
    let arrived = lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider);
    assert_eq!(arrived.len(), 2, "each email arrived once");
}
