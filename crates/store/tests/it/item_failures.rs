//! F25, M11: items that became no record, and what is decided about them.

use std::time::Duration;

use lockstep_model::{
    clock::Clock,
    id::MailboxId,
    mailbox::Lane,
    remote::{MailFolder, RemoteKey},
};
use lockstep_store::{
    alerts::{self, Severity, Subject},
    item_failures::{self, Decided, JudgedAgain},
    items::{self, Disposition, Item},
    lanes, schedules,
};

use crate::seed::World;

fn key(name: &str) -> RemoteKey {
    RemoteKey::new(name).unwrap()
}

fn item(name: &str, disposition: Disposition) -> Item {
    Item {
        key: key(name),
        weak: false,
        fingerprint: None,
        size_bytes: 10,
        message_id: Some(format!("{name}@kunde.example")),
        disposition,
        reason: Some("Because".to_owned()),
        detail: Some("of this".to_owned()),
        delete_wanted: false,
        folder: MailFolder::Inbox,
        move_wanted: false,
    }
}

/// A mailbox with a refused item, one set aside and one given up, and the alerts about these.
async fn world() -> (World, MailboxId) {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let later = world.clock.now() + Duration::from_secs(3600);
    let known = [
        item("refused", Disposition::Refused),
        item("aside", Disposition::Quarantined(Some(later))),
        item("given-up", Disposition::Quarantined(None)),
    ];
    let mut tx = world.store.begin().await.unwrap();
    items::put(&mut tx, mailbox, &known).await.unwrap();
    for known in &known[1..] {
        let subject = Subject::Item(mailbox, &known.key);
        let parameters = serde_json::json!({ "message": "no", "next": "never" });
        alerts::raise(&mut tx, items::QUARANTINED, Severity::Warning, subject, parameters).await.unwrap();
    }
    tx.commit().await.unwrap();
    (world, mailbox)
}

async fn decide(world: &World, mailbox: MailboxId, name: &str, release: bool) -> Decided {
    let mut tx = world.store.begin().await.unwrap();
    let decided = if release {
        item_failures::release(&mut tx, mailbox, &key(name), "ann").await.unwrap()
    } else {
        item_failures::drop_item(&mut tx, mailbox, &key(name), "ann").await.unwrap()
    };
    if decided == Decided::Done {
        tx.commit().await.unwrap();
    }
    decided
}

async fn keys(world: &World, mailbox: MailboxId, disposition: Option<&str>, after: Option<&str>) -> Vec<String> {
    let mut tx = world.store.begin().await.unwrap();
    let after = after.map(key);
    let rows = item_failures::list(&mut tx, mailbox, disposition, after.as_ref(), 2).await.unwrap();
    rows.into_iter().map(|row| String::from_utf8(row.key).unwrap()).collect()
}

/// F25: each message with its reason, page by page.
#[tokio::test]
async fn f25_the_list_shows_the_reason_of_each_item() {
    let (world, mailbox) = world().await;
    let other = world.user_mailbox(world.profile(1).await, "bert").await;
    assert_eq!(keys(&world, mailbox, None, None).await, ["aside", "given-up"]);
    assert_eq!(keys(&world, mailbox, None, Some("given-up")).await, ["refused"]);
    assert_eq!(keys(&world, mailbox, Some("refused"), None).await, ["refused"]);
    assert_eq!(keys(&world, mailbox, Some("quarantined"), Some("aside")).await, ["given-up"]);
    assert!(keys(&world, other, None, None).await.is_empty());
    let mut tx = world.store.begin().await.unwrap();
    let found = item_failures::get(&mut tx, mailbox, &key("refused")).await.unwrap().unwrap();
    let texts = [found.reason, found.detail, found.message_id].map(Option::unwrap);
    assert_eq!(texts, ["Because", "of this", "refused@kunde.example"]);
    assert_eq!((found.seen_at, found.next_attempt_at), (world.clock.now(), None));
}

/// What a person decides is not undone by a run that had read the mailbox before, ends the alert, and is noted.
#[tokio::test]
async fn decisions_are_fenced_audited_and_end_the_alert() {
    let (world, mailbox) = world().await;
    for (name, release, action) in [("given-up", true, "item-released"), ("aside", false, "item-dropped")] {
        let mut tx = world.store.begin().await.unwrap();
        let run = lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap();
        drop(tx);
        world.advance(60);
        assert_eq!(decide(&world, mailbox, name, release).await, Decided::Done);
        let mut tx = world.store.begin().await.unwrap();
        assert!(!lanes::fence(&mut tx, mailbox, Lane::Incoming, run.version, None).await.unwrap(), "{action}");
        drop(tx);
        let noted = "SELECT concat_ws(' ', actor, action, object_kind, object_id, detail->>'item') FROM audit_entries
             ORDER BY id DESC LIMIT 1";
        assert_eq!(world.text(noted).await, format!("ann {action} mailbox {mailbox} {}", hex::encode(name)));
    }
    assert!(world.open_alerts().await.is_empty());
    let rows = "SELECT concat_ws(' ', convert_from(remote_key, 'UTF8'), disposition, reason, detail, attempts,
         (next_attempt_at = (SELECT due_at FROM lane_schedules))::text) FROM remote_items ORDER BY 1";
    assert_eq!(
        world.texts(rows).await,
        [
            "aside refused DroppedByHand Because: of this 0",
            "given-up quarantined Because of this 0 true",
            "refused refused Because of this 0",
        ]
    );
    let mut tx = world.store.begin().await.unwrap();
    assert!(lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap().attempt_due);
}

/// A release makes a new occasion: the report of a run that was under way does not put the attempt off.
#[tokio::test]
async fn a_release_is_due_at_once_whoever_reports() {
    let (world, mailbox) = world().await;
    let (_, generation) = world.lane(mailbox).await;
    world
        .sql("UPDATE lane_schedules SET due_at = due_at + interval '1 hour', claimed_until = due_at, claims = 1")
        .await;
    assert_eq!(decide(&world, mailbox, "aside", true).await, Decided::Done);
    let mut tx = world.store.begin().await.unwrap();
    let reported = [(mailbox, Lane::Incoming, generation)];
    assert!(schedules::lock_reported(&mut tx, &reported).await.unwrap().is_empty());
    assert_eq!(schedules::lock_due_profiles(&mut tx, 10).await.unwrap().len(), 1);
}

/// What cannot be decided on leaves no trace: what is refused already is not dropped, and what is unknown is neither.
#[tokio::test]
async fn what_cannot_be_decided_on_leaves_no_trace() {
    let (world, mailbox) = world().await;
    let before = world.imprint().await;
    assert_eq!(decide(&world, mailbox, "refused", false).await, Decided::NotQuarantined);
    for release in [true, false] {
        assert_eq!(decide(&world, mailbox, "unknown", release).await, Decided::Missing);
    }
    assert_eq!(world.imprint().await, before);
}

async fn due(world: &World) -> Vec<String> {
    let due = "SELECT convert_from(remote_key, 'UTF8') FROM remote_items WHERE next_attempt_at <= (SELECT max(due_at)
         FROM lane_schedules) AND disposition <> 'quarantined' ORDER BY 1";
    world.texts(due).await
}

/// F25: a refused item is judged again by itself when it is released: it is offered as if it were unknown, until it was
/// judged; what was decided stands until then, and counts as due.
#[tokio::test]
async fn f25_a_refused_item_is_judged_again() {
    let (world, mailbox) = world().await;
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap();
    drop(tx);
    assert!(!run.judgement_due);
    assert_eq!(decide(&world, mailbox, "refused", true).await, Decided::Done);
    assert_eq!(due(&world).await, ["refused"]);
    let mut tx = world.store.begin().await.unwrap();
    assert!(!lanes::fence(&mut tx, mailbox, Lane::Incoming, run.version, None).await.unwrap());
    let run = lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap();
    assert_eq!((run.judgement_due, run.attempt_due, run.suspect_due), (true, false, false));
    assert_eq!(items::contains(&mut tx, mailbox, &[key("refused"), key("given-up")]).await.unwrap(), [false, true]);
    let found = item_failures::get(&mut tx, mailbox, &key("refused")).await.unwrap().unwrap();
    assert_eq!((&*found.disposition, found.reason.as_deref()), ("refused", Some("Because")));
    items::put(&mut tx, mailbox, &[item("refused", Disposition::Refused)]).await.unwrap();
    assert_eq!(items::contains(&mut tx, mailbox, &[key("refused")]).await.unwrap(), [true]);
    assert!(!lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap().judgement_due);
}

/// C16, F25: which items are judged again: by reason, by when they were seen, and with those whose record is gone; never
/// what a person dropped, unless it is named, nor what is a record.
#[tokio::test]
async fn c16_which_items_are_judged_again() {
    let (world, mailbox) = world().await;
    let other = world.user_mailbox(world.profile(1).await, "bert").await;
    world
        .sql(&format!(
            "INSERT INTO emails (id, direction, status, created_at, updated_at)
                 VALUES ('01930000-0000-7000-8000-000000000001', 'incoming', 'received', now(), now());
             UPDATE remote_items SET seen_at = '2026-11-01';
             INSERT INTO remote_items (mailbox_id, remote_key, disposition, reason, email_id, delete_wanted, seen_at) VALUES
                 ('{mailbox}', 'old', 'refused', 'TooOld', NULL, false, '2026-11-02'),
                 ('{mailbox}', 'dropped', 'refused', 'DroppedByHand', NULL, false, '2026-11-02'),
                 ('{mailbox}', 'erased', 'refused', 'Erased', NULL, false, '2026-11-02'),
                 ('{mailbox}', 'kept', 'tracked', NULL, '01930000-0000-7000-8000-000000000001', true, '2026-11-02'),
                 ('{mailbox}', 'gone', 'tracked', NULL, '01930000-0000-7000-8000-000000000002', true, '2026-11-02'),
                 ('{other}', 'others', 'refused', 'TooOld', NULL, false, '2026-11-02')"
        ))
        .await;
    let all = JudgedAgain { without_record: true, ..JudgedAgain::default() };
    let since = "2026-11-02T00:00:00Z".parse().ok();
    for (which, marked) in [
        (JudgedAgain::default(), vec!["old", "refused"]),
        (JudgedAgain { reason: Some("TooOld"), ..all }, vec!["gone", "old"]),
        (JudgedAgain { reason: Some(item_failures::DROPPED), ..JudgedAgain::default() }, vec!["dropped"]),
        (JudgedAgain { seen_since: since, ..JudgedAgain::default() }, vec!["old"]),
        (JudgedAgain { reason: Some("Erased"), ..JudgedAgain::default() }, vec![]),
        (JudgedAgain { reason: Some("TooLarge"), ..JudgedAgain::default() }, vec![]),
        (all, vec!["gone", "old", "refused"]),
    ] {
        world.sql("UPDATE remote_items SET next_attempt_at = NULL").await;
        let mut tx = world.store.begin().await.unwrap();
        let number = item_failures::judge_again(&mut tx, mailbox, which, "ann").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            (number as usize, due(&world).await),
            (marked.len(), marked.into_iter().map(str::to_owned).collect()),
            "{which:?}"
        );
    }
    for release in [true, false] {
        assert_eq!(decide(&world, mailbox, "erased", release).await, Decided::Erased);
    }
    let left = "SELECT string_agg(convert_from(remote_key, 'UTF8'), ' ') FROM remote_items WHERE delete_wanted";
    assert_eq!(world.text(left).await, "kept", "what is to be looked at is not deleted before");
    let noted = "SELECT concat_ws(' ', actor, object_id, detail->>'items') FROM audit_entries
         WHERE action = 'items-judged-again' ORDER BY id DESC LIMIT 1";
    assert_eq!(world.text(noted).await, format!("ann {mailbox} 3"));
}

/// A worker that ends over an item that was being judged again: it is set aside like any other, with its deaths.
#[tokio::test]
async fn a_death_over_a_refused_item_counts() {
    let (world, mailbox) = world().await;
    let mut tx = world.store.begin().await.unwrap();
    let again = world.clock.now() + Duration::from_secs(60);
    items::note_death(&mut tx, mailbox, (MailFolder::Inbox, &key("refused")), ("WorkerDied", "x"), again)
        .await
        .unwrap();
    assert_eq!(items::deaths(&mut tx, mailbox, &key("refused")).await.unwrap(), 0, "it was not being read");
    item_failures::judge_again(&mut tx, mailbox, JudgedAgain::default(), "ann").await.unwrap();
    for deaths in 1..=2 {
        items::note_death(&mut tx, mailbox, (MailFolder::Inbox, &key("refused")), ("WorkerDied", "x"), again)
            .await
            .unwrap();
        assert_eq!(items::deaths(&mut tx, mailbox, &key("refused")).await.unwrap(), deaths);
    }
    let found = item_failures::get(&mut tx, mailbox, &key("refused")).await.unwrap().unwrap();
    assert_eq!((&*found.disposition, found.reason.as_deref()), ("quarantined", Some("WorkerDied")));
}

/// M11: after a while the words go; the item stays known with the name of its reason, and is not read again.
#[tokio::test]
async fn m11_words_expire_and_items_stay_known() {
    let (world, mailbox) = world().await;
    let mut tx = world.store.begin().await.unwrap();
    let seen = world.clock.now();
    assert_eq!(item_failures::forget_details(&mut tx, seen, 10).await.unwrap(), 0, "not yet");
    let after = seen + Duration::from_secs(1);
    assert_eq!(item_failures::forget_details(&mut tx, after, 1).await.unwrap(), 1);
    assert_eq!(item_failures::forget_details(&mut tx, after, 10).await.unwrap(), 1);
    assert_eq!(item_failures::forget_details(&mut tx, after, 10).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let rows = "SELECT concat_ws(' ', convert_from(remote_key, 'UTF8'), reason, detail) FROM remote_items ORDER BY 1";
    assert_eq!(
        world.texts(rows).await,
        ["aside Because of this", "given-up Because", "refused Because"],
        "what is still tried keeps its words"
    );
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(items::contains(&mut tx, mailbox, &[key("refused"), key("given-up")]).await.unwrap(), [true, true]);
}
