//! The fold and whoever writes profiles and mailboxes at the same moment: one order of locks, so nobody deadlocks.

use std::time::Duration;

use lockstep_model::{
    id::{MailboxId, ProfileId},
    mailbox::Lane,
};
use lockstep_scheduler::reports::Fold;
use lockstep_store::profiles::{self, ProfileRecord, SecretChange};
use lockstep_wire::{CycleReport, Outcome, SyncLane};

use crate::stage::{Stage, unreachable};

/// A server with four mailboxes whose occasions are handed out.
async fn stage() -> (Stage, ProfileId, Vec<CycleReport>) {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    for name in ["anna", "bert", "carl", "dora"] {
        stage.world.user_mailbox(profile, name).await;
    }
    let hints = stage.round().await;
    assert_eq!(hints.len(), 4);
    let reports = hints.iter().map(|hint| stage.failed(hint, unreachable())).collect();
    (stage, profile, reports)
}

/// Waits until some session waits for a lock.
async fn somebody_waits(stage: &Stage) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let waited = async {
        while stage.world.number(waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap();
}

async fn changed(tx: &mut lockstep_store::Tx, profile: ProfileRecord) -> lockstep_store::Result<i64> {
    let profile = ProfileRecord { max_connections: profile.max_connections + 1, ..profile };
    profiles::save(tx, &profile, &SecretChange::Keep, &["max_connections"], "test").await
}

/// A profile is being changed while reports of its mailboxes are folded: the fold waits, finds its reports stale, and
/// neither is undone.
#[tokio::test]
async fn a_profile_is_changed_while_its_reports_are_folded() {
    let (stage, profile, reports) = stage().await;
    let mut tx = stage.world.store.begin().await.unwrap();
    let record = profiles::lock(&mut tx, profile, None).await.unwrap().unwrap();
    let fold = Fold::new(stage.context.clone());
    let folding = tokio::spawn(async move { fold.fold(&reports).await });
    somebody_waits(&stage).await;
    changed(&mut tx, record).await.unwrap();
    tx.commit().await.unwrap();
    folding.await.unwrap().unwrap();
    assert_eq!(stage.world.number("SELECT min(generation) FROM lane_schedules").await, 2);
    assert_eq!(stage.world.number("SELECT max(generation) FROM lane_schedules").await, 2);
    assert_eq!(stage.world.number("SELECT count(*) FROM lane_schedules WHERE fault_code IS NOT NULL").await, 0);
}

/// Signs of life and results of the same lanes, in two schedulers at once, each beginning with what the other ends
/// with.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn folds_writers_and_claims_never_deadlock() {
    let (stage, profile, _) = stage().await;
    let store = stage.world.store.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..30 {
            let mut tx = store.begin().await?;
            let record = profiles::lock(&mut tx, profile, None).await?.unwrap();
            changed(&mut tx, record).await?;
            tx.commit().await?;
        }
        Ok::<(), lockstep_store::Error>(())
    });
    let folders = [false, true].map(|backwards| {
        let (context, pool) = (stage.context.clone(), stage.world.pool().clone());
        let template = stage
            .report(&SyncLane { mailbox: MailboxId::new(), lane: Lane::Incoming, generation: 0 }, Outcome::Running);
        tokio::spawn(async move {
            let fold = Fold::new(context);
            for turn in 0..60 {
                let lanes = sqlx::query_as("SELECT mailbox_id, generation FROM lane_schedules ORDER BY 1");
                let mut lanes: Vec<(uuid::Uuid, i64)> = lanes.fetch_all(&pool).await.unwrap();
                if backwards {
                    lanes.reverse();
                }
                let reports: Vec<_> = lanes
                    .into_iter()
                    .enumerate()
                    .map(|(at, (mailbox, generation))| {
                        let ended = (at + turn + usize::from(backwards)) % 2 == 0;
                        let outcome = if ended { Outcome::Failed } else { Outcome::Running };
                        let fault = ended.then(unreachable);
                        CycleReport { mailbox: MailboxId(mailbox), generation, outcome, fault, ..template.clone() }
                    })
                    .collect();
                fold.fold(&reports).await?;
            }
            Ok::<(), lockstep_store::Error>(())
        })
    });
    for _ in 0..20 {
        stage.round().await;
    }
    writer.await.unwrap().unwrap();
    for folder in folders {
        folder.await.unwrap().unwrap();
    }
}
