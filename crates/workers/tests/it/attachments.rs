//! Attachments of appointments, both ways, on a server that does what a test tells it.

use futures::TryStreamExt;
use lockstep_connector::{attachments::Attached, items::NotDone};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{AttachmentId, MailboxId},
};
use lockstep_store::{
    activities,
    activity_attachments::{self, NewAttachment},
    contents::{self, Writer},
    organisations, rights,
};
use lockstep_wire::Outcome;
use uuid::Uuid;

use crate::{
    item_codes::{activity, anna, run},
    server::items::attachments::{FileAnswer, listed},
    stage::{ANNA, Stage},
};

/// Longer than any wait of the lane.
const HOUR: u64 = 3_601;

type Names<'n> = Vec<(&'n str, &'n [u8])>;

/// Anna with one appointment of her own, which is in her calendar; attachments are synchronised.
async fn scene() -> (Stage, MailboxId, Uuid) {
    let (stage, user, mailbox) = anna().await;
    let fields = format!(
        r#"{{"subject": "Review", "organiser": [{{"address": "{ANNA}"}}],
             "time": {{"start": "2027-03-02T09:00:00", "end": "2027-03-02T10:00:00", "zone": "Europe/Berlin"}}}}"#
    );
    let id = activity(&stage, user, "appointment", &fields).await;
    organisation(&stage, |organisation| organisation.appointment_attachments = true).await;
    cycles(&stage, mailbox, 2).await;
    assert_eq!(stage.server.subjects(ANNA).len(), 1);
    (stage, mailbox, id)
}

async fn organisation(stage: &Stage, change: impl FnOnce(&mut organisations::Organisation)) {
    let mut tx = stage.world.store.begin().await.unwrap();
    let mut organisation = organisations::lock(&mut tx, None).await.unwrap().unwrap();
    let before = organisation.appointment_attachments;
    change(&mut organisation);
    let fields: &[&str] =
        if organisation.appointment_attachments == before { &[] } else { &["appointment_attachments"] };
    organisations::save(&mut tx, &organisation, fields, "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// Cycles that complete, each long after the one before.
async fn cycles(stage: &Stage, mailbox: MailboxId, number: usize) {
    for _ in 0..number {
        stage.world.advance(HOUR);
        assert_eq!(run(stage, mailbox).await.outcome, Outcome::Completed);
    }
}

async fn add(stage: &Stage, id: Uuid, name: &str, content: &[u8]) {
    let mut writer = Writer::new(&stage.world.store);
    writer.write(content).await.unwrap();
    let content = writer.finish().await.unwrap();
    let file = NewAttachment { name: name.to_owned(), media_type: "text/plain".to_owned(), content };
    let mut tx = stage.world.store.begin().await.unwrap();
    let activity = activities::lock(&mut tx, rights::Kind::Appointment, id).await.unwrap().unwrap();
    activity_attachments::add(&mut tx, &activity, &[file], "test").await.unwrap();
    tx.commit().await.unwrap();
}

async fn remove(stage: &Stage, id: Uuid, name: &str) {
    let mut tx = stage.world.store.begin().await.unwrap();
    let activity = activities::lock(&mut tx, rights::Kind::Appointment, id).await.unwrap().unwrap();
    let files = activity_attachments::list(&mut tx, id).await.unwrap();
    let ids: Vec<AttachmentId> = files.iter().filter(|file| file.name == name).map(|file| file.id).collect();
    assert_eq!(activity_attachments::remove(&mut tx, &activity, &ids, "test").await.unwrap().0, 1);
    tx.commit().await.unwrap();
}

/// The record's files: names with contents, in order.
async fn files(stage: &Stage, id: Uuid) -> Vec<(String, Vec<u8>)> {
    let mut tx = stage.world.store.begin().await.unwrap();
    let files = activity_attachments::list(&mut tx, id).await.unwrap();
    drop(tx);
    let mut read = Vec::new();
    for file in files {
        let chunks: Vec<bytes::Bytes> = contents::read(&stage.world.store, file.digest).try_collect().await.unwrap();
        read.push((file.name, chunks.concat()));
    }
    read.sort();
    read
}

/// Both sides have these, and after that nobody writes anything, and nobody reads a content again.
async fn assert_both(stage: &Stage, mailbox: MailboxId, id: Uuid, expected: &Names<'_>) {
    let expected: Vec<_> = expected.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    assert_eq!(files(stage, id).await, expected, "the record");
    assert_eq!(stage.server.files(ANNA), expected, "the item");
    let versions = format!("SELECT version FROM activities WHERE id = '{id}'");
    cycles(stage, mailbox, 1).await;
    let before = stage.world.number(&versions).await;
    stage.server.file_calls();
    cycles(stage, mailbox, 3).await;
    assert_eq!(stage.world.number(&versions).await, before, "nothing is written any more");
    let calls = stage.server.file_calls();
    assert!(calls.is_empty(), "{calls:?}");
    assert_eq!((files(stage, id).await, stage.server.files(ANNA)), (expected.clone(), expected));
}

/// J11: what is added, replaced and removed on one side is on the other, both ways.
#[tokio::test]
async fn j11_attachments_flow_both_ways() {
    let (stage, mailbox, id) = scene().await;
    add(&stage, id, "agenda.txt", b"one").await;
    stage.server.put_file(ANNA, listed("map.txt", b"two"), b"two");
    cycles(&stage, mailbox, 1).await;
    assert_both(&stage, mailbox, id, &vec![("agenda.txt", b"one"), ("map.txt", b"two")]).await;
    // Replaced here, removed there.
    remove(&stage, id, "agenda.txt").await;
    add(&stage, id, "agenda.txt", b"another").await;
    stage.server.remove_file(ANNA, "map.txt");
    cycles(&stage, mailbox, 1).await;
    assert_both(&stage, mailbox, id, &vec![("agenda.txt", b"another")]).await;
    // Both sides replace the same file: both results stay.
    remove(&stage, id, "agenda.txt").await;
    add(&stage, id, "agenda.txt", b"ours").await;
    stage.server.remove_file(ANNA, "agenda.txt");
    stage.server.put_file(ANNA, listed("agenda.txt", b"theirs"), b"theirs");
    cycles(&stage, mailbox, 1).await;
    let mut there = stage.server.files(ANNA);
    there.sort();
    let both = [b"ours".to_vec(), b"theirs".to_vec()].map(|content| ("agenda.txt".to_owned(), content));
    assert_eq!((files(&stage, id).await, there), (both.to_vec(), both.to_vec()));
    // The same on both sides is one.
    add(&stage, id, "same.txt", b"same").await;
    stage.server.put_file(ANNA, listed("same.txt", b"same"), b"same");
    cycles(&stage, mailbox, 1).await;
    assert_eq!((files(&stage, id).await.len(), stage.server.files(ANNA).len()), (3, 3));
}

/// J11: off nothing flows; switched off, everything stays as it is on both sides; switched on again, each side gets what
/// only the other has.
#[tokio::test]
async fn j11_off_moves_and_deletes_nothing() {
    let (stage, mailbox, id) = scene().await;
    add(&stage, id, "agenda.txt", b"one").await;
    cycles(&stage, mailbox, 1).await;
    organisation(&stage, |organisation| organisation.appointment_attachments = false).await;
    stage.server.remove_file(ANNA, "agenda.txt");
    stage.server.put_file(ANNA, listed("map.txt", b"two"), b"two");
    add(&stage, id, "plan.txt", b"three").await;
    stage.server.file_calls();
    cycles(&stage, mailbox, 3).await;
    assert_eq!(stage.server.file_calls(), Vec::<String>::new());
    let names = |files: Vec<(String, Vec<u8>)>| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(files(&stage, id).await), ["agenda.txt", "plan.txt"]);
    assert_eq!(names(stage.server.files(ANNA)), ["map.txt"]);
    organisation(&stage, |organisation| organisation.appointment_attachments = true).await;
    cycles(&stage, mailbox, 1).await;
    let all: Names<'_> = vec![("agenda.txt", b"one"), ("map.txt", b"two"), ("plan.txt", b"three")];
    assert_both(&stage, mailbox, id, &all).await;
}

/// J11, N10: an answer that is lost doubles nothing, whatever the server calls the file; and what somebody takes away
/// meanwhile is not brought back where it was agreed on.
#[tokio::test]
async fn j11_n10_a_lost_answer_doubles_nothing() {
    for answer in [FileAnswer::AttachedAndLost, FileAnswer::RenamedAndLost] {
        let (stage, mailbox, id) = scene().await;
        add(&stage, id, "agenda.txt", b"one").await;
        stage.server.answer_file(answer.clone());
        stage.world.advance(HOUR);
        assert_ne!(run(&stage, mailbox).await.outcome, Outcome::Completed, "the connection was lost");
        assert_eq!(stage.server.files(ANNA).len(), 1);
        stage.server.file_calls();
        cycles(&stage, mailbox, 3).await;
        assert!(!stage.server.file_calls().contains(&"attach".to_owned()), "{answer:?}");
        let there = stage.server.files(ANNA);
        assert_eq!(files(&stage, id).await, [("agenda.txt".to_owned(), b"one".to_vec())]);
        assert_eq!((there.len(), there[0].1.as_slice()), (1, &b"one"[..]), "{answer:?}");
        remove(&stage, id, "agenda.txt").await;
        cycles(&stage, mailbox, 2).await;
        assert_eq!((files(&stage, id).await, stage.server.files(ANNA)), (vec![], vec![]), "{answer:?}");
    }
}

/// J11: what is too large, of a blocked kind, or no file stays where it is and is told, once; and when nothing is left out
/// any more, that ends. Pictures of a body are no attachments.
#[tokio::test]
async fn j11_what_is_left_out_is_told_and_ends() {
    let (stage, mailbox, id) = scene().await;
    organisation(&stage, |organisation| {
        organisation.max_attachment_bytes = 1_000;
        organisation.blocked_extensions = vec!["exe".to_owned()];
    })
    .await;
    let item = Attached { apart: Some("an item, not a file"), ..listed("a message", b"") };
    let picture = Attached { inline: true, ..listed("logo.png", b"png") };
    stage.server.put_file(ANNA, item, b"");
    stage.server.put_file(ANNA, picture, b"png");
    stage.server.put_file(ANNA, listed("Setup.EXE", b"MZ"), b"MZ");
    stage.server.put_file(ANNA, listed("long.txt", &[b'x'; 100_000]), &[b'x'; 100_000]);
    // A server that does not tell how long a file is.
    stage.server.put_file(ANNA, listed("liar.txt", b""), &[b'x'; 2_000]);
    stage.server.put_file(ANNA, listed("fine.txt", b"fine"), b"fine");
    add(&stage, id, "from-here.exe", b"MZ").await;
    cycles(&stage, mailbox, 1).await;
    let names: Vec<_> = files(&stage, id).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["fine.txt", "from-here.exe"]);
    assert_eq!(stage.server.files(ANNA).len(), 6);
    stage.world.assert_raised("AppointmentAttachmentsLeftOut").await;
    let told =
        stage.world.text("SELECT parameters::text FROM alerts WHERE code = 'AppointmentAttachmentsLeftOut'").await;
    for word in ["a message: an item", "Setup.EXE", "long.txt: larger than 1000", "liar.txt: larger", "from-here.exe"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!told.contains("logo.png") && !told.contains("fine.txt"), "{told}");
    for name in ["a message", "Setup.EXE", "long.txt", "liar.txt"] {
        stage.server.remove_file(ANNA, name);
    }
    remove(&stage, id, "from-here.exe").await;
    cycles(&stage, mailbox, 1).await;
    stage.world.assert_cleared("AppointmentAttachmentsLeftOut").await;
    assert_eq!(files(&stage, id).await.len(), 1);
}

/// J11: names may be anything: what reaches the record is one harmless line, and that alone is no change.
#[tokio::test]
async fn j11_hostile_names_are_harmless_and_no_change() {
    let (stage, mailbox, id) = scene().await;
    let long = format!("{}.txt", "ü".repeat(10_000));
    let hostile = ["../../etc/passwd", r"..\..\boot.ini", "a\0b\r\nc.txt", "\u{202e}fdp.txt", "", "..", long.as_str()];
    for (n, name) in hostile.iter().enumerate() {
        let content = [b'a' + u8::try_from(n).unwrap()];
        stage.server.put_file(ANNA, listed(name, &content), &content);
    }
    cycles(&stage, mailbox, 1).await;
    let names: Vec<_> = files(&stage, id).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), hostile.len(), "{names:?}");
    for name in &names {
        assert!((1..=255).contains(&name.len()) && !name.contains(['/', '\\', '\0', '\n', '\u{202e}']), "{name:?}");
    }
    cycles(&stage, mailbox, 1).await;
    let (version, there) = (format!("SELECT version FROM activities WHERE id = '{id}'"), stage.server.files(ANNA));
    let before = stage.world.number(&version).await;
    stage.server.file_calls();
    cycles(&stage, mailbox, 3).await;
    assert_eq!((stage.world.number(&version).await, stage.server.files(ANNA)), (before, there));
    assert_eq!(stage.server.file_calls(), Vec::<String>::new());
}

/// J11: what is listed and gone when it is read is passed over; what cannot be read now is read later, and what never can
/// is left out; a content that breaks off is not taken for a whole one.
#[tokio::test]
async fn j11_what_cannot_be_read_does_not_stop_the_rest() {
    let (stage, mailbox, id) = scene().await;
    let fault = |class, code| Fault::new(FaultScope::Item, class, code, "not this one");
    stage.server.put_file(ANNA, listed("a.txt", b"a"), b"a");
    stage.server.put_file(ANNA, listed("b.txt", b"b"), b"b");
    stage.server.answer_file(FileAnswer::Withheld(fault(FaultClass::Gone, "ItemGone")));
    cycles(&stage, mailbox, 1).await;
    assert_eq!(files(&stage, id).await, [("b.txt".to_owned(), b"b".to_vec())]);
    stage.server.remove_file(ANNA, "a.txt");
    cycles(&stage, mailbox, 1).await;

    stage.server.put_file(ANNA, listed("c.txt", b"ccc"), b"ccc");
    stage.server.answer_file(FileAnswer::BreaksOff(1));
    stage.world.advance(HOUR);
    assert_ne!(run(&stage, mailbox).await.outcome, Outcome::Completed);
    assert_eq!(files(&stage, id).await.len(), 1);
    cycles(&stage, mailbox, 1).await;
    assert_both(&stage, mailbox, id, &vec![("b.txt", b"b"), ("c.txt", b"ccc")]).await;

    stage.server.put_file(ANNA, listed("d.txt", b"d"), b"d");
    for _ in 0..20 {
        stage.server.answer_file(FileAnswer::Withheld(fault(FaultClass::Transient, "ItemUnavailable")));
    }
    let mut waited = 0;
    while !stage.world.open_alerts().await.iter().any(|alert| alert.contains("AppointmentAttachmentsLeftOut")) {
        stage.world.advance(20 * HOUR);
        run(&stage, mailbox).await;
        waited += 1;
        let stands =
            stage.world.text("SELECT attempts || ' ' || COALESCE(due_at::text, '-') FROM attachment_states").await;
        assert!(waited < 12, "it ends: {stands}, {:?}", stage.server.file_calls());
    }
    assert!(waited > 1, "it was tried again");
    assert_eq!(files(&stage, id).await.len(), 2, "the others are there");
}

/// J11: a server that refuses a file keeps nothing else from being added, and is told of.
#[tokio::test]
async fn j11_a_refused_file_is_left_out() {
    let (stage, mailbox, id) = scene().await;
    let fault = Fault::new(FaultScope::Item, FaultClass::Refused, "MessageTooLarge", "too large for this server");
    stage.server.answer_file(FileAnswer::NotAttached(NotDone::Refused(fault)));
    add(&stage, id, "a.txt", b"a").await;
    add(&stage, id, "b.txt", b"b").await;
    cycles(&stage, mailbox, 1).await;
    assert_eq!(stage.server.files(ANNA), [("b.txt".to_owned(), b"b".to_vec())]);
    stage.world.assert_raised("AppointmentAttachmentsLeftOut").await;
    assert_eq!(files(&stage, id).await.len(), 2, "it stays in the record");
    add(&stage, id, "c.txt", b"c").await;
    cycles(&stage, mailbox, 1).await;
    assert_eq!(stage.server.files(ANNA).len(), 3, "the next change takes it up");
    stage.world.assert_cleared("AppointmentAttachmentsLeftOut").await;
}

/// J11: of a closed appointment nothing is taken over from the server, and nothing is deleted there.
#[tokio::test]
async fn j11_closed_appointments_take_nothing_over() {
    let (stage, mailbox, id) = scene().await;
    add(&stage, id, "a.txt", b"a").await;
    add(&stage, id, "b.txt", b"b").await;
    cycles(&stage, mailbox, 2).await;
    let close =
        |state: &str| format!("UPDATE activities SET state = '{state}', version = version + 1 WHERE id = '{id}'");
    stage.world.sql(&close("completed")).await;
    cycles(&stage, mailbox, 1).await;
    stage.server.put_file(ANNA, listed("c.txt", b"c"), b"c");
    stage.server.remove_file(ANNA, "b.txt");
    cycles(&stage, mailbox, 2).await;
    assert_eq!((files(&stage, id).await.len(), stage.server.files(ANNA).len()), (2, 2), "each side as it was");
    stage.world.sql(&close("open")).await;
    cycles(&stage, mailbox, 1).await;
    assert_both(&stage, mailbox, id, &vec![("a.txt", b"a"), ("c.txt", b"c")]).await;
}
