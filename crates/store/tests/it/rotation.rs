//! Sealing every stored secret with another key.

use lockstep_model::mailbox::Lane;
use lockstep_store::{SealError, Store, Vault, lanes, rotation};
use secrecy::ExposeSecret;

use crate::seed::{World, options};

fn with_keys(world: &World, ids: &[&str]) -> Store {
    // The same bytes under each id: what counts is the id a secret names.
    let vault = Vault::new(ids.iter().map(|id| ((*id).to_owned(), vec![7; 32]))).unwrap();
    Store::open(world.database.url(), &options(4), world.clock.clone(), vault).unwrap()
}

async fn usage(store: &Store) -> Vec<(String, i64)> {
    rotation::usage(&mut store.begin().await.unwrap()).await.unwrap()
}

/// B15: after a rotation the old key is not needed any more, and every secret is what it was.
#[tokio::test]
async fn b15_a_new_key_takes_over_and_the_old_one_can_go() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let mut mailboxes = Vec::new();
    for number in 0..230 {
        mailboxes.push(world.user_mailbox(profile, &format!("user{number}")).await);
    }
    assert_eq!(usage(&world.store).await, [("test".to_owned(), 230)]);
    let both = with_keys(&world, &["new", "test"]);
    let done = rotation::rotate(&both, "test").await.unwrap();
    assert_eq!((done.rotated, done.unreadable.len()), (230, 0));
    assert_eq!(usage(&both).await, [("new".to_owned(), 230)]);
    assert_eq!(rotation::rotate(&both, "test").await.unwrap().rotated, 0, "a second time does nothing");

    let new = with_keys(&world, &["new"]);
    let mut tx = new.begin().await.unwrap();
    for mailbox in [mailboxes[0], mailboxes[229]] {
        let run = lanes::open(&mut tx, mailbox, Lane::Incoming).await.unwrap().unwrap();
        let (_, secret) = run.access.credentials(&new).unwrap().unwrap();
        assert_eq!(secret.expose_secret(), "geheim");
    }
    assert_eq!(
        world.number("SELECT sum((detail->>'secrets')::int) FROM audit_entries WHERE action = 'rotated'").await,
        230
    );
    assert_eq!(world.number("SELECT max(version) FROM mailboxes").await, 1, "nobody sees a difference");
}

/// What cannot be opened is named and left alone; everything else is rotated.
#[tokio::test]
async fn what_cannot_be_opened_is_named_and_left_alone() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let damaged = world.user_mailbox(profile, "anna").await;
    world.user_mailbox(profile, "bert").await;
    world.sql(&format!("UPDATE mailboxes SET sealed_secret = '\\x00' WHERE id = '{damaged}'")).await;
    let done = rotation::rotate(&with_keys(&world, &["new", "test"]), "test").await.unwrap();
    assert_eq!(done.rotated, 1);
    assert_eq!(done.unreadable, [(format!("mailbox/{damaged}"), SealError::Damaged)]);
    let stranger = rotation::rotate(&with_keys(&world, &["third"]), "test").await.unwrap();
    assert_eq!(stranger.rotated, 0);
    assert!(stranger.unreadable.iter().any(|(_, why)| *why == SealError::UnknownKey("new".into())), "{stranger:?}");
}
