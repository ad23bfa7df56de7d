//! When the owner of a profile is told by email that its mailboxes fail.

use std::time::Duration;

/// Failures within this time count together.
pub const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Whether more than half of the active mailboxes of a profile have failed within [`WINDOW`].
pub fn alarms(failed: u64, active: u64) -> bool {
    active > 0 && failed.saturating_mul(2) > active
}
