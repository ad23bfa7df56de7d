//! How often mailboxes are polled, with a clock two hundred times as fast.

use chrono::{DateTime, Utc};
use lockstep_e2e::{Cluster, TestMailbox, TrackOption};

const SCALE: f64 = 0.005;
const BUSY: f64 = 120.0;
const NORMAL: f64 = 300.0;
/// Twelve minutes without the minute kept free for an occasion that is lost.
const QUIET: f64 = 660.0;
/// The share by which jitter shortens a wait at most.
const JITTER: f64 = 0.9;

/// The end of a cycle, as the fold wrote it.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Cycle {
    generation: i64,
    interval_seconds: f64,
    due_at: DateTime<Utc>,
    last_started_at: Option<DateTime<Utc>>,
    last_ended_at: Option<DateTime<Utc>>,
    last_outcome: Option<String>,
}

impl Cycle {
    /// From the end of the cycle to the next due time, unscaled.
    fn planned(&self) -> f64 {
        let wait = self.due_at - self.last_ended_at.unwrap();
        wait.as_seconds_f64() / SCALE
    }
}

async fn cycle(cluster: &Cluster, mailbox: &TestMailbox) -> Cycle {
    sqlx::query_as(
        "SELECT generation, interval_seconds, due_at, last_started_at, last_ended_at, last_outcome
         FROM lane_schedules WHERE mailbox_id = $1 AND lane = 'incoming'",
    )
    .bind(mailbox.mailbox)
    .fetch_one(cluster.pool())
    .await
    .unwrap()
}

/// An occasion as it was handed out first: when it was due, and when the scheduler found that it was.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Claim {
    generation: i64,
    due_at: DateTime<Utc>,
    claimed_at: DateTime<Utc>,
}

/// How long a first claim lasts in these deployments.
const CLAIM_LIFETIME_MS: u32 = 4000;

/// Has the database remember each first claim. The scheduler writes its own time plus the claim's lifetime.
async fn remember_claims(cluster: &Cluster) {
    let script = format!(
        "CREATE TABLE test_claims (mailbox_id uuid, generation bigint, due_at timestamptz, claimed_at timestamptz);
         CREATE FUNCTION test_claimed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO test_claims VALUES (OLD.mailbox_id, OLD.generation, OLD.due_at,
                 NEW.claimed_until - interval '{CLAIM_LIFETIME_MS} milliseconds');
             RETURN NULL;
         END $$;
         CREATE TRIGGER test_claimed AFTER UPDATE ON lane_schedules FOR EACH ROW
             WHEN (OLD.claims = 0 AND NEW.claims = 1) EXECUTE FUNCTION test_claimed();"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(cluster.pool()).await.unwrap();
}

async fn claims(cluster: &Cluster, mailbox: &TestMailbox) -> Vec<Claim> {
    let query = "SELECT generation, due_at, claimed_at FROM test_claims WHERE mailbox_id = $1 ORDER BY generation";
    sqlx::query_as(query).bind(mailbox.mailbox).fetch_all(cluster.pool()).await.unwrap()
}

/// The next completed cycle after this generation.
async fn next(cluster: &Cluster, mailbox: &TestMailbox, after: i64) -> Cycle {
    let ended = async || {
        let now = cycle(cluster, mailbox).await;
        if now.generation > after && now.last_outcome.as_deref() == Some("completed") { Ok(now) } else { Err(now) }
    };
    cluster.wait_until(30, "the next cycle ends", ended).await
}

/// A7, A8, A9, A15: five minutes as a rule, two when many messages come, up to twelve when nothing happens; always
/// from the end of the cycle.
#[tokio::test]
async fn a7_a8_a9_a15_the_interval_follows_the_traffic_from_the_end_of_the_cycle() {
    let lifetime = CLAIM_LIFETIME_MS.to_string();
    let builder = Cluster::builder().scale(SCALE).setting("scheduler", "claim_lifetime_ms", &lifetime);
    let cluster = builder.start().await;
    remember_claims(&cluster).await;
    let mailbox = cluster.mailbox_for_new_user(TrackOption::All).await;
    let first = next(&cluster, &mailbox, 0).await;
    assert!((NORMAL * JITTER..=NORMAL).contains(&first.interval_seconds), "A7: {first:?}");
    let ids = cluster.drop_many(&mailbox, 15);
    cluster.wait_received(ids.len(), 30).await;
    let burst = next(&cluster, &mailbox, first.generation).await;
    assert!((burst.interval_seconds - BUSY).abs() < 1.0, "A8: one cycle tightens it: {burst:?}");

    let mut cycles = vec![first, burst];
    while cycles.last().unwrap().interval_seconds < QUIET * JITTER {
        assert!(cycles.len() < 20, "A9: quiet does not relax it: {cycles:?}");
        let following = next(&cluster, &mailbox, cycles.last().unwrap().generation).await;
        cycles.push(following);
    }
    let intervals: Vec<_> = cycles.iter().map(|cycle| cycle.interval_seconds).collect();
    assert!(intervals.len() > 5, "A9: quiet relaxes it over several cycles: {intervals:?}");
    assert!(intervals.iter().all(|interval| (BUSY..=QUIET).contains(interval)), "A8, A9: {intervals:?}");
    // The promise in three steps, each told by one clock: the next occasion is due an interval after the worker's own
    // end of the cycle; the scheduler hands it out when its own time is there; and the worker sees the pause. The last
    // alone could tell that the clocks of the two are apart, so it is not asked for the last millisecond.
    for cycle in &cycles {
        assert!((cycle.planned() - cycle.interval_seconds).abs() < 2.0, "from the end: {cycle:?}");
    }
    let claims = claims(&cluster, &mailbox).await;
    let mut handed_out = 0;
    // A fold leaves the number of the occasion that follows.
    for cycle in &cycles {
        let Some(claim) = claims.iter().find(|claim| claim.generation == cycle.generation) else { continue };
        assert_eq!(claim.due_at, cycle.due_at, "{claim:?} {cycle:?}");
        assert!(claim.claimed_at >= claim.due_at, "not before it is due: {claim:?}");
        handed_out += 1;
    }
    assert!(handed_out + 1 >= cycles.len(), "every cycle but the last was followed by a claim: {claims:?} {cycles:?}");
    for pair in cycles.windows(2).filter(|pair| pair[1].generation == pair[0].generation + 1) {
        let pause = pair[1].last_started_at.unwrap() - pair[0].last_ended_at.unwrap();
        assert!(pause.as_seconds_f64() / SCALE >= pair[0].interval_seconds / 2.0, "from the end: {pair:?}");
    }
    cluster.assert_each_once(&ids).await;
}

/// A17: the profile's minimum polling interval is never undercut, however many messages come.
#[tokio::test]
async fn a17_the_minimum_polling_interval_is_kept() {
    const MINUTES: u32 = 10;
    let cluster = Cluster::builder().scale(SCALE).start().await;
    let options = lockstep_e2e::ProfileOptions { min_polling_minutes: MINUTES, ..cluster.profile_options() };
    let profile = cluster.create_profile(&options).await;
    let mailbox = cluster.user_on(profile, TrackOption::All).await;
    let ids = cluster.drop_many(&mailbox, 30);
    cluster.wait_received(ids.len(), 30).await;
    let burst = next(&cluster, &mailbox, 0).await;
    let after = next(&cluster, &mailbox, burst.generation).await;
    for cycle in [burst, after] {
        assert!(cycle.interval_seconds >= f64::from(MINUTES * 60), "{cycle:?}");
        assert!(cycle.planned() >= f64::from(MINUTES * 60) - 2.0, "{cycle:?}");
    }
    cluster.assert_each_once(&ids).await;
}
