//! What becomes of messages: one record for copies, two for forgeries, and every part where it belongs.

use futures::TryStreamExt;
use lockstep_model::mailbox::TrackOption;
use lockstep_store::contents;
use lockstep_wire::Outcome;

use crate::stage::{ANNA, Stage, mail, plain};

async fn content(stage: &Stage, digest: &str) -> Vec<u8> {
    let hex = stage.world.text(&format!("SELECT encode(({digest}), 'hex')")).await;
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let chunks: Vec<_> = contents::read(&stage.world.store, bytes.try_into().unwrap()).try_collect().await.unwrap();
    chunks.concat()
}

/// F6: one message in three mailboxes, read at the same moment: one record, three links.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_message_in_three_mailboxes_is_one_record() {
    let stage = Stage::new().await;
    let mut mailboxes = Vec::new();
    for name in ["anna", "bert", "carl"] {
        mailboxes.push(stage.user(name, TrackOption::All).await);
        for at in 0..60 {
            // Each gateway adds its own trace.
            let to = "anna@muster.example, bert@muster.example, carl@muster.example";
            let own = format!("X-Gateway: {name}\r\n");
            let raw = mail(&format!("m{at}"), "c@kunde.example", to, &own, &format!("Nachricht {at} an alle"));
            stage.server.put(&format!("{name}@muster.example"), &format!("{name}{at}"), raw);
        }
    }
    let mut running = Vec::new();
    for mailbox in &mailboxes {
        running.push(stage.handle(stage.hint(*mailbox).await));
    }
    futures::future::join_all(running).await;
    // A run that takes long gives signs of life first.
    let mut reports = stage.reports();
    reports.retain(|report| report.outcome != Outcome::Running);
    assert!(reports.iter().all(|r| r.outcome == Outcome::Completed && r.counts.tracked == 60), "{reports:?}");
    assert_eq!(stage.emails().await, 60);
    assert_eq!(stage.world.number("SELECT count(*) FROM email_mailboxes").await, 180);
    assert_eq!(
        stage
            .world
            .number("SELECT count(*) FROM feed_entries WHERE change = 'created' AND record_kind = 'email'")
            .await,
        60
    );
    assert_eq!(stage.world.number("SELECT count(DISTINCT email_id) FROM remote_items").await, 60);
}

/// A forged id hides nothing: two messages of one mailbox are two records, in one page or in two.
#[tokio::test]
async fn two_messages_of_one_mailbox_are_two_records() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", plain("same"));
    stage.server.put(ANNA, "k1", plain("same"));
    stage.run(anna).await;
    assert_eq!(stage.world.texts("SELECT identity_ordinal FROM emails ORDER BY 1").await, ["0", "1"]);
    stage.server.put(ANNA, "k2", plain("same"));
    stage.server.put(ANNA, "k3", mail("same", "stranger@kunde.example", ANNA, "", "Etwas ganz anderes."));
    stage.run(anna).await;
    assert_eq!(stage.world.texts("SELECT identity_ordinal FROM emails ORDER BY 1").await, ["0", "0", "1", "2"]);
    assert_eq!(stage.world.number("SELECT count(*) FROM email_mailboxes").await, 4);
    let bert = stage.user("bert", TrackOption::All).await;
    stage.server.put("bert@muster.example", "b0", plain("same"));
    stage.run(bert).await;
    assert_eq!(stage.emails().await, 4, "a copy elsewhere is linked");
}

/// What cannot be parsed is kept as it came, and told of.
#[tokio::test]
async fn unparsable_messages_are_kept_raw() {
    let (stage, anna) = Stage::with_anna().await;
    let garbage = b"\x00\x01\xff no header field at all\r\n\r\n\xfe\x00".to_vec();
    stage.server.put(ANNA, "k0", garbage.clone());
    stage.server.put(ANNA, "k1", plain("m1"));
    stage.server.put(ANNA, "k2", Vec::new());
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 3), "{report:?}");
    let unparsable = "FROM emails WHERE unparsable = 'no_header_field'";
    assert_eq!(stage.world.number(&format!("SELECT count(*) {unparsable}")).await, 1);
    assert_eq!(content(&stage, &format!("SELECT raw_digest {unparsable}")).await, garbage);
    assert_eq!(stage.world.open_alerts().await, ["EmailUnparsable warning ×1", "EmailUnparsable warning ×1"]);
    assert_eq!(stage.world.number("SELECT count(*) FROM emails WHERE raw_digest IS NOT NULL").await, 1);
}

fn multipart(kind: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (header, text) in parts {
        body += &format!("--b\r\n{header}\r\n\r\n{text}\r\n");
    }
    mail("multi", "c@kunde.example", ANNA, &format!("Content-Type: {kind}; boundary=b\r\n"), &format!("{body}--b--"))
}

/// E8, F20: attachments that are too large or of a blocked kind are left out and the record says so; the others are kept.
#[tokio::test]
async fn attachments_over_the_limits_are_left_out() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE organisations SET max_attachment_bytes = 1000").await;
    let (small, edge, large) = ("a".repeat(10), "b".repeat(1_000), "c".repeat(1_001));
    let raw = multipart(
        "multipart/mixed",
        &[
            ("Content-Type: text/plain", "Guten Tag"),
            ("Content-Disposition: attachment; filename=small.txt", &small),
            ("Content-Disposition: attachment; filename=edge.txt", &edge),
            ("Content-Disposition: attachment; filename=large.txt", &large),
            ("Content-Disposition: attachment; filename=\"setup.EXE\"", &small),
            ("Content-Disposition: attachment; filename=empty.txt", ""),
            ("Content-Disposition: attachment; filename=last.txt", &small),
        ],
    );
    stage.server.put(ANNA, "k0", raw);
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    let rows = "SELECT concat_ws(' ', name, size_bytes, left_out) FROM email_attachments ORDER BY position";
    assert_eq!(
        stage.world.texts(rows).await,
        [
            "small.txt 10",
            "edge.txt 1000",
            "large.txt 1001 larger than 1000 bytes",
            "setup.EXE 10 attachments with this file name extension are not accepted",
            "empty.txt 0",
            "last.txt 10"
        ]
    );
    assert_eq!(stage.world.number("SELECT count(*) FROM emails WHERE attachments_left_out").await, 1);
    let digest = |name: &str| format!("SELECT content_digest FROM email_attachments WHERE name = '{name}'");
    assert_eq!(content(&stage, &digest("small.txt")).await, small.as_bytes());
    assert_eq!(content(&stage, &digest("edge.txt")).await, edge.as_bytes());
    assert_eq!(content(&stage, &digest("empty.txt")).await, b"");
    assert_eq!(stage.world.text("SELECT body_text FROM emails").await, "Guten Tag");
}

/// F23: signed and encrypted messages mean something only as they came; also when a list has wrapped them.
#[tokio::test]
async fn signed_messages_are_kept_raw() {
    let inner = "--i\r\nContent-Type: text/plain\r\n\r\nGuten Tag\r\n--i\r\nContent-Type: application/pgp-signature\r\n\r\nxxx\r\n--i--";
    let wrapped = multipart("multipart/mixed", &[("Content-Type: multipart/signed; boundary=i", inner)]);
    let signed = multipart("multipart/signed", &[("Content-Type: text/plain", "Guten Tag")]);
    let encrypted = mail(
        "enc",
        "c@kunde.example",
        ANNA,
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n",
        "MIIB",
    );
    for raw in [signed, wrapped, encrypted] {
        let (stage, anna) = Stage::with_anna().await;
        stage.server.put(ANNA, "k0", raw.clone());
        assert_eq!(stage.run(anna).await.counts.tracked, 1);
        assert!(content(&stage, "SELECT raw_digest FROM emails").await == raw, "{}", String::from_utf8_lossy(&raw));
    }
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", plain("m0"));
    stage.run(anna).await;
    assert_eq!(stage.world.number("SELECT count(*) FROM emails WHERE raw_digest IS NULL").await, 1, "others are not");
}

/// Any bytes may arrive: NULs, broken charsets, controls, endless names. All of it becomes a record.
#[tokio::test]
async fn hostile_text_reaches_the_database_tamed() {
    let (stage, anna) = Stage::with_anna().await;
    let long = "x".repeat(9_000);
    let mut raw = format!(
        "Message-ID: <a\0b{long}@k>\r\nFrom: =?utf-8?q?A=00B=0D=0A?= <a\0@k.example>, {long}@{long}\r\nTo: {ANNA}\r\n\
         Cc: =?utf-8?b?/////w==?= <\"\\\"quoted\\\\\"@k.example>\r\nSubject: =?utf-8?q?=00=F0=9F=92=A9=ED=A0=80?= \u{1F600}\0\r\n\
         In-Reply-To: <{{\"a\":\"\\u0000\"}}@k> <NULL> <\"x,y\">\r\nDate: Mon, 99 Foo 99999 99:99:99 +9999\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    .into_bytes();
    raw.extend_from_slice(b"\x00\xff\xfe\xed\xa0\x80 \\u0000 ende\r\n");
    raw.extend_from_slice(
        format!("--b\r\nContent-Type: te\0xt/{long}\r\nContent-ID: <\0{long}>\r\nContent-Disposition: attachment; filename=\"a\0/..\\{long}.txt\"\r\n\r\nx\r\n--b--")
            .as_bytes(),
    );
    stage.server.put(ANNA, "k0", raw);
    stage.server.put(ANNA, "k1", plain("m1"));
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.tracked, report.counts.failed), (Outcome::Completed, 2, 0), "{report:?}");
    let sizes = "SELECT max(length(address)) + max(length(name)) FROM email_parties";
    assert!(stage.world.number(sizes).await < 1_000);
    assert!(stage.world.number("SELECT max(length(message_id)) FROM emails").await < 1_000);
}

/// Hundreds of attachments and recipients are still one page.
#[tokio::test]
async fn many_parts_and_recipients() {
    let (stage, anna) = Stage::with_anna().await;
    let to: Vec<_> = (0..500).map(|at| format!("n{at}@k.example")).collect();
    let header = "Content-Disposition: attachment; filename=f.txt";
    let parts: Vec<_> = (0..200).map(|_| (header, "x")).collect();
    let raw = String::from_utf8(multipart("multipart/mixed", &parts)).unwrap();
    stage.server.put(ANNA, "k0", raw.replace(&format!("To: {ANNA}"), &format!("To: {}", to.join(",\r\n "))));
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    assert_eq!(stage.world.number("SELECT count(*) FROM email_parties").await, 501);
    assert_eq!(
        stage.world.number("SELECT count(*) FROM email_attachments WHERE content_digest IS NOT NULL").await,
        200
    );
}

/// B27: 8-bit text that names no charset is read by the profile's code page; without one as western European.
#[tokio::test]
async fn b27_undeclared_text_is_read_by_the_profiles_code_page() {
    let russian = b"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0".as_slice();
    let japanese = b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd".as_slice();
    for (code_page, bytes, text) in [
        ("windows-1251", russian, "Привет, мир"),
        ("", russian, "Ïðèâåò, ìèð"),
        ("no-such-code-page", russian, "Ïðèâåò, ìèð"),
        ("shift_jis", japanese, "こんにちは"),
    ] {
        // A queue for customers only is judged by headers before bodies are read.
        for track in [TrackOption::All, TrackOption::FromCustomers] {
            let stage = Stage::new().await;
            stage.world.contact("Kunde", "c@kunde.example").await;
            stage.world.sql(&format!("UPDATE email_server_profiles SET encoding_code_page = '{code_page}'")).await;
            let anna = stage.user("anna", track).await;
            let head =
                b"Message-ID: <m@kunde.example>\r\nFrom: c@kunde.example\r\nTo: anna@muster.example\r\nSubject: ";
            stage.server.put(ANNA, "k0", [head.as_slice(), bytes, b"\r\n\r\n", bytes, b"\r\n"].concat());
            assert_eq!(stage.run(anna).await.counts.tracked, 1);
            let stored = stage.world.text("SELECT subject || '|' || trim(body_text, E'\\r\\n') FROM emails").await;
            assert_eq!(stored, format!("{text}|{text}"), "{code_page:?} {track}");
        }
    }
}

/// N1: what a server announces of sizes may be untrue, so bodies are written as soon as they hold some megabytes: a page
/// of many is written in parts, each with its own commit.
#[tokio::test]
async fn n1_a_page_is_written_in_parts_whatever_sizes_are_announced() {
    let (stage, anna) = Stage::with_anna().await;
    let text = "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\r\n".repeat(1 << 14);
    for number in 0..12 {
        let id = format!("m{number}");
        stage.server.put(ANNA, &id, mail(&id, "x@kunde.example", ANNA, "", &text));
        stage.server.change(ANNA, &id, |m| m.announced = Some(100));
    }
    let (before, _) = stage.world.lane(anna).await;
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen, report.counts.tracked), (Outcome::Completed, 12, 12));
    let (after, _) = stage.world.lane(anna).await;
    assert!(after - before >= 3, "twelve texts of 1 MB in {} commits", after - before);
    assert!(stage.has_cursor(anna).await);
    assert_eq!(stage.run(anna).await.counts.seen, 0, "nothing is read twice");
}
