//! A server that fails: everybody waits, one probe at a time finds out, a person is told once, no mailbox is disabled.

use lockstep_model::fault::{Fault, FaultClass, FaultScope};
use lockstep_wire::{CycleReport, Outcome, SyncLane};

use crate::stage::{Stage, transient, unreachable};

async fn stage(mailboxes: usize) -> Stage {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    for at in 0..mailboxes {
        stage.world.user_mailbox(profile, &format!("u{at}")).await;
    }
    stage
}

fn all_failed(stage: &Stage, hints: &[SyncLane]) -> Vec<CycleReport> {
    hints.iter().map(|hint| stage.failed(hint, unreachable())).collect()
}

/// One alert, however many mailboxes fail and however long; one probe at a time; then everybody goes on.
#[tokio::test]
async fn an_outage_is_one_alert_and_disables_no_mailbox() {
    let stage = stage(12).await;
    let hints = stage.round().await;
    assert_eq!(hints.len(), 12);
    stage.fold(&all_failed(&stage, &hints[..2])).await;
    assert!(stage.world.open_alerts().await.is_empty(), "two may be chance");
    stage.fold(&all_failed(&stage, &hints[2..])).await;
    assert_eq!(stage.world.open_alerts().await, ["ServerUnreachable error ×1"]);
    let untouched =
        "SELECT count(*) FROM lane_schedules WHERE enabled AND transient_failures = 0 AND disabled_code IS NULL";
    assert_eq!(stage.world.number(untouched).await, 12);

    // Days of it: one probe at a time, later and later, and still one alert.
    let mut probes = 0;
    for _ in 0..40 {
        stage.world.advance(600);
        let hints = stage.round().await;
        assert!(hints.len() <= 1, "one probe at a time");
        assert!(stage.round().await.is_empty(), "not another while it is under way");
        probes += hints.len();
        stage.fold(&all_failed(&stage, &hints)).await;
        assert!(stage.round().await.is_empty(), "open again");
    }
    assert!(probes > 10, "{probes} probes");
    assert_eq!(stage.world.open_alerts().await, ["ServerUnreachable error ×1"]);
    assert_eq!(stage.world.number(untouched).await, 12);

    stage.world.advance(600);
    let hints = stage.round().await;
    stage.fold(&[stage.report(&hints[0], Outcome::Completed)]).await;
    assert!(stage.world.open_alerts().await.is_empty(), "the server is back");
    assert_eq!(stage.round().await.len(), 11, "and everybody goes on");
}

#[tokio::test]
async fn faults_must_come_in_a_row() {
    let stage = stage(9).await;
    let hints = stage.round().await;
    for three in hints.chunks(3) {
        stage.fold(&all_failed(&stage, &three[..2])).await;
        stage.fold(&[stage.failed(&three[2], transient())]).await;
    }
    let alerts = stage.world.open_alerts().await;
    assert_eq!(alerts.len(), 3, "{alerts:?}");
    assert!(
        alerts.iter().all(|alert| alert.starts_with("MailboxBusy")),
        "a mailbox's fault shows that the server answers"
    );
}

/// What never connected says nothing about the server.
#[tokio::test]
async fn deferrals_neither_close_nor_open() {
    let stage = stage(5).await;
    let hints = stage.round().await;
    stage.fold(&all_failed(&stage, &hints[..2])).await;
    stage.fold(&[stage.report(&hints[3], Outcome::Deferred), stage.report(&hints[4], Outcome::LeaseLost)]).await;
    stage.fold(&all_failed(&stage, &hints[2..3])).await;
    assert_eq!(stage.world.open_alerts().await, ["ServerUnreachable error ×1"]);
}

/// Neither does what went wrong on our own side, and it is told of with the mailbox.
#[tokio::test]
async fn our_own_faults_neither_close_nor_open() {
    let stage = stage(6).await;
    let hints = stage.round().await;
    let missing = Fault::new(FaultScope::Mailbox, FaultClass::Refused, "CredentialsMissing", "none stored").local();
    let unknown = Fault::new(FaultScope::Profile, FaultClass::Refused, "UnknownProtocol", "no such connector").local();
    stage.fold(&all_failed(&stage, &hints[..2])).await;
    stage.fold(&[stage.failed(&hints[2], missing.clone()), stage.failed(&hints[3], unknown)]).await;
    assert_eq!(stage.world.open_alerts().await, ["CredentialsMissing error ×1", "UnknownProtocol warning ×1"]);
    stage.fold(&all_failed(&stage, &hints[4..5])).await;
    let open = stage.world.open_alerts().await;
    assert!(open.contains(&"ServerUnreachable error ×1".to_owned()), "the third in a row: {open:?}");

    stage.world.advance(600);
    stage.fold(&[stage.failed(&hints[5], missing)]).await;
    let open = stage.world.open_alerts().await;
    assert!(open.contains(&"ServerUnreachable error ×1".to_owned()), "no probe has come through: {open:?}");
    assert_eq!(stage.round().await.len(), 1, "still one probe at a time");
}

#[tokio::test]
async fn a_busy_server_is_not_a_failed_one() {
    let stage = stage(5).await;
    let hints = stage.round().await;
    let throttled = Fault::new(FaultScope::Profile, FaultClass::Throttled, "Throttled", "421 too many connections");
    let reports: Vec<_> = hints.iter().map(|hint| stage.failed(hint, throttled.clone())).collect();
    stage.fold(&reports).await;
    assert!(stage.world.open_alerts().await.is_empty());
}

/// One server's outage is nobody else's.
#[tokio::test]
async fn other_servers_go_on() {
    let stage = stage(4).await;
    let hints = stage.round().await;
    stage.fold(&all_failed(&stage, &hints)).await;
    let other = stage.world.user_mailbox(stage.world.profile(1).await, "other").await;
    stage.world.advance(10);
    assert_eq!(stage.hint().await.mailbox, other);
}
