//! Settings of a worker role.

use std::time::Duration;

use lockstep_engine::retry::Schedule;
use serde::Deserialize;

/// How a worker role works. Leases and permits are never scaled; the pauses between attempts to send are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Runs at one time.
    pub concurrency: u16,
    /// How long a lease lives without renewal, in milliseconds. Renewed three times as often.
    pub lease_ttl_ms: u64,
    /// How long a permit lives without renewal, in milliseconds.
    pub permit_ttl_ms: u64,
    /// Longest run, in seconds; what is left is due again at once.
    pub run_budget_s: u64,
    /// Message bytes and texts in memory at one time, in MiB, over all runs of the process.
    pub memory_budget_mib: u32,
    /// How long the claim of a send is kept while it is under way, in milliseconds.
    pub claim_lifetime_ms: u64,
    /// Pause after the first attempt to send, in seconds; it doubles.
    pub send_backoff_s: u64,
    /// Pause before a failed item is fetched again, in seconds.
    pub item_backoff_s: u64,
    /// Attempts at an item, the first included, before it is left in quarantine.
    pub max_item_attempts: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 16,
            lease_ttl_ms: 60_000,
            permit_ttl_ms: 60_000,
            run_budget_s: 240,
            memory_budget_mib: 256,
            claim_lifetime_ms: 60_000,
            send_backoff_s: Schedule::OUTGOING.base.as_secs(),
            item_backoff_s: 900,
            max_item_attempts: 6,
        }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A sentence naming the key and the rule.
    pub fn check(&self) -> Result<(), String> {
        let rules = [
            (self.concurrency == 0, "concurrency must be at least 1"),
            (!(1_000..=3_600_000).contains(&self.lease_ttl_ms), "lease_ttl_ms must lie between 1000 and 3600000"),
            (!(1_000..=3_600_000).contains(&self.permit_ttl_ms), "permit_ttl_ms must lie between 1000 and 3600000"),
            (!(1..=1_500).contains(&self.run_budget_s), "run_budget_s must lie between 1 and 1500"),
            (self.memory_budget_mib < PAGE_MIB, "memory_budget_mib must be at least 16"),
            (self.claim_lifetime_ms < 1_000, "claim_lifetime_ms must be at least 1000"),
        ];
        rules.iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, rule)| Err((*rule).to_owned()))
    }

    /// How long a lease lives without renewal.
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }

    /// How long a permit lives without renewal.
    pub fn permit_ttl(&self) -> Duration {
        Duration::from_millis(self.permit_ttl_ms)
    }

    /// Longest run.
    pub fn run_budget(&self) -> Duration {
        Duration::from_secs(self.run_budget_s)
    }

    /// How long a run keeps its slot though another mailbox of its server waits for one: an eighth of the longest run, half
    /// a minute by default, so that what connecting and listing cost stays small beside the work.
    pub fn turn(&self) -> Duration {
        self.run_budget() / 8
    }

    /// How long the claim of a send is kept.
    pub fn claim_lifetime(&self) -> Duration {
        Duration::from_millis(self.claim_lifetime_ms)
    }

    /// When an email is tried again, of which so many attempts are made.
    pub fn send_schedule(&self, max_attempts: u32) -> Schedule {
        Schedule { base: Duration::from_secs(self.send_backoff_s), max_attempts, ..Schedule::OUTGOING }
    }
}

/// What a page may hold in memory at most, in MiB, where bodies have at most 1 MiB: its texts, and one message in
/// transit.
pub(crate) const PAGE_MIB: u32 = 16;
