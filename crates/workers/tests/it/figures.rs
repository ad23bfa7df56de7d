//! The figures of sending and testing: they move with the work, in the transaction of its effect.

use std::sync::Arc;

use futures::FutureExt;
use lockstep_coord::Coord;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::{EmailId, MailboxId},
};
use lockstep_store::{
    deliveries::figures::SendingStatus,
    mailbox_tests::waiting::TestStatus,
    mailboxes::status::{self, MailboxStatus},
};
use lockstep_workers::outgoing;

use crate::{
    server::{Action, Call},
    stage::{Stage, lost},
    test_retries::{ask, untested},
};

const CARLA: &str = "carla@kunde.example";
const DORA: &str = "dora@kunde.example";

pub(crate) async fn status(stage: &Stage, mailbox: MailboxId) -> MailboxStatus {
    let mut tx = stage.world.store.begin().await.unwrap();
    status::get(&mut tx, mailbox).await.unwrap().unwrap()
}

async fn sending(stage: &Stage, mailbox: MailboxId) -> SendingStatus {
    status(stage, mailbox).await.sending
}

async fn test(stage: &Stage, mailbox: MailboxId) -> TestStatus {
    status(stage, mailbox).await.test.unwrap()
}

fn now(stage: &Stage) -> chrono::DateTime<chrono::Utc> {
    lockstep_model::clock::Clock::now(&*stage.world.clock)
}

/// So many seconds pass while the call is under way.
fn takes(stage: &Stage, call: Call, seconds: u64) {
    let clock = stage.world.clock.clone();
    stage.server.meanwhile(call, move || async move { clock.advance(std::time::Duration::from_secs(seconds)) }.boxed());
}

/// C21: when an attempt began and ended, how long it took and what attempts take on average, who made it, how many
/// recipients it reached, and that an email was sent.
#[tokio::test]
async fn c21_an_attempt_leaves_its_figures() {
    let (stage, anna) = Stage::with_anna().await;
    assert_eq!(sending(&stage, anna).await, SendingStatus::default(), "nothing was sent");
    let email = stage.world.outgoing(anna, &[CARLA, DORA]).await;
    let begun = now(&stage);
    takes(&stage, Call::Send, 10);
    let no = Fault::new(FaultScope::Item, FaultClass::Refused, "RecipientRefused", "550 no dora@kunde.example here");
    stage.server.answer(DORA, Some(no));
    stage.send(email, 1).await;
    let first = sending(&stage, anna).await;
    assert_eq!((first.last_started_at, first.last_ended_at), (Some(begun), Some(now(&stage))));
    assert_eq!((first.last_succeeded_at, first.last_outcome.as_deref()), (Some(now(&stage)), Some("sent")));
    assert_eq!((first.last_duration_seconds, first.average_duration_seconds), (Some(10.0), Some(10.0)));
    assert_eq!((first.last_processed, first.last_failed), (1, 1));
    assert_eq!(first.last_worker.as_deref(), Some("worker-1"));
    assert_eq!(first.last_run.unwrap().to_string(), stage.world.text("SELECT run_id FROM deliveries").await);
    assert_eq!((first.attempts, first.sent, first.retried, first.failed, first.unknown), (1, 1, 0, 0, 0));
    assert_eq!((first.waiting, first.sending, first.workers.len(), first.last_error_code), (0, 0, 0, None));

    stage.world.advance(60);
    let next = stage.world.outgoing(anna, &[CARLA]).await;
    takes(&stage, Call::Send, 20);
    stage.send(next, 1).await;
    let second = sending(&stage, anna).await;
    assert_eq!((second.last_duration_seconds, second.average_duration_seconds), (Some(20.0), Some(12.0)));
    assert_eq!((second.attempts, second.sent, second.last_processed, second.last_failed), (2, 2, 1, 0));
    assert!(second.last_started_at > first.last_ended_at);
}

/// C21: while emails wait, how many and until when; while they are sent, how many and by whom.
#[tokio::test]
async fn c21_what_waits_and_what_is_being_sent() {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let waits = sending(&stage, anna).await;
    assert_eq!((waits.waiting, waits.due_at, waits.postponed_until), (1, Some(now(&stage)), None), "it is due");
    let store = stage.world.store.clone();
    stage.server.meanwhile(Call::Passed, move || {
        async move {
            let mut tx = store.begin().await.unwrap();
            let under_way = status::get(&mut tx, anna).await.unwrap().unwrap().sending;
            assert_eq!((under_way.waiting, under_way.sending), (0, 1));
            assert_eq!(under_way.workers, ["worker-1"]);
            assert_eq!(under_way.attempts, 0, "it is not over");
        }
        .boxed()
    });
    stage.send(email, 1).await;
    let sent = sending(&stage, anna).await;
    assert_eq!((sent.waiting, sent.sending, sent.workers.len(), sent.sent), (0, 0, 0, 1));

    // Put off for want of a connection.
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let held = [stage.admission(anna, false), stage.admission(anna, false)];
    for permit in &held {
        stage.coord.admit(permit).await.unwrap();
    }
    stage.send(email, 1).await;
    let deferred = sending(&stage, anna).await;
    assert!(deferred.postponed_until > Some(now(&stage)) && deferred.postponed_until == deferred.due_at);
    assert_eq!((deferred.waiting, deferred.attempts), (1, 1), "a deferral is no attempt");
    // Of several that wait, the first counts.
    stage.world.outgoing(anna, &[CARLA]).await;
    assert_eq!(sending(&stage, anna).await.postponed_until, None, "something is due");
}

/// C21: the last error with its words, time, host, and how often it came in a row; transient failures in a row. The
/// error stays when it is over. What concerns one email is told without words, and counts for no failure of the mailbox.
#[tokio::test]
async fn c21_the_last_error_of_sending() {
    let (mut stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    for attempt in 1..=3 {
        stage.world.advance(60);
        stage.server.at(Call::Open, Action::Fail(lost()));
        stage.send(email, attempt).await;
        let failed = sending(&stage, anna).await;
        assert_eq!(
            (failed.last_error_code.as_deref(), failed.last_error_count),
            (Some("ConnectionLost"), attempt.into())
        );
        assert_eq!(failed.last_error_message.as_deref(), Some("closed by the server"));
        assert_eq!((failed.last_error_at, failed.last_error_worker.as_deref()), (Some(now(&stage)), Some("worker-1")));
        assert_eq!((failed.transient_failures, failed.last_outcome.as_deref()), (attempt, Some("retry")));
        assert_eq!((failed.attempts, failed.retried, failed.sent), (attempt.into(), attempt.into(), 0));
        assert!(failed.postponed_until > Some(now(&stage)), "until its next attempt");
    }
    stage.context.host = Arc::from("worker-2");
    let met = now(&stage);
    stage.world.advance(60);
    stage.send(email, 4).await;
    let sent = sending(&stage, anna).await;
    assert_eq!((sent.transient_failures, sent.sent, sent.last_worker.as_deref()), (0, 1, Some("worker-2")));
    assert_eq!(
        (sent.last_error_code.as_deref(), sent.last_error_count),
        (Some("ConnectionLost"), 3),
        "it was the last"
    );
    assert_eq!((sent.last_error_at, sent.last_error_worker.as_deref()), (Some(met), Some("worker-1")));

    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let no = Fault::new(FaultScope::Item, FaultClass::Refused, "RecipientRefused", "550 no carla@kunde.example here");
    stage.server.answer(CARLA, Some(no));
    stage.send(email, 1).await;
    let refused = sending(&stage, anna).await;
    assert_eq!((refused.last_error_code.as_deref(), refused.last_error_message), (Some("RecipientRefused"), None));
    assert_eq!((refused.failed, refused.transient_failures, refused.last_error_count), (1, 0, 1));
    assert_eq!((refused.last_outcome.as_deref(), refused.last_failed), (Some("failed"), 1));
    assert_eq!(refused.last_succeeded_at, sent.last_succeeded_at);
}

/// C21: emails of one mailbox that are sent at the same moment are all counted, and none waits for another's server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c21_parallel_sends_are_all_counted() {
    const EMAILS: usize = 8;
    let (stage, anna) = Stage::with_anna().await;
    stage.world.sql("UPDATE email_server_profiles SET max_connections = 20").await;
    let together = Arc::new(tokio::sync::Barrier::new(EMAILS));
    let mut emails = Vec::new();
    for _ in 0..EMAILS {
        emails.push(stage.world.outgoing(anna, &[CARLA]).await);
        let together = together.clone();
        // Past the point of no return all of them meet: nobody holds what another needs.
        stage.server.meanwhile(Call::Passed, move || {
            async move {
                together.wait().await;
            }
            .boxed()
        });
    }
    let handler = Arc::new(outgoing::Handler::new(stage.context.clone()));
    let sending_all = emails.iter().map(|email| {
        let (handler, hint) = (handler.clone(), lockstep_wire::SendEmail { email: *email, attempt: 1 });
        let envelope = stage.envelope(hint);
        tokio::spawn(async move { lockstep_queue::Handler::handle(&*handler, envelope, Default::default()).await })
    });
    for done in futures::future::join_all(sending_all).await {
        done.unwrap();
    }
    let all = sending(&stage, anna).await;
    assert_eq!((all.attempts, all.sent, all.last_outcome.as_deref()), (8, 8, Some("sent")));
}

/// C21: figures are written with the end of the attempt and by whoever writes that: a run that was overtaken leaves
/// none, and one that learns late that its email was accepted has made no second attempt.
#[tokio::test]
async fn c21_figures_follow_the_effect() {
    let (stage, anna) = Stage::with_anna().await;
    let overtake = |state: &'static str| {
        let pool = stage.world.pool().clone();
        stage.server.meanwhile(Call::Passed, move || {
            async move {
                sqlx::query(state).execute(&pool).await.unwrap();
            }
            .boxed()
        });
    };
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    overtake("UPDATE deliveries SET state = 'retry', run_id = NULL");
    stage.send(email, 1).await;
    let overtaken = sending(&stage, anna).await;
    assert_eq!((overtaken.attempts, overtaken.last_outcome), (0, None));

    // The attempt was given up as lost, and so counted, before its run learnt more.
    stage.world.sql("DELETE FROM emails").await;
    let email = stage.world.outgoing(anna, &[CARLA]).await;
    let (store, lost) = (stage.world.store.clone(), given_up());
    stage.server.meanwhile(Call::Passed, move || {
        async move {
            use lockstep_store::deliveries::{self, Ended, figures};
            let mut tx = store.begin().await.unwrap();
            let ended = Ended::Unknown(lost);
            let before = deliveries::end(&mut tx, email, 1, None, &ended).await.unwrap().unwrap();
            let attempted = figures::Attempted { email, run: None, before, ended: &ended, accepted: 0, refused: 0 };
            figures::note(&mut tx, &attempted).await.unwrap();
            tx.commit().await.unwrap();
        }
        .boxed()
    });
    stage.send(email, 1).await;
    assert_eq!(stage.world.text("SELECT state FROM deliveries").await, "sent");
    let late = sending(&stage, anna).await;
    assert_eq!((late.attempts, late.sent, late.unknown, late.forced_unlocks), (1, 1, 0, 1));
    assert_eq!(late.last_outcome.as_deref(), Some("sent"));
    let _: EmailId = email;
}

fn given_up() -> Fault {
    Fault::new(FaultScope::Item, FaultClass::Unclear, "WorkerDied", "the worker ended without a word")
}

/// C21, C10: a test's figures: who asked for it and when, since when it runs and by whom, when it is over and how.
#[tokio::test]
async fn c21_a_test_leaves_its_figures() {
    let (stage, anna) = untested().await;
    assert_eq!(status(&stage, anna).await.test, None, "none was asked for");
    let operation = ask(&stage, anna).await;
    let asked = now(&stage);
    let scheduled = test(&stage, anna).await;
    assert_eq!((scheduled.operation_id, scheduled.scheduled_at), (operation.0, asked));
    assert_eq!((scheduled.started_at, scheduled.completed_at, scheduled.outcome), (None, None, None));
    stage.world.advance(5);
    let begun = now(&stage);
    let store = stage.world.store.clone();
    stage.server.meanwhile(Call::Send, move || {
        async move {
            let mut tx = store.begin().await.unwrap();
            let runs = status::get(&mut tx, anna).await.unwrap().unwrap().test.unwrap();
            assert_eq!((runs.started_at, runs.worker.as_deref()), (Some(begun), Some("worker-1")));
            assert_eq!((runs.completed_at, runs.postponed_until), (None, None));
        }
        .boxed()
    });
    takes(&stage, Call::Pull, 7);
    stage.operate(operation, 1).await;
    let over = test(&stage, anna).await;
    assert_eq!((over.completed_at, over.outcome.as_deref()), (Some(now(&stage)), Some("success")));
    assert_eq!((over.worker, over.last_worker.as_deref(), over.retries), (None, Some("worker-1"), 0));
    assert_eq!((over.started_at, over.last_error_code), (Some(begun), None));
    // The operation is removed after a while; what is told stays.
    stage.world.sql("DELETE FROM operations").await;
    assert!(test(&stage, anna).await.completed_at.is_some());
    // The next one begins anew.
    let next = ask(&stage, anna).await;
    let waits = test(&stage, anna).await;
    assert_eq!((waits.operation_id, waits.completed_at, waits.outcome, waits.started_at), (next.0, None, None, None));
}

/// C21: a test that waits for a connection is put off until then, which is no retry.
#[tokio::test]
async fn c21_a_test_that_waits_is_postponed() {
    let (stage, anna) = untested().await;
    let operation = ask(&stage, anna).await;
    let held = [stage.admission(anna, false), stage.admission(anna, false)];
    for permit in &held {
        stage.coord.admit(permit).await.unwrap();
    }
    stage.operate(operation, 1).await;
    let waits = test(&stage, anna).await;
    assert!(waits.postponed_until > Some(now(&stage)), "{waits:?}");
    assert_eq!((waits.retries, waits.completed_at, waits.worker), (0, None, None));
    assert_eq!(waits.last_worker.as_deref(), Some("worker-1"));
}
