//! What the settings decide: intervals, pauses and limits change without a restart, and the engine stands still where the
//! organisation has email processed by something else.

use std::time::Duration;

use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::MailboxId,
};
use lockstep_store::organisations;
use lockstep_wire::{Counts, CycleReport, Outcome, SendEmail, SyncLane};

use crate::stage::{Stage, transient, unreachable};

async fn stage() -> (Stage, MailboxId) {
    let stage = Stage::new().await;
    let anna = stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    (stage, anna)
}

fn timed_out() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Transient, "TimedOut", "the server did not answer within 30 s")
}

async fn completed(stage: &Stage, items: u32) {
    let hint = stage.hint().await;
    let counts = Counts { seen: items, tracked: items, ..Counts::default() };
    stage.fold(&[CycleReport { counts, ..stage.report(&hint, Outcome::Completed) }]).await;
}

/// Jitter takes off a tenth at most.
fn about(seconds: f64, expected: f64) {
    assert!((expected * 0.9..=expected).contains(&seconds), "{seconds} s instead of {expected} s");
}

/// N7: intervals follow the back-offs from the next cycle on, in the scheduler that runs.
#[tokio::test]
async fn n7_intervals_change_without_a_restart() {
    let (stage, anna) = stage().await;
    completed(&stage, 1).await;
    about(stage.due_in(anna).await, 300.0);
    stage.world.setting("email", "active_mailbox_minimum_backoff", 10).await;
    stage.world.setting("email", "active_mailbox_maximum_backoff", 60).await;
    stage.world.advance(300);
    completed(&stage, 1).await;
    about(stage.due_in(anna).await, 60.0);
    stage.world.advance(60);
    completed(&stage, 25).await;
    assert_eq!(stage.due_in(anna).await, 10.0, "a burst");

    stage.world.setting("email", "idle_mailbox_minimum_backoff", 900).await;
    stage.world.setting("email", "idle_mailbox_maximum_backoff", 1800).await;
    stage.world.sql("UPDATE lane_schedules SET activity = 0, empty_cycles = 2").await;
    stage.world.advance(10);
    completed(&stage, 0).await;
    about(stage.due_in(anna).await, 900.0 * 1.3);
    stage.world.sql("UPDATE lane_schedules SET empty_cycles = 50").await;
    stage.world.advance(1200);
    completed(&stage, 0).await;
    about(stage.due_in(anna).await, 1800.0 - 60.0);
}

/// N2, N8: a time-out and another transient fault postpone apart, exactly as they are set.
#[tokio::test]
async fn n8_pauses_after_a_time_out_and_after_a_transient_fault() {
    let (stage, anna) = stage().await;
    stage.world.setting("email", "mailbox_backoff_on_timeout", 77).await;
    stage.world.setting("email", "mailbox_backoff_on_transient_error", 33).await;
    for (fault, pause) in [(timed_out(), 77_u16), (transient(), 33), (timed_out(), 77)] {
        let hint = stage.hint().await;
        stage.fold(&[stage.failed(&hint, fault)]).await;
        assert_eq!(stage.due_in(anna).await, f64::from(pause));
        stage.world.advance(pause.into());
    }
}

/// M3, N8: how many faults in a row disable is a setting.
#[tokio::test]
async fn n8_m3_the_number_of_faults_that_disable() {
    let (stage, _) = stage().await;
    stage.world.setting("email", "max_mailbox_transient_failures", 3).await;
    for enabled in ["t", "t", "f"] {
        let hint = stage.hint().await;
        stage.fold(&[stage.failed(&hint, transient())]).await;
        assert_eq!(stage.lane("enabled").await, enabled);
        stage.world.advance(300);
    }
    assert_eq!(stage.world.open_alerts().await, ["MailboxBusy error ×3"]);
}

/// M4: what disables reading one mailbox leaves the others, and its own sending, alone.
#[tokio::test]
async fn m4_a_permanent_fault_disables_its_own_work_only() {
    let (stage, anna) = stage().await;
    let bert = stage.world.user_mailbox(stage.world.profile(5).await, "bert").await;
    let hints = stage.round().await;
    let refused = Fault::new(FaultScope::Mailbox, FaultClass::Auth, "LoginRefused", "-ERR no");
    for hint in hints {
        let report = if hint.mailbox == anna {
            stage.failed(&hint, refused.clone())
        } else {
            stage.report(&hint, Outcome::Completed)
        };
        stage.fold(&[report]).await;
    }
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    stage.world.advance(300);
    let hints = stage.round().await;
    assert_eq!(hints.iter().map(|hint| hint.mailbox).collect::<Vec<_>>(), [bert]);
    assert_eq!(stage.taken::<SendEmail>(), [SendEmail { email, attempt: 1 }], "anna still sends");
}

/// A11: a busy and a quiet mailbox of one server have intervals of their own at the same time.
#[tokio::test]
async fn a11_each_mailbox_has_its_own_interval() {
    let (stage, busy) = stage().await;
    let quiet = stage.world.user_mailbox(stage.world.profile(5).await, "bert").await;
    stage.world.sql(&format!("UPDATE lane_schedules SET empty_cycles = 9 WHERE mailbox_id = '{quiet}'")).await;
    for hint in stage.round().await {
        let seen = if hint.mailbox == busy { 40 } else { 0 };
        let counts = Counts { seen, tracked: seen, ..Counts::default() };
        stage.fold(&[CycleReport { counts, ..stage.report(&hint, Outcome::Completed) }]).await;
    }
    assert_eq!(stage.due_in(busy).await, 120.0);
    about(stage.due_in(quiet).await, 660.0);
    stage.world.advance(120);
    assert_eq!(stage.hint().await.mailbox, busy, "the quiet one waits");
}

/// A16: an outage of sending does not postpone reading, nor the other way round.
#[tokio::test]
async fn a16_reading_and_sending_are_postponed_apart() {
    let (stage, anna) = stage().await;
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    let hint = stage.hint().await;
    assert_eq!(stage.taken::<SendEmail>().len(), 1);
    // The server of outgoing email is away: the email waits for hours.
    stage
        .world
        .sql(&format!(
            "UPDATE deliveries SET state = 'retry', attempt = 1, claimed_until = NULL, due_at = due_at + interval '6 h'
             WHERE email_id = '{email}'"
        ))
        .await;
    stage.fold(&[stage.report(&hint, Outcome::Completed)]).await;
    about(stage.due_in(anna).await, 300.0);
    stage.world.advance(300);
    let hint = stage.hint().await;
    assert!(stage.taken::<SendEmail>().is_empty(), "sending waits, reading is on time");
    // Reading fails; the email is due meanwhile, and goes out.
    stage.fold(&[stage.failed(&hint, transient())]).await;
    assert_eq!(stage.due_in(anna).await, 300.0);
    stage
        .world
        .sql(&format!("UPDATE deliveries SET due_at = due_at - interval '6 h' WHERE email_id = '{email}'"))
        .await;
    assert!(stage.round().await.is_empty(), "reading is postponed");
    assert_eq!(stage.taken::<SendEmail>(), [SendEmail { email, attempt: 2 }], "sending is not");
}

/// E1: with the router nothing is handed out, and what was is stale; switched back, everything goes on where it stood.
#[tokio::test]
async fn e1_with_the_router_the_engine_is_idle() {
    let (stage, anna) = stage().await;
    let begun = stage.hint().await;
    switch(&stage, "email-router").await;
    stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    stage.fold(&[stage.report(&begun, Outcome::Completed)]).await;
    assert_eq!(stage.lane("cycles").await, "0", "what was under way is stale");
    stage.world.advance(86_400);
    assert!(stage.round().await.is_empty());
    assert!(stage.taken::<SyncLane>().is_empty() && stage.taken::<SendEmail>().is_empty());
    switch(&stage, "server-side-synchronization").await;
    assert_eq!(stage.hint().await.mailbox, anna);
    assert_eq!(stage.taken::<SendEmail>().len(), 1);
}

/// E1: a mailbox that a fault had disabled stays so through the switch.
#[tokio::test]
async fn e1_the_switch_forgives_nothing() {
    let (stage, _) = stage().await;
    stage.world.sql("UPDATE lane_schedules SET enabled = false, disabled_code = 'LoginRefused'").await;
    switch(&stage, "email-router").await;
    switch(&stage, "server-side-synchronization").await;
    assert_eq!(stage.lane("enabled, disabled_code").await, "f|LoginRefused");
}

async fn switch(stage: &Stage, to: &str) {
    let mut tx = stage.world.store.begin().await.unwrap();
    let mut organisation = organisations::lock(&mut tx, None).await.unwrap().unwrap();
    organisation.process_email_using = to.to_owned();
    organisations::save(&mut tx, &organisation, &["process_email_using"], "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// C21: the figures of the last cycle move with each, name the host, and keep the last error after it is over.
#[tokio::test]
async fn c21_figures_of_the_last_cycle() {
    let (stage, _) = stage().await;
    let hint = stage.hint().await;
    stage.fold(&[stage.report(&hint, Outcome::Running)]).await;
    assert_eq!(stage.lane("worker, last_worker").await, "worker-1", "who has it is known while it runs");
    let counts = Counts { seen: 9, tracked: 5, refused: 3, failed: 1, bytes: 10 };
    let mut report = CycleReport { counts, ..stage.report(&hint, Outcome::Completed) };
    report.started_at -= Duration::from_secs(10);
    stage.fold(&[report]).await;
    let figures = "last_processed, last_failed, last_duration_seconds, average_duration_seconds, last_error_count";
    assert_eq!(stage.lane(figures).await, "8|1|10|10|0");
    assert_eq!(stage.lane("worker, last_worker").await, "worker-1", "nobody has it, somebody had");

    for count in 1..=2 {
        stage.world.advance(300);
        let hint = stage.hint().await;
        let mut report = stage.failed(&hint, transient());
        report.started_at -= Duration::from_secs(20);
        report.worker = Some("worker-2".to_owned());
        stage.fold(&[report]).await;
        let error = "last_error_code, last_error_message, last_error_worker, last_error_count";
        let expected = format!("MailboxBusy|-ERR [IN-USE] try later|worker-2|{count}");
        assert_eq!(stage.lane(error).await, expected);
    }
    assert_eq!(stage.lane(figures).await, "0|0|20|13.6|2");
    stage.world.advance(300);
    completed(&stage, 1).await;
    let after = "fault_code, last_error_code, last_error_count, last_processed, last_worker";
    assert_eq!(stage.lane(after).await, "MailboxBusy|2|1|worker-1", "it is over, and not forgotten");
    // Another server's outage is an error of the cycle too, and begins its own count.
    stage.world.advance(300);
    let hint = stage.hint().await;
    stage.fold(&[stage.failed(&hint, unreachable())]).await;
    assert_eq!(stage.lane("last_error_code, last_error_count").await, "ConnectFailed|1");
    // What was not begun is no cycle.
    stage.world.advance(300);
    let hint = stage.hint().await;
    let deferred = CycleReport { wait: Some(Duration::from_secs(1)), ..stage.report(&hint, Outcome::Deferred) };
    stage.fold(&[deferred]).await;
    assert_eq!(stage.lane("last_error_code, last_error_count, last_processed").await, "ConnectFailed|1|0");
}

/// N10, C21: an occasion that a worker sat on in silence is taken from it and handed out again, which is counted.
#[tokio::test]
async fn n10_a_forced_unlock_is_counted() {
    let (stage, _) = stage().await;
    let hint = stage.hint().await;
    stage.fold(&[stage.report(&hint, Outcome::Running)]).await;
    assert_eq!(stage.lane("forced_unlocks, worker").await, "0|worker-1");
    stage.world.advance(61);
    assert_eq!(stage.hint().await.generation, hint.generation, "elsewhere, with the same occasion");
    assert_eq!(stage.lane("forced_unlocks, forced_unlocked_at IS NOT NULL, worker").await, "1|t");
    stage.fold(&[stage.report(&hint, Outcome::Completed)]).await;
    stage.world.advance(300);
    stage.hint().await;
    assert_eq!(stage.lane("forced_unlocks").await, "1", "an ordinary turn is none");
}
