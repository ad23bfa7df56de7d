//! The largest message there may be, and one that is larger.

use std::collections::BTreeMap;

use lockstep_e2e::{Cluster, Role, TestMailbox, TrackOption, mail::Draft};

const MIB: usize = 1024 * 1024;
/// A worker with its code, its pools and one page in transit; far below the message.
const MEMORY: u64 = 120 * 1024 * 1024;

/// A message with a small file and one that fills it up to `size` bytes.
fn message(to: &TestMailbox, subject: &str, size: usize) -> (String, Vec<u8>) {
    let draft = Draft::new("sender@outside.test", &[to.address()], subject).attachment("small.bin", vec![7_u8; 10_000]);
    let small = String::from_utf8(draft.to_bytes()).unwrap();
    let (head, _) = small.rsplit_once("--\r\n").unwrap();
    let boundary = head.rsplit_once("\r\n").unwrap().1.to_owned();
    let mut raw = format!("{head}\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"huge.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n").into_bytes();
    let end = format!("{boundary}--\r\n");
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let lines = (size - raw.len() - end.len()) / line.len();
    raw.extend_from_slice(line.repeat(lines).as_bytes());
    raw.extend_from_slice(end.as_bytes());
    (draft.id().to_owned(), raw)
}

/// F20, F21: 150 MB pass through a worker whose memory does not grow with them; a message above the limit is refused
/// without being read, and both leave the others alone.
#[tokio::test]
async fn f20_f21_the_largest_message_passes_in_bounded_memory() {
    let cluster = Cluster::builder().setting("mailbox_worker", "lease_ttl_ms", "10000");
    let cluster = cluster.setting("mailbox_worker", "permit_ttl_ms", "10000").start().await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let worker = cluster.process(Role::MailboxWorker);
    let (id, raw) = message(&mailbox, "The largest", 149 * MIB);
    cluster.drop_into(&raw, &mailbox);
    let size = raw.len();
    drop(raw);
    let (_, raw) = message(&mailbox, "Too large", 151 * MIB);
    cluster.drop_into(&raw, &mailbox);
    drop(raw);
    let mut ids = cluster.drop_many(&mailbox, 3);
    ids.push(id.clone());
    cluster.wait_received(ids.len(), 240).await;
    cluster.wait_cycles(&mailbox, 1, 60).await;
    cluster.assert_each_once(&ids).await;
    assert_eq!(cluster.refused_with_reason(&mailbox).await, BTreeMap::from([("TooLarge".to_owned(), 1)]));
    let files: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT a.name, a.left_out FROM email_attachments a JOIN emails e ON e.id = a.email_id
         WHERE e.message_id = $1 ORDER BY a.position",
    )
    .bind(&id)
    .fetch_all(cluster.pool())
    .await
    .unwrap();
    assert_eq!(files.len(), 2, "{files:?}");
    assert_eq!(files[0], ("small.bin".to_owned(), None));
    assert!(files[1].0 == "huge.bin" && files[1].1.is_some(), "left out, with the reason: {files:?}");
    let stored: i64 = sqlx::query_scalar("SELECT size_bytes FROM emails WHERE message_id = $1")
        .bind(&id)
        .fetch_one(cluster.pool())
        .await
        .unwrap();
    assert_eq!(usize::try_from(stored).unwrap(), size);
    let peak = worker.peak_memory().unwrap();
    assert!(peak < MEMORY, "{} MiB resident at the peak", peak / 1024 / 1024);
}
