//! What stops one email or one message is told under its name, and ends when it is sent, read, or taken note of.

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::AlertId,
};
use lockstep_store::alerts::{self, Filter};

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, plain},
};

const CARLA: &str = "carla@kunde.example";

/// M8: what an email is given up for is the cause of its alert, which ends when it is sent after all.
#[tokio::test]
async fn m8_what_an_email_fails_for_is_told_and_ends() {
    let (stage, anna) = Stage::with_anna().await;
    for code in [
        "BodyUnreadable",
        "ErrorSendAsDenied",
        "ErrorSubmissionQuotaExceeded",
        "InvalidRecipientAddress",
        "InvalidSenderAddress",
        "MessageDeferred",
        "MessageRefused",
        "MessageTooLarge",
        "NoRecipients",
        "NoSender",
        "RecipientDeferred",
        "RecipientMailboxFull",
        "RecipientRefused",
        "RefusedByPolicy",
        "SenderDeferred",
        "SenderRefused",
        "ServerStorageFull",
        "SmtpUtf8NotOffered",
        "TooManyRecipients",
    ] {
        let email = stage.world.outgoing(anna, &[CARLA]).await;
        let fault = Fault::new(FaultScope::Item, FaultClass::Refused, code, "550 the server's words");
        stage.server.at(Call::Send, Action::Fail(fault));
        stage.send(email, 1).await;
        stage.world.assert_raised("DeliveryFailed").await;
        stage.world.assert_raised(code).await;
        for again in [
            "UPDATE emails SET status = 'pending-send' WHERE id",
            "UPDATE delivery_recipients SET state = 'pending' WHERE email_id",
            "UPDATE deliveries SET state = 'pending', attempt = 0 WHERE email_id",
        ] {
            stage.world.sql(&format!("{again} = '{email}'")).await;
        }
        stage.send(email, 1).await;
        stage.world.assert_cleared("DeliveryFailed").await;
        stage.world.assert_cleared(code).await;
    }
}

/// M8: what a message is set aside for is the reason of its alert, which ends when it is read after all.
#[tokio::test]
async fn m8_what_a_message_is_set_aside_for_is_told_and_ends() {
    let (stage, anna) = Stage::with_anna().await;
    for code in ["DeleteRefused", "EmailTooLarge", "ItemGone", "ItemUnavailable", "ItemUnwritable", "WorkerDied"] {
        stage.server.put(ANNA, code, plain(code));
        let fault = Fault::new(FaultScope::Item, FaultClass::Transient, code, "-ERR the server's words");
        stage.server.at(Call::Fetch(code.to_owned()), Action::Fail(fault));
        stage.run(anna).await;
        stage.world.assert_raised("ItemQuarantined").await;
        stage.world.assert_raised(code).await;
        stage.world.advance(3_600);
        assert_eq!(stage.run(anna).await.counts.tracked, 1, "{code}");
        stage.world.assert_cleared("ItemQuarantined").await;
        stage.world.assert_cleared(code).await;
    }
}

/// M8: a message that cannot be read as one is kept as it came, so that nothing mends it: a person takes note, or the
/// record goes.
#[tokio::test]
async fn m8_what_cannot_be_parsed_is_taken_note_of() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k0", b"\x00\x01\xff no header field at all\r\n\r\n\xfe\x00".to_vec());
    stage.run(anna).await;
    stage.world.assert_raised("EmailUnparsable").await;
    let mut tx = stage.world.store.begin().await.unwrap();
    let alert = alerts::list(&mut tx, &Filter::default(), None, 10).await.unwrap().remove(0);
    assert!(alerts::dismiss(&mut tx, AlertId(alert.id), None, "test").await.unwrap());
    tx.commit().await.unwrap();
    stage.world.assert_cleared("EmailUnparsable").await;
}
