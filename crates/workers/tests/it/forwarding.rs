//! Forward mailboxes: what others forward as attachments is treated as received by them.

use base64::Engine;
use lockstep_model::{
    id::{MailboxId, UserId},
    mailbox::{Owner, TrackOption},
};
use lockstep_wire::Outcome;

use crate::{
    seed,
    stage::{ANNA, Stage, mail, plain},
};

const COLLECT: &str = "collect@muster.example";

/// A forward mailbox, and Anna, who tracks everything and whose mail comes through it.
struct Office {
    stage: Stage,
    collect: MailboxId,
    anna: MailboxId,
    user: UserId,
}

impl Office {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let user = stage.world.user("anna", TrackOption::All).await;
        let anna = stage.world.mailbox(stage.profile, Owner::User(user)).await;
        let collect = seed::forward_mailbox(stage.world.pool(), &stage.world.store, stage.profile, COLLECT).await;
        let office = Self { stage, collect, anna, user };
        office.forwards(anna).await;
        office
    }

    async fn forwards(&self, mailbox: MailboxId) {
        let sql = format!("UPDATE mailboxes SET incoming_method = 'forward-mailbox' WHERE id = '{mailbox}'");
        self.stage.world.sql(&sql).await;
        self.stage.world.realign(&[mailbox]).await;
    }

    fn put(&self, key: &str, raw: impl Into<Vec<u8>>) {
        self.stage.server.put(COLLECT, key, raw);
    }

    async fn items(&self) -> Vec<String> {
        self.stage.items(self.collect).await
    }

    /// Why items were left alone.
    async fn details(&self) -> Vec<String> {
        self.stage
            .world
            .texts("SELECT detail FROM remote_items WHERE reason = 'InvalidForwardMailItem' ORDER BY 1")
            .await
    }
}

/// What a rule of `by` makes of a message.
fn forwarded(by: &str, original: &[u8]) -> Vec<u8> {
    wrapped(by, "", &[("message/rfc822", "", original)])
}

/// A message with these attachments: type, more header lines, content.
fn wrapped(by: &str, more: &str, parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut raw = format!(
        "Received: from muster by collect; Mon, 23 Nov 2026 08:00:05 +0000\r\nMessage-ID: <{}@muster.example>\r\n\
         Date: Mon, 23 Nov 2026 08:00:04 +0000\r\nFrom: {by}\r\nTo: {COLLECT}\r\nSubject: Fwd\r\n{more}\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"outer-1\"\r\n\r\n--outer-1\r\n\
         Content-Type: text/plain\r\n\r\nforwarded by a rule\r\n",
        uuid::Uuid::now_v7()
    )
    .into_bytes();
    for (media_type, fields, content) in parts {
        raw.extend(format!("--outer-1\r\nContent-Type: {media_type}\r\n{fields}\r\n").bytes());
        raw.extend_from_slice(content);
        raw.extend(b"\r\n");
    }
    raw.extend(b"--outer-1--\r\n");
    raw
}

/// G2: the record is the original's: author, recipients, date, id, text and files; and it counts as received by Anna.
/// M12: the why-columns say so.
#[tokio::test]
async fn g2_m12_the_original_is_recorded_as_received_by_the_forwarder() {
    let office = Office::new().await;
    let original = b"Received: from x by y; Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <q1@kunde.example>\r\n\
        Date: Mon, 23 Nov 2026 07:59:00 +0000\r\nFrom: Carla <carla@kunde.example>\r\n\
        To: anna@muster.example, x@y.example\r\nCc: z@y.example\r\nSubject: Anfrage\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"inner\"\r\n\r\n--inner\r\nContent-Type: text/plain\r\n\r\n\
        Guten Tag\r\n--inner\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nSGFsbG8=\r\n--inner--\r\n";
    office.put("k0", forwarded("Anna <Anna@Muster.example>", original));
    let report = office.stage.run(office.collect).await;
    assert_eq!((report.outcome, report.counts.tracked), (Outcome::Completed, 1));
    let world = &office.stage.world;
    assert_eq!(
        world.text("SELECT concat_ws('|', subject, message_id, sent_at AT TIME ZONE 'UTC', trim(body_text, E'\\n'), direction) FROM emails").await,
        "Anfrage|q1@kunde.example|2026-11-23 07:59:00|Guten Tag|incoming"
    );
    let parties = "SELECT concat_ws(' ', role, address, record_kind) FROM email_parties ORDER BY position";
    assert_eq!(
        world.texts(parties).await,
        ["from carla@kunde.example", "to anna@muster.example user", "to x@y.example", "cc z@y.example"]
    );
    assert_eq!(world.texts("SELECT name || ' ' || size_bytes FROM email_attachments").await, ["a.bin 5"]);
    assert_eq!(
        world
            .text(
                "SELECT concat_ws(' ', accepting_kind, accepting_id, receiving_mailbox_id, owner_user_id) FROM emails"
            )
            .await,
        format!("user {} {} {}", office.user, office.anna, office.user)
    );
    assert_eq!(
        world.texts("SELECT concat_ws(' ', mailbox_id, via_mailbox_id) FROM email_mailboxes").await,
        [format!("{} {}", office.anna, office.collect)]
    );
    assert_eq!(office.items().await, ["k0 tracked"]);
    assert_eq!(world.number("SELECT size_bytes FROM emails").await, original.len() as i64);
}

/// G2: some servers send the original as a file of no particular type, coded; it is the same message.
#[tokio::test]
async fn g2_an_eml_file_is_an_original_too() {
    let office = Office::new().await;
    let fields = "Content-Disposition: attachment; filename=\"Anfrage.eml\"\r\nContent-Transfer-Encoding: base64\r\n";
    let coded = base64::engine::general_purpose::STANDARD.encode(plain("coded"));
    office.put("k0", wrapped(ANNA, "", &[("application/octet-stream", fields, coded.as_bytes())]));
    office.stage.run(office.collect).await;
    assert_eq!(office.items().await, ["k0 tracked"]);
    assert_eq!(office.stage.world.text("SELECT message_id FROM emails").await, "coded@kunde.example");
}

/// G2: each forwarder's own option decides, and other recipients' as everywhere; the header alone never refuses what
/// only the original can tell.
#[tokio::test]
async fn g2_the_forwarders_option_decides() {
    let office = Office::new().await;
    let world = &office.stage.world;
    world.sql("UPDATE users SET track_option = 'from-customers'").await;
    world.contact("Carla", "carla@kunde.example").await;
    let sales = world.queue("sales", TrackOption::All).await;
    for (key, from, to) in [
        ("customer", "carla@kunde.example", ANNA),
        ("hidden", "stranger@kunde.example", "liste@anderswo.example"),
        ("queue", "stranger@kunde.example", "sales@muster.example"),
        ("stranger", "stranger@kunde.example", ANNA),
    ] {
        office.put(key, forwarded(ANNA, &mail(key, from, to, "", key)));
    }
    office.stage.run(office.collect).await;
    assert_eq!(
        office.items().await,
        ["customer tracked", "hidden refused NoRecipientMatch", "queue tracked", "stranger refused NoCorrelationMatch"]
    );
    let accepted = "SELECT concat_ws(' ', message_id, accepting_kind) FROM emails ORDER BY 1";
    assert_eq!(world.texts(accepted).await, ["customer@kunde.example user", "queue@kunde.example queue"]);
    assert_eq!(world.texts("SELECT queue_id FROM queue_items").await, [sales.to_string()]);
}

/// G4, F6: one message, forwarded by two and read in the mailbox of a third, is one record with three links; an answer
/// finds it whichever way it comes.
#[tokio::test]
async fn g4_one_message_both_ways_is_one_record() {
    let office = Office::new().await;
    let stage = &office.stage;
    let bert = stage.user("bert", TrackOption::All).await;
    let dora = stage.user("dora", TrackOption::All).await;
    office.forwards(bert).await;
    let original =
        mail("q", "a@b.example", "anna@muster.example, bert@muster.example, dora@muster.example", "", "Frage");
    office.put("k0", forwarded(ANNA, &original));
    office.put("k1", forwarded("bert@muster.example", &original));
    stage.server.put("dora@muster.example", "d0", original.clone());
    stage.run(dora).await;
    stage.run(office.collect).await;
    assert_eq!(stage.emails().await, 1);
    let links =
        "SELECT concat_ws(' ', mailbox_id, convert_from(remote_key, 'UTF8'), via_mailbox_id) FROM email_mailboxes
                 ORDER BY remote_key";
    assert_eq!(
        stage.world.texts(links).await,
        [
            format!("{dora} d0"),
            format!("{} k0 {}", office.anna, office.collect),
            format!("{bert} k1 {}", office.collect)
        ]
    );
    // Anna's mailbox was read directly before: the same message, forwarded, is still the same.
    let earlier = plain("earlier");
    stage.server.put(ANNA, "a0", earlier.clone());
    stage
        .world
        .sql(&format!("UPDATE mailboxes SET incoming_method = 'server-side' WHERE id = '{}'", office.anna))
        .await;
    stage.world.realign(&[office.anna]).await;
    stage.run(office.anna).await;
    office.forwards(office.anna).await;
    office.put("k2", forwarded(ANNA, &earlier));
    let answer = mail("answer", "a@b.example", ANNA, "In-Reply-To: <q@kunde.example>\r\n", "Antwort");
    office.put("k3", forwarded(ANNA, &answer));
    stage.run(office.collect).await;
    assert_eq!(stage.emails().await, 3);
    let answered = "SELECT o.message_id FROM emails e JOIN emails o ON o.id = e.correlated_email_id";
    assert_eq!(stage.world.texts(answered).await, ["q@kunde.example"]);
    assert_eq!(stage.world.number("SELECT count(*) FROM remote_items WHERE disposition <> 'tracked'").await, 0);
}

/// G3: what cannot be unwrapped is left alone with its reason: one information alert for each mailbox where something
/// has to be mended, however many messages there are.
#[tokio::test]
async fn g3_what_does_not_fit_is_told_once_a_mailbox() {
    let office = Office::new().await;
    let stage = &office.stage;
    stage.user("bert", TrackOption::All).await;
    let original = plain("o");
    office.put("inline-1", mail("i1", ANNA, COLLECT, "", "> Guten Tag"));
    office.put("inline-2", mail("i2", ANNA, COLLECT, "", "> Guten Tag"));
    office.put("method", forwarded("bert@muster.example", &original));
    office.put("spam", forwarded("spam@evil.example", &original));
    office.put("two", wrapped(ANNA, "", &[("message/rfc822", "", &original), ("message/rfc822", "", &plain("p"))]));
    office.put("false", wrapped(ANNA, "", &[("message/rfc822", "", b"\x00\xff no message at all")]));
    office.put("reply", mail("oof", ANNA, COLLECT, "Auto-Submitted: auto-replied\r\n", "away"));
    let report = stage.run(office.collect).await;
    assert_eq!((report.outcome, report.counts.tracked, report.counts.refused), (Outcome::Completed, 0, 7));
    assert_eq!(
        office.details().await,
        [
            "it carries more than one message",
            "it carries no message as an attachment",
            "it carries no message as an attachment",
            "it is an automatic reply, a bounce or a receipt, not a forwarded message",
            "its sender is no user or queue whose mail is forwarded",
            "the attachment is not a readable message",
            "the incoming method of the forwarder's mailbox is not forward-mailbox"
        ]
    );
    assert_eq!(
        stage.world.open_alerts().await,
        [
            "InvalidForwardMailItem information ×1",
            "InvalidForwardMailItem information ×1",
            "InvalidForwardMailItem information ×5"
        ]
    );
    assert_eq!(stage.emails().await, 0);
    // A stranger's message costs no more than its header.
    assert!(!stage.server.calls().contains(&"fetch spam".to_owned()));
    // Anna's rule is mended: her alert ends with the next message that fits.
    office.put("mended", forwarded(ANNA, &original));
    stage.run(office.collect).await;
    assert_eq!(stage.world.open_alerts().await.len(), 2);
    // What is gone from the server is not told of any longer.
    for key in ["spam", "inline-1", "inline-2", "method", "two", "false", "reply"] {
        stage.server.remove(COLLECT, key);
    }
    stage.run(office.collect).await;
    office.put("next", forwarded(ANNA, &plain("next")));
    stage.run(office.collect).await;
    let about = "SELECT mailbox_id FROM alerts WHERE resolved_at IS NULL";
    assert_ne!(stage.world.texts(about).await, [office.collect.to_string()]);
    assert_eq!(stage.world.open_alerts().await.len(), 1, "bert's method is still wrong");
}

/// G1, C11: a forward mailbox is tested as others are, for what it does; from then on it is read.
#[tokio::test]
async fn g1_a_forward_mailbox_is_tested_and_enabled() {
    let office = Office::new().await;
    let stage = &office.stage;
    stage.world.sql("UPDATE mailboxes SET incoming_enabled = false, incoming_test = 'not-run'").await;
    stage.world.realign(&[office.collect]).await;
    let arguments = serde_json::json!({ "mailbox": office.collect });
    let mut tx = stage.world.store.begin().await.unwrap();
    let test =
        lockstep_store::operations::create(&mut tx, "test-and-enable-mailbox", &arguments, "anna").await.unwrap();
    tx.commit().await.unwrap();
    stage.operate(test, 1).await;
    let tested = format!(
        "SELECT concat_ws(' ', m.incoming_test, m.outgoing_test, m.incoming_enabled, m.outgoing_enabled, s.enabled,
             m.process_email_from IS NOT NULL)
         FROM mailboxes m JOIN lane_schedules s ON s.mailbox_id = m.id WHERE m.id = '{}'",
        office.collect
    );
    assert_eq!(stage.world.text(&tested).await, "success not-run t f t t");
    assert_eq!(stage.world.open_alerts().await, ["MailboxConnected information ×1"]);
}

/// G3: the method is set right: what was left alone is judged again by itself, and the alert ends.
#[tokio::test]
async fn g3_judged_again_when_the_method_is_mended() {
    let office = Office::new().await;
    let stage = &office.stage;
    let bert = stage.user("bert", TrackOption::All).await;
    office.put("k0", forwarded("bert@muster.example", &plain("o")));
    stage.run(office.collect).await;
    assert_eq!(office.items().await, ["k0 refused InvalidForwardMailItem"]);
    assert_eq!(stage.world.open_alerts().await, ["InvalidForwardMailItem information ×1"]);
    let mut tx = stage.world.store.begin().await.unwrap();
    let before = lockstep_store::mailboxes::lock(&mut tx, bert, None).await.unwrap().unwrap();
    let after = lockstep_store::mailboxes::MailboxRecord { incoming_method: "forward-mailbox".to_owned(), ..before };
    let keep = lockstep_store::profiles::SecretChange::Keep;
    lockstep_store::mailboxes::save(&mut tx, &after, &keep, &["incoming_method"], "test").await.unwrap();
    tx.commit().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty());
    stage.run(office.collect).await;
    assert_eq!(office.items().await, ["k0 tracked"]);
    assert!(stage.world.open_alerts().await.is_empty());
    assert_eq!(stage.emails().await, 1);
}

/// G2: an outsider who writes Anna's name gets no further than the envelope and the server's own checks let them.
#[tokio::test]
async fn g2_a_forged_forwarder_is_not_believed() {
    let office = Office::new().await;
    let original = mail("o", "chef@muster.example", ANNA, "", "Bitte überweisen");
    for (key, more) in [
        ("dmarc", "Authentication-Results: mx.muster.example; dmarc=fail header.from=muster.example\r\n"),
        ("envelope", "Return-Path: <x@evil.example>\r\n"),
        ("genuine", "Return-Path: <>\r\nAuthentication-Results: mx.muster.example; dmarc=pass\r\n"),
    ] {
        office.put(key, wrapped(ANNA, more, &[("message/rfc822", "", &original)]));
    }
    office.put("two", forwarded("anna@muster.example, x@evil.example", &original));
    let own = format!("{}: {}\r\n", lockstep_mime::header::LOOP_HEADER, office.stage.world.organisation);
    office.put("written-here", wrapped(ANNA, &own, &[("message/rfc822", "", &original)]));
    office.stage.run(office.collect).await;
    assert_eq!(
        office.items().await,
        [
            "dmarc refused InvalidForwardMailItem",
            "envelope refused InvalidForwardMailItem",
            "genuine tracked",
            "two refused InvalidForwardMailItem",
            "written-here refused OwnMessage"
        ]
    );
    // It is an attempt from outside: nobody's own mailbox has to be mended.
    let about = "SELECT DISTINCT mailbox_id FROM alerts WHERE resolved_at IS NULL";
    assert_eq!(office.stage.world.texts(about).await, [office.collect.to_string()]);
}

/// G2: only one level is unwrapped, however deep it goes, and what is signed is kept as it came.
#[tokio::test]
async fn g2_one_level_and_no_more() {
    let office = Office::new().await;
    let world = &office.stage.world;
    let mut nested = plain("innermost");
    for level in 0..100 {
        let mut outer = format!(
            "Message-ID: <n{level}@kunde.example>\r\nDate: Mon, 23 Nov 2026 07:59:00 +0000\r\nFrom: a@b.example\r\n\
             To: {ANNA}\r\nSubject: level {level}\r\nContent-Type: message/rfc822\r\n\r\n"
        )
        .into_bytes();
        outer.extend(nested);
        nested = outer;
    }
    office.put("deep", forwarded(ANNA, &nested));
    let signed = mail(
        "signed",
        "a@b.example",
        ANNA,
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=s\r\n",
        "--s\r\nContent-Type: text/plain\r\n\r\nunterschrieben\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--",
    );
    office.put("signed", forwarded(ANNA, &signed));
    office.stage.run(office.collect).await;
    assert_eq!(office.items().await, ["deep tracked", "signed tracked"]);
    assert_eq!(
        world.texts("SELECT subject FROM emails WHERE raw_digest IS NULL").await,
        ["level 99"],
        "what it carries is its attachment"
    );
    assert_eq!(
        world.texts("SELECT a.media_type FROM email_attachments a JOIN emails e ON e.id = a.email_id WHERE e.subject = 'level 99'").await,
        ["message/rfc822"]
    );
    let raw = "SELECT c.size_bytes FROM contents c JOIN emails e ON e.raw_digest = c.digest";
    assert_eq!(world.number(raw).await, signed.len() as i64);
}

/// C5, B17: the forward mailbox's own start date and deletion hold, and the forwarder's own start date too.
#[tokio::test]
async fn c5_b17_deletion_and_start_dates_of_a_forward_mailbox() {
    let office = Office::new().await;
    let stage = &office.stage;
    let late = |id: &str, time: &str| String::from_utf8(plain(id)).unwrap().replace("08:00:00", time).into_bytes();
    stage
        .world
        .sql(&format!(
            "UPDATE mailboxes SET process_email_from = '2026-11-23 08:00:05+00', delete_after_processing = true
             WHERE id = '{}'",
            office.collect
        ))
        .await;
    stage
        .world
        .sql(&format!(
            "UPDATE mailboxes SET process_email_from = '2026-11-23 08:00:02+00' WHERE id = '{}'",
            office.anna
        ))
        .await;
    office.put("before-anna", forwarded(ANNA, &late("x", "08:00:01")));
    office.put("fits", forwarded(ANNA, &late("y", "08:00:02")));
    let old = String::from_utf8(forwarded(ANNA, &late("z", "08:00:03"))).unwrap();
    office.put("before-collect", old.replace("08:00:05", "08:00:04"));
    stage.run(office.collect).await;
    assert_eq!(stage.server.keys(COLLECT), ["before-anna", "before-collect"]);
    assert_eq!(office.items().await, ["before-anna refused TooOld", "before-collect refused TooOld", "fits tracked"]);
}

/// G2: a large original passes through into storage.
#[tokio::test]
async fn g2_a_large_original_streams() {
    let office = Office::new().await;
    office.stage.world.sql("UPDATE organisations SET max_attachment_bytes = 134217728").await;
    let megabytes = 8;
    let mut original = mail(
        "large",
        "a@b.example",
        ANNA,
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=l\r\n",
        "--l\r\nContent-Type: application/octet-stream; name=l.bin\r\n",
    );
    for line in 0..megabytes * (1 << 20) / 64 {
        original.extend(format!("{line:062}\r\n").bytes());
    }
    original.extend(b"--l--\r\n");
    office.put("k0", forwarded(ANNA, &original));
    // A slow machine tells in between that it is at work.
    let hint = office.stage.hint(office.collect).await;
    office.stage.handle(hint).await.unwrap();
    assert_eq!(office.items().await, ["k0 tracked"]);
    let stored = office.stage.world.number("SELECT size_bytes FROM email_attachments").await;
    assert!(stored > (megabytes << 20) - 1024, "{stored}");
}

/// C3: nothing is polled for a mailbox whose mail comes through a forward mailbox.
#[tokio::test]
async fn c3_a_forwarders_own_mailbox_is_not_polled() {
    let office = Office::new().await;
    office.stage.server.put(ANNA, "a0", plain("a0"));
    let enabled = format!("SELECT enabled::text FROM lane_schedules WHERE mailbox_id = '{}'", office.anna);
    assert_eq!(office.stage.world.text(&enabled).await, "false");
    let hint = office.stage.hint(office.anna).await;
    office.stage.handle(hint).await.unwrap();
    assert!(office.stage.reports().is_empty(), "a stale hint");
    assert_eq!(office.stage.emails().await, 0);
}

/// G5: a queue's mailbox receives, which makes a queue item, and sends with the queue's address as the author.
#[tokio::test]
async fn g5_a_queues_mailbox_receives_and_sends() {
    let stage = Stage::new().await;
    let queue = stage.world.queue("support", TrackOption::All).await;
    let mailbox = stage.world.mailbox(stage.profile, Owner::Queue(queue)).await;
    stage.server.put("support@muster.example", "k0", mail("q", "a@b.example", "support@muster.example", "", "Frage"));
    stage.run(mailbox).await;
    assert_eq!(stage.world.texts("SELECT queue_id FROM queue_items").await, [queue.to_string()]);
    let email = stage.world.outgoing(mailbox, &["a@b.example"]).await;
    stage.send(email, 1).await;
    let given = stage.server.given();
    assert_eq!(given.len(), 1);
    let text = String::from_utf8_lossy(&given[0].bytes).into_owned();
    assert!(text.contains("From: <support@muster.example>") || text.contains("From: support@muster.example"), "{text}");
}

/// F7: what is found in the Inbox is incoming, even one's own; what is sent from here is outgoing. A copy of what was
/// sent here makes no second record.
#[tokio::test]
async fn f7_the_direction_is_right_for_both() {
    let (stage, anna) = Stage::with_anna().await;
    let sent = stage.world.outgoing(anna, &["a@b.example"]).await;
    stage.send(sent, 1).await;
    stage.server.put(ANNA, "self", mail("self", ANNA, ANNA, "", "Notiz an mich"));
    stage.server.put(ANNA, "copy", stage.server.given()[0].bytes.clone());
    stage.run(anna).await;
    let directions = "SELECT concat_ws(' ', direction, status) FROM emails ORDER BY 1";
    assert_eq!(stage.world.texts(directions).await, ["incoming received", "outgoing sent"]);
    assert_eq!(stage.items(anna).await, ["copy refused OwnMessage", "self tracked"]);
}

/// F3: the time a message was received counts, not when it shows up: an older one that appears in the Inbox later is
/// not picked up.
#[tokio::test]
async fn f3_an_older_message_that_shows_up_later_is_left_alone() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE mailboxes SET process_email_from = '2026-11-23 08:00:00+00'").await;
    stage.server.put(ANNA, "new", plain("new"));
    stage.run(anna).await;
    let old = String::from_utf8(plain("moved")).unwrap().replace("08:00:00 +0000", "07:59:59 +0000");
    stage.server.put(ANNA, "moved-back", old);
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["moved-back refused TooOld", "new tracked"]);
}
