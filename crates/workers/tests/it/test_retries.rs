//! Tests of mailboxes that fail for a reason that may pass: made again by themselves, for a while.

use std::time::Duration;

use futures::FutureExt;
use lockstep_model::{
    clock::TimeScale,
    fault::{Fault, FaultClass, FaultScope},
    id::{MailboxId, OperationId},
};
use lockstep_queue::Outcome as Settled;
use lockstep_store::{
    mailbox_tests::{self, waiting},
    operations,
};
use lockstep_test_support::eventually;
use lockstep_wire::RunOperation;
use serde_json::{Value, json};

use crate::{
    figures::status,
    server::{Action, Call},
    stage::{ANNA, Stage},
};

pub(crate) async fn untested() -> (Stage, MailboxId) {
    let (stage, anna) = Stage::with_anna().await;
    stage
        .world
        .sql("UPDATE mailboxes SET incoming_enabled = false, outgoing_enabled = false, incoming_test = 'not-run', outgoing_test = 'not-run'")
        .await;
    stage.world.realign(&[anna]).await;
    stage.server.deliver();
    (stage, anna)
}

pub(crate) async fn ask(stage: &Stage, mailbox: MailboxId) -> OperationId {
    let mut tx = stage.world.store.begin().await.unwrap();
    let operation = waiting::ask(&mut tx, mailbox, "anna").await.unwrap().unwrap();
    tx.commit().await.unwrap();
    operation
}

fn unreachable() -> Fault {
    Fault::new(FaultScope::Profile, FaultClass::Unreachable, "ConnectFailure", "connection refused")
}

fn unclear() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Unclear, "ConnectionLost", "closed before it answered")
}

fn wrong_password() -> Fault {
    Fault::new(FaultScope::Mailbox, FaultClass::Auth, "Unauthorized", "-ERR no")
}

const MAILBOX: &str =
    "SELECT concat_ws(' ', incoming_test, outgoing_test, incoming_enabled, outgoing_enabled) FROM mailboxes";

async fn row(stage: &Stage, operation: OperationId, columns: &str) -> String {
    stage.world.text(&format!("SELECT concat_ws(' ', {columns}) FROM operations WHERE id = '{operation}'")).await
}

async fn result(stage: &Stage, operation: OperationId) -> Value {
    serde_json::from_str(&row(stage, operation, "result").await).unwrap()
}

/// Seconds until the operation is due.
async fn due_in(stage: &Stage, operation: OperationId) -> f64 {
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    let left = format!("extract(epoch FROM due_at - '{now}'::timestamptz)");
    row(stage, operation, &left).await.parse().unwrap()
}

/// Runs an operation as often as it comes up within so many seconds.
async fn run_for(stage: &Stage, operation: OperationId, seconds: u64) {
    for _ in 0..seconds {
        let generation = row(stage, operation, "generation").await.parse().unwrap();
        if row(stage, operation, "state").await != "pending" {
            return;
        }
        if due_in(stage, operation).await <= 0.0 {
            stage.operate(operation, generation).await;
        }
        stage.world.advance(1);
    }
}

/// C15: a server that cannot be reached: what works is enabled at once and whoever owns the mailbox hears of the rest,
/// as of something that is tried again by itself; and so it is, and the warnings end.
#[tokio::test]
async fn c15_a_fault_that_may_heal_is_tried_again() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    stage.server.at(Call::Open, Action::Fail(unreachable()));
    assert_eq!(stage.operate(operation, 1).await, Settled::Done);
    assert_eq!(row(&stage, operation, "state, generation, attempts").await, "pending 2 1");
    assert_eq!(stage.world.text(MAILBOX).await, "success failure t f");
    let alerts = ["ConnectFailure warning ×1", "MailboxConnected information ×1", "MailboxTestFailed warning ×1"];
    assert_eq!(stage.world.open_alerts().await, alerts);
    let so_far = result(&stage, operation).await;
    assert_eq!(
        (&so_far["incoming"]["status"], &so_far["outgoing"]["code"]),
        (&json!("success"), &json!("ConnectFailure"))
    );
    let due = due_in(&stage, operation).await;
    assert!((27.0..=30.0).contains(&due), "half a minute, with jitter: {due}");
    let waits = status(&stage, anna).await;
    let test = waits.test.unwrap();
    assert_eq!((test.retries, test.completed_at, test.last_error_code.as_deref()), (1, None, Some("ConnectFailure")));
    assert_eq!(test.last_error_message.as_deref(), Some("connection refused"));
    assert!(test.postponed_until > test.started_at && waits.mailbox.tested_at.is_none(), "it is not over");
    assert_eq!(waits.state, "failing");
    stage.assert_free(anna).await;
    assert!(stage.server.given().is_empty());

    stage.world.advance(30);
    stage.operate(operation, 2).await;
    assert_eq!(row(&stage, operation, "state, attempts").await, "done 1");
    assert_eq!(stage.world.text(MAILBOX).await, "success success t t");
    assert_eq!(stage.world.open_alerts().await, ["MailboxConnected information ×2"], "in both directions now");
    let over = status(&stage, anna).await.test.unwrap();
    assert_eq!((over.retries, over.outcome.as_deref(), over.postponed_until), (1, Some("success"), None));
    assert_eq!(over.last_error_code.as_deref(), Some("ConnectFailure"), "the last one there was");
    assert_eq!(stage.server.given().len(), 1);
}

/// C15, N8: as many attempts as disable a lane, with pauses that double; then the warning is an error, under the same
/// code, and the workload is disabled. The time scale of the installation applies.
#[tokio::test]
async fn c15_attempts_end_and_the_warning_becomes_an_error() {
    for scale in [1.0, 0.1] {
        let (mut stage, anna) = untested().await;
        stage.context.scale = TimeScale::new(scale).unwrap();
        stage.world.setting("email", "max_mailbox_transient_failures", 4).await;
        stage.world.sql("UPDATE mailboxes SET incoming_method = 'none'").await;
        let operation = ask(&stage, anna).await;
        for (attempt, pause) in [(1, 30.0), (2, 60.0), (3, 120.0)] {
            stage.server.at(Call::Open, Action::Fail(unreachable()));
            stage.operate(operation, attempt).await;
            let due = due_in(&stage, operation).await / scale;
            assert!((pause * 0.9 - 0.1..=pause + 0.1).contains(&due), "{due} after attempt {attempt} at {scale}");
            assert_eq!(row(&stage, operation, "state, attempts").await, format!("pending {attempt}"));
            let alerts =
                [format!("ConnectFailure warning ×{attempt}"), format!("MailboxTestFailed warning ×{attempt}")];
            assert_eq!(stage.world.open_alerts().await, alerts);
        }
        let version = stage.world.number("SELECT version FROM mailboxes").await;
        stage.server.at(Call::Open, Action::Fail(unreachable()));
        stage.operate(operation, 4).await;
        assert_eq!(row(&stage, operation, "state").await, "failed");
        assert_eq!(stage.world.open_alerts().await, ["ConnectFailure error ×4", "MailboxTestFailed error ×4"]);
        let over = status(&stage, anna).await;
        assert_eq!((over.state.as_str(), over.mailbox.tested_by.as_deref()), ("disabled", Some("anna")));
        let test = over.test.unwrap();
        assert_eq!((test.retries, test.outcome.as_deref(), test.postponed_until), (3, Some("failure"), None));
        assert_eq!(over.mailbox.version, version + 1, "attempts that find the same are told by alerts alone");
        assert_eq!(result(&stage, operation).await["outgoing"]["code"], "ConnectFailure");
    }
}

/// C15: what waits for a person is not tried again: neither a refused account nor a message that went astray.
#[tokio::test]
async fn c15_what_waits_for_a_person_is_not_tried_again() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    stage.server.at(Call::Open, Action::Fail(wrong_password()));
    stage.operate(operation, 1).await;
    assert_eq!(row(&stage, operation, "state").await, "failed");
    assert!(stage.world.open_alerts().await.contains(&"Unauthorized error ×1".to_owned()));
}

/// C15: one direction fails for good and the other may heal: only the latter is tried again. A wrong password that is
/// tried again and again locks accounts.
#[tokio::test]
async fn c15_what_failed_for_good_is_left_alone_meanwhile() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    stage.server.at(Call::Open, Action::Fail(wrong_password()));
    stage.server.at_nth(Call::Open, 2, Action::Fail(unreachable()));
    stage.operate(operation, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "failure failure f f");
    let alerts = ["ConnectFailure warning ×1", "MailboxTestFailed warning ×1", "Unauthorized error ×1"];
    assert_eq!(stage.world.open_alerts().await, alerts);
    stage.server.calls();
    stage.operate(operation, 2).await;
    assert_eq!(stage.server.calls().iter().filter(|call| call.starts_with("open")).count(), 1, "the other one alone");
    assert_eq!(stage.world.text(MAILBOX).await, "success failure t f");
    assert_eq!(row(&stage, operation, "state, attempts").await, "failed 2");
    let alerts = ["MailboxConnected information ×1", "MailboxTestFailed error ×2", "Unauthorized error ×2"];
    assert_eq!(stage.world.open_alerts().await, alerts);
}

/// C12, C15: the message that the server has taken is not sent again when reading fails; the next attempt finds it.
#[tokio::test]
async fn c12_an_accepted_message_is_sent_once() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    for attempt in 1..=3 {
        // The first attempt opens both servers, the later ones that for reading alone.
        stage.server.at_nth(Call::Open, if attempt == 1 { 2 } else { 1 }, Action::Fail(unreachable()));
        stage.operate(operation, attempt).await;
        assert_eq!(stage.world.text(MAILBOX).await, "failure success f t");
        assert_eq!(row(&stage, operation, "state, attempts").await, format!("pending {attempt}"));
    }
    stage.operate(operation, 4).await;
    assert_eq!(row(&stage, operation, "state").await, "done");
    assert_eq!(stage.server.given().len(), 1);
}

/// C12, C15: nobody knows whether the server has taken the message. It is looked for: found, it was sent; not found,
/// the next attempt sends another one, three at most.
#[tokio::test]
async fn c12_a_message_whose_fate_is_unknown_is_looked_for() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    stage.server.at(Call::Passed, Action::Fail(unclear()));
    stage.operate(operation, 1).await;
    assert_eq!(row(&stage, operation, "state, attempts").await, "pending 0", "it may be on its way");
    let given = stage.server.given().remove(0);
    stage.server.put(ANNA, "arrived", given.bytes);
    stage.world.advance(2);
    stage.operate(operation, 2).await;
    assert_eq!(row(&stage, operation, "state").await, "done");
    assert_eq!(stage.world.text(MAILBOX).await, "success success t t");
    assert_eq!(stage.server.given().len(), 1);

    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    for lost in 1..=2 {
        stage.server.at(Call::Passed, Action::Fail(unclear()));
        run_for(&stage, operation, 140).await;
        assert_eq!(stage.server.given().len(), lost);
        assert_eq!(row(&stage, operation, "state, attempts").await, format!("pending {lost}"));
        assert_eq!(stage.world.text(MAILBOX).await, "success failure t f", "it was not there: reading works");
        let due = due_in(&stage, operation).await;
        stage.world.advance(due.max(0.0).ceil() as u64);
    }
    run_for(&stage, operation, 140).await;
    assert_eq!(row(&stage, operation, "state").await, "done");
    let ids: Vec<_> = stage
        .server
        .given()
        .iter()
        .map(|given| {
            String::from_utf8_lossy(&given.bytes).lines().find(|l| l.starts_with("Message-ID")).unwrap().to_owned()
        })
        .collect();
    for (number, id) in ["", ".1", ".2"].into_iter().zip(&ids) {
        assert_eq!(*id, format!("Message-ID: <test-{operation}{number}@muster.example>"), "each is another message");
    }
    // None of them becomes a record, the later ones neither.
    stage.run(anna).await;
    assert_eq!(stage.items(anna).await, ["given-2 refused TestMessage"]);

    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    for _ in 1..=4 {
        stage.server.at(Call::Passed, Action::Fail(unclear()));
    }
    run_for(&stage, operation, 1_000).await;
    assert_eq!(row(&stage, operation, "state").await, "failed");
    assert_eq!(stage.server.given().len(), 3, "then it is enough");
    assert_eq!(stage.world.text(MAILBOX).await, "success failure t f");
}

/// C15: a worker dies at any place: the next one goes on, sends nothing twice that may have been sent, and the test
/// comes to its end without anybody asking again.
#[tokio::test]
async fn c15_a_worker_that_dies_loses_no_test() {
    for call in [Call::Open, Call::Send, Call::Written, Call::Passed, Call::Pull] {
        let (stage, anna) = untested().await;
        let operation = ask(&stage, anna).await;
        claim(&stage, operation).await;
        stage.server.at(call.clone(), Action::Hang);
        let handler = lockstep_workers::operations::Handler::new(stage.context.clone());
        let envelope = stage.envelope(RunOperation { operation, generation: 1 });
        let run =
            tokio::spawn(async move { lockstep_queue::Handler::handle(&handler, envelope, Default::default()).await });
        eventually(Duration::from_secs(10), async || stage.server.hangs(), "it stands where it was told to").await;
        run.abort();
        assert!(run.await.is_err());
        assert_eq!(status(&stage, anna).await.test.unwrap().worker.as_deref(), Some("worker-1"), "as far as is known");
        stage.world.advance(61);
        claim(&stage, operation).await;
        run_for(&stage, operation, 300).await;
        assert_eq!(row(&stage, operation, "state").await, "done", "{call:?}");
        assert_eq!(stage.world.text(MAILBOX).await, "success success t t", "{call:?}");
        let given = stage.server.given();
        let taken = given.iter().filter(|given| given.taken).count();
        assert_eq!(taken, 1, "{call:?}: {}", given.len());
        let again = row(&stage, operation, "attempts").await;
        assert_eq!(again, if call == Call::Passed { "1" } else { "0" }, "{call:?}");
    }
}

async fn claim(stage: &Stage, operation: OperationId) {
    let mut tx = stage.world.store.begin().await.unwrap();
    let claimed = operations::claim(&mut tx, 9, Duration::from_secs(60)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [operation]);
}

/// C15: a mailbox that works is tested again while its server is away: it stays enabled until the attempts are over.
#[tokio::test]
async fn c15_what_was_enabled_stays_so_while_it_is_tried_again() {
    let (stage, anna) = untested().await;
    stage.operate(ask(&stage, anna).await, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "success success t t");
    let lane = stage.world.lane(anna).await;
    stage.world.setting("email", "max_mailbox_transient_failures", 2).await;
    let operation = ask(&stage, anna).await;
    for attempt in 1..=2 {
        stage.server.at(Call::Open, Action::Fail(unreachable()));
        stage.server.at_nth(Call::Open, 2, Action::Fail(unreachable()));
        stage.operate(operation, attempt).await;
        if attempt == 1 {
            assert_eq!(stage.world.text(MAILBOX).await, "failure failure t t");
            assert_eq!(status(&stage, anna).await.state, "failing");
        }
    }
    assert_eq!(stage.world.text(MAILBOX).await, "failure failure f f");
    assert_ne!(stage.world.lane(anna).await, lane);
    assert_eq!(status(&stage, anna).await.state, "disabled");
}

/// C15, C11: another wish for a test takes the place of the one that waits or runs, which is told so and writes nothing.
#[tokio::test]
async fn c15_a_new_test_replaces_the_one_that_waits() {
    let (stage, anna) = untested().await;
    let first = ask(&stage, anna).await;
    stage.server.at(Call::Open, Action::Fail(unreachable()));
    stage.operate(first, 1).await;
    let second = ask(&stage, anna).await;
    assert_eq!(row(&stage, first, "state").await, "failed");
    let replaced = result(&stage, first).await;
    assert_eq!((&replaced["code"], &replaced["operation"]), (&json!("Replaced"), &json!(second)));
    let test = status(&stage, anna).await.test.unwrap();
    assert_eq!((test.operation_id, test.retries, test.completed_at), (second.0, 0, None));
    stage.server.calls();
    stage.operate(first, 2).await;
    assert!(stage.server.calls().is_empty(), "its hint is stale");

    // One that is under way.
    let store = stage.world.store.clone();
    stage.server.meanwhile(Call::Open, move || {
        async move {
            let mut tx = store.begin().await.unwrap();
            waiting::ask(&mut tx, anna, "bert").await.unwrap();
            tx.commit().await.unwrap();
        }
        .boxed()
    });
    stage.operate(second, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "success failure t f", "as the first attempt of all left it");
    assert!(stage.server.given().iter().all(|given| !given.taken), "it has sent nothing");
    assert_eq!(row(&stage, second, "state").await, "failed");
    let third = OperationId(status(&stage, anna).await.test.unwrap().operation_id);
    stage.operate(third, 1).await;
    assert_eq!(stage.world.text(MAILBOX).await, "success success t t");
    assert_eq!(
        stage.world.text("SELECT concat_ws(' ', test_attempted_by, tested_by) FROM mailboxes").await,
        "bert bert"
    );
}

/// Two wishes at the same moment: one test is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c15_of_many_wishes_one_test_is_left() {
    let (stage, anna) = untested().await;
    futures::future::join_all((0..6).map(|_| ask(&stage, anna))).await;
    assert_eq!(stage.world.number("SELECT count(*) FROM operations WHERE state = 'pending'").await, 1);
    assert_eq!(stage.world.number("SELECT count(*) FROM operations WHERE state = 'failed'").await, 5);
    let left = stage.world.text("SELECT id FROM operations WHERE state = 'pending'").await;
    assert_eq!(status(&stage, anna).await.test.unwrap().operation_id.to_string(), left);
    let mut tx = stage.world.store.begin().await.unwrap();
    assert_eq!(waiting::ask(&mut tx, MailboxId::new(), "anna").await.unwrap(), None, "of no mailbox");
    assert_eq!(mailbox_tests::KIND, stage.world.text("SELECT DISTINCT kind FROM operations").await);
}

/// C15: a mailbox that was made inactive meanwhile is not tested.
#[tokio::test]
async fn c15_an_inactive_mailbox_is_not_tried_again() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    stage.server.at(Call::Open, Action::Fail(unreachable()));
    stage.operate(operation, 1).await;
    stage.world.sql("UPDATE mailboxes SET active = false").await;
    stage.server.calls();
    stage.operate(operation, 2).await;
    assert!(stage.server.calls().is_empty());
    assert_eq!(result(&stage, operation).await["code"], "MailboxInactive");
    assert_eq!(status(&stage, anna).await.test.unwrap().outcome.as_deref(), Some("failure"));
}
