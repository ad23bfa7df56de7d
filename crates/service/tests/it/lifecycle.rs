//! Two stages of stopping, and critical tasks.

use std::time::Duration;

use lockstep_service::{Drained, Exit, Failure, Lifecycle};

#[tokio::test]
async fn a_task_that_stops_when_asked_drains_in_time() {
    let lifecycle = Lifecycle::new();
    let soft = lifecycle.soft.clone();
    lifecycle.spawn_critical("good", async move {
        soft.cancelled().await;
        Ok::<_, Failure>(())
    });
    lifecycle.soft.cancel();
    assert_eq!(lifecycle.drain(Duration::from_secs(60)).await, Drained::InTime);
    assert_eq!(lifecycle.failure(), None);
    assert!(!lifecycle.hard.is_cancelled());
}

#[tokio::test]
async fn the_end_of_the_grace_period_pulls_the_hard_token() {
    let lifecycle = Lifecycle::new();
    let hard = lifecycle.hard.clone();
    lifecycle.spawn_critical("slow", async move {
        hard.cancelled().await;
        Ok::<_, Failure>(())
    });
    lifecycle.soft.cancel();
    assert_eq!(lifecycle.drain(Duration::from_millis(20)).await, Drained::AfterHard);
    assert_eq!(lifecycle.failure(), None);
}

#[tokio::test]
async fn a_task_that_never_ends_is_abandoned() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn_critical("stuck", std::future::pending::<Result<(), Failure>>());
    lifecycle.soft.cancel();
    assert_eq!(lifecycle.drain(Duration::ZERO).await, Drained::Abandoned(1));
}

#[tokio::test]
async fn a_critical_task_that_ends_fails_or_panics_stops_the_process() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn_critical("feed", async { Ok::<_, Failure>(()) });
    lifecycle.soft.cancelled().await;
    assert!(lifecycle.failure().unwrap().message.contains("feed ended"));

    let lifecycle = Lifecycle::new();
    lifecycle.spawn_critical("feed", async { Err(Failure::unavailable("no broker")) });
    lifecycle.soft.cancelled().await;
    let failure = lifecycle.failure().unwrap();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Unavailable, "feed: no broker"));

    let lifecycle = Lifecycle::new();
    lifecycle.spawn_critical("feed", async {
        assert!(std::hint::black_box(false), "out of {}", "luck");
        Ok::<_, Failure>(())
    });
    lifecycle.soft.cancelled().await;
    lifecycle.fail(Failure::config("later"));
    let failure = lifecycle.failure().unwrap();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Internal, "the task feed panicked: out of luck"));
}

#[test]
fn failures_keep_their_code_through_anyhow() {
    let error = anyhow::Error::new(Failure::unavailable("no database")).context("the scheduler cannot start");
    let failure = Failure::from(error);
    assert_eq!(
        (failure.exit, failure.message.as_str()),
        (Exit::Unavailable, "the scheduler cannot start: no database")
    );
    assert_eq!(Failure::from(anyhow::anyhow!("odd")).exit.code(), 70);
}
