//! The sweep as a whole: what goes, what stays, and how much at a time.

use std::time::Duration;

use lockstep_scheduler::sweep::{self, BATCH, DAYS_AHEAD, Swept};
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
    assert_eq!(sweep::sweep(&stage.context).await.unwrap(), Swept { contents: 3, answers: 2, ..Swept::default() });
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

/// Days of the feed and the audit have partitions ahead of time, and go whole when they are too old; what is not numbered
/// yet, what came without a partition, and what has not ended long enough, is looked at row by row.
#[tokio::test]
async fn what_happened_is_kept_by_day() {
    let stage = Stage::new().await;
    let world = &stage.world;
    sweep::sweep(&stage.context).await.unwrap();
    let partitions =
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ '_entries_[0-9]{8}$' ORDER BY 1";
    let made = world.texts(partitions).await;
    assert_eq!(made.len(), 2 * usize::try_from(DAYS_AHEAD).unwrap(), "{made:?}");
    world.sql("DELETE FROM feed_entries; DELETE FROM audit_entries").await;
    let tell = async |text: &str| {
        let now = lockstep_model::clock::Clock::now(&*world.clock);
        let sql = format!(
            "INSERT INTO feed_entries (record_kind, record_id, change, record_version, changed_at)
                 VALUES ('{text}', gen_random_uuid(), 'created', 1, '{now}');
             INSERT INTO audit_entries VALUES (gen_random_uuid(), '{now}', 'anna', '{text}', 'user', NULL)"
        );
        world.sql(&sql).await;
    };
    // Today has no partition of its own yet, tomorrow has.
    tell("today").await;
    world.advance(DAY);
    tell("tomorrow").await;
    world.advance(DAY);
    tell("unread").await;
    let stray = "SELECT record_kind FROM feed_entries_other UNION ALL SELECT action FROM audit_entries_other";
    assert_eq!(world.texts(stray).await, ["today", "today"]);
    world
        .sql("UPDATE feed_entries SET position = sequence WHERE record_kind <> 'unread'; UPDATE feed_state SET last_position = 2")
        .await;
    let kept = "SELECT record_kind || ' fed' FROM feed_entries UNION ALL SELECT action || ' noted' FROM audit_entries ORDER BY 1";
    world.advance(DAY * u64::from(stage.context.config.keep_changes_days));
    let swept = sweep::sweep(&stage.context).await.unwrap();
    assert_eq!((swept.days, swept.stray), (1, 1), "of the feed, what was numbered");
    assert_eq!(
        world.texts(kept).await,
        ["today noted", "tomorrow noted", "unread fed", "unread noted"],
        "a change that nobody could read stays"
    );
    world.advance(DAY * u64::from(stage.context.config.keep_audit_days));
    let swept = sweep::sweep(&stage.context).await.unwrap();
    assert_eq!((swept.days, swept.stray), (7 + 5 + 7, 1), "empty days go too");
    assert_eq!(world.texts(kept).await, ["unread fed"]);
    tell("later").await;
    assert_eq!(world.texts(kept).await, ["later fed", "later noted", "unread fed"]);
}

/// Ended operations and resolved alerts go after their time; what goes on stays, and so does a webhook's operation.
#[tokio::test]
async fn what_has_ended_goes_after_its_time() {
    let stage = Stage::new().await;
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage
        .world
        .sql(&format!(
            "INSERT INTO operations (id, kind, state, due_at, requested_by, created_at, ended_at)
                 VALUES (gen_random_uuid(), 'ended', 'done', '{now}', 'a', '{now}', '{now}'),
                     (gen_random_uuid(), 'going on', 'pending', '{now}', 'a', '{now}', NULL),
                     ('00000000-0000-7000-8000-00000000000a', 'webhook', 'done', '{now}', 'a', '{now}', '{now}');
             INSERT INTO webhook_endpoints (id, name, url, sealed_secret, epoch, position, created_at, updated_at)
                 VALUES ('00000000-0000-7000-8000-00000000000a', 'w', 'https://example.org', '', gen_random_uuid(), 0,
                     '{now}', '{now}');
             INSERT INTO alerts (id, key, code, severity, scope, first_at, last_at, resolved_at)
                 VALUES (gen_random_uuid(), 'a', 'resolved', 'error', 'organisation', '{now}', '{now}', '{now}'),
                     (gen_random_uuid(), 'b', 'open', 'error', 'organisation', '{now}', '{now}', NULL);
             INSERT INTO lost_values (id, record_kind, record_id, field, side, lost_at)
                 VALUES (gen_random_uuid(), 'task', gen_random_uuid(), 'given way', 'crm', '{now}'),
                     (gen_random_uuid(), 'task', gen_random_uuid(), 'given way later', 'crm', '{now}'::timestamptz + interval '2 s')"
        ))
        .await;
    let left = "SELECT kind FROM operations UNION ALL SELECT code FROM alerts UNION ALL SELECT field FROM lost_values
                ORDER BY 1";
    stage.world.advance(DAY * u64::from(stage.context.config.keep_ended_days));
    assert_eq!(sweep::sweep(&stage.context).await.unwrap().ended, 0, "not yet");
    stage.world.advance(1);
    assert_eq!(sweep::sweep(&stage.context).await.unwrap().ended, 3);
    assert_eq!(stage.world.texts(left).await, ["given way later", "going on", "open", "webhook"]);
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
