//! What a run can end with is told under its name, and ends with the next run that succeeds.

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use lockstep_wire::Outcome;

use crate::stage::Stage;

/// M8: faults of a mailbox, and what went wrong on our own side, are alerts of the mailbox.
#[tokio::test]
async fn m8_what_stops_a_run_is_told_and_ends() {
    let stage = Stage::new().await;
    stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    for code in [
        "AuthenticationUnavailable",
        "ConnectionLost",
        "CredentialsMissing",
        "CredentialsUnreadable",
        "DatabaseUnavailable",
        "DeadlineExceeded",
        "HeadersMissing",
        "ImpersonationDenied",
        "InternalError",
        "LeaseLost",
        "ListingInterrupted",
        "ListingRefused",
        "ListingTooLarge",
        "LoginDelay",
        "MailboxInUse",
        "MailboxNotFound",
        "PageCollided",
        "QuitRefused",
        "SessionOutOfStep",
        "Unauthorized",
        "UnusableCredentials",
    ] {
        let hint = stage.hint().await;
        let fault = Fault::new(FaultScope::Mailbox, FaultClass::Transient, code, "-ERR the server's words");
        stage.fold(&[stage.failed(&hint, fault)]).await;
        stage.world.assert_raised(code).await;
        stage.world.advance(3_600);
        let hint = stage.hint().await;
        stage.fold(&[stage.report(&hint, Outcome::Completed)]).await;
        stage.world.assert_cleared(code).await;
        stage.world.advance(3_600);
    }
}

/// M8: faults of a server are one alert of its profile, which names them as its cause.
#[tokio::test]
async fn m8_what_stops_a_server_is_told_and_ends() {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    for name in ["anna", "bert", "cara"] {
        stage.world.user_mailbox(profile, name).await;
    }
    for code in [
        "AddressNotAllowed",
        "AuthenticationMethodNotOffered",
        "ConnectFailure",
        "EwsBlocked",
        "GreetingRefused",
        "HostNotFound",
        "ProtocolViolation",
        "RedirectLoop",
        "SecureConnectionFailed",
        "ServerTemporaryFailure",
        "ServiceUnavailable",
        "TimedOut",
        "UnknownProtocol",
    ] {
        let fault = Fault::new(FaultScope::Profile, FaultClass::Unreachable, code, "the server's words");
        let hints = stage.round().await;
        assert_eq!(hints.len(), 3, "{code}");
        let failed: Vec<_> = hints.iter().map(|hint| stage.failed(hint, fault.clone())).collect();
        stage.fold(&failed).await;
        stage.world.assert_raised("ServerUnreachable").await;
        stage.world.assert_raised(code).await;
        stage.world.advance(7_200);
        let probe = stage.hint().await;
        stage.fold(&[stage.report(&probe, Outcome::Completed)]).await;
        stage.world.assert_cleared("ServerUnreachable").await;
        stage.world.assert_cleared(code).await;
        let hints = stage.round().await;
        let well: Vec<_> = hints.iter().map(|hint| stage.report(hint, Outcome::Completed)).collect();
        stage.fold(&well).await;
        stage.world.advance(7_200);
    }
}

/// M4: what cannot heal stops the one workload of the one mailbox: the other direction stays enabled, other mailboxes go
/// on, and the mailbox's own goes on once it was tested and enabled again.
#[tokio::test]
async fn m4_a_permanent_fault_disables_only_the_affected_workload() {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    let anna = stage.world.user_mailbox(profile, "anna").await;
    let bert = stage.world.user_mailbox(profile, "bert").await;
    let hints = stage.round().await;
    let reports: Vec<_> = hints
        .iter()
        .map(|hint| {
            let refused = Fault::new(FaultScope::Mailbox, FaultClass::Auth, "Unauthorized", "-ERR no");
            if hint.mailbox == anna { stage.failed(hint, refused) } else { stage.report(hint, Outcome::Completed) }
        })
        .collect();
    stage.fold(&reports).await;
    let of = |mailbox| format!("SELECT enabled FROM lane_schedules WHERE mailbox_id = '{mailbox}'");
    assert_eq!((stage.world.text(&of(anna)).await, stage.world.text(&of(bert)).await), ("false".into(), "true".into()));
    let outgoing = format!("SELECT outgoing_enabled FROM mailboxes WHERE id = '{anna}'");
    assert_eq!(stage.world.text(&outgoing).await, "true", "sending is another workload");
    for _ in 0..3 {
        stage.world.advance(3_600);
        let hints = stage.round().await;
        assert_eq!(hints.iter().map(|hint| hint.mailbox).collect::<Vec<_>>(), [bert], "others continue");
        stage.fold(&[stage.report(&hints[0], Outcome::Completed)]).await;
    }
    stage.world.realign(&[anna]).await;
    assert_eq!(stage.world.text(&of(anna)).await, "false", "no edit but a test enables it again");
    stage.world.tested(anna).await;
    assert_eq!(stage.hint().await.mailbox, anna);
}
