//! Ann sends in Bert's name: what the recipient sees, and what happens when Bert changes his mind.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, Service, TestMailbox, TrackOption};
use lockstep_test_support::mail::maildir_messages;
use serde_json::json;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// Ann, who may send as others, and Bert, who agrees.
async fn ann_and_bert(cluster: &Cluster) -> (TestMailbox, TestMailbox) {
    let ann = cluster.mailbox_for_new_user(TrackOption::All).await;
    let bert = cluster.mailbox_for_new_user(TrackOption::All).await;
    let privilege = json!({ "record_kind": "user", "privilege": "send-as-another", "depth": "all" });
    let role = cluster.api().post("/security-roles", &json!({ "name": "Delegate", "privileges": [privilege] })).await;
    let path = format!("/users/{}/security-roles/{}", ann.owner, role["id"].as_str().unwrap());
    cluster.api().send(reqwest::Method::PUT, &path, None).await.expect(204);
    consent(cluster, &bert, true).await;
    (ann, bert)
}

async fn consent(cluster: &Cluster, bert: &TestMailbox, agrees: bool) {
    let fields = json!({ "allow_send_on_behalf": agrees });
    cluster.api().patch(&format!("/users/{}", bert.owner), &fields).await;
}

async fn send(cluster: &Cluster, ann: &TestMailbox, bert: &TestMailbox, to: &str) -> Uuid {
    cluster.api().create_and_send(bert.owner, &[to], "Offer", json!({ "sender_user_id": ann.owner })).await
}

/// The header of a message, unfolded, in lines.
fn head(raw: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(raw).replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
    head.lines().map(str::to_owned).collect()
}

/// H7: the recipient sees the author in From and who sends in Sender, each once (RFC 5322 §3.6.2); what cannot be
/// delivered goes back to the mailbox that has sent it, which is Bert's.
#[tokio::test]
async fn h7_an_email_in_anothers_name_says_who_sends() {
    let cluster = Cluster::up().await;
    let (ann, bert) = ann_and_bert(&cluster).await;
    let outsider = cluster.account("outside");
    let email = send(&cluster, &ann, &bert, outsider.address()).await;
    let sent = cluster.api().wait_status(email, "sent", SOON).await;
    assert_eq!(sent["sender_user_id"], json!(ann.owner), "{sent}");
    let arrived = || maildir_messages(cluster.services(Service::Dovecot), &outsider);
    cluster.wait_until(30, "it arrives", async || !arrived().is_empty()).await;
    let head = head(&arrived()[0]);
    let field = |name: &str| -> Vec<&str> {
        head.iter().filter_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "))).collect()
    };
    let (from, sender, path) = (field("From"), field("Sender"), field("Return-Path"));
    assert!(from.len() == 1 && from[0].contains(bert.address()) && !from[0].contains(ann.address()), "{head:?}");
    assert!(sender.len() == 1 && sender[0].contains(ann.address()) && !sender[0].contains(bert.address()), "{head:?}");
    assert!(path.len() == 1 && path[0].contains(bert.address()), "{head:?}");

    // In her own name there is nobody else to name.
    let own = cluster.api().create_and_send(ann.owner, &[outsider.address()], "Own", json!({})).await;
    cluster.api().wait_status(own, "sent", SOON).await;
    cluster.wait_until(30, "it arrives", async || arrived().len() == 2).await;
    let with_sender =
        arrived().iter().filter(|raw| self::head(raw).iter().any(|line| line.starts_with("Sender:"))).count();
    assert_eq!(with_sender, 1);
}

/// H7: Bert withdraws his consent while the email waits for a server that is away: it is given up with an alert, and
/// nothing arrives. When he agrees again, it can be sent again.
#[tokio::test]
async fn h7_consent_withdrawn_while_an_email_waits_stops_it() {
    let cluster = Cluster::builder().mail_proxies().start().await;
    let (ann, bert) = ann_and_bert(&cluster).await;
    let outsider = cluster.account("outside");
    cluster.proxy(Service::Exim).set(Mode::Refuse);
    let email = send(&cluster, &ann, &bert, outsider.address()).await;
    let waits = async || cluster.delivery_state(email).await.as_deref() == Some("retry");
    cluster.wait_until(30, "it waits for the server", waits).await;
    consent(&cluster, &bert, false).await;
    cluster.proxy(Service::Exim).set(Mode::Pass);
    let failed = cluster.api().wait_status(email, "failed", SOON).await;
    assert_eq!(failed["delivery"]["fault_code"], "SendAsWithdrawn", "{failed}");
    let mut alerts = cluster.api().alerts().await;
    alerts.retain(|alert| alert["code"] == "DeliveryFailed");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["parameters"]["cause"], "SendAsWithdrawn", "{alerts:?}");
    let arrived = || maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    assert_eq!(arrived(), 0);
    let path = format!("/emails/{email}/send");
    cluster.api().send(reqwest::Method::POST, &path, None).await.expect(403);

    consent(&cluster, &bert, true).await;
    cluster.api().act(&path).await;
    cluster.api().wait_status(email, "sent", SOON).await;
    cluster.wait_until(30, "it arrives", async || arrived() == 1).await;
    assert!(!cluster.api().alert_codes().await.contains(&"DeliveryFailed".to_owned()));
}
