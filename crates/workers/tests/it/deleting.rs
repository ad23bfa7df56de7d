//! What was processed is deleted on the server: after the commit only, and until the server confirms.

use futures::FutureExt;
use lockstep_model::{
    id::MailboxId,
    mailbox::{Owner, TrackOption},
};
use lockstep_wire::Outcome;

use crate::{
    server::{Action, Call},
    stage::{Stage, lost, mail},
};

const SUPPORT: &str = "support@muster.example";

async fn support() -> (Stage, MailboxId) {
    let stage = Stage::new().await;
    let queue = stage.world.queue("support", TrackOption::FromCustomers).await;
    stage.world.contact("Carla", "carla@kunde.example").await;
    let mailbox = stage.world.mailbox(stage.profile, Owner::Queue(queue)).await;
    stage.world.sql("UPDATE mailboxes SET delete_after_processing = true").await;
    for (key, from) in [("k0", "carla@kunde.example"), ("k1", "stranger@kunde.example"), ("k2", "carla@kunde.example")]
    {
        stage.server.put(SUPPORT, key, mail(key, from, SUPPORT, "", key));
    }
    (stage, mailbox)
}

async fn wanted(stage: &Stage) -> i64 {
    stage.world.number("SELECT count(*) FROM remote_items WHERE delete_wanted").await
}

/// C5: what became a record goes, once it is committed; what did not stays.
#[tokio::test]
async fn processed_messages_are_deleted_after_the_commit() {
    let (stage, mailbox) = support().await;
    let pool = stage.world.pool().clone();
    stage.server.meanwhile(Call::Delete, move || {
        async move {
            let committed: i64 = sqlx::query_scalar("SELECT count(*) FROM emails").fetch_one(&pool).await.unwrap();
            assert_eq!(committed, 2, "nothing is deleted before it is ours");
        }
        .boxed()
    });
    let report = stage.run(mailbox).await;
    assert_eq!((report.outcome, report.counts.tracked, report.counts.refused), (Outcome::Completed, 2, 1));
    assert_eq!(stage.server.keys(SUPPORT), ["k1"]);
    assert_eq!(wanted(&stage).await, 0);
}

/// Asked for again until the conversation has ended in order; nothing is imported twice meanwhile.
#[tokio::test]
async fn deletions_are_repeated_until_confirmed() {
    let (stage, mailbox) = support().await;
    for call in [Call::Close, Call::Delete, Call::Pull] {
        stage.server.at(call.clone(), Action::Fail(lost()));
        let report = stage.run(mailbox).await;
        assert_eq!(report.outcome, Outcome::Failed, "at {call:?}");
        assert_eq!((wanted(&stage).await, stage.server.keys(SUPPORT).len()), (2, 3), "at {call:?}");
    }
    stage.server.calls();
    assert_eq!(stage.run(mailbox).await.outcome, Outcome::Completed);
    assert_eq!((wanted(&stage).await, stage.emails().await), (0, 2));
    assert_eq!(stage.server.keys(SUPPORT), ["k1"]);
    assert!(!stage.server.calls().iter().any(|call| call.starts_with("fetch")));
    stage.run(mailbox).await;
    assert!(!stage.server.calls().iter().any(|call| call.starts_with("delete")));
}

/// Who was overtaken deletes nothing.
#[tokio::test]
async fn an_overtaken_run_deletes_nothing() {
    for call in [Call::Fetch("k2".to_owned()), Call::Pull] {
        let (stage, mailbox) = support().await;
        if call == Call::Pull {
            // The first run leaves deletions behind.
            stage.server.at(Call::Close, Action::Fail(lost()));
            stage.run(mailbox).await;
        }
        stage.server.calls();
        let store = stage.world.store.clone();
        stage.server.meanwhile(call.clone(), move || {
            async move {
                let mut tx = store.begin().await.unwrap();
                lockstep_store::lanes::realign(&mut tx, &[mailbox]).await.unwrap();
                tx.commit().await.unwrap();
            }
            .boxed()
        });
        assert_eq!(stage.run(mailbox).await.outcome, Outcome::LeaseLost, "at {call:?}");
        assert!(!stage.server.calls().iter().any(|call| call.starts_with("delete")), "at {call:?}");
        assert_eq!(stage.server.keys(SUPPORT).len(), 3);
    }
}
