//! One mailbox that two organisations want: two deployments on one Exchange server.

use std::time::Duration;

use exchange_sim::world::value::PropertyName;
use lockstep_e2e::Cluster;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    exchange::{Exchange, id},
    two_way::{ANN, quiet, user},
};

const ANOTHERS: &str = "MailboxOfAnotherOrganization";
const WITHIN: Duration = Duration::from_secs(60);

/// What the mailbox says whose it is.
fn whose(exchange: &Exchange) -> Option<String> {
    exchange.in_mailbox(ANN, |mailbox| {
        let calendar = &mailbox.folders[&mailbox.home("calendar")];
        let ours = |name: &PropertyName| format!("{name:?}").contains("LockstepOrganization");
        let found = calendar.extended.iter().find(|(name, _)| ours(name));
        found.map(|(_, value)| value.content[0].clone())
    })
}

async fn organisation(cluster: &Cluster) -> String {
    cluster.api().get("/organisation").await["id"].as_str().unwrap().to_owned()
}

async fn task(cluster: &Cluster, owner: Uuid, subject: &str) {
    cluster.api().post("/tasks", &json!({ "subject": subject, "owner_user_id": owner })).await;
}

fn tasks(exchange: &Exchange) -> Vec<String> {
    let mut tasks: Vec<_> =
        exchange.items(ANN, "tasks").iter().map(|item| item.content.text("Subject").to_owned()).collect();
    tasks.sort();
    tasks
}

/// D8: the second organisation's test fails for items, with the alert, while its email goes on. D9: with takeover it has
/// the mailbox; the first one stops with the alert and writes nothing there any more.
#[tokio::test]
async fn d8_d9_one_mailbox_one_organisation() {
    let exchange = Exchange::start().await;
    let first = Cluster::builder().start().await;
    let second = Cluster::builder().start().await;
    assert_eq!(whose(&exchange), None);
    let profile = exchange.profile(&first, json!({ "credentials": "mailbox" })).await;
    let (ann, mailbox) = user(&exchange, &first, "ann", profile).await;
    assert_eq!(whose(&exchange), Some(organisation(&first).await));
    task(&first, ann, "of the first").await;
    first.wait_until(60, "the first works there", async || tasks(&exchange) == ["of the first"]).await;

    // The same mailbox in the other organisation.
    let api = second.api();
    let profile = exchange.profile(&second, json!({ "credentials": "mailbox" })).await;
    let there = id(&api.post("/users", &json!({ "name": "ann", "address": ANN, "track_option": "all" })).await);
    let hers = id(&api.list(&format!("/mailboxes?owner={there}")).await[0]);
    let fields = json!({
        "profile_id": profile, "allow_credentials": true, "login": ANN, "password": "secret",
        "incoming_method": "server-side", "outgoing_method": "server-side", "act_method": "none",
        "process_email_from": "2000-01-01T00:00:00Z",
    });
    api.patch(&format!("/mailboxes/{hers}"), &fields).await;
    api.act(&format!("/mailboxes/{hers}/approve")).await;
    let path = format!("/mailboxes/{hers}/test-and-enable");
    let takeover = json!({ "take_over_items": true });
    let refused = api.send(Method::POST, &path, Some(&takeover)).await;
    assert_eq!(refused.status, 422, "{:?}", refused.body);
    assert_eq!(refused.body["errors"][0]["field"], "take_over_items");
    api.patch(&format!("/mailboxes/{hers}"), &json!({ "act_method": "server-side" })).await;
    let operation = api.test_and_enable(hers, WITHIN).await;
    assert_eq!(operation["result"]["act"]["code"], ANOTHERS, "{operation}");
    assert_eq!(operation["result"]["incoming"]["status"], "success", "{operation}");
    let shown = api.get(&format!("/mailboxes/{hers}")).await;
    assert_eq!((&shown["act_test"], &shown["act_enabled"]), (&json!("failure"), &json!(false)));
    let codes = || async { api.alert_codes().await };
    assert!(codes().await.contains(&ANOTHERS.to_owned()));
    exchange.deliver(ANN, 1);
    let arrived = async || api.list("/emails").await.iter().any(|email| email["subject"] == "Letter 1");
    second.wait_until(60, "its email goes on", arrived).await;
    assert_eq!(whose(&exchange), Some(organisation(&first).await));

    // A person takes it over.
    let asked = api.post(&path, &takeover).await;
    let operation = api.operation_ended(id(&asked), WITHIN).await;
    assert_eq!(operation["state"], "done", "{operation}");
    assert_eq!(whose(&exchange), Some(organisation(&second).await));
    assert!(!codes().await.contains(&ANOTHERS.to_owned()), "the alert is over");
    let audited: Vec<Value> = api.list("/audit?action=tested").await;
    assert!(audited.iter().any(|entry| entry.to_string().contains("take_over_items")), "{audited:?}");

    // The first one notices before it writes, and stops.
    task(&first, ann, "too late").await;
    first
        .wait_until(60, "the first stops", async || first.api().alert_codes().await.contains(&ANOTHERS.to_owned()))
        .await;
    first
        .wait_until(60, "its items are disabled", async || {
            let enabled = "SELECT count(*) FROM lane_schedules WHERE lane = 'act' AND enabled";
            first.number(enabled).await == 0
        })
        .await;
    task(&second, there, "of the second").await;
    second
        .wait_until(60, "the second works there", async || tasks(&exchange).contains(&"of the second".to_owned()))
        .await;
    second.wait_until(60, "it is quiet", async || quiet(&second, hers, 2).await).await;
    assert_eq!(tasks(&exchange), ["of the first", "of the second"], "nothing of the first one any more");
    assert_eq!(first.number("SELECT count(*) FROM intents").await, 0);
    let email = "SELECT count(*) FROM lane_schedules WHERE lane = 'incoming' AND enabled";
    assert_eq!(first.number(email).await, 1, "its email goes on too");
    assert_eq!(whose(&exchange), Some(organisation(&second).await));
    let _ = mailbox;
}
