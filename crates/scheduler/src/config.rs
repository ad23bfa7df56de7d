//! Settings of the scheduler.

use std::time::Duration;

use lockstep_engine::{breaker, cadence, health};
use serde::Deserialize;

/// How the scheduler works. Policy durations are multiplied by the deployment's time scale; claims are not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest pause between two looks at what is due, in milliseconds; a nudge shortens it.
    pub poll_interval_ms: u64,
    /// How long an occasion belongs to its hint, in milliseconds. A little longer than a worker's lease, so that the
    /// lease of a run that died is over when its occasion is handed out again.
    pub claim_lifetime_ms: u64,
    /// Most profiles looked at in one round.
    pub profiles_per_round: u32,
    /// Most emails handed out in one round.
    pub sends_per_round: u32,
    /// Most operations handed out in one round.
    pub operations_per_round: u32,
    /// Most reports folded in one transaction.
    pub reports_per_fold: u16,
    /// Longest wait for a fold to fill up, in milliseconds.
    pub fold_wait_ms: u64,
    /// Polling interval of a mailbox with ordinary traffic, in seconds.
    pub normal_interval_s: u64,
    /// Shortest polling interval, in seconds.
    pub busy_interval_s: u64,
    /// Longest polling interval, in seconds.
    pub quiet_interval_s: u64,
    /// Transient faults in a row that disable a lane.
    pub max_transient_faults: u32,
    /// Pause after a transient fault, in seconds.
    pub transient_backoff_s: u64,
    /// Faults of a server in a row that stop work on all its mailboxes.
    pub breaker_threshold: u32,
    /// Days that the change feed is kept: who reads it more seldom must read all records again.
    pub keep_changes_days: u32,
    /// Days that the audit is kept.
    pub keep_audit_days: u32,
    /// Days that ended operations and resolved alerts are kept.
    pub keep_ended_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval_ms: 1_000,
            claim_lifetime_ms: 65_000,
            profiles_per_round: 256,
            sends_per_round: 64,
            operations_per_round: 64,
            reports_per_fold: 128,
            fold_wait_ms: 50,
            normal_interval_s: 300,
            busy_interval_s: 120,
            quiet_interval_s: 720,
            max_transient_faults: 10,
            transient_backoff_s: 300,
            breaker_threshold: 3,
            keep_changes_days: 30,
            keep_audit_days: 365,
            keep_ended_days: 90,
        }
    }
}

impl Config {
    /// Checks what single values cannot: that the intervals are in order.
    ///
    /// # Errors
    /// A sentence naming the keys and the rule.
    pub fn check(&self) -> Result<(), String> {
        let ordered = self.busy_interval_s <= self.normal_interval_s && self.normal_interval_s <= self.quiet_interval_s;
        if self.busy_interval_s == 0 || !ordered {
            return Err(
                "scheduler.busy_interval_s, normal_interval_s and quiet_interval_s must be above 0 and in this \
                        order, such as 120, 300 and 720"
                    .to_owned(),
            );
        }
        if self.poll_interval_ms == 0 || self.claim_lifetime_ms < 1_000 {
            return Err("scheduler.poll_interval_ms must be above 0 and claim_lifetime_ms at least 1000".to_owned());
        }
        if [self.keep_changes_days, self.keep_audit_days, self.keep_ended_days]
            .iter()
            .any(|d| !(1..=36_500).contains(d))
        {
            return Err(
                "scheduler.keep_changes_days, keep_audit_days and keep_ended_days must be from 1 to 36500".to_owned()
            );
        }
        Ok(())
    }

    /// Longest pause between two looks.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    /// How long an occasion belongs to its hint.
    pub fn claim_lifetime(&self) -> Duration {
        Duration::from_millis(self.claim_lifetime_ms)
    }

    /// The cadence policy.
    pub fn cadence(&self) -> cadence::Policy {
        cadence::Policy {
            normal: Duration::from_secs(self.normal_interval_s),
            busy: Duration::from_secs(self.busy_interval_s),
            quiet: Duration::from_secs(self.quiet_interval_s),
            ..cadence::Policy::default()
        }
    }

    /// The numbers lanes are judged by.
    pub fn health(&self) -> health::Settings {
        health::Settings {
            max_transient: self.max_transient_faults,
            backoff: Duration::from_secs(self.transient_backoff_s),
        }
    }

    /// The numbers servers are judged by.
    pub fn breaker(&self) -> breaker::Settings {
        breaker::Settings { threshold: self.breaker_threshold, ..breaker::Settings::default() }
    }
}
