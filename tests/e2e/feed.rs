//! The change feed under writers that commit late and in another order than they began.

use std::collections::BTreeMap;

use lockstep_e2e::{Cluster, Role};
use serde_json::Value;
use uuid::Uuid;

const WRITERS: usize = 4;
const CHANGES: i64 = 25;

/// Writes as a role would: locks the record, adds its feed row, stays busy for a while, commits.
async fn write(cluster: &Cluster, own: Uuid, shared: Uuid, slow: bool) {
    for version in 1..=CHANGES {
        let mut tx = cluster.pool().begin().await.unwrap();
        // Every fifth change is one of a record that all writers change.
        let record = if version % 5 == 0 { shared } else { own };
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))")
            .bind(record.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO feed_entries (record_kind, record_id, change, record_version, changed_at)
             SELECT 'contact', $1, 'updated', 1 + coalesce(max(record_version), 0), now()
             FROM feed_entries WHERE record_id = $1",
        )
        .bind(record)
        .execute(&mut *tx)
        .await
        .unwrap();
        if slow {
            sqlx::query("SELECT pg_sleep(0.08)").execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Follows the feed by cursor from where it is now until `wanted` changes were read.
async fn follow(cluster: &Cluster, wanted: usize) -> Vec<Value> {
    let start = cluster.api().get("/changes?limit=200").await;
    let epoch = start["epoch"].as_str().unwrap().to_owned();
    let mut next = start["next"].clone();
    let mut read: Vec<Value> = start["items"].as_array().cloned().unwrap_or_default();
    let more = async || {
        let stretch = cluster.api().get(&format!("/changes?limit=7&after={next}&epoch={epoch}")).await;
        assert_eq!(stretch["epoch"], epoch.as_str());
        next = stretch["next"].clone();
        read.extend(stretch["items"].as_array().cloned().unwrap_or_default());
        let changes = read.iter().filter(|change| change["change"] == "updated").count();
        if changes >= wanted { Ok(()) } else { Err(changes) }
    };
    cluster.wait_until(60, "every change is read", more).await;
    read
}

/// A reader by cursor misses no change, sees none twice, and each record's changes in their order, though rows are
/// committed in another order than they were written.
#[tokio::test]
async fn a_reader_by_cursor_misses_nothing_while_writers_commit_late() {
    let mut builder = Cluster::builder();
    for role in [Role::MailboxWorker, Role::OutgoingWorker, Role::AsyncWorker] {
        builder = builder.without(role);
    }
    let cluster = builder.start().await;
    let shared = Uuid::new_v4();
    let own: Vec<Uuid> = (0..WRITERS).map(|_| Uuid::new_v4()).collect();
    let writers = own.iter().enumerate().map(|(number, id)| write(&cluster, *id, shared, number % 2 == 0));
    let total = WRITERS * usize::try_from(CHANGES).unwrap();
    let (_, read) = tokio::join!(futures::future::join_all(writers), follow(&cluster, total));
    let mut positions: Vec<i64> = read.iter().filter_map(|change| change["position"].as_i64()).collect();
    assert!(positions.is_sorted(), "positions rise");
    positions.dedup();
    assert_eq!(positions.len(), read.len(), "none was seen twice");
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for change in read.iter().filter(|change| change["change"] == "updated") {
        let id = change["record_id"].as_str().unwrap().to_owned();
        versions.entry(id).or_default().push(change["record_version"].as_i64().unwrap());
    }
    assert_eq!(versions.len(), WRITERS + 1);
    for (id, versions) in versions {
        let expected: Vec<i64> = (1..=i64::try_from(versions.len()).unwrap()).collect();
        assert_eq!(versions, expected, "{id}: in order, without a gap");
    }
    assert_eq!(cluster.number("SELECT count(*) FROM feed_entries WHERE position IS NULL").await, 0);
}
