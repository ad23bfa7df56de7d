//! Settings of the scheduler.

use std::time::Duration;

use lockstep_engine::breaker;
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
    /// Most operations handed out in one round.
    pub operations_per_round: u32,
    /// Most reports folded in one transaction.
    pub reports_per_fold: u16,
    /// Longest wait for a fold to fill up, in milliseconds.
    pub fold_wait_ms: u64,
    /// Faults of a server in a row that stop work on all its mailboxes.
    pub breaker_threshold: u32,
    /// Days that the change feed is kept: who reads it more seldom must read all records again.
    pub keep_changes_days: u32,
    /// Days that the audit is kept.
    pub keep_audit_days: u32,
    /// Days that ended operations, resolved alerts and values that gave way in synchronisation are kept.
    pub keep_ended_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval_ms: 1_000,
            claim_lifetime_ms: 65_000,
            profiles_per_round: 256,
            operations_per_round: 64,
            reports_per_fold: 128,
            fold_wait_ms: 50,
            breaker_threshold: 3,
            keep_changes_days: 30,
            keep_audit_days: 365,
            keep_ended_days: 90,
        }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A sentence naming the keys and the rule.
    pub fn check(&self) -> Result<(), String> {
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

    /// The numbers servers are judged by.
    pub fn breaker(&self) -> breaker::Settings {
        breaker::Settings { threshold: self.breaker_threshold, ..breaker::Settings::default() }
    }
}
