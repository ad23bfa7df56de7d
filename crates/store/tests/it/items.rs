//! What is known of a mailbox's items.

use std::time::Duration;

use lockstep_model::{
    clock::Clock,
    id::{EmailId, MailboxId},
    mailbox::Lane,
    remote::{MailFolder, RemoteKey},
};
use lockstep_store::{
    alerts::{self, Severity, Subject},
    items::{self, Disposition, Item, Move, Moved},
    lanes,
};

use crate::seed::World;

const INBOX: MailFolder = MailFolder::Inbox;

fn key(bytes: impl AsRef<[u8]>) -> RemoteKey {
    RemoteKey::new(bytes.as_ref()).unwrap()
}

fn item(name: impl AsRef<[u8]>, disposition: Disposition) -> Item {
    Item {
        key: key(name),
        weak: false,
        fingerprint: None,
        size_bytes: 10,
        message_id: None,
        disposition,
        reason: None,
        detail: None,
        delete_wanted: false,
        folder: MailFolder::Inbox,
        move_wanted: false,
    }
}

async fn world() -> (World, MailboxId) {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    (world, mailbox)
}

async fn put(world: &World, mailbox: MailboxId, items: &[Item]) {
    let mut tx = world.store.begin().await.unwrap();
    items::put(&mut tx, mailbox, items).await.unwrap();
    tx.commit().await.unwrap();
}

async fn contains(world: &World, mailbox: MailboxId, keys: &[RemoteKey]) -> Vec<bool> {
    let mut tx = world.store.begin().await.unwrap();
    items::contains(&mut tx, mailbox, keys).await.unwrap()
}

async fn attempt_due(world: &World, mailbox: MailboxId) -> bool {
    let mut tx = world.store.begin().await.unwrap();
    lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap().attempt_due
}

/// Keys are bytes: case, NUL and bytes that are no text all count.
#[tokio::test]
async fn keys_are_compared_bytewise_and_per_mailbox() {
    let (world, mailbox) = world().await;
    let other = world.user_mailbox(world.profile(1).await, "bert").await;
    let known = [key(b"Uid"), key(b"\x00\xff\xfe"), key(vec![b'x'; 512])];
    let items: Vec<_> = known.iter().map(|k| item(k.as_bytes(), Disposition::Refused)).collect();
    put(&world, mailbox, &items).await;
    let asked = [key(b"uid"), known[2].clone(), known[0].clone(), key(b"\x00\xff"), known[1].clone(), known[0].clone()];
    assert_eq!(contains(&world, mailbox, &asked).await, [false, true, true, false, true, true], "in the order asked");
    assert_eq!(contains(&world, other, &asked).await, [false; 6]);
    assert!(contains(&world, mailbox, &[]).await.is_empty());
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(items::count(&mut tx, mailbox, INBOX).await.unwrap(), 3);
    let mut sorted = known.to_vec();
    sorted.sort();
    assert_eq!(items::keys_after(&mut tx, mailbox, INBOX, None, 2).await.unwrap(), sorted[..2]);
    assert_eq!(items::keys_after(&mut tx, mailbox, INBOX, Some(&sorted[1]), 2).await.unwrap(), sorted[2..]);
}

/// A quarantined item counts as unknown when its next attempt is due, and never again once it was given up.
#[tokio::test]
async fn a_quarantined_item_is_offered_again_when_due() {
    let (world, mailbox) = world().await;
    let due = world.clock.now() + Duration::from_secs(60);
    let quarantined =
        [item("again", Disposition::Quarantined(Some(due))), item("never", Disposition::Quarantined(None))];
    put(&world, mailbox, &quarantined).await;
    let keys = [key("again"), key("never"), key("new")];
    assert_eq!(contains(&world, mailbox, &keys).await, [true, true, false]);
    assert!(!attempt_due(&world, mailbox).await);
    world.advance(60);
    assert_eq!(contains(&world, mailbox, &keys).await, [false, true, false]);
    assert!(attempt_due(&world, mailbox).await);

    put(&world, mailbox, &quarantined[..1]).await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(items::attempts(&mut tx, mailbox, &keys).await.unwrap(), [2, 1, 0], "each failure counts");
    drop(tx);
    put(&world, mailbox, &[item("again", Disposition::Refused)]).await;
    assert_eq!(contains(&world, mailbox, &keys).await, [true, true, false]);
    assert!(!attempt_due(&world, mailbox).await, "what was decided is not tried again");
}

#[tokio::test]
async fn fingerprints_find_the_known_key() {
    let (world, mailbox) = world().await;
    let mut with = item("a", Disposition::Refused);
    with.fingerprint = Some([9; 32]);
    put(&world, mailbox, &[with, item("b", Disposition::Refused)]).await;
    let mut tx = world.store.begin().await.unwrap();
    let found = items::by_fingerprint(&mut tx, mailbox, INBOX, &[[1; 32], [9; 32], [9; 32]]).await.unwrap();
    assert_eq!(found, [None, Some(key("a")), Some(key("a"))]);
    drop(tx);
    put(&world, mailbox, &[item("a", Disposition::Refused)]).await;
    let mut tx = world.store.begin().await.unwrap();
    let found = items::by_fingerprint(&mut tx, mailbox, INBOX, &[[9; 32]]).await.unwrap();
    assert_eq!(found, [Some(key("a"))], "a later write without a fingerprint keeps it");
}

async fn email(world: &World, mailbox: MailboxId, at: &str) -> EmailId {
    let id = EmailId::new();
    world
        .sql(&format!(
            "INSERT INTO emails (id, direction, status, created_at, updated_at) VALUES ('{id}', 'incoming', 'received', now(), now());
             INSERT INTO email_mailboxes VALUES ('{id}', '{mailbox}', '{at}'::bytea, now())"
        ))
        .await;
    id
}

#[tokio::test]
async fn rekeying_moves_items_and_links_of_this_mailbox_only() {
    let (world, mailbox) = world().await;
    let other = world.user_mailbox(world.profile(1).await, "bert").await;
    let linked = email(&world, mailbox, "old").await;
    put(&world, mailbox, &[item("old", Disposition::Tracked(linked)), item("stays", Disposition::Refused)]).await;
    put(&world, other, &[item("old", Disposition::Refused)]).await;
    world.sql(&format!("INSERT INTO email_mailboxes VALUES ('{linked}', '{other}', 'old'::bytea, now())")).await;
    let mut tx = world.store.begin().await.unwrap();
    items::rekey(&mut tx, mailbox, &[(key("old"), key("new")), (key("unknown"), key("nothing"))]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(contains(&world, mailbox, &[key("old"), key("new"), key("stays")]).await, [false, true, true]);
    assert_eq!(contains(&world, mailbox, &[key("unknown"), key("nothing")]).await, [false, false]);
    assert_eq!(contains(&world, other, &[key("old"), key("new")]).await, [true, false]);
    let links = format!("SELECT convert_from(remote_key, 'UTF8') FROM email_mailboxes WHERE mailbox_id = '{mailbox}'");
    assert_eq!(world.texts(&links).await, ["new"]);
}

/// The new key may be one that was set aside while the server was between two identities.
#[tokio::test]
async fn rekeying_onto_a_quarantined_key_replaces_it() {
    let (world, mailbox) = world().await;
    let linked = email(&world, mailbox, "old").await;
    let due = world.clock.now();
    put(
        &world,
        mailbox,
        &[item("old", Disposition::Tracked(linked)), item("new", Disposition::Quarantined(Some(due)))],
    )
    .await;
    let mut tx = world.store.begin().await.unwrap();
    items::rekey(&mut tx, mailbox, &[(key("old"), key("new"))]).await.unwrap();
    tx.commit().await.unwrap();
    let rows = "SELECT convert_from(remote_key, 'UTF8') || ' ' || disposition FROM remote_items";
    assert_eq!(world.texts(rows).await, ["new tracked"]);
}

/// An alert goes where its item goes: to the new key, or away with the row that the renamed item replaces.
#[tokio::test]
async fn alerts_follow_their_items_to_new_keys() {
    let (world, mailbox) = world().await;
    let aside = |name: &str| item(name, Disposition::Quarantined(None));
    put(&world, mailbox, &[aside("a"), aside("b"), item("c", Disposition::Refused), aside("d")]).await;
    let mut tx = world.store.begin().await.unwrap();
    for name in ["a", "b", "d"] {
        let parameters = serde_json::json!({ "item": name, "message": "no", "next": "never" });
        let key = key(name);
        let subject = Subject::Item(mailbox, &key);
        alerts::raise(&mut tx, items::QUARANTINED, Severity::Warning, subject, parameters).await.unwrap();
    }
    items::rekey(&mut tx, mailbox, &[(key("a"), key("z")), (key("c"), key("d"))]).await.unwrap();
    tx.commit().await.unwrap();
    let open = "SELECT parameters->>'item' FROM alerts WHERE resolved_at IS NULL ORDER BY 1";
    assert_eq!(world.texts(open).await, ["a", "b"], "what was d is c now, and c is well");
    put(&world, mailbox, &[item("z", Disposition::Refused), item("a", Disposition::Refused)]).await;
    assert_eq!(world.texts(open).await, ["b"], "known as z now");
    let mut tx = world.store.begin().await.unwrap();
    for _ in 0..2 {
        items::note_absent(&mut tx, mailbox, INBOX, &[key("b")]).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(world.texts(open).await.is_empty());
}

/// One listing that shows too little is no proof; two in a row are.
#[tokio::test]
async fn an_item_absent_twice_in_a_row_is_forgotten() {
    let (world, mailbox) = world().await;
    let linked = email(&world, mailbox, "gone").await;
    let kept = email(&world, mailbox, "flickers").await;
    put(&world, mailbox, &[item("gone", Disposition::Tracked(linked)), item("flickers", Disposition::Tracked(kept))])
        .await;
    let listings: [&[RemoteKey]; 4] = [&[key("gone"), key("flickers")], &[key("gone")], &[key("flickers")], &[]];
    let expected = [[true, true], [false, true], [false, true], [false, true]];
    for (absent, expected) in listings.iter().zip(expected) {
        let mut tx = world.store.begin().await.unwrap();
        items::note_absent(&mut tx, mailbox, INBOX, absent).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(contains(&world, mailbox, &[key("gone"), key("flickers")]).await, expected, "{absent:?}");
    }
    assert_eq!(world.number("SELECT count(*) FROM emails").await, 2, "the records stay");
}

#[tokio::test]
async fn deletions_are_wanted_until_confirmed() {
    let (world, mailbox) = world().await;
    let items: Vec<_> =
        ["a", "b", "c"].map(|name| Item { delete_wanted: name != "c", ..item(name, Disposition::Refused) }).into();
    put(&world, mailbox, &items).await;
    let mut tx = world.store.begin().await.unwrap();
    assert!(lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap().deletions_wanted);
    let mut wanted = items::deletions_wanted(&mut tx, mailbox, 10).await.unwrap();
    wanted.sort();
    assert_eq!(wanted, [key("a"), key("b")]);
    assert_eq!(items::deletions_wanted(&mut tx, mailbox, 1).await.unwrap().len(), 1);
    items::deletions_done(&mut tx, mailbox, &[key("a"), key("c")]).await.unwrap();
    assert_eq!(items::deletions_wanted(&mut tx, mailbox, 10).await.unwrap(), [key("b")]);
    items::deletions_done(&mut tx, mailbox, &[key("b")]).await.unwrap();
    assert!(!lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap().deletions_wanted);
}

/// F2: what has left its folder is no longer known there, keeps what was decided, and is not judged again; what waited for
/// another attempt is forgotten with its alert.
#[tokio::test]
async fn f2_what_has_left_its_folder() {
    let (world, mailbox) = world().await;
    let waiting = Disposition::Quarantined(Some(world.clock.now()));
    put(
        &world,
        mailbox,
        &[item("stays", Disposition::Refused), item("left", Disposition::Refused), item("fails", waiting)],
    )
    .await;
    let mut tx = world.store.begin().await.unwrap();
    items::note_gone(&mut tx, mailbox, &[key("left"), key("fails"), key("never-seen")]).await.unwrap();
    let known = items::contains(&mut tx, mailbox, &[key("stays"), key("left"), key("fails")]).await.unwrap();
    assert_eq!(known, [true, false, false]);
    assert_eq!(items::keys_after(&mut tx, mailbox, INBOX, None, 9).await.unwrap(), [key("stays")]);
    tx.commit().await.unwrap();
    let rows = "SELECT convert_from(remote_key, 'UTF8') || ' ' || folder FROM remote_items ORDER BY 1";
    assert_eq!(world.texts(rows).await, ["left elsewhere", "stays inbox"]);
    // The same item once more, under the same key.
    put(&world, mailbox, &[item("left", Disposition::Refused)]).await;
    assert_eq!(world.texts(rows).await, ["left inbox", "stays inbox"]);
}

/// B23: an item that the server does not move is asked for again a bounded number of times, and then stays; until then it
/// is not missed in its folder.
#[tokio::test]
async fn b23_a_refused_move_is_given_up() {
    let (world, mailbox) = world().await;
    put(&world, mailbox, &[Item { move_wanted: true, ..item("stuck", Disposition::Quarantined(None)) }]).await;
    for left in (0..items::MAX_MOVE_ATTEMPTS).rev() {
        let mut tx = world.store.begin().await.unwrap();
        let due = items::moves_wanted(&mut tx, mailbox, 10).await.unwrap();
        assert_eq!(due, [Move { key: key("stuck"), back: false, unconfirmed: true }]);
        assert!(items::keys_after(&mut tx, mailbox, INBOX, None, 9).await.unwrap().is_empty());
        items::note_gone(&mut tx, mailbox, &[key("stuck")]).await.unwrap();
        items::moved(&mut tx, mailbox, &key("stuck"), &Moved::Refused("no".to_owned())).await.unwrap();
        let due = items::moves_wanted(&mut tx, mailbox, 10).await.unwrap();
        assert_eq!(due.is_empty(), left == 0);
        tx.commit().await.unwrap();
    }
    let rows = "SELECT concat_ws(' ', disposition, folder) FROM remote_items";
    assert_eq!(world.texts(rows).await, ["quarantined inbox"]);
}
