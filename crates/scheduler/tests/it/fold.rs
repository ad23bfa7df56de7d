//! What each outcome of a run means for its lane.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use lockstep_model::{
    clock::{Clock, TimeScale},
    fault::{Fault, FaultClass, FaultScope},
    id::{MessageId, OrganisationId},
    remote::RemoteKey,
};
use lockstep_queue::{BatchHandler, DeliveryInfo, Outcome as Settled};
use lockstep_scheduler::reports::Fold;
use lockstep_store::{
    Store,
    alerts::{self, Part, Severity, Subject},
};
use lockstep_wire::{Counts, CycleReport, Envelope, Outcome};

use crate::{
    seed::{options, vault},
    stage::{Stage, transient},
};

async fn stage() -> (Stage, lockstep_model::id::MailboxId) {
    let stage = Stage::new().await;
    let anna = stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    (stage, anna)
}

fn seen(report: CycleReport, seen: u32) -> CycleReport {
    CycleReport { counts: Counts { seen, tracked: seen, ..Counts::default() }, ..report }
}

/// A7, A8, A17: five minutes normally, two after a burst, never under the profile's minimum.
#[tokio::test]
async fn a_completed_cycle_is_followed_by_the_cadence() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    stage.fold(&[stage.report(&hint, Outcome::Completed)]).await;
    let due = stage.due_in(anna).await;
    assert!((270.0..=300.0).contains(&due), "{due} s");
    assert_eq!(stage.lane("generation, claims, cycles, last_outcome, empty_cycles").await, "2|0|1|completed|1");
    let interval = stage.world.number("SELECT interval_seconds FROM lane_schedules").await;
    assert!((270..=300).contains(&interval), "{interval}");

    stage.world.advance(300);
    let hint = stage.hint().await;
    stage.fold(&[seen(stage.report(&hint, Outcome::Completed), 25)]).await;
    assert_eq!(stage.due_in(anna).await, 120.0, "a burst tightens it within one cycle");
    assert_eq!(stage.lane("seen, tracked, cycles, empty_cycles, activity").await, "25|25|2|0|10");

    stage.world.sql("UPDATE email_server_profiles SET min_polling_minutes = 15").await;
    stage.world.advance(120);
    let hint = stage.hint().await;
    stage.fold(&[seen(stage.report(&hint, Outcome::Completed), 25)]).await;
    assert_eq!(stage.due_in(anna).await, 900.0, "never under the profile's minimum");
}

/// A15: the interval runs from the end of the cycle, not from when the report is folded.
#[tokio::test]
async fn a_late_report_counts_from_its_end() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    let report = seen(stage.report(&hint, Outcome::Completed), 25);
    stage.world.advance(50);
    stage.fold(&[report]).await;
    assert_eq!(stage.due_in(anna).await, 70.0);
}

/// Demonstrations pass policy time faster: claims and people's figures stay as they are.
#[tokio::test]
async fn policy_time_is_scaled() {
    let stage = Stage::scaled(TimeScale::new(0.01).unwrap()).await;
    let anna = stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    let hint = stage.hint().await;
    stage.fold(&[seen(stage.report(&hint, Outcome::Completed), 25)]).await;
    assert_eq!(stage.due_in(anna).await, 1.2);
    assert_eq!(stage.world.number("SELECT interval_seconds FROM lane_schedules").await, 120, "as policy has it");
    stage.world.advance(2);
    let hint = stage.hint().await;
    stage.fold(&[stage.failed(&hint, transient())]).await;
    let due = stage.due_in(anna).await;
    assert!((2.7..=3.0).contains(&due), "{due} s");
}

/// A long mailbox goes on at once, and what it has done counts.
#[tokio::test]
async fn a_yielded_cycle_is_due_at_once() {
    let (stage, anna) = stage().await;
    stage.world.sql("UPDATE lane_schedules SET transient_failures = 9").await;
    let hint = stage.hint().await;
    stage.fold(&[seen(stage.report(&hint, Outcome::Yielded), 500)]).await;
    assert_eq!(stage.due_in(anna).await, 0.0);
    assert_eq!(stage.lane("seen, cycles, last_outcome, transient_failures, activity").await, "500|1|yielded|0|16");
    // The scheduler looks at once: its polling period is not waited for.
    assert!(stage.context.wake.notified().now_or_never().is_some());
    assert_eq!(stage.hint().await.generation, hint.generation + 1);
}

/// N1: a run that gave way lets the others go first, and keeps its place in the order.
#[tokio::test]
async fn n1_a_cycle_that_gave_way_waits_a_moment() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    let report = CycleReport { wait: Some(Duration::from_secs(2)), ..stage.report(&hint, Outcome::Yielded) };
    stage.fold(&[seen(report, 500)]).await;
    assert_eq!(stage.due_in(anna).await, 0.0);
    assert!(stage.context.wake.notified().now_or_never().is_none() && stage.round().await.is_empty(), "not at once");
    stage.world.advance(2);
    assert_eq!(stage.hint().await.generation, hint.generation + 1);
}

/// No permit, or the server is cooling down: not an attempt, and its place in the order stays.
#[tokio::test]
async fn a_deferred_cycle_keeps_its_place() {
    let (stage, anna) = stage().await;
    stage.world.advance(30);
    let hint = stage.hint().await;
    let report = CycleReport { wait: Some(Duration::from_secs(2)), ..stage.report(&hint, Outcome::Deferred) };
    stage.fold(&[report]).await;
    assert_eq!(stage.due_in(anna).await, -30.0, "its due time stands");
    assert_eq!(stage.lane("generation, cycles, claims").await, "2|0|0");
    stage.world.advance(1);
    assert!(stage.round().await.is_empty());
    stage.world.advance(1);
    assert_eq!(stage.hint().await.generation, 2);
}

#[tokio::test]
async fn a_lost_lease_is_looked_at_again_soon() {
    let (stage, _) = stage().await;
    let hint = stage.hint().await;
    stage.fold(&[stage.report(&hint, Outcome::LeaseLost)]).await;
    assert!(stage.round().await.is_empty());
    stage.world.advance(1);
    assert_eq!(stage.hint().await.generation, 2);
    assert!(stage.world.open_alerts().await.is_empty());
}

/// M3: ten transient faults in a row, five minutes apart, disable the lane under the same code.
#[tokio::test]
async fn the_tenth_transient_fault_in_a_row_disables_the_lane() {
    let (stage, anna) = stage().await;
    for failure in 1..=9_u32 {
        let hint = stage.hint().await;
        stage.fold(&[stage.failed(&hint, transient())]).await;
        let due = stage.due_in(anna).await;
        assert!((270.0..=300.0).contains(&due), "pause {failure} of {due} s");
        assert_eq!(
            stage.lane("transient_failures, enabled, fault_code, fault_class").await,
            format!("{failure}|t|MailboxBusy|transient")
        );
        assert_eq!(stage.world.open_alerts().await, [format!("MailboxBusy warning ×{failure}")]);
        stage.world.advance(300);
    }
    let hint = stage.hint().await;
    stage.fold(&[stage.failed(&hint, transient())]).await;
    assert_eq!(stage.lane("enabled, disabled_code, fault_code").await, "f|MailboxBusy|MailboxBusy");
    assert_eq!(stage.world.open_alerts().await, ["MailboxBusy error ×10"]);
    stage.world.advance(86_400);
    assert!(stage.round().await.is_empty(), "until a person acts");
}

/// A success in between begins the count anew, whether everything was read or the budget was spent; the alert ends.
#[tokio::test]
async fn a_success_forgets_the_faults_before_it() {
    let (stage, _) = stage().await;
    for outcome in [Outcome::Completed, Outcome::Yielded] {
        for _ in 1..=9 {
            let hint = stage.hint().await;
            stage.fold(&[stage.failed(&hint, transient())]).await;
            stage.world.advance(300);
        }
        // What tells nothing about the mailbox neither mends nor spoils anything.
        for nothing in [Outcome::Deferred, Outcome::LeaseLost] {
            let hint = stage.hint().await;
            stage.fold(&[stage.report(&hint, nothing)]).await;
            stage.world.advance(2);
            assert_eq!(
                stage.lane("transient_failures, fault_code, fault_class, fault_message").await,
                "9|MailboxBusy|transient|-ERR [IN-USE] try later"
            );
        }
        let hint = stage.hint().await;
        stage.fold(&[stage.report(&hint, outcome)]).await;
        assert_eq!(stage.lane("transient_failures, enabled, fault_code").await, "0|t");
        assert!(stage.world.open_alerts().await.is_empty(), "after {outcome:?}");
        stage.world.advance(300);
    }
}

/// A cycle that succeeds ends what was said of this lane, and nothing else.
#[tokio::test]
async fn a_success_ends_only_the_alerts_of_its_lane() {
    let (stage, anna) = stage().await;
    let bert = stage.world.user_mailbox(stage.world.profile(5).await, "bert").await;
    let key = RemoteKey::new("k1").unwrap();
    let mut tx = stage.world.store.begin().await.unwrap();
    for (code, subject) in [
        ("Unauthorized", Subject::Part(anna, Part::Outgoing)),
        ("Unauthorized", Subject::Part(bert, Part::Incoming)),
        ("UidlReset", Subject::Part(anna, Part::Listing)),
        ("ItemQuarantined", Subject::Item(anna, &key)),
    ] {
        alerts::raise(
            &mut tx,
            code,
            Severity::Warning,
            subject,
            serde_json::json!({ "message": "no", "address": "a@b.example", "next": "never" }),
        )
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let others = stage.world.open_alerts().await;
    for fault in [transient(), Fault::new(FaultScope::Mailbox, FaultClass::Transient, "TimedOut", "late")] {
        let hints = stage.round().await;
        let hint = hints.iter().find(|hint| hint.mailbox == anna).unwrap();
        stage.fold(&[stage.failed(hint, fault)]).await;
        stage.world.advance(300);
    }
    assert_eq!(stage.world.open_alerts().await.len(), others.len() + 2, "both faults of the lane stand");
    let hints = stage.round().await;
    let hint = hints.iter().find(|hint| hint.mailbox == anna).unwrap();
    stage.fold(&[stage.report(hint, Outcome::Completed)]).await;
    assert_eq!(stage.world.open_alerts().await, others);
}

/// M2: what cannot heal by itself disables at once, with the server's own words for the owner.
#[tokio::test]
async fn a_permanent_fault_disables_at_once() {
    for class in [FaultClass::Auth, FaultClass::Refused, FaultClass::Gone] {
        let (stage, _) = stage().await;
        let hint = stage.hint().await;
        stage.fold(&[stage.failed(&hint, Fault::new(FaultScope::Mailbox, class, "LoginRefused", "-ERR no"))]).await;
        assert_eq!(stage.lane("enabled, disabled_code, fault_message").await, "f|LoginRefused|-ERR no");
        assert_eq!(stage.world.open_alerts().await, ["LoginRefused error ×1"]);
        assert_eq!(stage.world.text("SELECT parameters->>'message' FROM alerts").await, "-ERR no");
        stage.world.advance(86_400);
        assert!(stage.round().await.is_empty());
    }
}

#[tokio::test]
async fn a_servers_wish_to_wait_is_obeyed_and_is_no_fault() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    let throttled = Fault::new(FaultScope::Mailbox, FaultClass::Throttled, "Throttled", "slow down");
    stage.fold(&[stage.failed(&hint, throttled.after(Duration::from_secs(900)))]).await;
    assert_eq!(stage.due_in(anna).await, 900.0);
    assert_eq!(stage.lane("transient_failures, enabled").await, "0|t");
}

#[tokio::test]
async fn a_fault_of_an_item_ends_no_cycle() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    let item = Fault::new(FaultScope::Item, FaultClass::Refused, "EmailTooLarge", "too large");
    stage.fold(&[stage.failed(&hint, item)]).await;
    assert!((270.0..=300.0).contains(&stage.due_in(anna).await));
    assert_eq!(stage.lane("transient_failures, enabled").await, "0|t");
}

/// Doubled in one batch, doubled over two, late, of a realigned lane, of a lane that never was: counted once or never.
#[tokio::test]
async fn a_report_counts_once() {
    let (stage, anna) = stage().await;
    let hint = stage.hint().await;
    let report = seen(stage.report(&hint, Outcome::Completed), 3);
    stage.fold(&[report.clone(), report.clone()]).await;
    stage.fold(std::slice::from_ref(&report)).await;
    assert_eq!(stage.lane("cycles, seen, generation").await, "1|3|2");
    stage.world.advance(300);
    let hint = stage.hint().await;
    stage.world.realign(&[anna]).await;
    stage.fold(&[stage.report(&hint, Outcome::Completed)]).await;
    assert_eq!(stage.lane("cycles, seen, generation").await, "1|3|3");
    assert_eq!(stage.due_in(anna).await, 0.0);
    let nowhere = CycleReport { mailbox: lockstep_model::id::MailboxId::new(), ..report };
    stage.fold(&[nowhere]).await;
    stage.fold(&[]).await;
}

#[tokio::test]
async fn a_sign_of_life_keeps_the_claim() {
    let (stage, _) = stage().await;
    let hint = stage.hint().await;
    for _ in 0..4 {
        stage.world.advance(50);
        stage.fold(&[stage.report(&hint, Outcome::Running)]).await;
        assert!(stage.round().await.is_empty());
    }
    stage.world.advance(60);
    assert_eq!(stage.hint().await.generation, hint.generation, "silent for a minute: handed out again");
}

fn envelope(stage: &Stage, report: CycleReport) -> (Envelope<CycleReport>, DeliveryInfo) {
    let envelope = Envelope {
        id: MessageId::new(),
        organisation: stage.world.organisation,
        issued_at: stage.world.clock.now(),
        traceparent: None,
        body: report,
    };
    (envelope, DeliveryInfo::default())
}

#[tokio::test]
async fn batches_are_done_or_come_again() {
    let (stage, _) = stage().await;
    let hint = stage.hint().await;
    let report = stage.report(&hint, Outcome::Completed);
    let mut lost = stage.context.clone();
    let mut away = options(1);
    away.acquire_timeout = Duration::from_millis(300);
    lost.store = Store::open("postgres://nobody@127.0.0.1:1/none", &away, stage.world.clock.clone(), vault()).unwrap();
    lost.organisation = OrganisationId::new();
    let settled = Fold::new(lost).handle(vec![envelope(&stage, report.clone())]).await;
    assert_eq!(settled, Settled::Unavailable);
    let settled = Arc::new(Fold::new(stage.context.clone())).handle(vec![envelope(&stage, report)]).await;
    assert_eq!(settled, Settled::Done);
    assert_eq!(stage.lane("cycles").await, "1");
}
