//! B10: one account of the profile for all its mailboxes.

use lockstep_mime::header::LOOP_HEADER;
use lockstep_model::{id::OperationId, mailbox::TrackOption};
use lockstep_store::lanes;
use secrecy::SecretString;

use crate::stage::{Stage, mail, plain};

/// B10: each mailbox logs in as the account of the profile and sees what lies there. A message is one record, to which both
/// are linked; the message of a test is none, whichever of them was tested, and whoever only looks like us is not us.
#[tokio::test]
async fn b10_mailboxes_of_one_account_see_the_same_messages() {
    let (stage, anna) = Stage::with_anna().await;
    let bert = stage.user("bert", TrackOption::All).await;
    let sealed = stage.world.store.vault().seal(&lanes::profile_identity(stage.profile), &SecretString::from("geheim"));
    sqlx::query("UPDATE email_server_profiles SET credentials = 'profile', login = 'all', sealed_secret = $1")
        .bind(sealed.unwrap())
        .execute(stage.world.pool())
        .await
        .unwrap();
    let ours = format!("{LOOP_HEADER}: {}\r\n", stage.world.organisation);
    let test = |header: &str| {
        let text =
            String::from_utf8(mail("x", "bert@muster.example", "bert@muster.example", header, "A test.")).unwrap();
        let id = format!("test-{}@muster.example", OperationId::new());
        text.replace("x@kunde.example", &id).into_bytes()
    };
    stage.server.put("all", "k0", plain("m"));
    stage.server.put("all", "k1", test(&ours));
    stage.server.put("all", "k2", test(""));
    stage.run(anna).await;
    stage.run(bert).await;
    for mailbox in [anna, bert] {
        assert_eq!(stage.items(mailbox).await, ["k0 tracked", "k1 refused TestMessage", "k2 tracked"]);
    }
    assert_eq!(stage.emails().await, 2);
    assert_eq!(stage.world.number("SELECT count(*) FROM email_mailboxes").await, 4);
    let opened = stage.server.calls().into_iter().filter(|call| call.starts_with("open ")).collect::<Vec<_>>();
    assert!(opened.iter().all(|call| call == "open all"), "{opened:?}");
}
