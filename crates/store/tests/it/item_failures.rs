//! F25, M11: items that became no record, and what is decided about them.

use std::time::Duration;

use lockstep_model::{clock::Clock, id::MailboxId, mailbox::Lane, remote::RemoteKey};
use lockstep_store::{
    alerts::{self, Severity, Subject},
    item_failures::{self, Decided},
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
        let parameters = serde_json::json!({ "message": "no" });
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

/// Only what is set aside can be decided on, and what cannot leaves no trace.
#[tokio::test]
async fn only_quarantined_items_are_decided_on() {
    let (world, mailbox) = world().await;
    let before = world.imprint().await;
    for release in [true, false] {
        assert_eq!(decide(&world, mailbox, "refused", release).await, Decided::NotQuarantined);
        assert_eq!(decide(&world, mailbox, "unknown", release).await, Decided::Missing);
    }
    assert_eq!(world.imprint().await, before);
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
