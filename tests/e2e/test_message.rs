//! Tests of mailboxes and profiles against the real servers: Dovecot and Exim.

use std::time::Duration;

use lockstep_e2e::{Cluster, Service, TrackOption};
use lockstep_test_support::mail::maildir_messages;
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(60);

/// C12: the test really sends a message to the mailbox and finds it there, and it becomes no record. B25: the profile's
/// servers are reached step by step. B6: a server that speaks no TLS where TLS is wanted fails with the alert for that.
#[tokio::test]
async fn c12_b25_b6_tests_reach_the_servers() {
    let cluster = Cluster::up().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let dovecot = cluster.services(Service::Dovecot);
    assert!(maildir_messages(dovecot, &mailbox.account).is_empty(), "the cluster takes the first test's message away");
    let operation = cluster.api().test_and_enable(mailbox.mailbox, WITHIN).await;
    assert_eq!(operation["state"], "done", "{operation}");
    assert_eq!(operation["result"]["incoming"]["status"], "success", "{operation}");
    let found = maildir_messages(dovecot, &mailbox.account);
    assert_eq!(found.len(), 1);
    let text = String::from_utf8_lossy(&found[0]).into_owned();
    let id = format!("test-{}@", operation["id"].as_str().unwrap());
    assert!(text.contains(&id) && text.contains("Auto-Submitted: auto-generated"), "{text}");
    let seen = async || {
        let items = cluster.api().list(&format!("/mailboxes/{}/items", mailbox.mailbox)).await;
        items.iter().any(|item| item["reason"] == "TestMessage")
    };
    cluster.wait_until(60, "the message is seen and refused", seen).await;
    assert!(cluster.api().list("/emails").await.is_empty(), "it is no record");

    let record = cluster.api().get(&format!("/mailboxes/{}", mailbox.mailbox)).await;
    let profile = record["profile_id"].as_str().unwrap().to_owned();
    let asked = cluster.api().act(&format!("/email-server-profiles/{profile}/test-connection")).await;
    let asked = asked["id"].as_str().unwrap().parse().unwrap();
    let result = cluster.api().operation_ended(asked, WITHIN).await["result"].clone();
    for direction in ["incoming", "outgoing"] {
        let location = &result[direction]["location"];
        assert_eq!(location["status"], "success", "{result}");
        let steps: Vec<_> = location["steps"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
        assert!(steps.contains(&json!("greeting")) && steps.contains(&json!("capabilities")), "{steps:?}");
        assert_eq!(result[direction]["authorisation"]["status"], "not-run", "each mailbox has its own account");
    }

    // The incoming side expects TLS where the server greets in clear.
    let plain = dovecot.pop3_port();
    let incoming = json!({ "protocol": "pop3", "host": "127.0.0.1", "port": plain, "tls": "implicit" });
    cluster.api().patch(&format!("/email-server-profiles/{profile}"), &json!({ "incoming": incoming })).await;
    let asked = cluster.api().act(&format!("/email-server-profiles/{profile}/test-connection")).await;
    let id = asked["id"].as_str().unwrap().parse().unwrap();
    let failed = cluster.api().operation_ended(id, WITHIN).await;
    assert_eq!(failed["result"]["incoming"]["location"]["code"], "SecureConnectionFailed", "{failed}");
    // C15: it may be mended at any moment, so that it is tried again; what was found so far is told at once.
    let asked = cluster.api().act(&format!("/mailboxes/{}/test-and-enable", mailbox.mailbox)).await;
    let path = format!("/operations/{}", asked["id"].as_str().unwrap());
    let found = async || cluster.api().get(&path).await["result"].is_object();
    cluster.wait_until(60, "the first attempt is over", found).await;
    let tested = cluster.api().get(&path).await;
    assert_eq!(tested["result"]["incoming"]["code"], "SecureConnectionFailed", "{tested}");
    assert_eq!((&tested["state"], &tested["attempts"]), (&json!("pending"), &json!(1)), "{tested}");
    let record = cluster.api().get(&format!("/mailboxes/{}", mailbox.mailbox)).await;
    assert_eq!((&record["test"]["retries"], &record["test"]["scheduled"]), (&json!(1), &json!(true)), "C21: {record}");
    assert!(cluster.api().alert_codes().await.contains(&"SecureConnectionFailed".to_owned()));
}
