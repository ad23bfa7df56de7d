//! The sweep as a whole: what goes, what stays, and how much at a time.

use std::time::Duration;

use lockstep_scheduler::sweep::{self, BATCH, Swept};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;

const DAY: u64 = 24 * 60 * 60;

/// Contents: an orphan, one of an attachment, one of an email's raw form, each of one chunk of its own, and a chunk of
/// no content. Answers to `answers` requests.
async fn fill(stage: &Stage, answers: u32) {
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage
        .world
        .sql(&format!(
            "INSERT INTO chunks SELECT v.digest, v.digest, '{now}'
                 FROM (VALUES ('\\x01'::bytea), ('\\x02'), ('\\x03'), ('\\x04')) AS v(digest);
             INSERT INTO contents SELECT digest, 1, '{now}' FROM chunks WHERE digest <> '\\x04';
             INSERT INTO content_chunks SELECT digest, 0, digest FROM contents;
             INSERT INTO emails (id, direction, status, raw_digest, created_at, updated_at)
                 VALUES ('00000000-0000-7000-8000-000000000001', 'incoming', 'received', '\\x03', now(), now());
             INSERT INTO email_attachments (id, email_id, position, name, media_type, size_bytes, content_digest)
                 VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 0, 'a', 'b', 1, '\\x02');
             INSERT INTO idempotency_keys SELECT 'k' || n, 'caller', '', 201, '{{}}', '{now}'
                 FROM generate_series(1, {answers}) n;
             CREATE TABLE removals (what text, rows bigint);
             CREATE FUNCTION removed() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO removals SELECT TG_TABLE_NAME, count(*) FROM gone; RETURN NULL; END $$;
             CREATE TRIGGER removed AFTER DELETE ON idempotency_keys REFERENCING OLD TABLE AS gone
                 FOR EACH STATEMENT EXECUTE FUNCTION removed();
             CREATE TRIGGER removed AFTER DELETE ON contents REFERENCING OLD TABLE AS gone
                 FOR EACH STATEMENT EXECUTE FUNCTION removed()"
        ))
        .await;
}

async fn left(stage: &Stage, table: &str) -> i64 {
    stage.world.number(&format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn what_nobody_needs_goes_after_a_day_and_nothing_else() {
    let stage = Stage::new().await;
    fill(&stage, 3).await;
    stage.world.advance(DAY - 1);
    assert_eq!(sweep::sweep(&stage.context).await.unwrap(), Swept::default(), "not yet");
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage
        .world
        .sql(&format!(
            "UPDATE idempotency_keys SET created_at = '{now}' WHERE key = 'k3';
             INSERT INTO chunks VALUES ('\\x05', '', '{now}');
             INSERT INTO contents VALUES ('\\x05', 0, '{now}')"
        ))
        .await;
    stage.world.advance(2);
    // The orphan with its chunk, and the chunk that had no content to begin with; two of the answers.
    assert_eq!(sweep::sweep(&stage.context).await.unwrap(), Swept { contents: 3, answers: 2, details: 0 });
    assert_eq!(stage.world.texts("SELECT digest FROM contents ORDER BY 1").await, ["\\x02", "\\x03", "\\x05"]);
    assert_eq!(stage.world.texts("SELECT digest FROM chunks ORDER BY 1").await, ["\\x02", "\\x03", "\\x05"]);
    assert_eq!(stage.world.texts("SELECT key FROM idempotency_keys").await, ["k3"]);
    assert_eq!(sweep::sweep(&stage.context).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn much_goes_in_bounded_batches() {
    let stage = Stage::new().await;
    fill(&stage, 2 * BATCH + 1).await;
    stage
        .world
        .sql(&format!(
            "INSERT INTO contents SELECT decode(md5(n::text), 'hex'), 1, '2020-01-01' FROM generate_series(1, {BATCH}) n"
        ))
        .await;
    stage.world.advance(DAY + 1);
    let swept = sweep::sweep(&stage.context).await.unwrap();
    assert_eq!(swept.answers, u64::from(2 * BATCH + 1));
    assert_eq!((left(&stage, "contents").await, left(&stage, "idempotency_keys").await), (2, 0));
    for (table, transactions) in [("idempotency_keys", 3), ("contents", 2)] {
        let removals = format!("FROM removals WHERE what = '{table}' AND rows > 0");
        assert_eq!(stage.world.number(&format!("SELECT max(rows) {removals}")).await, i64::from(BATCH), "{table}");
        assert_eq!(stage.world.number(&format!("SELECT count(*) {removals}")).await, transactions, "{table}");
    }
}

/// M11: what was said of a failure goes after three days; the item stays known with its reason.
#[tokio::test]
async fn m11_words_about_failures_go_after_three_days() {
    let stage = Stage::new().await;
    let mailbox = stage.world.user_mailbox(stage.world.profile(1).await, "anna").await;
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage
        .world
        .sql(&format!(
            "INSERT INTO remote_items (mailbox_id, remote_key, disposition, reason, detail, next_attempt_at, seen_at)
             VALUES ('{mailbox}', 'dropped', 'refused', 'DroppedByHand', 'x', NULL, '{now}'),
                 ('{mailbox}', 'given-up', 'quarantined', 'ItemUnavailable', 'x', NULL, '{now}'),
                 ('{mailbox}', 'tried', 'quarantined', 'ItemUnavailable', 'x', '{now}', '{now}')"
        ))
        .await;
    let told = "SELECT concat_ws(' ', convert_from(remote_key, 'UTF8'), reason, detail) FROM remote_items ORDER BY 1";
    stage.world.advance(3 * DAY);
    assert_eq!(sweep::sweep(&stage.context).await.unwrap().details, 0, "not yet");
    stage.world.advance(1);
    assert_eq!(sweep::sweep(&stage.context).await.unwrap().details, 2);
    assert_eq!(
        stage.world.texts(told).await,
        ["dropped DroppedByHand", "given-up ItemUnavailable", "tried ItemUnavailable x"]
    );
}

/// The loop sweeps as soon as it starts, and ends when it is told to.
#[tokio::test]
async fn the_loop_sweeps_and_stops() {
    let stage = Stage::new().await;
    fill(&stage, 1).await;
    stage.world.advance(DAY + 1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(sweep::run(stage.context.clone(), stop.clone()));
    let swept = async {
        while left(&stage, "idempotency_keys").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept).await.unwrap();
    assert!(!running.is_finished());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    assert_eq!(left(&stage, "contents").await, 2);
}
