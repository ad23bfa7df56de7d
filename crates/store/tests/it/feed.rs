//! The feed: no reader ever misses a row, whatever order writers commit in and however many sequencers run.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lockstep_store::{
    Store,
    feed::{self, Change, Entry},
};
use uuid::Uuid;

use crate::seed::World;

async fn number(store: &Store, limit: i64) -> Option<u64> {
    let mut tx = store.begin().await.unwrap();
    let numbered = feed::number(&mut tx, limit).await.unwrap();
    tx.commit().await.unwrap();
    numbered
}

async fn read(store: &Store, after: i64, limit: i64) -> Vec<Entry> {
    let mut tx = store.begin().await.unwrap();
    feed::after(&mut tx, after, limit).await.unwrap()
}

async fn tell(store: &Store, record: Uuid, version: i64) {
    let mut tx = store.begin().await.unwrap();
    feed::tell(&mut tx, "email", record, Change::Updated, &["status", "ü,\"{}"], version).await.unwrap();
    tx.commit().await.unwrap();
}

/// Setting the organisation up tells of it; tests begin after that.
async fn world() -> (World, i64) {
    let world = World::new().await;
    number(&world.store, 100).await;
    let mut tx = world.store.begin().await.unwrap();
    let (_, head) = feed::head(&mut tx).await.unwrap().unwrap();
    (world, head)
}

#[tokio::test]
async fn entries_are_invisible_until_numbered_and_then_dense() {
    let (world, head) = world().await;
    let record = Uuid::now_v7();
    for version in 1..=5 {
        tell(&world.store, record, version).await;
    }
    assert!(read(&world.store, head, 10).await.is_empty());
    assert_eq!(number(&world.store, 2).await, Some(2));
    assert_eq!(number(&world.store, 100).await, Some(3));
    assert_eq!(number(&world.store, 100).await, Some(0));
    let entries = read(&world.store, head, 10).await;
    assert_eq!(entries.iter().map(|e| e.position).collect::<Vec<_>>(), (head + 1..=head + 5).collect::<Vec<_>>());
    assert_eq!(entries.iter().map(|e| e.record_version).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(entries[0].fields, ["status", "ü,\"{}"]);
    assert_eq!(read(&world.store, head + 2, 2).await.len(), 2, "a page of the rest");
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(feed::head(&mut tx).await.unwrap().unwrap().1, head + 5);
    drop(tx);
    world.sql(&format!("DELETE FROM feed_entries WHERE position <= {}", head + 3)).await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(feed::tail(&mut tx).await.unwrap(), head + 3, "the position before the oldest entry kept");
    drop(tx);
    world.sql("DELETE FROM feed_entries").await;
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(
        feed::tail(&mut tx).await.unwrap(),
        head + 5,
        "with nothing kept, older cursors are too old all the same"
    );
    drop(tx);
    tell(&world.store, record, 6).await;
    number(&world.store, 10).await;
    assert_eq!(read(&world.store, 0, 10).await[0].position, head + 6, "a position is never used again");
}

/// The classic trap of a sequence read as a cursor: a writer takes its number first and commits last.
#[tokio::test]
async fn a_writer_that_commits_late_is_not_skipped() {
    let (world, head) = world().await;
    let mut slow = world.store.begin().await.unwrap();
    feed::tell(&mut slow, "email", Uuid::now_v7(), Change::Created, &[], 1).await.unwrap();
    tell(&world.store, Uuid::now_v7(), 2).await;
    assert_eq!(number(&world.store, 10).await, Some(1));
    let first = read(&world.store, head, 10).await;
    assert_eq!((first[0].record_version, first[0].position), (2, head + 1));
    slow.commit().await.unwrap();
    assert_eq!(number(&world.store, 10).await, Some(1));
    let then = read(&world.store, head + 1, 10).await;
    assert_eq!((then[0].record_version, then[0].position), (1, head + 2), "after what the reader has seen already");
}

#[tokio::test]
async fn one_sequencer_at_a_time() {
    let (world, _) = world().await;
    let mut first = world.store.begin().await.unwrap();
    assert_eq!(feed::number(&mut first, 10).await.unwrap(), Some(0));
    assert_eq!(number(&world.store, 10).await, None, "another one is at work");
    drop(first);
    let numbered = async || number(&world.store, 10).await;
    assert_eq!(
        lockstep_test_support::eventually(Duration::from_secs(10), numbered, "its lock ends with its transaction")
            .await,
        0
    );
}

/// Rows that a rolled-back sequencer had numbered are numbered by the next one, without a gap.
#[tokio::test]
async fn a_sequencer_that_dies_leaves_no_gap() {
    let (world, head) = world().await;
    tell(&world.store, Uuid::now_v7(), 1).await;
    let mut dying = world.store.begin().await.unwrap();
    assert_eq!(feed::number(&mut dying, 10).await.unwrap(), Some(1));
    drop(dying);
    let numbered = async || number(&world.store, 10).await;
    assert_eq!(lockstep_test_support::eventually(Duration::from_secs(10), numbered, "its lock has gone").await, 1);
    assert_eq!(read(&world.store, head, 10).await[0].position, head + 1);
}

/// Slow writers that hold their transactions open over numbering, several sequencers at once, and a reader that reads
/// along by its cursor: it sees every committed row once, without gaps, and every record in its own order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_nothing_under_slow_writers_and_several_sequencers() {
    const WRITERS: usize = 8;
    const ROUNDS: i64 = 25;
    let (world, head) = world().await;
    world.sql("CREATE TABLE records (id uuid PRIMARY KEY, version bigint NOT NULL)").await;
    let records: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    for record in &records {
        world.sql(&format!("INSERT INTO records VALUES ('{record}', 0)")).await;
    }
    // A pool of its own, so that open writers never keep sequencers and reader from a connection.
    let writing =
        Store::open(world.database.url(), &crate::seed::options(16), world.clock.clone(), crate::seed::vault());
    let writing = writing.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let sequencers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (world.store.clone(), done.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    number(&store, 7).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let reader = {
        let (store, done) = (world.store.clone(), done.clone());
        tokio::spawn(async move {
            let (mut cursor, mut seen) = (head, Vec::new());
            loop {
                let last_look = done.load(Ordering::SeqCst);
                let page = read(&store, cursor, 5).await;
                if page.is_empty() && last_look {
                    return seen;
                }
                for entry in page {
                    assert_eq!(entry.position, cursor + 1, "no gap is ever shown");
                    cursor = entry.position;
                    seen.push(entry);
                }
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (writing, pool, records) = (writing.clone(), world.pool().clone(), records.clone());
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    // A row of a record of its own, kept open for a while: numbered early, committed late.
                    let mut slow = writing.begin().await.unwrap();
                    let own = Uuid::now_v7();
                    feed::tell(&mut slow, "email", own, Change::Created, &[], 1).await.unwrap();
                    // A row of a record that all writers share, after its lock, as every writer does it.
                    let shared = records[(writer + usize::try_from(round).unwrap()) % records.len()];
                    let mut tx = pool.begin().await.unwrap();
                    let version: i64 =
                        sqlx::query_scalar("UPDATE records SET version = version + 1 WHERE id = $1 RETURNING version")
                            .bind(shared)
                            .fetch_one(&mut *tx)
                            .await
                            .unwrap();
                    sqlx::query(
                        "INSERT INTO feed_entries (record_kind, record_id, change, record_version, changed_at)
                         VALUES ('shared', $1, 'updated', $2, now())",
                    )
                    .bind(shared)
                    .bind(version)
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                    tokio::time::sleep(Duration::from_millis(u64::try_from(round % 4).unwrap())).await;
                    tx.commit().await.unwrap();
                    if round % 5 == 4 {
                        drop(slow);
                    } else {
                        slow.commit().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let waiting = "SELECT count(*) FROM feed_entries WHERE position IS NULL";
    lockstep_test_support::eventually(
        Duration::from_secs(20),
        async || world.number(waiting).await == 0,
        "all numbered",
    )
    .await;
    done.store(true, Ordering::SeqCst);
    let seen = reader.await.unwrap();
    for sequencer in sequencers {
        sequencer.await.unwrap();
    }
    let committed = world.number(&format!("SELECT count(*) FROM feed_entries WHERE position > {head}")).await;
    let expected = WRITERS as i64 * (ROUNDS + ROUNDS * 4 / 5);
    assert_eq!((seen.len() as i64, committed), (expected, expected));
    let mut versions: HashMap<Uuid, i64> = HashMap::new();
    for entry in seen.iter().filter(|entry| entry.record_kind == "shared") {
        let last = versions.entry(entry.record_id).or_default();
        assert_eq!(entry.record_version, *last + 1, "each record's own order holds");
        *last = entry.record_version;
    }
    assert_eq!(versions.values().sum::<i64>(), WRITERS as i64 * ROUNDS);
}
