//! A worker that dies in mid-attempt: before the point of no return it is tried again, after it a person is asked.

use std::time::Duration;

use lockstep_coord::Coord;
use lockstep_model::{
    id::{EmailId, MailboxId},
    mailbox::Account,
};
use lockstep_store::deliveries;
use lockstep_test_support::eventually;
use lockstep_wire::SendEmail;

use crate::{
    server::{Action, Call},
    stage::Stage,
};

/// Begins an attempt and drops it where the server was told to be silent, as a kill would.
async fn die_at(call: Call, action: Action) -> (Stage, MailboxId, EmailId) {
    let (stage, anna) = Stage::with_anna().await;
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    claim(&stage).await;
    let panics = matches!(action, Action::Panic);
    stage.server.at(call, action);
    let handler = lockstep_workers::outgoing::Handler::new(stage.context.clone());
    let envelope = stage.envelope(SendEmail { email, attempt: 1 });
    let sending =
        tokio::spawn(async move { lockstep_queue::Handler::handle(&handler, envelope, Default::default()).await });
    if !panics {
        eventually(Duration::from_secs(10), async || stage.server.hangs(), "it stands where it was told to").await;
        sending.abort();
    }
    assert!(sending.await.is_err());
    let account = Account::of_mailbox(anna);
    eventually(
        Duration::from_secs(5),
        async || stage.coord.usage(stage.profile, &account).await.unwrap() == 0,
        "the permit is given back",
    )
    .await;
    (stage, anna, email)
}

/// What can be claimed when the claim of who died has run out. A last sign of life that was on its way to the database may
/// have lengthened it once.
async fn claim_after_death(stage: &Stage) -> Vec<(EmailId, i32)> {
    stage.world.advance(61);
    let claimed = claim(stage).await;
    if !claimed.is_empty() {
        return claimed;
    }
    stage.world.advance(61);
    claim(stage).await
}

async fn claim(stage: &Stage) -> Vec<(EmailId, i32)> {
    let mut tx = stage.world.store.begin().await.unwrap();
    let claimed = deliveries::claim(&mut tx, 10, Duration::from_secs(60)).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

fn actions() -> [Action; 2] {
    [Action::Hang, Action::Panic]
}

#[tokio::test]
async fn dead_before_the_point_of_no_return_it_is_tried_again() {
    for call in [Call::Open, Call::Send, Call::Written] {
        for action in actions() {
            let (stage, _, email) = die_at(call.clone(), action).await;
            assert_eq!(stage.world.delivery(email).await, ("sending".to_owned(), 1, "sending".to_owned()));
            stage.send(email, 1).await;
            assert!(claim(&stage).await.is_empty(), "the attempt still has its claim");
            assert_eq!(claim_after_death(&stage).await, [(email, 2)]);
            stage.send(email, 2).await;
            assert_eq!(stage.world.delivery(email).await, ("retry".to_owned(), 1, "pending-send".to_owned()));
            assert_eq!(stage.world.text("SELECT fault_code FROM deliveries").await, "WorkerDied");
            assert_eq!(claim(&stage).await, [(email, 2)], "due at once");
            stage.send(email, 2).await;
            assert_eq!(stage.world.delivery(email).await, ("sent".to_owned(), 2, "sent".to_owned()));
            assert_eq!(stage.server.given().iter().filter(|given| given.taken).count(), 1);
            assert!(stage.world.open_alerts().await.is_empty());
        }
    }
}

#[tokio::test]
async fn dead_after_the_point_of_no_return_a_person_is_asked() {
    for action in actions() {
        let (stage, _, email) = die_at(Call::Passed, action).await;
        assert_eq!(stage.world.delivery(email).await, ("in-flight".to_owned(), 1, "sending".to_owned()));
        let claimed = claim_after_death(&stage).await;
        assert_eq!(claimed, [(email, 2)]);
        stage.send(email, 2).await;
        assert_eq!(stage.world.delivery(email).await, ("unknown".to_owned(), 1, "sending".to_owned()));
        assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
        for _ in 0..5 {
            stage.world.advance(86_400);
            assert!(claim(&stage).await.is_empty());
            stage.send(email, 1).await;
            stage.send(email, 2).await;
            stage.send(email, 3).await;
        }
        assert_eq!(stage.server.given().len(), 1, "never a second time by itself");
        assert_eq!(stage.world.open_alerts().await, ["OutcomeUnknown error ×1"]);
    }
}

/// The hint of a dead attempt is late: somebody has begun the next one since. It disturbs nothing.
#[tokio::test]
async fn late_hints_bury_nobody_alive() {
    let (stage, _, email) = die_at(Call::Open, Action::Hang).await;
    stage.world.advance(61);
    claim(&stage).await;
    stage.send(email, 2).await;
    claim(&stage).await;
    stage.server.at(Call::Written, Action::Hang);
    let handler = lockstep_workers::outgoing::Handler::new(stage.context.clone());
    let envelope = stage.envelope(SendEmail { email, attempt: 2 });
    let sending =
        tokio::spawn(async move { lockstep_queue::Handler::handle(&handler, envelope, Default::default()).await });
    eventually(Duration::from_secs(10), async || !stage.server.given().is_empty(), "attempt 2 is under way").await;
    let hint = stage.envelope(SendEmail { email, attempt: 2 });
    let other = lockstep_workers::outgoing::Handler::new(stage.context.clone());
    lockstep_queue::Handler::handle(&other, hint, Default::default()).await;
    assert_eq!(stage.world.delivery(email).await, ("sending".to_owned(), 2, "sending".to_owned()));
    sending.abort();
}

/// C21: an attempt that is taken from a dead worker is counted so, under its host's name; how long it took is not known.
#[tokio::test]
async fn c21_a_dead_worker_is_counted() {
    for (call, outcome, counts) in [(Call::Open, "retry", (1, 0)), (Call::Passed, "unknown", (0, 1))] {
        let (stage, anna, email) = die_at(call, Action::Hang).await;
        let sending = async || crate::figures::status(&stage, anna).await.sending;
        let under_way = sending().await;
        assert_eq!(
            (under_way.workers.as_slice(), under_way.sending, under_way.attempts),
            (&["worker-1".to_owned()][..], 1, 0)
        );
        assert_eq!(claim_after_death(&stage).await, [(email, 2)]);
        stage.send(email, 2).await;
        let buried = sending().await;
        assert_eq!((buried.last_outcome.as_deref(), (buried.retried, buried.unknown)), (Some(outcome), counts));
        assert_eq!((buried.forced_unlocks, buried.forced_unlocked_at, buried.attempts), (1, buried.last_ended_at, 1));
        assert_eq!(
            (buried.last_error_code.as_deref(), buried.last_error_worker.as_deref()),
            (Some("WorkerDied"), Some("worker-1"))
        );
        assert_eq!((buried.last_duration_seconds, buried.average_duration_seconds), (None, None));
        assert!(buried.workers.is_empty() && buried.last_started_at.is_some());
    }
}
