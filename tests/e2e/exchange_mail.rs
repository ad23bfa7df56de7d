//! What an organisation and a profile choose about email on Exchange, chosen over the API and seen in mailboxes.

use std::time::Duration;

use exchange_sim::{clock, mime};
use lockstep_e2e::{Cluster, Exchange};
use serde_json::{Value, json};

const ANN: &str = "ann@exchange.test";
const CUSTOMER: &str = "customer@exchange.test";

fn message(name: &str, from: &str, to: &str, more: &str) -> Vec<u8> {
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {name}\r\nMessage-ID: <{name}@exchange.test>\r\nDate: Mon, 23 Nov 2026 \
         10:00:00 +0000\r\n{more}\r\nText of {name}\r\n"
    )
    .into_bytes()
}

fn lay(exchange: &Exchange, folder: &'static str, message: &[u8]) {
    exchange.in_mailbox(ANN, |mailbox| {
        let (folder, now) = (mailbox.home(folder), clock::now());
        mailbox.receive(folder, mime::read(message, now), now).unwrap();
    });
}

/// The direction and status of the email of this name, and how many there are.
async fn recorded(cluster: &Cluster, name: &str) -> (usize, String) {
    let emails = cluster.api().list(&format!("/emails?message_id={name}@exchange.test")).await;
    let words =
        |email: &Value| format!("{} {}", email["direction"].as_str().unwrap(), email["status"].as_str().unwrap());
    (emails.len(), emails.first().map(words).unwrap_or_default())
}

async fn wait_recorded(cluster: &Cluster, name: &str, words: &str) {
    let what = format!("{name} is recorded");
    cluster.wait_until(60, &what, async || recorded(cluster, name).await == (1, words.to_owned())).await;
}

/// F8, H5, F24, B23: each choice holds from the moment it is made: before, sent mail is left alone, a copy is kept,
/// restricted mail is recorded and what fails stays; afterwards it is the other way round.
#[tokio::test]
async fn f8_h5_f24_b23_choices_about_email_on_exchange() {
    let exchange = Exchange::start(&["ann", "customer"]).await;
    let cluster = Cluster::builder().start().await;
    let service = json!({ "credentials": "profile", "login": "service@exchange.test", "password": "secret" });
    let profile = exchange.profile(&cluster, exchange.port, service).await;
    let mailbox = json!({
        "profile_id": profile, "incoming_method": "server-side", "outgoing_method": "server-side",
        "process_email_from": "2000-01-01T00:00:00Z",
    });
    let (ann, _) = exchange.user(&cluster, "ann", mailbox).await;
    let restricted = "Content-Class: rpmsg.message\r\n";

    lay(&exchange, "sentitems", &message("sent-before", ANN, CUSTOMER, ""));
    lay(&exchange, "inbox", &message("restricted-before", CUSTOMER, ANN, restricted));
    wait_recorded(&cluster, "restricted-before", "incoming received").await;
    assert_eq!(recorded(&cluster, "sent-before").await.0, 0);
    let email = cluster.api().create_and_send(ann, &[CUSTOMER], "With a copy", json!({})).await;
    cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    // What was laid there by hand, and the copy; a test of a mailbox leaves none.
    assert_eq!(exchange.items(ANN, "sentitems").len(), 2);

    let chosen = json!({ "auto_track_sent_items": true, "restrict_rights_managed": true, "save_sent_copy": false });
    cluster.api().patch("/organisation", &chosen).await;
    cluster.api().patch(&format!("/email-server-profiles/{profile}"), &json!({ "move_undeliverable": true })).await;
    wait_recorded(&cluster, "sent-before", "outgoing sent").await;
    lay(&exchange, "sentitems", &message("sent-after", ANN, CUSTOMER, ""));
    lay(&exchange, "inbox", &message("restricted-after", CUSTOMER, ANN, restricted));
    wait_recorded(&cluster, "sent-after", "outgoing sent").await;
    let explained = cluster
        .wait_until(60, "the message is refused", async || {
            let explained = cluster.api().get("/explanations/messages?message_id=restricted-after@exchange.test").await;
            explained.to_string().contains("RightsManaged").then_some(explained)
        })
        .await;
    assert!(explained.to_string().contains("Rights management restricts"), "{explained}");
    assert_eq!(recorded(&cluster, "restricted-after").await.0, 0);
    let email = cluster.api().create_and_send(ann, &[CUSTOMER], "Without a copy", json!({})).await;
    cluster.api().wait_status(email, "sent", Duration::from_secs(60)).await;
    assert_eq!(exchange.items(ANN, "sentitems").len(), 3, "no other copy");
    assert_eq!(exchange.items(CUSTOMER, "inbox").len(), 2, "both arrived");

    let rules = r#"[{"mood":"gone","operation":"GetItem","mailbox":"ann@exchange.test","times":1}]"#;
    exchange.server.state().moods.set(serde_json::from_str(rules).unwrap());
    lay(&exchange, "inbox", &message("broken", CUSTOMER, ANN, ""));
    let filed = || {
        exchange.in_mailbox(ANN, |mailbox| {
            let folder = mailbox.folders.values().find(|folder| folder.name == "Undeliverable").map(|folder| folder.id);
            folder.map_or(0, |folder| mailbox.items_in(folder).len())
        })
    };
    cluster.wait_until(60, "what was given up is moved", async || filed() == 1).await;
    let said = cluster
        .wait_until(30, "the alert says so", async || {
            let alerts = cluster.api().alerts().await;
            alerts.into_iter().find(|alert| alert.to_string().contains("was moved to the folder Undeliverable"))
        })
        .await;
    assert_eq!(said["code"], "ItemQuarantined");
    assert_eq!(recorded(&cluster, "sent-before").await.0, 1, "nothing came twice");
    assert_eq!(
        cluster.api().list("/emails?direction=outgoing").await.len(),
        4,
        "two sent from here, two from elsewhere"
    );
}
