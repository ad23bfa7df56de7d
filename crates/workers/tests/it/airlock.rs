//! Nobody connects without a permit, and whatever happens, permit and lease are given back.

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use lockstep_coord::{Admission, Admitted, Coord, Error, MemoryCoord, Released, Renewed};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    id::ProfileId,
    mailbox::Account,
};
use lockstep_queue::Outcome as Settled;
use lockstep_store::{Store, operations};
use lockstep_test_support::eventually;
use lockstep_wire::Outcome;

use crate::{
    seed::{options, vault},
    server::{Action, Call},
    stage::{ANNA, Stage, item_fault, lost, plain},
};

fn calls() -> Vec<Call> {
    vec![Call::Open, Call::Pull, Call::Headers, Call::Fetch("k1".to_owned()), Call::Delete, Call::Close]
}

/// A mailbox whose run makes every kind of call: a queue's, that reads headers first and deletes what it has processed.
async fn busy() -> (Stage, lockstep_model::id::MailboxId) {
    let stage = Stage::new().await;
    let queue = stage.world.queue("support", lockstep_model::mailbox::TrackOption::All).await;
    let mailbox = stage.world.mailbox(stage.profile, lockstep_model::mailbox::Owner::Queue(queue)).await;
    stage.world.sql("UPDATE mailboxes SET delete_after_processing = true, process_email_from = '2026-01-01'").await;
    for key in ["k0", "k1", "k2"] {
        let to = "support@muster.example";
        stage.server.put(to, key, crate::stage::mail(key, "c@kunde.example", to, "", key));
    }
    (stage, mailbox)
}

/// After a fault at any call nothing stays taken, and the next run finishes the work.
#[tokio::test]
async fn faults_at_any_call_give_everything_back() {
    let throttled = Fault::new(FaultScope::Profile, FaultClass::Throttled, "Throttled", "slow down");
    for call in calls() {
        for fault in [lost(), item_fault(), throttled.clone()] {
            let (stage, mailbox) = busy().await;
            stage.server.at(call.clone(), Action::Fail(fault));
            stage.handle(stage.hint(mailbox).await).await.unwrap();
            stage.assert_free(mailbox).await;
            stage.reports();
            stage.world.advance(900);
            for _ in 0..2 {
                stage.run(mailbox).await;
            }
            assert_eq!(stage.emails().await, 3, "after a fault at {call:?}");
            assert_eq!(stage.server.keys("support@muster.example").len(), 0, "after a fault at {call:?}");
        }
    }
}

/// A connector that panics ends its run, and keeps nobody's permit.
#[tokio::test]
async fn panics_at_any_call_give_everything_back() {
    for call in calls() {
        let (stage, mailbox) = busy().await;
        stage.server.at(call.clone(), Action::Panic);
        assert!(stage.handle(stage.hint(mailbox).await).await.is_err(), "it did panic at {call:?}");
        assert!(stage.reports().is_empty());
        let account = Account::of_mailbox(mailbox);
        eventually(
            Duration::from_secs(5),
            async || stage.coord.usage(stage.profile, &account).await.unwrap() == 0,
            "the permit is given back",
        )
        .await;
        stage.assert_free(mailbox).await;
        stage.run(mailbox).await;
        assert_eq!(stage.emails().await, 3);
    }
}

/// A hard stop, or a handler that took too long: the future is dropped wherever it stands.
#[tokio::test]
async fn dropped_at_any_call_everything_is_given_back() {
    for call in calls() {
        let (stage, mailbox) = busy().await;
        stage.server.at(call.clone(), Action::Hang);
        let hint = stage.hint(mailbox).await;
        let handler = lockstep_workers::mailbox::Handler::new(stage.context.clone());
        let envelope = stage.envelope(hint);
        let running =
            tokio::spawn(async move { lockstep_queue::Handler::handle(&handler, envelope, Default::default()).await });
        eventually(Duration::from_secs(10), async || stage.server.hangs(), "the run stands where it was told to").await;
        assert!(stage.coord.usage(stage.profile, &Account::of_mailbox(mailbox)).await.unwrap() == 1);
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        let account = Account::of_mailbox(mailbox);
        eventually(
            Duration::from_secs(5),
            async || stage.coord.usage(stage.profile, &account).await.unwrap() == 0,
            "the permit is given back",
        )
        .await;
        stage.assert_free(mailbox).await;
        stage.run(mailbox).await;
        assert_eq!(stage.emails().await, 3);
    }
}

/// No permit, no connection; the scheduler hears when to ask again.
#[tokio::test]
async fn without_a_permit_nothing_is_opened() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k1", plain("m1"));
    let other = stage.admission(anna, false);
    assert_eq!(stage.coord.admit(&other).await.unwrap(), Admitted::Granted);
    stage.handle(stage.hint(anna).await).await.unwrap();
    let report = stage.reports().remove(0);
    assert_eq!(report.outcome, Outcome::Deferred, "the last permit of two is kept for sending and tests");
    let wait = report.wait.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(2), "{wait:?}");
    assert!(stage.server.calls().is_empty());
    stage.coord.release(&other).await.unwrap();
    assert_eq!(stage.run(anna).await.outcome, Outcome::Completed);
}

#[tokio::test]
async fn a_servers_wish_to_be_left_alone_holds_for_everybody() {
    let (stage, anna) = Stage::with_anna().await;
    let bert = stage.user("bert", lockstep_model::mailbox::TrackOption::All).await;
    let throttled = Fault::new(FaultScope::Profile, FaultClass::Throttled, "Throttled", "slow down");
    stage.server.at(Call::Open, Action::Fail(throttled.after(Duration::from_secs(90))));
    stage.handle(stage.hint(anna).await).await.unwrap();
    let report = stage.reports().remove(0);
    assert_eq!((report.outcome, report.wait), (Outcome::Failed, Some(Duration::from_secs(90))));
    stage.server.calls();
    stage.handle(stage.hint(bert).await).await.unwrap();
    let report = stage.reports().remove(0);
    assert_eq!(report.outcome, Outcome::Deferred);
    assert!(report.wait.unwrap() > Duration::from_secs(60));
    assert!(stage.server.calls().is_empty());
}

/// Somebody works there: nothing to do and nothing to report.
#[tokio::test]
async fn a_busy_lane_is_left_alone() {
    let (stage, anna) = Stage::with_anna().await;
    let other = Admission { account: Account::of_profile(), ..stage.admission(anna, true) };
    assert_eq!(stage.coord.admit(&other).await.unwrap(), Admitted::Granted);
    assert_eq!(stage.handle(stage.hint(anna).await).await.unwrap(), Settled::Done);
    assert!(stage.reports().is_empty() && stage.server.calls().is_empty());
}

/// The lease is lost while the server is slow: the run ends at once and writes nothing.
#[tokio::test]
async fn who_loses_the_lease_stops_at_once() {
    let (mut stage, anna) = Stage::with_anna().await;
    stage.context.config.lease_ttl_ms = 300;
    stage.context.config.permit_ttl_ms = 300;
    stage.server.put(ANNA, "k1", plain("m1"));
    stage.server.at(Call::Fetch("k1".to_owned()), Action::Hang);
    let thief = stage.admission(anna, true);
    // Redis forgets everything, and somebody else is first to ask.
    let theft = async {
        eventually(Duration::from_secs(10), async || stage.server.hangs(), "the server is slow").await;
        stage.coord.flush();
        assert_eq!(stage.coord.admit(&thief).await.unwrap(), Admitted::Granted);
    };
    let (settled, ()) = tokio::join!(stage.handle(stage.hint(anna).await), theft);
    assert_eq!(settled.unwrap(), Settled::Done);
    let reports = stage.reports();
    let last = reports.last().unwrap();
    assert_eq!(last.outcome, Outcome::LeaseLost, "{last:?}");
    assert_eq!((stage.emails().await, stage.server.connections()), (0, 0));
    stage.coord.release(&thief).await.unwrap();
    stage.assert_free(anna).await;
}

/// M8: a permit that was lost is told where somebody waits for the outcome: the test of a mailbox fails with it, and ends
/// it when it is asked for again.
#[tokio::test]
async fn m8_a_lost_permit_is_told() {
    let (mut stage, anna) = Stage::with_anna().await;
    stage.context.config.permit_ttl_ms = 300;
    stage.world.sql("UPDATE mailboxes SET outgoing_method = 'none'").await;
    let ask = async || {
        let mut tx = stage.world.store.begin().await.unwrap();
        let arguments = serde_json::json!({ "mailbox": anna });
        let asked = operations::create(&mut tx, "test-and-enable-mailbox", &arguments, "anna").await.unwrap();
        tx.commit().await.unwrap();
        asked
    };
    stage.server.at(Call::Pull, Action::Hang);
    let thieves = [stage.admission(anna, false), stage.admission(anna, false)];
    let theft = async {
        eventually(Duration::from_secs(10), async || stage.server.hangs(), "the server is slow").await;
        stage.coord.flush();
        for thief in &thieves {
            assert_eq!(stage.coord.admit(thief).await.unwrap(), Admitted::Granted);
        }
    };
    let first = ask().await;
    tokio::join!(stage.operate(first, 1), theft);
    stage.world.assert_raised("LeaseLost").await;
    for thief in &thieves {
        stage.coord.release(thief).await.unwrap();
    }
    stage.operate(ask().await, 1).await;
    stage.world.assert_cleared("LeaseLost").await;
    stage.assert_free(anna).await;
}

/// A long run tells at every renewal that it lives.
#[tokio::test]
async fn a_long_run_gives_signs_of_life() {
    let (mut stage, anna) = Stage::with_anna().await;
    stage.context.config.lease_ttl_ms = 300;
    stage.server.put(ANNA, "k1", plain("m1"));
    let broker = stage.broker.clone();
    stage.server.meanwhile(Call::Fetch("k1".to_owned()), move || {
        async move {
            for _ in 0..1_000 {
                if broker.depth(lockstep_wire::Queue::SchedulerReport).0 >= 2 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        .boxed()
    });
    stage.handle(stage.hint(anna).await).await.unwrap();
    let outcomes: Vec<_> = stage.reports().iter().map(|report| report.outcome).collect();
    assert!(outcomes.len() >= 3 && outcomes[..2] == [Outcome::Running; 2], "{outcomes:?}");
    assert_eq!(outcomes.last(), Some(&Outcome::Completed));
}

/// The database goes away in mid-run: the hint comes again, and nothing stays taken meanwhile.
#[tokio::test]
async fn without_the_database_the_hint_comes_again() {
    for call in [Call::Open, Call::Pull, Call::Fetch("k1".to_owned()), Call::Close] {
        let (mut stage, anna) = Stage::with_anna().await;
        stage.server.put(ANNA, "k1", plain("m1"));
        let hint = stage.hint(anna).await;
        let doomed = Store::open(stage.world.database.url(), &options(4), stage.world.clock.clone(), vault()).unwrap();
        stage.context.store = doomed.clone();
        stage.server.meanwhile(call.clone(), move || async move { doomed.close().await }.boxed());
        let settled = stage.handle(hint).await.unwrap();
        stage.context.store = stage.world.store.clone();
        stage.assert_free(anna).await;
        if call == Call::Close {
            assert_eq!(settled, Settled::Done, "everything was written by then");
        } else {
            assert_eq!(settled, Settled::Unavailable, "at {call:?}");
            assert!(stage.reports().is_empty());
            assert_eq!(stage.emails().await, 0);
            stage.run(anna).await;
        }
        assert_eq!(stage.emails().await, 1);
    }
}

/// A worker keeps half of its slots free of any one server.
#[tokio::test]
async fn a_server_takes_at_most_half_of_the_slots() {
    let mut stage = Stage::new().await;
    stage.context.config.concurrency = 4;
    let handler = std::sync::Arc::new(lockstep_workers::mailbox::Handler::new(stage.context.clone()));
    let mut mailboxes = Vec::new();
    for name in ["anna", "bert", "carl"] {
        mailboxes.push(stage.user(name, lockstep_model::mailbox::TrackOption::All).await);
        stage.server.at(Call::Open, Action::Hang);
    }
    let mut running = Vec::new();
    for mailbox in &mailboxes[..2] {
        let (handler, envelope) = (handler.clone(), stage.envelope(stage.hint(*mailbox).await));
        running.push(tokio::spawn(async move {
            lockstep_queue::Handler::handle(&*handler, envelope, Default::default()).await
        }));
    }
    eventually(Duration::from_secs(10), async || stage.server.calls_so_far() == 2, "two are at work").await;
    let envelope = stage.envelope(stage.hint(mailboxes[2]).await);
    lockstep_queue::Handler::handle(&*handler, envelope, Default::default()).await;
    assert_eq!(stage.reports()[0].outcome, Outcome::Deferred);
    assert_eq!(stage.server.calls_so_far(), 2);
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A cache whose answer to whoever opens a profile's counters is slow to come about.
#[derive(Debug, Default)]
struct SlowAtFirst(MemoryCoord);

#[async_trait]
impl Coord for SlowAtFirst {
    async fn admit(&self, admission: &Admission) -> Result<Admitted, Error> {
        if admission.opening {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.0.admit(admission).await
    }

    async fn renew(&self, admission: &Admission) -> Result<Renewed, Error> {
        self.0.renew(admission).await
    }

    async fn release(&self, admission: &Admission) -> Result<Released, Error> {
        self.0.release(admission).await
    }

    async fn cool_down(&self, profile: ProfileId, cool_down_for: Duration) -> Result<Duration, Error> {
        self.0.cool_down(profile, cool_down_for).await
    }

    async fn usage(&self, profile: ProfileId, account: &Account) -> Result<u32, Error> {
        self.0.usage(profile, account).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}

/// N3: the first runs of a new profile come close upon one another. None takes the counters that another one is about to
/// open for lost, or everybody would wait until permits that never were have expired.
#[tokio::test]
async fn n3_the_first_runs_of_a_profile_do_not_wait_for_each_other() {
    let mut stage = Stage::new().await;
    stage.context.coord = std::sync::Arc::new(SlowAtFirst::default());
    let mut hints = Vec::new();
    for name in ["anna", "bert", "carl"] {
        let mailbox = stage.user(name, lockstep_model::mailbox::TrackOption::All).await;
        hints.push(stage.hint(mailbox).await);
    }
    let staggered = hints.into_iter().zip([0, 50, 400]).map(async |(hint, wait)| {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stage.handle(hint).await.unwrap()
    });
    futures::future::join_all(staggered).await;
    let outcomes: Vec<_> = stage.reports().into_iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Completed; 3]);
    assert_eq!(stage.world.number("SELECT count(slot_opened_at) FROM email_server_profiles").await, 1);
}
