//! The first synchronisation of mailboxes: who gets which record, once.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_e2e::mail::{CorpusMessage, Draft};
use lockstep_e2e::{Cluster, Service, TestMailbox, TrackOption, mail};
use lockstep_test_support::mail::deliver_smtp;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A1, A3, F1, F6, F25: over POP3 every message becomes a record in the first cycle, or is refused for a reason that can be read.
#[tokio::test]
async fn a1_a3_f6_f25_every_message_is_one_record_or_refused_for_a_reason() {
    let cluster = Cluster::up().await;
    story(&cluster).await;
}

/// The whole story; `isolation` tells it again for one process that plays every role.
pub(crate) async fn story(cluster: &Cluster) {
    let all = cluster.mailbox_for_new_user(TrackOption::All).await;
    let replies = cluster.mailbox_for_new_user(TrackOption::InResponse).await;
    let customers = cluster.mailbox_for_new_user(TrackOption::FromCustomers).await;
    let nothing = cluster.mailbox_for_new_user(TrackOption::None).await;
    let (second, third) =
        (cluster.mailbox_for_new_user(TrackOption::All).await, cluster.mailbox_for_new_user(TrackOption::All).await);
    cluster.api().contact("Carla Customer", "carla@customers.test").await;

    let corpus = mail::corpus();
    for message in &corpus {
        give(cluster, message, &all).await;
    }
    let mut expected = BTreeSet::new();
    // One message, three mailboxes: one record, three links.
    let shared = Draft::new("boss@outside.test", &[all.address(), second.address(), third.address()], "To all three");
    cluster.deliver(&shared.to_bytes(), "boss@outside.test", &[&all, &second, &third]).await;
    expected.insert(shared.id().to_owned());
    // What each option declines.
    let stranger = Draft::new("stranger@outside.test", &[replies.address()], "Nobody asked");
    cluster.deliver(&stranger.to_bytes(), "stranger@outside.test", &[&replies]).await;
    let hidden = Draft::new("stranger@outside.test", &["list@outside.test"], "Hidden copy");
    cluster.deliver(&hidden.to_bytes(), "stranger@outside.test", &[&customers]).await;
    let cold = Draft::new("stranger@outside.test", &[customers.address()], "Cold call");
    cluster.deliver(&cold.to_bytes(), "stranger@outside.test", &[&customers]).await;
    let never = Draft::new("carla@customers.test", &[nothing.address()], "Tracked by nobody");
    cluster.deliver(&never.to_bytes(), "carla@customers.test", &[&nothing]).await;
    // What it takes, with files of every size that matters.
    let files: Vec<(String, Vec<u8>)> =
        [0, 1, 57, 65_536, 300_001].iter().map(|size| (format!("file-{size}.bin"), noise(*size))).collect();
    let order = files.iter().fold(
        Draft::new("carla@customers.test", &[customers.address()], "An order with files"),
        |draft, (name, content)| draft.attachment(name, content.clone()),
    );
    cluster.deliver(&order.to_bytes(), "carla@customers.test", &[&customers]).await;
    expected.insert(order.id().to_owned());

    let wanted = corpus.len() + expected.len();
    cluster.wait_received(wanted, 60).await;
    for mailbox in [&all, &replies, &customers, &nothing, &second, &third] {
        cluster.wait_cycles(mailbox, 1, 30).await;
    }
    assert_eq!(usize::try_from(cluster.received_emails().await).unwrap(), wanted, "nothing more, nothing less");
    let found = cluster.records_per_message_id().await;
    assert!(expected.iter().all(|id| found.get(id) == Some(&1)), "{found:?}");
    assert_eq!(cluster.links().await.get(shared.id()), Some(&3));
    assert_eq!(cluster.tracked(&all).await, corpus.len() + 1);
    assert_eq!(cluster.refused_with_reason(&all).await, BTreeMap::new());
    let once = |reason: &str| BTreeMap::from([(reason.to_owned(), 1)]);
    assert_eq!(cluster.refused_with_reason(&replies).await, once("NoCorrelationMatch"));
    assert_eq!(cluster.refused_with_reason(&nothing).await, once("NoCorrelationMatch"));
    let mut both = once("NoRecipientMatch");
    both.extend(once("NoCorrelationMatch"));
    assert_eq!(cluster.refused_with_reason(&customers).await, both);
    the_corpus_is_read_as_expected(cluster, &corpus).await;
    attachments_come_back(cluster, order.id(), &files).await;
    a_second_cycle_changes_nothing(cluster, &[&all, &customers, &second]).await;
    // Read, never removed, where nobody asked for it.
    assert_eq!(cluster.maildir(&all).len(), corpus.len() + 1);
}

/// Hands a message of the corpus to the server; what no server takes is put there as a file.
async fn give(cluster: &Cluster, message: &CorpusMessage, to: &TestMailbox) {
    // The server writes its own fields before a line that is none, which so ends the header.
    let by_file = message.maildir_only || message.name == "050-mbox-line.eml";
    let exim = cluster.services(Service::Exim);
    let taken = !by_file && deliver_smtp(exim, &message.raw, "corpus@outside.test", &[to.address()]).await.is_ok();
    if !taken {
        cluster.drop_into(&message.raw, to);
    }
}

async fn the_corpus_is_read_as_expected(cluster: &Cluster, corpus: &[CorpusMessage]) {
    let rows: Vec<(String, Option<String>, Vec<String>)> = sqlx::query_as(
        "SELECT e.subject, e.unparsable,
             ARRAY(SELECT a.name || '|' || a.media_type FROM email_attachments a WHERE a.email_id = e.id
                   ORDER BY a.position)
         FROM emails e",
    )
    .fetch_all(cluster.pool())
    .await
    .unwrap();
    let mut wrong = Vec::new();
    for message in corpus.iter().filter(|message| message.expected["default_charset"].is_null()) {
        let Some(subject) = message.expected["subject"].as_str() else { continue };
        let Some(row) = rows.iter().find(|row| row.0 == subject) else {
            wrong.push(format!("{}: no record {subject:?}", message.name));
            continue;
        };
        let attachments: Vec<String> = message.expected["attachments"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|file| format!("{}|{}", file[0].as_str().unwrap(), file[1].as_str().unwrap()))
            .collect();
        if row.1.is_none() && row.2 != attachments {
            wrong.push(format!("{}: {:?} instead of {attachments:?}", message.name, row.2));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn attachments_come_back(cluster: &Cluster, message_id: &str, files: &[(String, Vec<u8>)]) {
    let email: uuid::Uuid = sqlx::query_scalar("SELECT id FROM emails WHERE message_id = $1")
        .bind(message_id)
        .fetch_one(cluster.pool())
        .await
        .unwrap();
    let record = cluster.api().get(&format!("/emails/{email}")).await;
    let attachments = record["attachments"].as_array().cloned().unwrap_or_default();
    assert_eq!(attachments.len(), files.len(), "{record}");
    for (attachment, (name, content)) in attachments.iter().zip(files) {
        assert_eq!(attachment["name"], Value::from(name.as_str()));
        let id = attachment["id"].as_str().unwrap();
        let bytes = cluster.api().download(&format!("/emails/{email}/attachments/{id}/content")).await;
        assert_eq!(
            Sha256::digest(&bytes),
            Sha256::digest(content),
            "{name}: {} of {} bytes",
            bytes.len(),
            content.len()
        );
    }
}

async fn a_second_cycle_changes_nothing(cluster: &Cluster, mailboxes: &[&TestMailbox]) {
    const STATE: &str = "SELECT (SELECT coalesce(sum(version), 0) FROM emails)::bigint
        + (SELECT count(*) FROM feed_entries) + (SELECT count(*) FROM remote_items)
        + (SELECT sum(version) FROM lanes)::bigint";
    let before = cluster.number(STATE).await;
    for mailbox in mailboxes {
        cluster.wait_cycles(mailbox, 2, 30).await;
    }
    assert_eq!(cluster.number(STATE).await, before, "a cycle that finds nothing writes nothing");
}

/// Bytes that no compression and no line logic has an easy time with.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64 ^ size as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}
