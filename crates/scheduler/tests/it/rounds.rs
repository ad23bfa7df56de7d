//! A round hands out what is due, once, whoever else does the same.

use std::{collections::HashSet, time::Duration};

use lockstep_queue::Source;
use lockstep_scheduler::tick;
use lockstep_wire::{Outcome, Queue, RunOperation, SendEmail, SyncLane};
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn what_is_due_is_hinted_once() {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    let (anna, bert) =
        (stage.world.user_mailbox(profile, "anna").await, stage.world.user_mailbox(profile, "bert").await);
    let hints = stage.round().await;
    assert_eq!(hints.iter().map(|hint| hint.mailbox).collect::<Vec<_>>(), [anna, bert]);
    assert!(hints.iter().all(|hint| hint.generation == 1));
    assert!(stage.round().await.is_empty(), "claimed");
    stage.fold(&[stage.report(&hints[0], Outcome::Completed)]).await;
    assert!(stage.round().await.is_empty(), "not due again yet");
}

/// The broker was away or its queue gone: the hint comes when the claim ends, for the same occasion.
#[tokio::test]
async fn a_hint_that_was_not_published_follows_when_its_claim_ends() {
    let stage = Stage::new().await;
    stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    stage.broker.delete_queue(Queue::MailboxSync);
    assert!(stage.round().await.is_empty());
    drop(stage.broker.subscribe(Queue::MailboxSync, 1).await.unwrap());
    stage.world.advance(59);
    assert!(stage.round().await.is_empty());
    stage.world.advance(1);
    assert_eq!(stage.hint().await.generation, 1);
}

/// Emails and operations are handed out like lanes, and never wait for them.
#[tokio::test]
async fn sends_and_operations_are_hinted() {
    let stage = Stage::new().await;
    let anna = stage.world.user_mailbox(stage.world.profile(1).await, "anna").await;
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    let mut tx = stage.world.store.begin().await.unwrap();
    let operation = lockstep_store::operations::create(&mut tx, "kind", &json!({}), "anna").await.unwrap();
    tx.commit().await.unwrap();
    stage.round().await;
    assert_eq!(stage.taken::<SendEmail>(), [SendEmail { email, attempt: 1 }]);
    assert_eq!(stage.taken::<RunOperation>(), [RunOperation { operation, generation: 1 }]);
    stage.round().await;
    assert!(stage.taken::<SendEmail>().is_empty() && stage.taken::<RunOperation>().is_empty());
}

/// N9: a round hands out as many emails as the setting says; one that was filled says so, and is followed by another at once.
#[tokio::test]
async fn a_full_round_says_that_more_may_be_due() {
    let stage = Stage::new().await;
    stage.world.setting("queue", "activities_dequeued_per_event", 2).await;
    let anna = stage.world.user_mailbox(stage.world.profile(1).await, "anna").await;
    for _ in 0..3 {
        stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    }
    assert!(tick::round(&stage.context).await.unwrap());
    assert!(!tick::round(&stage.context).await.unwrap());
    assert_eq!(stage.taken::<SendEmail>().len(), 3);
}

/// Any number of schedulers at once: no lane is hinted twice, and together they keep to the server's allowance.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn schedulers_at_once_hand_out_each_lane_once_within_the_allowance() {
    let stage = Stage::new().await;
    let profiles = [stage.world.profile(50).await, stage.world.profile(50).await];
    for (at, profile) in profiles.iter().enumerate() {
        stage.world.sql(&format!("UPDATE email_server_profiles SET max_in_flight = 7 WHERE id = '{profile}'")).await;
        for mailbox in 0..12 {
            stage.world.user_mailbox(*profile, &format!("u{at}-{mailbox}")).await;
        }
    }
    for _ in 0..3 {
        let rounds = (0..6).map(|_| {
            let context = stage.context.clone();
            tokio::spawn(async move { tick::round(&context).await.unwrap() })
        });
        futures::future::join_all(rounds).await;
    }
    let hints = stage.taken::<SyncLane>();
    let lanes: HashSet<_> = hints.iter().map(|hint| hint.mailbox).collect();
    assert_eq!((hints.len(), lanes.len()), (14, 14), "seven of each profile, none twice");
    let reports: Vec<_> = hints.iter().map(|hint| stage.report(hint, Outcome::Completed)).collect();
    stage.fold(&reports).await;
    assert_eq!(stage.round().await.len(), 10, "and then the others");
}

/// A server with a long backlog takes no other server's turn.
#[tokio::test]
async fn one_servers_backlog_delays_no_other() {
    let stage = Stage::new().await;
    let (crowded, quiet) = (stage.world.profile(1).await, stage.world.profile(1).await);
    stage.world.sql(&format!("UPDATE email_server_profiles SET max_in_flight = 2 WHERE id = '{crowded}'")).await;
    for at in 0..8 {
        stage.world.user_mailbox(crowded, &format!("u{at}")).await;
    }
    stage.world.sql("UPDATE lane_schedules SET due_at = due_at - interval '1 hour'").await;
    assert_eq!(stage.round().await.len(), 2);
    let anna = stage.world.user_mailbox(quiet, "anna").await;
    assert_eq!(stage.hint().await.mailbox, anna);
}

/// Fail-over of the database in mid-work: the round fails, the next one finds everything.
#[tokio::test]
async fn a_round_over_cut_connections_loses_nothing() {
    let stage = Stage::new().await;
    let anna = stage.world.user_mailbox(stage.world.profile(5).await, "anna").await;
    for _ in 0..3 {
        stage.world.database.cut_connections().await;
        let _ = tick::round(&stage.context).await;
        stage.world.advance(300);
    }
    let hints = lockstep_test_support::eventually(
        Duration::from_secs(10),
        async || {
            let _ = tick::round(&stage.context).await;
            let hints = stage.taken::<SyncLane>();
            (!hints.is_empty()).then_some(hints)
        },
        "the lane is handed out",
    )
    .await;
    assert!(hints.iter().all(|hint| hint.mailbox == anna && hint.generation == 1));
}
