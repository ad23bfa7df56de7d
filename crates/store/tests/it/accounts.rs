//! Whose account a mailbox is read with, and that nobody has two mailboxes.

use lockstep_model::mailbox::{Account, TrackOption};
use lockstep_store::lanes::{self, Access};
use secrecy::{ExposeSecret, SecretString};

use crate::seed::World;

async fn access(world: &World, mailbox: lockstep_model::id::MailboxId) -> Access {
    let mut tx = world.store.begin().await.unwrap();
    lanes::access(&mut tx, mailbox).await.unwrap().unwrap().1
}

fn login(world: &World, access: &Access) -> (String, String) {
    let (login, secret) = access.credentials(&world.store).unwrap().unwrap();
    (login, secret.expose_secret().to_owned())
}

/// B9: with credentials by user or queue each mailbox logs in with its own account, and its connections count by itself.
/// B10: with credentials in the profile one account is everybody's, and so is its cap; what a mailbox has of its own is
/// not used.
#[tokio::test]
async fn b9_b10_whose_account_is_used() {
    let world = World::new().await;
    let profile = world.profile(3).await;
    let (anna, bert) = (world.user_mailbox(profile, "anna").await, world.user_mailbox(profile, "bert").await);
    let of_anna = access(&world, anna).await;
    let of_bert = access(&world, bert).await;
    assert_eq!(login(&world, &of_anna).0, "anna@muster.example");
    assert_eq!(login(&world, &of_bert).0, "bert@muster.example");
    assert_eq!((of_anna.account, of_bert.account), (Account::of_mailbox(anna), Account::of_mailbox(bert)));

    let secret = SecretString::from("shared-secret".to_owned());
    let sealed = world.store.vault().seal(&lanes::profile_identity(profile), &secret).unwrap();
    sqlx::query("UPDATE email_server_profiles SET credentials = 'profile', login = 'service', sealed_secret = $1")
        .bind(sealed)
        .execute(world.pool())
        .await
        .unwrap();
    for mailbox in [anna, bert] {
        let shared = access(&world, mailbox).await;
        assert_eq!(login(&world, &shared), ("service".to_owned(), "shared-secret".to_owned()));
        assert_eq!(shared.account, Account::of_profile());
    }
}

/// D1: a user has one mailbox: the database takes no second one.
#[tokio::test]
async fn d1_a_user_has_one_mailbox() {
    let world = World::new().await;
    let profile = world.profile(3).await;
    world.user_mailbox(profile, "anna").await;
    world.user("bert", TrackOption::All).await;
    let second = "INSERT INTO mailboxes (id, name, owner_user_id, address, address_key, incoming_method, outgoing_method,
             created_at, updated_at)
         SELECT gen_random_uuid(), 'second', u.id, 'second@muster.example', 'second@muster.example', 'none', 'none', now(), now()
         FROM users u WHERE u.name = ";
    let insert =
        async |name: &str| sqlx::query(sqlx::AssertSqlSafe(format!("{second}'{name}'"))).execute(world.pool()).await;
    let refused = insert("anna").await.unwrap_err();
    let constraint = refused.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
    assert_eq!(constraint.as_deref(), Some("mailboxes_owner_user_id_key"));
    insert("bert").await.unwrap();
}
