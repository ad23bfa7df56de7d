//! An email sent from the CRM, the answer to it, and the answer's way back.

use std::time::Duration;

use lockstep_e2e::{Cluster, TrackOption};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);

/// A5, F9: what is sent arrives once, as it was written; the answer is tracked where only answers are, and points
/// at what it answers.
#[tokio::test]
async fn a5_f9_an_email_arrives_once_and_its_answer_is_correlated() {
    let cluster = Cluster::up().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::InResponse).await;
    let other = cluster.mailbox_for_new_user(TrackOption::InResponse).await;
    let outsider = cluster.account("outside");
    let subject = "Offer für 40 lamps — naïve";
    let file = json!([{ "name": "offer.txt", "media_type": "text/plain", "content": "T2ZmZXIK" }]);
    let extra = json!({
        "cc": [{ "address": outsider.address(), "name": "Out Sider" }],
        "bcc": [{ "address": sender.address() }],
        "attachments": file,
    });
    let sent = cluster.api().create_and_send(sender.owner, &[other.address()], subject, extra).await;
    let record = cluster.api().wait_status(sent, "sent", SOON).await;
    let message_id = record["message_id"].as_str().unwrap().to_owned();

    let arrived = |address: &str| {
        let account = [&sender.account, &other.account, &outsider].into_iter().find(|a| a.address() == address);
        lockstep_test_support::mail::maildir_messages(
            cluster.services(lockstep_e2e::Service::Dovecot),
            account.unwrap(),
        )
    };
    for address in [other.address(), outsider.address(), sender.address()] {
        cluster.wait_until(20, "the email arrives", async || !arrived(address).is_empty()).await;
        let messages = arrived(address);
        assert_eq!(messages.len(), 1, "{address}");
        let text = String::from_utf8_lossy(&messages[0]).into_owned();
        assert_eq!(header(&text, "Message-ID"), Some(format!("<{message_id}>")));
        assert!(header(&text, "From").unwrap().contains(sender.address()), "{text}");
        assert!(header(&text, "To").unwrap().contains(other.address()), "{text}");
        assert!(header(&text, "Cc").unwrap().contains(outsider.address()), "{text}");
        assert_eq!(header(&text, "Bcc"), None, "hidden recipients stay hidden");
        assert!(text.contains("offer.txt"), "{text}");
    }

    // The colleague answers from the CRM; the sender's mailbox tracks answers only.
    let received = json!({ "in_reply_to_email_id": sent });
    let answer =
        cluster.api().create_and_send(other.owner, &[sender.address()], &format!("Re: {subject}"), received).await;
    let answer_record = cluster.api().wait_status(answer, "sent", SOON).await;
    let answer_id = answer_record["message_id"].as_str().unwrap().to_owned();
    let found = cluster
        .wait_until(40, "the answer is tracked", async || {
            let all = cluster.api().list(&format!("/emails?direction=incoming&message_id={answer_id}")).await;
            all.into_iter().next()
        })
        .await;
    assert_eq!(found["correlation_method"], "in-reply-to", "{found}");
    assert_eq!(found["correlated_email_id"], Value::from(sent.to_string()), "{found}");
    assert_eq!(found["in_reply_to"], json!([message_id]));

    // An outsider answers by mail.
    let draft = lockstep_e2e::mail::Draft::new(outsider.address(), &[sender.address()], "Re: Offer")
        .header("In-Reply-To", &format!("<{message_id}>"));
    cluster.deliver(&draft.to_bytes(), outsider.address(), &[&sender]).await;
    let from_outside = cluster
        .wait_until(40, "the outsider's answer is tracked", async || {
            cluster
                .api()
                .list(&format!("/emails?direction=incoming&message_id={}", draft.id()))
                .await
                .into_iter()
                .next()
        })
        .await;
    assert_eq!(from_outside["correlated_email_id"], Value::from(sent.to_string()));

    for mailbox in [&sender, &other] {
        cluster.wait_cycles(mailbox, 2, 30).await;
    }
    assert_eq!(cluster.number("SELECT count(*) FROM emails WHERE direction = 'outgoing'").await, 2);
    assert_eq!(cluster.maildir(&other).len(), 1, "nothing was sent twice");
    assert_eq!(cluster.maildir(&sender).len(), 3, "a hidden copy and two answers");
    let records = cluster.records_per_message_id().await;
    assert!(records.values().all(|count| *count == 1), "{records:?}");
    assert_eq!((records.get(&answer_id), records.get(draft.id())), (Some(&1), Some(&1)));
}

/// A header field, unfolded.
fn header(message: &str, name: &str) -> Option<String> {
    let head = message.replace("\r\n", "\n");
    let head = head.split("\n\n").next()?.replace("\n ", " ").replace("\n\t", " ");
    let line = head.lines().find(|line| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && line[name.len()..].starts_with(':')
    })?;
    Some(line[name.len() + 1..].trim().to_owned())
}
