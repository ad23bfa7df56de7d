//! What a test of a mailbox can fail with is told under its name, and ends with a test that succeeds.

use lockstep_model::{
    catalogue,
    fault::{Fault, FaultClass},
};
use lockstep_store::mailbox_tests::{self, Tested};

use crate::seed::World;

/// M8: each fault of a server, an account or a setting, found by a test of either direction.
#[tokio::test]
async fn m8_what_a_test_fails_with_is_told_and_ends() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    for code in [
        "AddressNotAllowed",
        "AuthenticationMethodNotOffered",
        "AuthenticationUnavailable",
        "ConnectFailure",
        "ConnectionLost",
        "CredentialsMissing",
        "CredentialsUnreadable",
        "DatabaseUnavailable",
        "DeadlineExceeded",
        "ErrorQuotaExceeded",
        "ErrorSendAsDenied",
        "EwsBlocked",
        "GreetingRefused",
        "HeadersMissing",
        "HostNotFound",
        "ImpersonationDenied",
        "InternalError",
        "InvalidIncomingEmailServerProfile",
        "ListingInterrupted",
        "ListingRefused",
        "ListingTooLarge",
        "LoginDelay",
        "MailboxInUse",
        "MailboxNotFound",
        "MessageTooLarge",
        "NotSupportedByProtocol",
        "OutgoingEmailAuthenticationError",
        "ProtocolViolation",
        "QuitRefused",
        "SecureConnectionFailed",
        "ServerPermanentFailure",
        "ServerTemporaryFailure",
        "ServiceUnavailable",
        "SessionOutOfStep",
        "SmtpUnrecognisedCommand",
        "SmtpUtf8NotOffered",
        "TestMessageNotFound",
        "TimedOut",
        "Unauthorized",
        "UnknownProtocol",
        "UnusableCredentials",
    ] {
        let scope = catalogue::find(code).unwrap().scopes[0];
        let fails = || Tested::Fails(Fault::new(scope, FaultClass::Transient, code, "-ERR the server's words"));
        for (incoming, outgoing) in [(fails(), Tested::NotConfigured), (Tested::Works, fails())] {
            let mut tx = world.store.begin().await.unwrap();
            mailbox_tests::record(&mut tx, mailbox, "test", &incoming, &outgoing).await.unwrap();
            tx.commit().await.unwrap();
            world.assert_raised(code).await;
        }
        let mut tx = world.store.begin().await.unwrap();
        mailbox_tests::record(&mut tx, mailbox, "test", &Tested::Works, &Tested::Works).await.unwrap();
        tx.commit().await.unwrap();
        world.assert_cleared(code).await;
    }
}

/// M8: the news of a mailbox and of its profile end too: nothing works any more, nothing fails any more.
#[tokio::test]
async fn m8_news_of_tests_end() {
    let world = World::new().await;
    let mailbox = world.user_mailbox(world.profile(1).await, "anna").await;
    let record = async |incoming: Tested| {
        let mut tx = world.store.begin().await.unwrap();
        mailbox_tests::record(&mut tx, mailbox, "test", &incoming, &Tested::NotConfigured).await.unwrap();
        tx.commit().await.unwrap();
    };
    record(Tested::Works).await;
    world.assert_raised("MailboxConnected").await;
    record(Tested::Fails(Fault::new(
        lockstep_model::fault::FaultScope::Mailbox,
        FaultClass::Auth,
        "Unauthorized",
        "no",
    )))
    .await;
    world.assert_cleared("MailboxConnected").await;
    world.assert_raised("MailboxTestFailed").await;
    record(Tested::Works).await;
    world.assert_cleared("MailboxTestFailed").await;
    world.sql("UPDATE mailboxes SET address_status = 'pending'").await;
    world.realign(&[mailbox]).await;
    world.assert_raised("AddressNotApproved").await;
    world.sql("UPDATE mailboxes SET address_status = 'approved'").await;
    world.realign(&[mailbox]).await;
    world.assert_cleared("AddressNotApproved").await;
}
