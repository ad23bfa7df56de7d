//! PostgreSQL is restarted, and killed: roles wait without losing what they were told, and go on by themselves.

use lockstep_e2e::{Cluster, Role, Service, TrackOption};

/// The only truth goes away in mid-work, in order and by kill -9; readiness says so, and nothing is lost.
#[tokio::test]
async fn a_lost_database_loses_and_doubles_nothing() {
    let cluster = Cluster::builder().private([Service::Postgres]).start().await;
    let one = cluster.mailbox_for_new_user(TrackOption::All).await;
    let other = cluster.mailbox_for_new_queue(true).await;
    let mut ids = cluster.drop_many(&one, 120);
    ids.extend(cluster.drop_many(&other, 40));
    cluster.wait_until(30, "work has begun", async || cluster.received_emails().await > 0).await;
    cluster.private().kill(Service::Postgres).await;
    for role in Role::SEPARATE {
        let process = cluster.process(role);
        let not_ready = async || match process.readiness().await {
            Ok((false, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        cluster.wait_until(40, &format!("{} is not ready", role.name()), not_ready).await;
    }
    ids.extend(cluster.drop_many(&one, 20));
    cluster.private().start(Service::Postgres).await;
    cluster.wait_ready().await;
    cluster.wait_received(ids.len() / 2, 60).await;
    cluster.private().restart(Service::Postgres).await;
    cluster.wait_ready().await;
    ids.extend(cluster.drop_many(&other, 10));
    cluster.wait_received(ids.len(), 90).await;
    for mailbox in [&one, &other] {
        cluster.wait_cycles(mailbox, 2, 60).await;
    }
    cluster.assert_each_once(&ids).await;
    cluster.wait_until(30, "processed messages are deleted", async || cluster.maildir(&other).is_empty()).await;
    for process in cluster.every_process() {
        assert!(process.ended().is_none(), "{} did not survive", process.role().name());
    }
}
