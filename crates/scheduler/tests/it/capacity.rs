//! A lack of capacity is told of while mailboxes are still polled in time, and taken back when there is enough.

use lockstep_model::{
    clock::Clock,
    id::{ProfileId, ReplicaId},
};
use lockstep_scheduler::capacity::Watch;
use lockstep_store::replicas;
use lockstep_wire::{CycleReport, Outcome, SyncLane};

use crate::stage::Stage;

const LIFETIME: std::time::Duration = std::time::Duration::from_secs(20);

/// A server whose mailboxes all log in with the profile's credentials, with so many lanes at five minutes.
async fn server(stage: &Stage, cap: i32, lanes: usize) -> ProfileId {
    let profile = stage.world.profile(cap).await;
    stage.world.sql(&format!("UPDATE email_server_profiles SET credentials = 'profile' WHERE id = '{profile}'")).await;
    for at in 0..lanes {
        stage.world.user_mailbox(profile, &format!("u{}{at}", profile.0.simple())).await;
    }
    profile
}

async fn set_cap(stage: &Stage, profile: ProfileId, cap: i32) {
    let sql = format!("UPDATE email_server_profiles SET max_connections = {cap} WHERE id = '{profile}'");
    stage.world.sql(&sql).await;
}

/// A mailbox worker's heartbeat.
async fn beat(stage: &Stage, replica: ReplicaId, capacity: u16) {
    let mut tx = stage.world.store.begin().await.unwrap();
    replicas::beat(&mut tx, replica, "mailbox-worker", capacity, LIFETIME).await.unwrap();
    tx.commit().await.unwrap();
}

/// The run behind a hint has taken so long, and ends now.
fn completed(stage: &Stage, hint: &SyncLane, seconds: i64) -> CycleReport {
    let report = stage.report(hint, Outcome::Completed);
    CycleReport { started_at: stage.world.clock.now() - chrono::TimeDelta::seconds(seconds), ..report }
}

/// Until every lane has had a run of so many seconds, which is then taken to be wanted every five minutes.
async fn all_run(stage: &Stage, seconds: i64) {
    loop {
        let hints = stage.round().await;
        if hints.is_empty() {
            break;
        }
        let reports: Vec<_> = hints.iter().map(|hint| completed(stage, hint, seconds)).collect();
        stage.fold(&reports).await;
    }
    stage.world.sql("UPDATE lane_schedules SET interval_seconds = 300").await;
}

fn load(stage: &Stage, profile: ProfileId) -> f64 {
    stage.context.metrics.capacity_load.with_label_values(&[&profile.to_string()]).get()
}

/// Polls as many lanes at a time as the server allows, oldest first, each run taking so long; the longest time between
/// two starts of a lane.
async fn longest_gap(stage: &Stage, slots: usize, seconds: u64) -> i64 {
    let mut longest = 0;
    for _ in 0..30 {
        let hints = stage.round().await;
        assert!(hints.len() <= slots + 1, "{hints:?}");
        let now = stage.world.clock.now();
        for hint in hints.iter().take(slots) {
            let mailbox = hint.mailbox;
            let query = format!(
                "SELECT COALESCE(extract(epoch FROM '{now}'::timestamptz - last_started_at), 0)
                 FROM lane_schedules WHERE mailbox_id = '{mailbox}'"
            );
            longest = longest.max(stage.world.number(&query).await);
        }
        stage.world.advance(seconds);
        let (run, waiting) = hints.split_at(slots.min(hints.len()));
        // The one that found no free connection comes back at once.
        let waiting = waiting.iter().map(|hint| stage.report(hint, Outcome::Deferred));
        let run = run.iter().map(|hint| completed(stage, hint, i64::try_from(seconds).unwrap()));
        let reports: Vec<_> = run.chain(waiting).collect();
        stage.fold(&reports).await;
    }
    longest
}

#[tokio::test]
async fn a_server_short_of_connections_is_told_of_before_mailboxes_wait_too_long() {
    let stage = Stage::new().await;
    let profile = server(&stage, 4, 20).await;
    let mut watch = Watch::new(stage.context.clone());
    let workers = ReplicaId::new();
    beat(&stage, workers, 64).await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty(), "nothing is measured yet");

    // Ten seconds each: 20 × 10 / 300 = 0.67 of 3, the last connection being kept for sending.
    all_run(&stage, 10).await;
    watch.look().await.unwrap();
    assert!((load(&stage, profile) - 0.222).abs() < 0.001, "{}", load(&stage, profile));
    assert!(stage.world.open_alerts().await.is_empty());

    // Forty: 2.67 of 3. Every mailbox still has its turn within twelve minutes.
    stage.world.advance(300);
    let gap = longest_gap(&stage, 3, 40).await;
    assert!((300..=720).contains(&gap), "{gap} s");
    beat(&stage, workers, 64).await;
    stage.world.sql("UPDATE lane_schedules SET interval_seconds = 300").await;
    watch.look().await.unwrap();
    assert!((load(&stage, profile) - 0.889).abs() < 0.001, "{}", load(&stage, profile));
    assert_eq!(stage.world.open_alerts().await, ["CapacityShort warning ×1"]);
    let said =
        "SELECT concat_ws(' ', scope, profile_id, parameters->>'load', parameters->>'busy', parameters->>'slots',
        parameters->>'needed') FROM alerts";
    assert_eq!(stage.world.text(said).await, format!("profile {profile} 89 2.7 3 4"));
    assert!(stage.world.text("SELECT parameters->>'limit' FROM alerts").await.contains("concurrent connections"));
    watch.look().await.unwrap();
    assert_eq!(stage.world.open_alerts().await, ["CapacityShort warning ×1"], "told once");

    // A little longer, and one connection more: 3 of 4 is neither short nor plenty.
    stage.world.sql("UPDATE lane_schedules SET last_started_at = last_ended_at - interval '45 seconds'").await;
    set_cap(&stage, profile, 5).await;
    watch.look().await.unwrap();
    assert_eq!(stage.world.open_alerts().await, ["CapacityShort warning ×1"], "not yet enough");
    set_cap(&stage, profile, 6).await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty(), "enough");
    set_cap(&stage, profile, 5).await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty(), "between the marks it stays as it was");
    set_cap(&stage, profile, 4).await;
    watch.look().await.unwrap();
    assert_eq!(stage.world.open_alerts().await, ["CapacityShort warning ×1"]);
    stage.world.sql("UPDATE email_server_profiles SET active = false").await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty(), "a profile that is not active asks for nothing");
}

#[tokio::test]
async fn too_few_workers_are_told_of_and_how_many_are_needed() {
    let stage = Stage::new().await;
    let one = server(&stage, 60, 20).await;
    let other = server(&stage, 60, 20).await;
    all_run(&stage, 40).await;
    let mut watch = Watch::new(stage.context.clone());
    let first = ReplicaId::new();
    beat(&stage, first, 6).await;
    watch.look().await.unwrap();
    let workers = "SELECT concat_ws(' ', scope, parameters->>'load', parameters->>'slots', parameters->>'replicas',
        parameters->>'replicas_needed') FROM alerts WHERE code = 'WorkerCapacityShort'";
    // 2 × 20 × 40 / 300 = 5.3 of 6; each server may have half, 2.67 of 3.
    assert_eq!(stage.world.text(workers).await, "organisation 89 6 1 2");
    let open = stage.world.open_alerts().await;
    assert_eq!(open, ["CapacityShort warning ×1", "CapacityShort warning ×1", "WorkerCapacityShort warning ×1"]);
    let limit = "SELECT DISTINCT parameters->>'limit' FROM alerts WHERE code = 'CapacityShort'";
    assert!(stage.world.text(limit).await.contains("mailbox workers"));
    assert!((load(&stage, one) - load(&stage, other)).abs() < 1e-9);

    beat(&stage, ReplicaId::new(), 6).await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty(), "what was said to be enough is enough");

    // A replica of an older version does not say what it can do: nothing is concluded.
    beat(&stage, ReplicaId::new(), 0).await;
    stage.world.sql("UPDATE replicas SET capacity = 1 WHERE capacity = 6").await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty());
}

#[tokio::test]
async fn that_no_worker_lives_is_told_of_when_it_lasts() {
    let stage = Stage::new().await;
    server(&stage, 10, 2).await;
    let mut watch = Watch::new(stage.context.clone());
    let replica = ReplicaId::new();
    beat(&stage, replica, 16).await;
    watch.look().await.unwrap();
    for _ in 0..2 {
        stage.world.advance(60);
        watch.look().await.unwrap();
        assert!(stage.world.open_alerts().await.is_empty(), "they may be replaced just now");
    }
    stage.world.advance(60);
    watch.look().await.unwrap();
    assert_eq!(stage.world.open_alerts().await, ["WorkerCapacityShort warning ×1"]);
    let needed = "SELECT parameters->>'replicas_needed' FROM alerts";
    assert_eq!(stage.world.text(needed).await, "1");
    beat(&stage, replica, 16).await;
    watch.look().await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty());
}
