//! Secrets in rows: readable for their own record and with the right key only.

use lockstep_model::mailbox::Lane;
use lockstep_store::{Error, PoolOptions, SealError, Store, Vault, lanes};

use crate::seed::{World, options};

#[tokio::test]
async fn a_secret_copied_to_another_mailbox_does_not_open() {
    let world = World::new().await;
    let profile = world.profile(1).await;
    let (anna, bert) = (world.user_mailbox(profile, "anna").await, world.user_mailbox(profile, "bert").await);
    world
        .sql(&format!(
            "UPDATE mailboxes SET sealed_secret = (SELECT sealed_secret FROM mailboxes WHERE id = '{anna}') WHERE id = '{bert}'"
        ))
        .await;
    let mut tx = world.store.begin().await.unwrap();
    let run = lanes::open(&mut tx, bert, Lane::Incoming).await.unwrap().unwrap();
    assert!(matches!(run.access.credentials(&world.store), Err(Error::Sealed(SealError::Damaged))));
}

#[tokio::test]
async fn a_process_without_the_key_says_which_one_is_missing() {
    let world = World::new().await;
    let anna = world.user_mailbox(world.profile(1).await, "anna").await;
    let other = Vault::new([("other".to_owned(), vec![7; 32])]).unwrap();
    let options = PoolOptions { application_name: "other".to_owned(), ..options(1) };
    let store = Store::open(world.database.url(), &options, world.clock.clone(), other).unwrap();
    let mut tx = store.begin().await.unwrap();
    let run = lanes::open(&mut tx, anna, Lane::Incoming).await.unwrap().unwrap();
    let error = run.access.credentials(&store).unwrap_err();
    assert!(matches!(&error, Error::Sealed(SealError::UnknownKey(key)) if key == "test"), "{error}");
    assert!(!error.to_string().contains("geheim"));
}
