//! Sealing every stored secret with another key.

use lockstep_model::mailbox::Lane;
use lockstep_store::{
    SealError, Store, Vault, lanes,
    rotation::{self, Trial},
};
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

/// One secret of each key is tried: a key that is missing, and one whose id stands for other bytes now, are told apart,
/// with how many secrets they concern.
#[tokio::test]
async fn one_secret_of_each_key_is_tried() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    for name in ["anna", "bert", "carl"] {
        world.user_mailbox(profile, name).await;
    }
    let trial = |key: &str, secrets, opened| Trial { key: key.to_owned(), secrets, opened };
    assert_eq!(rotation::trial(&world.store).await.unwrap(), [trial("test", 3, Ok(()))]);
    let lacking = rotation::trial(&with_keys(&world, &["new"])).await.unwrap();
    assert_eq!(lacking, [trial("test", 3, Err(SealError::UnknownKey("test".to_owned())))]);
    let vault = Vault::new([("test".to_owned(), vec![8; 32])]).unwrap();
    let other = Store::open(world.database.url(), &options(4), world.clock.clone(), vault).unwrap();
    assert_eq!(rotation::trial(&other).await.unwrap(), [trial("test", 3, Err(SealError::Damaged))]);
}

/// B14: the secret a profile's mailboxes send with is counted, rotated and opened like the others.
#[tokio::test]
async fn b14_the_account_that_sends_rotates_too() {
    let world = World::new().await;
    let profile = world.profile(2).await;
    let mailbox = world.user_mailbox(profile, "anna").await;
    let sealed = world.store.vault().seal(&lanes::outgoing_identity(profile), &"relay-secret".into()).unwrap();
    sqlx::query(
        "UPDATE email_server_profiles SET same_settings_for_outgoing = false, outgoing_login = 'relay',
             sealed_outgoing_secret = $1",
    )
    .bind(sealed)
    .execute(world.pool())
    .await
    .unwrap();
    assert_eq!(usage(&world.store).await, [("test".to_owned(), 2)]);
    assert_eq!(rotation::rotate(&with_keys(&world, &["new", "test"]), "test").await.unwrap().rotated, 2);
    let new = with_keys(&world, &["new"]);
    let mut tx = new.begin().await.unwrap();
    let (_, access) = lanes::access(&mut tx, mailbox).await.unwrap().unwrap();
    assert_eq!(access.credentials(&new).unwrap().unwrap().1.expose_secret(), "geheim");
    let (login, secret) = access.for_outgoing().credentials(&new).unwrap().unwrap();
    assert_eq!((login.as_str(), secret.expose_secret()), ("relay", "relay-secret"));
}
