//! When each mailbox was looked at: the database remembers the end of every cycle, as the fold writes it.

use chrono::{DateTime, Utc};
use lockstep_model::clock::{Clock, SystemClock};

use crate::{Cluster, TestMailbox};

/// A cycle that has ended well, by the worker's own clock.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Look {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

impl Cluster {
    /// The time of this machine, which is that of every process here.
    pub fn now(&self) -> DateTime<Utc> {
        SystemClock::default().now()
    }

    /// Has the database remember the cycles that end from now on.
    pub async fn remember_looks(&self) {
        let script = "CREATE TABLE test_looks (mailbox_id uuid, started_at timestamptz, ended_at timestamptz);
             CREATE FUNCTION test_looked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO test_looks VALUES (NEW.mailbox_id, NEW.last_started_at, NEW.last_ended_at);
                 RETURN NULL;
             END $$;
             CREATE TRIGGER test_looked AFTER UPDATE ON lane_schedules FOR EACH ROW
                 WHEN (NEW.last_run IS DISTINCT FROM OLD.last_run AND NEW.last_outcome IN ('completed', 'yielded'))
                 EXECUTE FUNCTION test_looked();";
        sqlx::raw_sql(script).execute(self.pool()).await.unwrap();
    }

    /// The remembered cycles of a mailbox, oldest first.
    pub async fn looks(&self, mailbox: &TestMailbox) -> Vec<Look> {
        sqlx::query_as("SELECT started_at, ended_at FROM test_looks WHERE mailbox_id = $1 ORDER BY ended_at")
            .bind(mailbox.mailbox)
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    /// Waits until each of these mailboxes was looked at `count` times, counting cycles that began after `since`.
    ///
    /// # Panics
    /// When time is up.
    pub async fn wait_looks(&self, mailboxes: &[TestMailbox], since: DateTime<Utc>, count: usize, seconds: u64) {
        let all = async || {
            for mailbox in mailboxes {
                let looks = self.looks(mailbox).await.iter().filter(|look| look.started_at >= since).count();
                if looks < count {
                    return Err(format!("{}: {looks} of {count}", mailbox.address()));
                }
            }
            Ok(())
        };
        self.wait_until(seconds, "every mailbox is looked at", all).await;
    }

    /// The longest time, in seconds, that one of these mailboxes was without the end of a cycle between `from` and
    /// `until`; a mailbox that is not looked at any more counts until the end.
    pub async fn longest_gap(&self, mailboxes: &[TestMailbox], from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
        let mut longest = 0.0_f64;
        for mailbox in mailboxes {
            let mut last = from;
            let ends = self.looks(mailbox).await.into_iter().map(|look| look.ended_at);
            for end in ends.filter(|end| (from..until).contains(end)).chain([until]) {
                longest = longest.max((end - last).as_seconds_f64());
                last = end;
            }
        }
        longest
    }

    /// Has every mailbox believe that nothing has happened in it for long, so that its interval is the longest; due now.
    pub async fn lull(&self) {
        let statement = "UPDATE lane_schedules SET activity = 0, empty_cycles = 60, due_at = now()";
        sqlx::query(statement).execute(self.pool()).await.unwrap();
    }
}
